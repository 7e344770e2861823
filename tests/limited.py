"""What the tests of rate limiting share: a small limited app in this process, and many clients."""

from __future__ import annotations

import http.client
import importlib.util
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from flask import Flask

from tests.servers import SERVICE


def load(anew: bool = False) -> ModuleType:
    """app/middleware/rate_limiting.py as a module of its own, or one more that shares nothing."""
    name = "rate_limiting_of_the_template"
    if anew or name not in sys.modules:
        path = SERVICE / "app" / "middleware" / "rate_limiting.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module if anew else sys.modules.setdefault(name, module)
    return sys.modules[name]


class Lines(logging.Handler):
    """The log lines of rate_limiting.py."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())

    def count(self, start: str) -> int:
        return sum(text.startswith(start) for text in self.texts)


@contextmanager
def log_lines() -> Iterator[Lines]:
    lines = Lines()
    load().logger.addHandler(lines)
    try:
        yield lines
    finally:
        load().logger.removeHandler(lines)


def make_app(uri: str, **config: Any) -> Flask:
    """GET /a, limited to 20 a minute unless config says otherwise, behind one proxy."""
    app = Flask("service")
    app.config.update(RATELIMIT_DEFAULT="20 per minute", RATELIMIT_STORAGE_URI=uri)
    app.config.update(config)
    load().configure_rate_limiting(app)
    app.add_url_rule("/a", "a", lambda: "a")
    return app


def state(app: Flask) -> str:
    text: str = app.extensions["rate_limiting"].state
    return text


@dataclass
class Answers:
    """Status codes and how long each took (seconds)."""

    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def admitted(self) -> int:
        return self.statuses.count(200)

    @property
    def failed(self) -> int:
        return sum(status >= 500 for status in self.statuses)

    @property
    def slowest(self) -> float:
        return max(self.seconds)


def each(number: int, threads: int, one: Callable[[int], int], pause: float = 0.0) -> Answers:
    """Call one(n) for n below number from so many threads.

    :param pause: seconds between two calls of a thread; without one the threads of this process
        wait for each other (the interpreter's lock), and that is what is measured.
    """
    answers = Answers()

    def timed(n: int) -> None:
        start = time.monotonic()
        status = one(n)
        answers.seconds.append(time.monotonic() - start)
        answers.statuses.append(status)
        time.sleep(pause)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(timed, range(number)))
    return answers


def in_process(
    app: Flask, number: int, client: str | None = None, threads: int = 8, pause: float = 0.0
) -> Answers:
    """So many requests, of one client or each of another."""

    def one(n: int) -> int:
        address = client or f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        return app.test_client().get("/a", environ_base={"REMOTE_ADDR": address}).status_code

    return each(number, threads, one, pause)


def over_http(
    ports: list[int],
    number: int,
    headers: Callable[[int], dict[str, str]],
    path: str = "/api/ping",
    threads: int = 16,
) -> Answers:
    """So many requests over connections that are kept alive, in turn to each port."""
    local = threading.local()
    opened: list[http.client.HTTPConnection] = []

    def one(n: int) -> int:
        if not hasattr(local, "connections"):
            local.connections = [
                http.client.HTTPConnection("127.0.0.1", p, timeout=30) for p in ports
            ]
            opened.extend(local.connections)
        connection = local.connections[n % len(ports)]
        try:
            connection.request("GET", path, headers=headers(n))
            answer = connection.getresponse()
            answer.read()
        except (http.client.HTTPException, ConnectionError):  # the server closed it: idle too long
            connection.close()
            connection.request("GET", path, headers=headers(n))
            answer = connection.getresponse()
            answer.read()
        status: int = answer.status
        return status

    try:
        return each(number, threads, one)
    finally:
        for connection in opened:
            connection.close()


class Metronome(threading.Thread):
    """How late a thread of this process wakes up, at most: what the machine itself adds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.late = 0.0
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            start = time.monotonic()
            time.sleep(0.005)
            self.late = max(self.late, time.monotonic() - start - 0.005)

    def __enter__(self) -> Metronome:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
