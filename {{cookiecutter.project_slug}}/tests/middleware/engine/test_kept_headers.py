"""What app/middleware/engine/kept_headers.py promises."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from flask import Flask, redirect, request
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import (
    HTTPException,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from werkzeug.test import create_environ, run_wsgi_app

from app.middleware.engine.kept_headers import keep_headers


class Own(NotFound):
    headers = (("X-Own", "1"), ("X-Own", "2"))  # as exceptions of this service may have them


CHALLENGE = WWWAuthenticate("bearer", {"realm": "api"})
ERRORS: list[tuple[HTTPException, str, list[str]]] = [
    (Unauthorized(www_authenticate=CHALLENGE), "WWW-Authenticate", ["Bearer realm=api"]),
    (TooManyRequests(retry_after=7), "Retry-After", ["7"]),
    (ServiceUnavailable(retry_after=9), "Retry-After", ["9"]),
    (Own(), "X-Own", ["1", "2"]),
]


def service(error: HTTPException | None = None) -> Flask:
    app = Flask(__name__)

    @app.get("/")
    def index() -> str:
        if error is not None:
            raise error
        return "fine"

    keep_headers(app)
    keep_headers(app)  # by another middleware
    return app


@pytest.mark.parametrize(("error", "name", "values"), ERRORS)
@pytest.mark.parametrize("registered_for", ["class", "status"])
def test_whoever_renders_an_error_its_headers_stay(
    error: HTTPException, name: str, values: list[str], registered_for: str
) -> None:
    app = service(error)

    @app.errorhandler(HTTPException if registered_for == "class" else int(error.code or 0))
    def render(error: HTTPException) -> ResponseReturnValue:
        return {"message": "in our own words"}, int(error.code or 0)

    response = app.test_client().get("/")
    assert response.headers.getlist(name) == values
    assert response.mimetype == "application/json"


def test_a_request_that_was_refused_is_freed_at_once_and_not_by_the_garbage_collector() -> None:
    app = service()
    app.register_error_handler(401, lambda error: ({"message": "no"}, 401))
    seen: list[weakref.ref[Any]] = []

    @app.before_request
    def refuse() -> None:
        seen.append(weakref.ref(request._get_current_object()))  # type: ignore[attr-defined]
        raise Unauthorized(www_authenticate=CHALLENGE)

    gc.disable()
    try:
        _, status, _ = run_wsgi_app(app, create_environ("/"))
        assert status == "401 UNAUTHORIZED"
        assert seen[0]() is None
    finally:
        gc.enable()


def test_a_405_keeps_the_methods_that_are_allowed() -> None:
    app = service()
    app.register_error_handler(405, lambda error: ({"message": "no"}, 405))

    class View(MethodView):
        def get(self) -> str:
            return "fine"

    app.add_url_rule("/view", view_func=View.as_view("view"))
    for path in ("/", "/view"):
        allowed = app.test_client().post(path).headers["Allow"]
        assert set(allowed.split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_a_handler_that_says_it_itself_is_obeyed() -> None:
    app = service(TooManyRequests(retry_after=7))
    app.register_error_handler(429, lambda error: ("later", 429, {"retry-after": "60"}))
    assert app.test_client().get("/").headers.getlist("Retry-After") == ["60"]


def test_a_handler_that_makes_something_else_of_it_is_left_alone() -> None:
    app = service(Unauthorized(www_authenticate=CHALLENGE))
    app.register_error_handler(401, lambda error: redirect("/login"))
    response = app.test_client().get("/")
    assert response.status_code == 302
    assert "WWW-Authenticate" not in response.headers


def test_without_a_handler_nothing_is_sent_twice() -> None:
    headers: Any = service(TooManyRequests(retry_after=7)).test_client().get("/").headers
    assert headers.getlist("Retry-After") == ["7"]
    assert len(headers.getlist("Content-Type")) == 1
