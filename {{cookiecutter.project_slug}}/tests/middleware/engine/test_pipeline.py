"""What engine/pipeline.py promises: the phases in their order, for whoever responds."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import run_wsgi_app

from app.middleware.engine.exchange import Exchange, Headers
from app.middleware.engine.pipeline import pipeline_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PHASES = ("on_identify", "on_begin", "on_respond", "on_headers", "on_end", "on_close")


def service() -> Flask:
    app = Flask(__name__)
    app.config["PROPAGATE_EXCEPTIONS"] = True  # an exception leaves Flask
    app.add_url_rule("/", "index", lambda: "index")
    app.add_url_rule("/boom", "boom", boom)
    return app


def boom() -> str:
    raise RuntimeError("boom")


def mark(environ: WSGIEnvironment, status: str, headers: Headers) -> None:
    headers.append(("X-Mark", status[:3]))


def sorry(environ: WSGIEnvironment, error: Exception) -> tuple[str, Headers, list[bytes]]:
    return "500 Sorry", [("Content-Type", "text/plain")], [str(error).encode()]


def recorded(app: Flask) -> list[tuple[int, str, int]]:
    """Status, outcome and bytes of each request, as the last phase sees them."""
    seen: list[tuple[int, str, int]] = []
    pipeline_of(app).on_end(lambda one: seen.append((one.status_code, one.outcome, one.sent)))
    return seen


def serve(
    application: WSGIApplication, read: Callable[[Any], Any] = b"".join, **environ: str
) -> tuple[list[Any], Any]:
    """As a server does it: the start_response calls that it got, and what became of the body."""
    heads: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Headers, exc_info: Any = None) -> Callable[..., Any]:
        if exc_info is not None and heads:
            raise exc_info[1]
        heads.append((status, headers))
        return written.append

    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "x", "SERVER_PORT": "80"}
    asked |= {"wsgi.url_scheme": "http", "SERVER_PROTOCOL": "HTTP/1.1", **environ}
    body = application(asked, start_response)
    try:
        return heads, b"".join(written) + read(body)
    finally:
        if hasattr(body, "close"):
            body.close()


def test_a_variable_of_the_process_is_no_part_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Granian begins each environ with all of them: HTTP_PROXY would be a header, Proxy."""
    variables = {"HTTP_PROXY": "http://user:password@proxy:3128", "client": "somebody", "cors": "*"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seen: dict[str, Any] = {}
    app = service()
    pipeline_of(app).on_begin(seen.update)
    serve(app, b"".join, **variables, HTTP_X_TEA="green", SERVER_SOFTWARE="Granian")
    assert seen["HTTP_X_TEA"] == "green"
    assert seen.keys().isdisjoint(variables)


@pytest.mark.parametrize(
    ("server", "name"), [("gunicorn/27.0.0", "HTTP_ACCEPT"), ("Granian", "HTTP_HOST")]
)
def test_a_header_that_is_also_a_variable_of_the_process_stays(
    server: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "shop.test")
    seen: dict[str, Any] = {}
    app = service()
    pipeline_of(app).on_begin(seen.update)
    serve(app, b"".join, SERVER_SOFTWARE=server, **{name: "shop.test"})
    assert seen[name] == "shop.test"


def test_the_phases_run_in_their_order_and_their_functions_as_registered() -> None:
    app, order = service(), []
    for phase in reversed(PHASES):
        for number in (1, 2):

            def note(*_: object, name: str = f"{phase} {number}") -> None:
                order.append(name)

            getattr(pipeline_of(app), phase)(note)
    response = app.test_client().get("/")
    assert response.text == "index"
    response.close()
    assert order == [f"{phase} {number}" for phase in PHASES for number in (1, 2)]


def test_an_owner_registers_a_function_in_one_line_or_as_a_decorator() -> None:
    app = service()
    pipeline_of(app).on_headers(mark)

    @pipeline_of(app).on_headers
    def more(environ: WSGIEnvironment, status: str, headers: Headers) -> None:
        headers.append(("X-More", "1"))

    response = app.test_client().get("/")
    assert (response.headers["X-Mark"], response.headers["X-More"]) == ("200", "1")


def test_one_application_has_one_pipeline_and_two_have_two() -> None:
    first, second = service(), service()
    assert pipeline_of(first) is pipeline_of(first)
    pipeline_of(first).on_headers(mark)
    pipeline_of(second)
    assert "X-Mark" in first.test_client().get("/").headers
    assert "X-Mark" not in second.test_client().get("/").headers


def test_the_first_response_before_flask_counts_and_flask_is_not_entered() -> None:
    app = service()
    pipeline_of(app).on_headers(mark)
    pipeline_of(app).on_respond(lambda environ: None)
    pipeline_of(app).on_respond(lambda environ: ("204 No Content", [("X-First", "1")], ()))
    pipeline_of(app).on_respond(lambda environ: ("500 Not Reached", [], ()))
    app.before_request(boom)
    response = app.test_client().get("/")
    assert (response.status_code, response.headers["X-First"]) == (204, "1")
    assert response.headers["X-Mark"] == "204"


def test_who_is_asking_is_known_before_anything_begins() -> None:
    app, seen = service(), []
    pipeline_of(app).on_begin(lambda environ: seen.append(environ["REMOTE_ADDR"]))
    pipeline_of(app).on_identify(lambda environ: environ.update(REMOTE_ADDR="192.0.2.1"))
    app.test_client().get("/")
    assert seen == ["192.0.2.1"]


def test_an_exception_that_left_flask_becomes_a_response_with_all_headers() -> None:
    app = service()
    seen = recorded(app)
    pipeline_of(app).on_headers(mark)
    pipeline_of(app).on_error(lambda environ, error: None)  # not this one
    pipeline_of(app).on_error(sorry)
    response = app.test_client().get("/boom")
    assert (response.status, response.text) == ("500 Sorry", "boom")
    assert response.headers["X-Mark"] == "500"
    assert seen == [(500, "complete", 4)]


def test_without_a_last_resort_an_exception_goes_to_the_server_and_the_request_is_seen() -> None:
    app = service()
    seen = recorded(app)
    with pytest.raises(RuntimeError, match="boom"):
        app.test_client().get("/boom")
    assert seen == [(500, "failed", 0)]


@pytest.mark.parametrize("signal", [StopIteration, SystemExit, KeyboardInterrupt])
def test_a_servers_own_signals_pass_the_last_resort(signal: type[BaseException]) -> None:
    app = service()
    seen = recorded(app)
    pipeline_of(app).on_error(sorry)
    pipeline_of(app).inner = lambda environ, start_response: raised(signal())
    with pytest.raises(signal):
        serve(app, HTTP_UPGRADE="websocket")
    expected = (101, "complete", 0) if signal is StopIteration else (500, "failed", 0)
    assert seen == [expected]


def raised(error: BaseException) -> Iterable[bytes]:
    raise error


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_others_put_around_the_application_passes_the_pipeline_once(when: str) -> None:
    def elsewhere(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"socket"]

    app = service()
    if when == "after":
        pipeline_of(app)
    app.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, {"/socket.io": elsewhere}
    )
    seen = recorded(app)
    pipeline_of(app).on_headers(mark)
    client = app.test_client()
    for path, text in (("/socket.io/", "socket"), ("/", "index")):
        response = client.get(path)
        assert response.text == text
        assert response.headers.getlist("X-Mark") == ["200"]
    assert seen == [(200, "complete", 6), (200, "complete", 5)]


def test_an_application_mounted_below_another_has_its_own_pipeline_as_well() -> None:
    outer, inner = service(), service()
    pipeline_of(outer).on_headers(mark)
    pipeline_of(inner).on_headers(lambda environ, status, headers: headers.append(("X-In", "1")))
    outer.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
        outer.wsgi_app, {"/inner": inner}
    )
    response = outer.test_client().get("/inner/")
    assert (response.headers["X-In"], response.headers["X-Mark"]) == ("1", "200")
    assert "X-In" not in outer.test_client().get("/").headers


def test_an_application_of_somebodys_own_class_stays_one() -> None:
    class Shop(Flask):
        entered = 0

        def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            self.entered += 1
            return super().__call__(environ, start_response)

    app = Shop(__name__)
    app.add_url_rule("/", "index", lambda: "index")
    pipeline_of(app).on_headers(mark)
    assert app.test_client().get("/").headers["X-Mark"] == "200"
    assert isinstance(app, Shop)
    assert (app.entered, type(app).__name__) == (1, "Shop")


def test_a_function_that_fails_at_the_end_harms_neither_the_response_nor_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = service()
    pipeline_of(app).on_end(lambda one: boom())
    seen = recorded(app)
    assert app.test_client().get("/").text == "index"
    assert seen == [(200, "complete", 5)]
    assert "RuntimeError: boom" in caplog.text


def test_a_function_that_cannot_complete_headers_is_a_500_without_its_headers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = service()
    pipeline_of(app).on_headers(lambda environ, status, headers: boom())
    pipeline_of(app).on_headers(mark)
    pipeline_of(app).on_error(sorry)
    response = app.test_client().get("/")
    assert (response.status_code, response.headers["X-Mark"]) == (500, "500")
    assert "were left out" in caplog.text


def test_a_response_object_keeps_its_close_functions() -> None:
    app, closed = service(), []

    @app.get("/closing")
    def closing() -> Response:
        response = Response("closing")
        response.call_on_close(lambda: closed.append(1))
        return response

    pipeline_of(app).on_end(lambda one: None)
    with app.test_client().get("/closing"):
        assert closed == []
    assert closed == [1]


def test_the_environ_that_a_view_sees_is_the_servers() -> None:
    app = service()
    pipeline_of(app)
    body, status, _ = run_wsgi_app(app, {"REQUEST_METHOD": "GET", "PATH_INFO": "/", **SERVER})
    assert (b"".join(body), status) == (b"index", "200 OK")


SERVER = {"SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}


def test_nothing_is_logged_by_the_pipeline_itself_while_all_is_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    app = service()
    recorded(app)
    app.test_client().get("/")
    assert caplog.records == []


# engine/exchange.py: the head, the body and their end


def around(application: WSGIApplication, rescues: bool = True) -> tuple[Flask, list[Any]]:
    app = service()
    pipeline_of(app).inner = application
    pipeline_of(app).on_headers(mark)
    if rescues:
        pipeline_of(app).on_error(sorry)
    return app, recorded(app)


def test_an_application_that_starts_its_response_late_gets_its_headers_all_the_same() -> None:
    def late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        yield b"two"

    app, seen = around(late, rescues=False)
    heads, body = serve(app)
    assert (heads, body) == ([("200 OK", [("X-Mark", "200")])], b"onetwo")
    assert seen == [(200, "complete", 6)]


@pytest.mark.parametrize("headers", [[], [("Content-Length", "5")]])
def test_a_stream_that_fails_before_its_first_piece_becomes_a_500(headers: Headers) -> None:
    def broken(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", headers)
        raise RuntimeError("early")
        yield b""

    app, seen = around(broken)
    heads, body = serve(app)
    assert ([status for status, _ in heads], body) == (["500 Sorry"], b"early")
    assert seen == [(500, "complete", 5)]


def test_a_stream_that_fails_later_is_failed_and_keeps_its_status() -> None:
    def breaking(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        raise RuntimeError("late")

    app, seen = around(breaking)
    with pytest.raises(RuntimeError, match="late"):
        serve(app)
    assert seen == [(200, "failed", 3)]


def test_a_client_that_leaves_is_aborted() -> None:
    def endless(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        while True:
            yield b"more"

    app, seen = around(endless)
    serve(app, read=lambda body: next(iter(body)))
    assert seen == [(200, "aborted", 4)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_server_that_stops_asking_when_it_has_all_bytes_has_a_complete_response(
    method: str,
) -> None:
    def short(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        return [b"", b"index"]

    app, seen = around(short)
    if method == "HEAD":
        serve(app, read=lambda body: b"", REQUEST_METHOD=method)
    else:
        serve(app, read=lambda body: b"".join(itertools.islice(body, 2)))
    assert [outcome for _, outcome, _ in seen] == ["complete"]


def test_the_old_way_to_write_a_body_works_and_is_counted() -> None:
    def old(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"one")
        write(b"two")
        return [b"three"]

    app, seen = around(old)
    heads, body = serve(app)
    assert (heads, body) == ([("200 OK", [("X-Mark", "200")])], b"onetwothree")
    assert seen == [(200, "complete", 11)]


@pytest.mark.parametrize(
    ("status", "name", "value"),
    [
        ("200 OK", "X-Odd", "\N{SNOWMAN}"),
        ("200 OK", "X-Odd", "1\r\nX-Forged: 1"),
        ("200 OK", "X-Odd\r\nX-Forged", "1"),
        ("200 OK", "X Odd", "1"),
        ("200 OK", "", "1"),
        ("200 OK\r\nX-Forged: 1", "X-Odd", "1"),
    ],
)
def test_a_head_that_cannot_be_sent_is_a_500_and_not_a_broken_connection(
    status: str, name: str, value: str
) -> None:
    def odd(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, [(name, value), ("Content-Length", "0")])
        return []

    app, _ = around(odd)
    heads, _ = serve(app)
    assert [status for status, _ in heads] == ["500 Sorry"]


def test_an_application_may_take_its_head_back_while_nothing_is_sent() -> None:
    def twice(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "0")])
        try:
            boom()
        except RuntimeError:
            start_response("503 Busy", [("Content-Length", "0")], sys.exc_info())
        return []

    app, _ = around(twice)
    heads, _ = serve(app)
    assert [status for status, _ in heads] == ["503 Busy"]


def test_after_the_first_byte_a_second_head_is_the_servers_to_refuse() -> None:
    def late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        try:
            boom()
        except RuntimeError:
            start_response("500 Late", [], sys.exc_info())
        yield b"never"

    app, seen = around(late)
    with pytest.raises(RuntimeError, match="boom"):
        serve(app)
    assert seen == [(200, "failed", 3)]


def test_the_applications_own_list_of_headers_is_not_changed() -> None:
    constant: Headers = [("Content-Length", "0")]

    def shared(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", constant)
        return []

    app, _ = around(shared)
    serve(app)
    assert constant == [("Content-Length", "0")]


def test_the_exchange_tells_what_was_sent() -> None:
    app, seen = service(), []

    def look(exchange: Exchange) -> None:
        seen.append((exchange.environ["PATH_INFO"], dict(exchange.headers)["X-Mark"]))
        assert exchange.began > 0

    pipeline_of(app).on_headers(mark)
    pipeline_of(app).on_end(look)
    app.test_client().get("/").close()
    assert seen == [("/", "200")]
