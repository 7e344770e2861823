"""The recipe: what tutorials and replies on the web add up to."""

# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from benchmarks.duties import SECURITY_HEADERS, Build, Settings, new_app

RecipePart = Callable[[Flask, Settings], None]


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


def recipe(*parts: RecipePart) -> Build:
    def build(settings: Settings) -> Flask:
        app = new_app(settings)
        if settings.proxied:
            app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
        for part in parts:
            part(app, settings)
        return app

    return build


whole_recipe = recipe(recipe_logging, recipe_headers, recipe_limiter, recipe_cors)
