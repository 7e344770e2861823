"""WebSockets and Socket.IO, which respond outside of Flask: nothing is broken, one line each."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import SERVICE, Server, gunicorn, until

simple_websocket = pytest.importorskip("simple_websocket", reason="pip install -e '.[dev]'")
for package in ("flask_sock", "flask_socketio"):
    pytest.importorskip(package, reason="pip install -e '.[dev]'")

STRANGER = "https://evil.example"
SOCK = """
from flask_sock import Sock

from app import create_app

app = create_app("production")
sock = Sock(app)


@sock.route("/echo")
def echo(ws):
    for _ in range(2):
        ws.send(ws.receive())


@sock.route("/breaks")
def breaks(ws):
    ws.receive()
    raise RuntimeError("a bug in a socket")
"""
SOCKETIO = {
    "after": """
from flask_socketio import SocketIO

from app import create_app

app = create_app("production")
SocketIO(app, async_mode="threading")
""",
    "before": """
from flask import Flask
from flask_socketio import SocketIO

import app as service

socketio = SocketIO(async_mode="threading")
make = service.Flask


def with_socketio(*args, **options):
    made = make(*args, **options)
    socketio.init_app(made)
    return made


service.Flask = with_socketio
app = service.create_app("production")
""",
}


def lines(server: Server, path: str) -> list[dict[str, Any]]:
    whole = server.output().rpartition("\n")[0]  # it may be in the middle of the last line
    records = [json.loads(line) for line in whole.splitlines() if line[:1] == "{"]
    return [record for record in records if record.get("path") == path]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sock")
    (folder / "sock_wsgi.py").write_text(SOCK, encoding="utf-8")
    env = {"PYTHONPATH": str(folder)}
    options = ["--workers=1", "--worker-class=gthread", "--threads=8"]
    with gunicorn(SERVICE, *options, target="sock_wsgi:app", env=env) as server:
        yield server


@contextlib.contextmanager
def opened(server: Server, path: str) -> Iterator[Any]:
    socket = simple_websocket.Client(server.url.replace("http", "ws") + path)
    try:
        yield socket
    finally:
        with contextlib.suppress(simple_websocket.ConnectionClosed):
            socket.close()
        socket.thread.join(5)
        socket.sock.close()


def get(server: Server, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers=named)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def test_a_websocket_that_closes_cleanly_is_logged_once_and_leaves_no_traceback(
    server: Server,
) -> None:
    with opened(server, "/echo") as socket:
        for text in ("one", "two"):
            socket.send(text)
            assert socket.receive(timeout=5) == text
        with pytest.raises(simple_websocket.ConnectionClosed):
            socket.receive(timeout=5)
        assert socket.close_reason == 1000
    until(lambda: lines(server, "/echo"), 5)
    (line,) = lines(server, "/echo")
    assert (line["status"], line["outcome"]) == (101, "complete")
    assert "Traceback" not in server.output()


def test_a_websocket_whose_view_fails_is_logged_once_as_a_500(server: Server) -> None:
    with opened(server, "/breaks") as socket:
        socket.send("now")
        with pytest.raises(simple_websocket.ConnectionClosed):
            socket.receive(timeout=5)
    until(lambda: any("status" in line for line in lines(server, "/breaks")), 5)
    (line,) = (line for line in lines(server, "/breaks") if "status" in line)
    assert line["status"] == 500
    assert "a bug in a socket" in server.output()


def test_a_foreign_page_opens_no_websocket(server: Server) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    key = "AAAAAAAAAAAAAAAAAAAAAA=="
    assert get(server, "/echo", Origin=STRANGER, Sec_WebSocket_Key=key, **upgrade)[0] == 403


@pytest.mark.parametrize("order", SOCKETIO)
def test_socketio_has_an_id_and_headers_in_either_order_and_one_line(
    order: str, tmp_path: Path
) -> None:
    (tmp_path / "socketio_wsgi.py").write_text(SOCKETIO[order], encoding="utf-8")
    env = {"PYTHONPATH": str(tmp_path)}
    with gunicorn(SERVICE, "--workers=1", target="socketio_wsgi:app", env=env) as server:
        status, headers, body = get(server, "/socket.io/?EIO=4&transport=polling")
        assert (status, body[:1]) == (200, b"0")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert get(server, "/api/ping")[0] == 200
        until(lambda: lines(server, "/socket.io/"), 5)
        (line,) = lines(server, "/socket.io/")
        assert (line["request_id"], line["status"]) == (headers["X-Request-ID"], 200)
