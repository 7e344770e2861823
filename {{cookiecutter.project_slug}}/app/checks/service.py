"""The configured application as the checks see it: its routes, and who stands before them."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from app.middleware.engine.settings import read_boolean

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
SERVERS = {  # who serves, by what only a running server has imported
    "gunicorn.arbiter": "gunicorn",
    "granian.server": "Granian",
    "waitress.server": "waitress",
    "uwsgi": "uWSGI",
    "mod_wsgi": "mod_wsgi",
}
EXAMPLE_HOST = re.compile(r"(^|\.)example(\.(com|org|net))?$")
OWN_MODULE = re.compile(r"\.middleware\.(\w+)$")


@dataclasses.dataclass(frozen=True)
class Route:
    """One method of one path, and what stands before its view."""

    method: str
    path: str
    endpoint: str
    limits: tuple[str, ...] | None  # None: decided per request, or there is no rate limiting
    body_limit: int | None  # bytes
    cors: bool
    scopes: frozenset[str] | None  # None: @public; empty: any caller with a credential

    @property
    def is_changing(self) -> bool:
        return self.method in CHANGING

    def callers(self, has_authentication: bool) -> str:
        if not has_authentication:
            return "anybody"
        if self.scopes is None:
            return "public"
        return " ".join(sorted(self.scopes)) or "any key"


class Service:
    """What the checks ask about a configured application."""

    def __init__(self, app: Flask, environ: Mapping[str, str] | None = None) -> None:
        self.app = app
        # without the blanks that the readers of settings take off
        self.config: dict[str, Any] = {
            key: value.strip() if isinstance(value, str) else value
            for key, value in app.config.items()
        }
        self.environ = os.environ if environ is None else environ

    def place_of(self, key: str) -> str:
        """Where a setting is to be changed: FLASK_<KEY> comes before app/config.py."""
        variable = f"FLASK_{key}"
        return variable if variable in self.environ else f"{key} in app/config.py"

    @property
    def is_production(self) -> bool:
        return read_boolean(self.config, "PRODUCTION", False)

    @property
    def server(self) -> str | None:
        """The production server in whose process this runs, if it is one that is known."""
        return next((name for module, name in SERVERS.items() if module in sys.modules), None)

    @property
    def has_authentication(self) -> bool:
        return "authentication" in self.app.extensions

    @property
    def limits(self) -> Any:
        """What rate_limiting.py has configured; None without it."""
        return self.app.extensions.get("rate_limiting")

    @property
    def cors(self) -> Any:
        """What cors.py has configured; None without it."""
        return self.app.extensions.get("cors")

    @cached_property
    def configured(self) -> set[str]:
        """The files of app/middleware that have registered something with the application."""
        modules = (getattr(part, "__module__", "") for part in self._registered())
        found = (OWN_MODULE.search(module or "") for module in modules)
        return {match[1] for match in found if match}

    def _registered(self) -> Iterator[Any]:
        """The extensions, and the functions of the pipeline's phases and of Flask's hooks."""
        app = self.app
        yield from app.extensions.values()
        for phase in vars(app.extensions.get("pipeline", object)).values():
            if isinstance(phase, list):
                yield from phase
        for hooks in (
            app.before_request_funcs,
            app.after_request_funcs,
            app.teardown_request_funcs,
        ):
            for group in hooks.values():
                yield from group

    @cached_property
    def routes(self) -> list[Route]:
        rules = sorted(self.app.url_map.iter_rules(), key=lambda rule: rule.rule)
        return [
            self._route(rule, method)
            for rule in rules
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]

    def _route(self, rule: Rule, method: str) -> Route:
        view = self.app.view_functions[rule.endpoint]
        parents = accumulate(rule.endpoint.split(".")[:-1], "{}.{}".format)
        blueprints = [self.app.blueprints.get(name) for name in parents]
        own_limit = self._ask("validation", "own_limit", view, method)
        body = own_limit or self.config["MAX_CONTENT_LENGTH"]
        return Route(
            method=method,
            path=rule.rule,
            endpoint=rule.endpoint,
            limits=self._limits(rule, method),
            body_limit=body if method in CHANGING else None,
            cors=bool(self.cors and self.cors.covers(rule.rule)),
            scopes=self._ask("authentication", "required_scopes", view, method, blueprints),
        )

    def _limits(self, rule: Rule, method: str) -> tuple[str, ...] | None:
        found = self.limits.limits_of(rule, method) if self.limits else None
        return found and tuple(text.replace(" 1 ", " ") for text in found)

    def _ask(self, name: str, function: str, *asked: object) -> Any:
        """What a middleware file says of a view; None where the file has been deleted."""
        try:
            module = importlib.import_module(f"app.middleware.{name}")
        except ImportError:
            return None
        ask = getattr(module, function, None)  # the file may be an older one
        return ask(*asked) if ask else None


def source_of(path: Path) -> bytes:
    """What a file says; nothing if it cannot be read: Emacs, for one, leaves links to nowhere."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def is_local(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1", "0.0.0.0") or host.endswith(".localhost")  # noqa: S104


def is_public_suffix(domain: str) -> bool:
    """Whether anybody can have a name below this one: com, co.uk, github.io (publicsuffix.org)."""
    return "." not in domain or bool(public_suffixes().is_public(domain))


@cache
def public_suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList  # here: its list takes a while to be read

    return PublicSuffixList()
