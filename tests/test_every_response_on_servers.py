"""The service's own test_every_response.py, asked over the wire of four production servers."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.of_the_service import load_tests
from tests.servers import SERVICE, Server, granian, gunicorn, waitress

matrix: Any
promises: Any
matrix, promises = load_tests("test_every_response", "promises")
WSGI = """
from app import create_app
from tests.test_every_response import add_routes

app = add_routes(create_app("production"))
"""
SERVERS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "gunicorn sync": (gunicorn, ["--workers=1", "--worker-class=sync"]),
    "gunicorn gthread": (gunicorn, ["--workers=1", "--worker-class=gthread", "--threads=4"]),
    # waitress takes what a proxy says away unless it is told who the proxy is
    "waitress": (waitress, ["--no-clear-untrusted-proxy-headers"]),
    "granian": (granian, ["--workers=1"]),
}


@pytest.fixture(scope="module", params=SERVERS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Server, Any]]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "matrix_wsgi.py").write_text(WSGI, encoding="utf-8")
    (folder / "requests.log").touch()
    start, options = SERVERS[request.param]
    settings = {**promises.SETTINGS, "LOG_FILE": str(folder / "requests.log")}
    env = {f"FLASK_{name}": json.dumps(value) for name, value in settings.items()}
    env["PYTHONPATH"] = str(folder)
    with start(SERVICE, *options, target="matrix_wsgi:app", env=env) as server:
        yield request.param, server, promises.Log(folder / "requests.log")


def ask(port: int, kind: Any, origin: str | None) -> Any:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = promises.headers_of(kind, origin)
    connection.putrequest(kind.method, kind.path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if kind.data:
        connection.putheader("Content-Length", str(len(kind.data)))
    connection.endheaders(kind.data or None)
    response = connection.getresponse()
    try:
        body, broken = response.read(), False
    except http.client.IncompleteRead as error:
        body, broken = error.partial, True
    connection.close()
    return promises.Received(response.status, response.getheaders(), body, broken)


def lines_of(log: Any, count: int) -> list[dict[str, Any]]:
    """The lines come when the body is closed, which may be after the client has it."""
    deadline = time.monotonic() + 5
    lines: list[dict[str, Any]] = log.new()
    while len(lines) < count and time.monotonic() < deadline:
        time.sleep(0.005)
        lines += log.new()
    return lines


@pytest.mark.parametrize("origin", [promises.ALLOWED, promises.FOREIGN])
@pytest.mark.parametrize("kind", matrix.KINDS, ids=lambda kind: str(kind.name))
def test_every_response_on_the_wire_keeps_every_promise(
    served: tuple[str, Server, Any], kind: Any, origin: str
) -> None:
    name, server, log = served
    kind = promises.from_page(kind, origin)
    for _ in range(kind.times):
        try:
            response = ask(server.port, kind, origin)
        except http.client.RemoteDisconnected:  # Granian drops what it has not sent yet
            (line,) = lines_of(log, 1)
            assert (name, kind.outcome, line["outcome"]) == ("granian", "failed", "failed")
            return
    if name == "granian" and kind.outcome == "failed":
        response.broken = True  # before 2.8.9 it ends a broken stream like a whole one
    promises.check_promises(kind, response, lines_of(log, kind.times), origin)


def test_an_exception_never_reaches_the_server_before_the_first_byte(
    served: tuple[str, Server, Any],
) -> None:
    _, server, log = served
    kind = next(kind for kind in matrix.KINDS if kind.name == "teardown that raises")
    assert ask(server.port, kind, None).status == 500
    lines_of(log, 1)
    assert "a bug in teardown_request" not in server.output()
