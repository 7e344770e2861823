"""The column "the usual recipe" of the README's comparison, and ours beside it."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response, abort, request
from flask_cors import CORS
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from tests.middlewares import MIDDLEWARES
from tests.servers import SERVICE, free_port

ORIGIN = {"Origin": "https://app.example.com"}


def new_app() -> Flask:
    app = Flask("peer")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.logger.setLevel(logging.CRITICAL)

    @app.get("/api/ping")
    def ping() -> dict[str, str]:
        return {"message": "pong"}

    @app.get("/api/broken")
    def broken() -> str:
        raise RuntimeError("a view that fails")

    @app.get("/api/hook")
    def hook() -> str:
        return "its after_request fails"

    return app


def fail_after(app: Flask) -> None:
    @app.after_request
    def fail(response: Response) -> Response:
        return abort(500) if request.path == "/api/hook" else response


def recipe(store: str) -> Flask:
    app = new_app()

    @app.after_request
    def headers(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Request-ID"] = "1234567890"
        return response

    Limiter(get_remote_address, app=app, default_limits=["3 per minute"], storage_uri=store)
    CORS(app, resources={r"/api/*": {"origins": ["https://app.example.com", "http://localhost:*"]}})
    fail_after(app)
    return app


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Flask]:
    monkeypatch.syspath_prepend(str(SERVICE))

    def build(store: str) -> Flask:
        app = new_app()
        app.config.from_mapping(
            CORS_ORIGINS=["https://app.example.com"],
            RATELIMIT_DEFAULT="3 per minute",
            RATELIMIT_STORAGE_URI=store,
            SECRET_KEY="a key for tests that is long enough",
            LOG_FILE="/dev/null",
        )
        for one in MIDDLEWARES:
            module = importlib.import_module(f"app.middleware.{one.name}")
            getattr(module, one.function)(app)
        fail_after(app)
        return app

    return build


def seen(app: Flask, path: str) -> tuple[int, bool, bool]:
    answer = app.test_client().get(path, headers=ORIGIN)
    return answer.status_code, "X-Content-Type-Options" in answer.headers, readable(answer)


def readable(answer: Any) -> bool:
    return bool(answer.headers.get("Access-Control-Allow-Origin") == ORIGIN["Origin"])


def codes(app: Flask, path: str, times: int) -> list[int]:
    return [app.test_client().get(path).status_code for _ in range(times)]


def test_a_500_has_its_headers_when_a_view_fails(ours: Callable[[str], Flask]) -> None:
    for app in (recipe("memory://"), ours("memory://")):
        assert seen(app, "/api/broken") == (500, True, True)


def test_a_500_of_a_failing_hook_has_its_headers_here_only(ours: Callable[[str], Flask]) -> None:
    assert seen(recipe("memory://"), "/api/hook") == (500, False, True)
    assert seen(ours("memory://"), "/api/hook") == (500, True, True)


def test_a_page_reads_the_retry_after_of_a_429_here_only(ours: Callable[[str], Flask]) -> None:
    for app, told in ((recipe("memory://"), False), (ours("memory://"), True)):
        codes(app, "/api/ping", 3)
        answer = app.test_client().get("/api/ping", headers=ORIGIN)
        assert (answer.status_code, readable(answer)) == (429, True)
        exposed = answer.headers.get("Access-Control-Expose-Headers", "")
        assert ("Retry-After" in answer.headers and "Retry-After" in exposed) is told


def test_requests_for_unknown_paths_count_here_only(ours: Callable[[str], Flask]) -> None:
    assert codes(recipe("memory://"), "/api/nothing", 5) == [404] * 5
    assert codes(ours("memory://"), "/api/nothing", 5) == [404] * 3 + [429] * 2


def test_a_store_that_is_down_causes_no_500_here(ours: Callable[[str], Flask]) -> None:
    store = f"redis://127.0.0.1:{free_port()}"
    assert codes(recipe(store), "/api/ping", 5) == [500] * 5
    assert codes(ours(store), "/api/ping", 5) == [200] * 3 + [429] * 2


def test_flask_cors_takes_a_star_for_an_unanchored_expression() -> None:
    evil = {"Origin": "http://localhost.evil.net"}
    answer = recipe("memory://").test_client().get("/api/ping", headers=evil)
    assert answer.headers["Access-Control-Allow-Origin"] == evil["Origin"]
