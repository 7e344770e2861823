"""Calls a WSGI application as a server does: environ in, body iterated and closed."""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.duties import API_KEY, ORIGIN

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

THE_ONE = "192.0.2.1"  # the client of scenarios that have one; the checks use its limits up
CLIENTS = 1000  # addresses that take turns; 50 requests each fit the limits


@dataclass(frozen=True)
class Scenario:
    """A kind of request, and the statuses of which every one of them must get one."""

    environ: dict[str, str]
    statuses: tuple[str, ...] = ("200",)
    one_client: bool = False


def _scenario(*statuses: str, one_client: bool = False, **environ: str) -> Scenario:
    return Scenario(environ, statuses or ("200",), one_client)


SCENARIOS = {
    "plain": _scenario(),
    "origin": _scenario(HTTP_ORIGIN=ORIGIN),
    "preflight": _scenario(
        "200",  # flask-cors
        "204",
        REQUEST_METHOD="OPTIONS",
        HTTP_ORIGIN=ORIGIN,
        HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST",
        HTTP_ACCESS_CONTROL_REQUEST_HEADERS="content-type",
    ),
    "404": _scenario("404", PATH_INFO="/api/nothing-here"),
    "429": _scenario("429", one_client=True),
}
KINDS = tuple(SCENARIOS)  # which every whole stack can be asked
LIMITED = tuple(f"limit by {what}" for what in ("text", "function", "key function", "cost"))
SCENARIOS["one client"] = _scenario(one_client=True)
SCENARIOS |= {
    name: _scenario(PATH_INFO=f"/api/{name.replace(' ', '-')}")
    for name in LIMITED  # benchmarks/decorated.py has these routes
}


def environ_of(scenario: Scenario, proxied: bool = False) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/api/ping",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "198.51.100.1",
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "HTTP_ACCEPT": "application/json",
        "HTTP_X_API_KEY": API_KEY,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        **scenario.environ,
    }


def address(n: int, first: int = 10) -> str:
    """The n-th client; numbers of different `first` are different clients."""
    return f"{first}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


@dataclass
class Answer:
    status: str
    headers: dict[str, str]
    body: bytes


def call(app: WSGIApplication, environ: dict[str, Any]) -> Answer:
    """One request; several headers of one name are joined by commas."""
    answer = Answer("", {}, b"")

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        answer.status = status[:3]
        for name, value in headers:
            name = name.lower()
            answer.headers[name] = f"{answer.headers.get(name, '')}, {value}".removeprefix(", ")

    body = app({**environ, "wsgi.input": io.BytesIO()}, start_response)
    answer.body = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return answer


def write_what_was_gathered() -> None:
    """Within the time of the block that caused it: a block is over before 20 ms are."""
    writer = sys.modules.get("app.middleware.engine.writer")  # others have none
    if writer is not None:
        writer.flush_all()


class Client:
    """Sends blocks of requests, and remembers whose turn it is."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app
        self.turn = 0
        self.addresses = [address(n) for n in range(CLIENTS)]

    def block(self, name: str, requests: int) -> tuple[float, float]:
        """:returns: seconds per request, on the clock and of this process's processor time."""
        scenario = SCENARIOS[name]
        environs = []
        for _ in range(requests):
            self.turn = (self.turn + 1) % CLIENTS
            environ = environ_of(scenario)
            environ["REMOTE_ADDR"] = THE_ONE if scenario.one_client else self.addresses[self.turn]
            environ["wsgi.input"] = io.BytesIO()
            environs.append(environ)
        environs.reverse()
        wrong = []
        expected = scenario.statuses

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            if status[:3] not in expected:
                wrong.append(status)

        app: Any = self.app
        wall, cpu = time.perf_counter(), time.process_time()
        while environs:
            body = app(environs.pop(), start_response)  # dropped after the response, as servers do
            for _ in body:
                pass
            if hasattr(body, "close"):
                body.close()
        write_what_was_gathered()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if wrong:
            raise RuntimeError(f"{name}: {len(wrong)} of {requests} answered {wrong[0]!r}")
        return wall / requests, cpu / requests

    def fill(self, clients: int) -> None:
        """One request from each of many clients that are not measured."""
        environ = environ_of(SCENARIOS["plain"])
        for n in range(clients):
            call(self.app, {**environ, "REMOTE_ADDR": address(n, first=11)})

    def repeat(self, requests: int) -> None:
        """Many requests from the very clients that are measured."""
        environ = environ_of(SCENARIOS["plain"])
        for n in range(requests):
            call(self.app, {**environ, "REMOTE_ADDR": self.addresses[n % CLIENTS]})

    def hold(self, requests: int) -> None:
        """Many requests from the one client, whatever it gets."""
        environ = {**environ_of(SCENARIOS["plain"]), "REMOTE_ADDR": THE_ONE}
        for _ in range(requests):
            call(self.app, environ)

    def visit(self, routes: int) -> None:
        """One request to each route that has a limit of its own."""
        environ = environ_of(SCENARIOS["plain"])
        for n in range(routes - 1):
            answer = call(self.app, {**environ, "PATH_INFO": f"/api/own-{n}"})
            if answer.status != "200":
                raise RuntimeError(f"/api/own-{n} answers {answer.status}")
