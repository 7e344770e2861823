"""Clients that stop in the middle, before a real gunicorn: they hold no thread for ever."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import SERVICE, Server, gunicorn, until

SECONDS = 0.5
POST = b"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SILENT = {
    "in the request line": b"GE",
    "in a header": b"GET /health HTTP/1.1\r\nHost: loc",
    "in a body": POST + b"Content-Length: 100\r\n\r\n{",
    "in a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
}
ENDLESS = """
from flask import Flask, Response

app = Flask("service")
app.get("/health")(lambda: "fine")


@app.get("/endless")
def endless():
    return Response(b"x" * 65536 for _ in range(10**9))
"""


@pytest.fixture(params=["gthread", "sync"])
def worker(request: pytest.FixtureRequest) -> tuple[list[str], int]:
    """Options of gunicorn, and how many clients it serves at once."""
    number = {"gthread": 2, "sync": 1}[request.param]
    return ["--worker-class", request.param, "--threads", str(number)], number


@contextlib.contextmanager
def clients(server: Server, sent: bytes, number: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(sent)
        time.sleep(0.3)  # each has its thread before the one comes that wants an answer
        yield


def health(server: Server) -> int:
    url = f"http://127.0.0.1:{server.port}/health"
    with urllib.request.urlopen(url, timeout=10) as answer:
        status: int = answer.status
        return status


@pytest.mark.parametrize("place", SILENT)
def test_clients_that_fall_silent_free_their_threads(
    place: str, worker: tuple[list[str], int]
) -> None:
    options, number = worker
    with gunicorn(SERVICE, *options, env={"SOCKET_TIMEOUT": str(SECONDS)}) as server:
        with clients(server, SILENT[place], number):
            assert health(server) == 200
            if place not in ("in a body", "in a chunk"):  # those the application answers, with 400
                until(lambda: server.output().count("silent for 0.5 s: hung up") == number, 10)
        assert "Traceback" not in server.output()


def test_clients_that_take_no_more_of_an_answer_free_their_threads(
    tmp_path: Path, worker: tuple[list[str], int]
) -> None:
    options, number = worker
    shutil.copy(SERVICE / "gunicorn.conf.py", tmp_path)
    (tmp_path / "endless.py").write_text(ENDLESS)
    env = {"SOCKET_TIMEOUT": str(SECONDS)}
    with gunicorn(tmp_path, *options, target="endless:app", env=env) as server:
        with clients(server, b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n", number):
            assert health(server) == 200
        assert "Traceback" not in server.output()


def test_a_connection_that_is_kept_alive_is_not_hung_up_on() -> None:
    with gunicorn(env={"SOCKET_TIMEOUT": "0.3"}) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        with contextlib.closing(connection):
            for _ in range(2):
                connection.request("GET", "/health")
                assert connection.getresponse().read()
                time.sleep(0.8)


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan"])
def test_a_time_that_is_none_is_refused_at_start(value: str) -> None:
    with pytest.raises(RuntimeError, match=r"SOCKET_TIMEOUT: .* is no number of seconds"):
        gunicorn(env={"SOCKET_TIMEOUT": value})
