"""Ours: the middleware files one by one, and the service as the template generates it."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from benchmarks.duties import API_KEY, SECRET_KEY, Build, Settings, new_app

ALWAYS_ON = ("logging", "cors", "rate_limiting", "security")
ALL = (
    "proxy",
    "logging",
    "metrics",
    "cors",
    "csrf",
    "rate_limiting",
    "user_agents",
    "authentication",
    "validation",
    "security",
)
EIGHT = tuple(part for part in ALL if part not in ("csrf", "metrics"))  # as published
CONFIGURE = {
    "proxy": "configure_proxy",
    "logging": "configure_request_logging",
    "metrics": "configure_metrics",
    "cors": "configure_cors",
    "csrf": "configure_csrf_protection",
    "rate_limiting": "configure_rate_limiting",
    "user_agents": "configure_user_agent_blocking",
    "authentication": "configure_authentication",
    "validation": "configure_request_validation",
    "security": "configure_security_headers",
}
DOES = {
    "logging": frozenset({"log", "id"}),
    "cors": frozenset({"cors"}),
    "rate_limiting": frozenset({"limit"}),
    "security": frozenset({"headers"}),
    "authentication": frozenset({"key"}),
}


def config_of(settings: Settings, parts: Iterable[str]) -> dict[str, Any]:
    """The keys of the always-on four, and of the others that are switched on."""
    config: dict[str, Any] = {
        "LOG_FORMAT": "json",
        "LOG_FILE": str(settings.log),
        "CORS_ORIGINS": settings.allowed_origins(),
        "RATELIMIT_DEFAULT": settings.limits,
        "RATELIMIT_STORAGE_URI": settings.storage,
        "RATELIMIT_KEY_PREFIX": "bench",
        "TRUSTED_PROXIES": int(settings.proxied),
    }
    if "authentication" in parts:
        digest = hashlib.sha256(API_KEY.encode()).hexdigest()
        config["API_KEYS"] = {"bench": {"keys": [digest], "scopes": ["orders:read"]}}
    if "metrics" in parts:
        config["METRICS_TOKEN"] = API_KEY
    if "user_agents" in parts:
        config["BLOCKED_USER_AGENTS"] = ["badbot", "masscan", "sqlmap"]
    if "validation" in parts:
        config["TRUSTED_HOSTS"] = ["localhost", "127.0.0.1"]
        config["MAX_CONTENT_LENGTH"] = 1024 * 1024
    return config


def service(*parts: str, whole: bool = False) -> Build:
    """:param whole: with what comes with create_app(): errors as problem+json, a SECRET_KEY."""

    def build(settings: Settings) -> Flask:
        app = new_app(settings)
        app.config.update(config_of(settings, parts))
        if whole:  # with a key Flask opens a session per request: a third more for bare Flask
            app.config["SECRET_KEY"] = SECRET_KEY
        for part in parts:
            module = importlib.import_module(f"app.middleware.{part}")
            getattr(module, CONFIGURE[part])(app)
        if whole:
            importlib.import_module("app.errors").configure_errors(app)
        add_routes(app, settings)
        return app

    return build


def add_routes(app: Flask, settings: Settings) -> None:
    """More routes, registered before the first request; with `own_limits` each has its own."""
    for n in range(settings.routes - 1):
        view: Callable[[], dict[str, str]] = lambda: {"message": "pong"}  # noqa: E731
        view.__name__ = f"view_{n}"
        if settings.own_limits:
            limiter = importlib.import_module("app.extensions").limiter
            view = limiter.limit(f"{1000 + n} per hour")(view)
        path = f"/api/own-{n}" if settings.own_limits else f"/api/things-{n}/<int:item>"
        app.add_url_rule(path, f"view_{n}", view)


def as_generated(settings: Settings) -> Flask:
    """create_app("production"), set by the environment only, as a server runs it."""
    config = config_of(settings, ALWAYS_ON) | {"SECRET_KEY": SECRET_KEY}
    for key, value in config.items():
        os.environ[f"FLASK_{key}"] = value if isinstance(value, str) else json.dumps(value)
    app: Flask = importlib.import_module("app").create_app("production")
    return app
