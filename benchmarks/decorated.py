"""Views with a limit of their own: a text, and limits, keys and costs that are functions."""

# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

import importlib
from typing import Any

from flask import Flask, request

from benchmarks.duties import Settings, ping
from benchmarks.ours import ALWAYS_ON, service

LIMIT = "500 per hour"


def decorated(settings: Settings) -> Flask:
    """The always-on four, and a route for each kind of limit."""
    app = service(*ALWAYS_ON, whole=True)(settings)
    add_limited_routes(app)
    return app


def add_limited_routes(app: Flask) -> None:
    """A route for each of wsgi_client.LIMITED, as an owner would decorate it."""
    limiter: Any = importlib.import_module("app.extensions").limiter
    limits = {
        "text": limiter.limit(LIMIT),
        "function": limiter.limit(lambda: LIMIT),
        "key-function": limiter.limit(LIMIT, key_func=lambda: f"of {request.remote_addr}"),
        "cost": limiter.limit(LIMIT, cost=lambda: 2),
    }
    for name, limit in limits.items():

        def view() -> dict[str, str]:
            return ping()

        view.__name__ = f"limit_by_{name.replace('-', '_')}"
        app.add_url_rule(f"/api/limit-by-{name}", view.__name__, limit(view))
