"""What views use of the middlewares: `from app.extensions import limiter, public, require_scope`.

A middleware that a service does not want is deleted together with its line in create_app(); its
decorators here then leave a view as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["limiter", "public", "require_scope"]

View = TypeVar("View", bound=Callable[..., Any])


def _as_it_is(view: View) -> View:
    return view


class _NoLimiter:
    def limit(self, *_: Any, **__: Any) -> Callable[[View], View]:
        return _as_it_is

    shared_limit = limit
    exempt = staticmethod(_as_it_is)


try:
    from app.middleware.rate_limiting import limiter
except ModuleNotFoundError:
    limiter = _NoLimiter()  # type: ignore[assignment]

try:
    from app.middleware.authentication import public, require_scope
except ModuleNotFoundError:
    public = _as_it_is

    def require_scope(*scopes: str) -> Callable[[View], View]:
        return _as_it_is
