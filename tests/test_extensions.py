"""docs/extensions.md: the rows whose packages `make test` has; the others are in make test-real."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.serving import make_server

from tests import company
from tests.extensions import OPEN, OWN, PAGE, ROWS, made, promises, slug
from tests.servers import TEMPLATE

__all__ = ["made"]
FOREIGN: str = promises.FOREIGN


def test_every_row_of_the_page_has_a_test_and_every_test_a_row() -> None:
    tests = set()
    for file in (TEMPLATE / "tests").glob("test_extensions*.py"):
        tests |= set(re.findall(r"^def test_(\w+)\(made", file.read_text(encoding="utf-8"), re.M))
    assert tests == {slug(package) for package in ROWS} == {*map(slug, company.PACKAGES)}
    assert PAGE.count("\n| ") == len(ROWS) + PAGE.count("\n| package |") + len(OPEN) + 1


def test_flask_wtf(made: Any) -> None:
    service = made("Flask-WTF")
    page = service.ask("/form", origin=OWN).text
    (token,) = re.findall('name="csrf_token" type="hidden" value="([^"]+)"', page)
    form = {"text": "tea", "csrf_token": token}
    response = service.ask("/form", "POST", origin=OWN, data=form)
    assert (response.status_code, response.location) == (303, "/api/ping?tea")
    assert service.ask("/form", "POST", origin=OWN, data={"text": "tea"}).status_code == 400
    order = {"item": "tea", "quantity": 1}
    assert service.ask("/api/orders", "POST", json=order).status_code == 201
    service.check_own_errors()


def test_flask_login(made: Any) -> None:
    service = made("Flask-Login")
    assert service.ask("/me", origin=OWN).status_code == 401
    response = service.ask("/login", "POST", origin=OWN)
    cookies = response.headers.getlist("Set-Cookie")
    assert {cookie.partition("=")[0] for cookie in cookies} == {"__Host-session", "remember_token"}
    for cookie in cookies:
        assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
    assert service.ask("/me", origin=OWN).json == {"me": "ann"}
    service.client.delete_cookie("__Host-session")
    assert service.ask("/me", origin=OWN).json == {"me": "ann"}
    service.check_own_errors()


def test_flask_sqlalchemy(made: Any) -> None:
    service = made("Flask-SQLAlchemy")
    assert service.ask("/rows", "POST", json={"text": "tea"}).status_code == 200
    assert service.ask("/rows").json == {"rows": ["tea"]}
    assert service.ask("/rows/broken").status_code == 500
    assert service.ask("/rows").json == {"rows": ["tea"]}
    service.check_own_errors()
    with service.app.app_context():
        service.names["db"].engine.dispose()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_sentry_sdk(made: Any) -> None:
    sentry = pytest.importorskip("sentry_sdk", reason="pip install -e '.[dev]'")
    service = made("sentry-sdk")
    try:
        response = service.ask("/broken")
        service.check_own_errors()
    finally:
        sentry.init()
    assert response.status_code == 500
    (event,) = service.names["events"]
    assert event["tags"]["request_id"] == response.headers["X-Request-ID"]
    assert event["exception"]["values"][-1]["type"] == "ZeroDivisionError"


def test_opentelemetry_instrumentation_flask(made: Any) -> None:
    service = made("opentelemetry-instrumentation-flask")
    response = service.ask("/api/ping")
    service.check_own_errors()
    service.names["instrumentor"].uninstrument_app(service.app)
    span, *others = service.names["spans"].get_finished_spans()
    assert (response.status_code, span.name, len(others)) == (200, "GET /api/ping", 3)
    lines = [json.loads(line) for line in service.log.path.read_bytes().splitlines()]
    (line,) = (line for line in lines if line.get("path") == "/api/ping" and line["status"] == 200)
    assert line["trace_id"] == f"{span.context.trace_id:032x}"
    assert line["span_id"] == f"{span.context.span_id:016x}"


def test_flask_socketio(made: Any) -> None:
    service = made("Flask-SocketIO")
    service.names["socketio"].on("echo")(lambda text: text)
    service.app.add_url_rule("/after", "after", lambda: "after")

    def poll(method: str = "GET", data: str = "", **options: Any) -> Any:
        asked = {"EIO": "4", "transport": "polling", **sid}
        return service.ask("/socket.io/", method, query_string=asked, data=data, **options)

    sid: dict[str, str] = {}
    for origin in (OWN, FOREIGN):
        assert poll(origin=origin).status_code == 400  # they are not in its list
    opened = poll()
    sid["sid"] = json.loads(opened.text[1:])["sid"]
    assert poll("POST", "40").text == "OK"  # connects
    assert poll().text.startswith("40")
    assert poll("POST", '420["echo","tea"]').text == "OK"
    assert poll().text == '430["tea"]'
    assert poll("POST", "1", origin=FOREIGN).status_code == 403
    assert service.ask("/after").status_code == 200
    service.check_own_errors()


def test_flask_sock(made: Any) -> None:
    websocket = pytest.importorskip("simple_websocket", reason="pip install -e '.[dev]'")
    service = made("flask-sock", API_KEYS={"tests": {"keys": [promises.KEY_SHA256]}})
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    key = {"X-API-Key": promises.KEY}
    assert service.ask("/echo", headers=upgrade).status_code == 401
    assert service.ask("/echo", origin=FOREIGN, headers={**upgrade, **key}).status_code == 403
    with serving(service.app) as port:
        socket = websocket.Client(f"ws://localhost:{port}/echo", headers=key)
        socket.send("tea")
        assert socket.receive(timeout=5) == "tea"
        with pytest.raises(websocket.ConnectionClosed):
            socket.receive(timeout=5)
        socket.thread.join(5)
        socket.sock.close()
    (line,) = service.log.new()
    assert (line["outcome"], line["client"]) == ("complete", "tests")


@contextlib.contextmanager
def serving(app: Any) -> Iterator[int]:
    server = make_server("localhost", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
