"""The contenders: each builds one Flask application with the same view and says what it does.

All of them answer GET /api/ping with {"message": "pong"}. "log" is one JSON line per request in
`settings.log`, "headers" are six security headers, "cors" allows `ORIGIN`, "limit" is two limits
per client, and "id" a request id. Every claim is checked before anything is measured.
"""

# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

import hashlib
import importlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

ORIGIN = "https://app.example.com"
LIMITS = "200 per day;50 per hour"  # a run is shorter than either window: nothing is forgotten
API_KEY = "bench-0123456789abcdef0123456789abcdef"
SECRET_KEY = "a key for the benchmark that is long enough"
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
}
ALWAYS_ON = ("logging", "cors", "rate_limiting", "security")
ALL = (
    "proxy",
    "logging",
    "cors",
    "rate_limiting",
    "user_agents",
    "authentication",
    "validation",
    "security",
)


@dataclass(frozen=True)
class Settings:
    log: Path
    storage: str = "memory://"
    limits: str = LIMITS
    proxied: bool = False  # over HTTP every client comes through one trusted proxy
    routes: int = 1
    origins: int = 1
    own_limits: bool = False  # each of the routes has a limit of its own

    def allowed_origins(self) -> list[str]:
        others = [f"https://app-{n}.example.com" for n in range(self.origins - 1)]
        return [*others, ORIGIN]  # the worst place in a list that is searched


Build = Callable[[Settings], Flask]
EVERYTHING = frozenset({"log", "headers", "cors", "limit", "id"})


@dataclass(frozen=True)
class Contender:
    build: Build
    does: frozenset[str]


def ping() -> dict[str, str]:
    return {"message": "pong"}


def new_app(settings: Settings) -> Flask:
    app = Flask("bench")
    app.add_url_rule("/api/ping", "ping", ping)
    return app


def bare(settings: Settings) -> Flask:
    return new_app(settings)


# The recipe: what tutorials and answers on the web add up to.


def recipe_cors(app: Flask, settings: Settings) -> None:
    from flask_cors import CORS

    origins = settings.allowed_origins()
    CORS(app, resources={r"/api/*": {"origins": origins}}, supports_credentials=True)


def recipe_limiter(app: Flask, settings: Settings) -> None:
    from flask_limiter import Limiter
    from flask_limiter.util import get_remote_address

    limits = settings.limits.split(";")
    Limiter(get_remote_address, app=app, default_limits=[*limits], storage_uri=settings.storage)


def recipe_headers(app: Flask, settings: Settings) -> None:
    from flask import Response

    def set_headers(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers[name] = value
        return response

    app.after_request(set_headers)


def recipe_talisman(app: Flask, settings: Settings) -> None:
    from flask_talisman import Talisman

    csp = {"default-src": "'none'", "frame-ancestors": "'none'"}
    Talisman(app, force_https=False, content_security_policy=csp)
    app.after_request(_the_header_that_talisman_lacks)


def _the_header_that_talisman_lacks(response: Any) -> Any:
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def recipe_logging(app: Flask, settings: Settings) -> None:
    import logging
    import uuid

    from flask import Response, g, request
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.FileHandler(settings.log)
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("requests")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False

    @app.before_request
    def start() -> None:
        g.start = time.perf_counter()
        g.request_id = request.headers.get("X-Request-ID") or str(uuid.uuid4())

    @app.after_request
    def log(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        logger.info(
            "request",
            extra={
                "request_id": g.request_id,
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "duration_ms": round((time.perf_counter() - g.start) * 1000, 2),
                "remote_addr": request.remote_addr,
                "user_agent": request.headers.get("User-Agent"),
            },
        )
        return response


RecipePart = Callable[[Flask, Settings], None]


def recipe(*parts: RecipePart) -> Build:
    def build(settings: Settings) -> Flask:
        app = new_app(settings)
        if settings.proxied:
            app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
        for part in parts:
            part(app, settings)
        return app

    return build


# Ours: the middleware files one by one, and the service as the template generates it.

CONFIGURE = {
    "proxy": "configure_proxy",
    "logging": "configure_request_logging",
    "cors": "configure_cors",
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
    import json

    config = config_of(settings, ALWAYS_ON) | {"SECRET_KEY": SECRET_KEY}
    for key, value in config.items():
        os.environ[f"FLASK_{key}"] = value if isinstance(value, str) else json.dumps(value)
    app: Flask = importlib.import_module("app").create_app("production")
    return app


def floor(settings: Settings) -> Flask:
    from benchmarks.floor import floor as build_floor

    return build_floor(settings)


def decorated(settings: Settings) -> Flask:
    from benchmarks.decorated import add_limited_routes

    app = service(*ALWAYS_ON, whole=True)(settings)
    add_limited_routes(app)
    return app


CONTENDERS: dict[str, Contender] = {
    "bare": Contender(bare, frozenset()),
    "floor": Contender(floor, EVERYTHING),
    "recipe": Contender(
        recipe(recipe_logging, recipe_headers, recipe_limiter, recipe_cors), EVERYTHING
    ),
    "recipe+talisman": Contender(
        recipe(recipe_logging, recipe_talisman, recipe_limiter, recipe_cors), EVERYTHING
    ),
    "four": Contender(service(*ALWAYS_ON, whole=True), EVERYTHING),
    "generated": Contender(as_generated, EVERYTHING),
    "eight": Contender(service(*ALL, whole=True), EVERYTHING | {"key"}),
    "decorated": Contender(decorated, EVERYTHING),
    **{
        f"+ {part}": Contender(
            service(*ALWAYS_ON[: n + 1]),
            frozenset().union(*(DOES[done] for done in ALWAYS_ON[: n + 1])),
        )
        for n, part in enumerate(ALWAYS_ON)
    },
    **{f"only {part}": Contender(service(part), DOES.get(part, frozenset())) for part in ALL},
    "recipe: logging": Contender(recipe(recipe_logging), frozenset({"log", "id"})),
    "recipe: cors": Contender(recipe(recipe_cors), frozenset({"cors"})),
    "recipe: rate_limiting": Contender(recipe(recipe_limiter), frozenset({"limit"})),
    "recipe: security": Contender(recipe(recipe_headers), frozenset({"headers"})),
}


def build(name: str, settings: Settings) -> Flask:
    return CONTENDERS[name].build(settings)
