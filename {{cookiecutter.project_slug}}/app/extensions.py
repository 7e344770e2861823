"""What views use of the middlewares: `from app.extensions import limiter, public, require_scope`.

A middleware that a service does not want is deleted together with its line in create_app(); its
decorators here then leave a view as it is.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from flask import Blueprint

__all__ = ["csrf_exempt", "limiter", "public", "require_scope"]

View = TypeVar("View", bound="Callable[..., Any] | Blueprint")


class Decorator(Protocol):
    def __call__(self, view: View, /) -> View: ...


class Limit(Decorator, Protocol):
    """A decorator, or around a block: `with limiter.limit("5 per minute"):`."""

    def __enter__(self) -> None: ...
    def __exit__(self, *exc_info: Any) -> None: ...


class Limiter(Protocol):
    """What app/middleware/rate_limiting.py offers to views; its own type offers more."""

    enabled: bool

    def limit(self, limit_value: Any, **options: Any) -> Limit: ...
    def shared_limit(self, limit_value: Any, scope: Any, **options: Any) -> Limit: ...
    def exempt(self, view: View, /) -> View: ...
    def request_filter(self, fn: Callable[[], bool], /) -> Callable[[], bool]: ...
    def reset(self) -> None: ...


class _AsItIs:
    def __call__(self, view: View, /) -> View:
        return view

    def __enter__(self) -> None:
        """Nothing is limited."""

    def __exit__(self, *exc_info: Any) -> None:
        """Nothing is limited."""


class _NoLimiter:
    enabled = False

    def limit(self, limit_value: Any, **options: Any) -> Limit:
        return _AsItIs()

    def shared_limit(self, limit_value: Any, scope: Any, **options: Any) -> Limit:
        return _AsItIs()

    def exempt(self, view: View, /) -> View:
        return view

    def request_filter(self, fn: Callable[[], bool], /) -> Callable[[], bool]:
        return fn

    def reset(self) -> None:
        """There is nothing to reset."""


def _needs_nothing(*scopes: str) -> Decorator:
    return _AsItIs()


def _offered(middleware: str, name: str, otherwise: Any) -> Any:
    module = f"app.middleware.{middleware}"
    if importlib.util.find_spec(module) is None:
        return otherwise
    return getattr(importlib.import_module(module), name)


limiter: Limiter = _offered("rate_limiting", "limiter", _NoLimiter())
csrf_exempt: Decorator = _offered("csrf", "csrf_exempt", _AsItIs())
public: Decorator = _offered("authentication", "public", _AsItIs())
require_scope: Callable[..., Decorator] = _offered(
    "authentication", "require_scope", _needs_nothing
)
