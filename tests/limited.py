"""What the tests of rate limiting share: a small limited app in this process, and many clients."""

from __future__ import annotations

import gc
import http.client
import importlib.util
import itertools
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from flask import Flask

from tests.servers import SERVICE

FOLDER = SERVICE / "app" / "middleware"
PACKAGE = "limits_of_the_template"  # the folder, without the service around it


def load(anew: bool = False) -> ModuleType:
    """rate_limiting.py in a package of its own, or once more with a limiter of its own."""
    if PACKAGE not in sys.modules:
        _import(PACKAGE, FOLDER / "__init__.py", [str(FOLDER)])
    name = f"{PACKAGE}.rate_limiting"
    if anew or name not in sys.modules:
        module = _import(f"{name}_{next(numbers)}", FOLDER / "rate_limiting.py")
        if anew:
            return module
        sys.modules[name] = module
    return sys.modules[name]


numbers = itertools.count()


def _import(name: str, path: Path, folders: list[str] | None = None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folders)
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Lines(logging.Handler):
    """The log lines of rate_limiting.py and of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())

    def count(self, start: str) -> int:
        return sum(text.startswith(start) for text in self.texts)


@contextmanager
def log_lines() -> Iterator[Lines]:
    gc.collect()  # the stores of earlier tests: each has a thread that asks it
    lines, logger = Lines(), logging.getLogger(PACKAGE)
    logger.addHandler(lines)
    try:
        yield lines
    finally:
        logger.removeHandler(lines)


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
class Responses:
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


def each(number: int, threads: int, one: Callable[[int], int], pause: float = 0.0) -> Responses:
    """Call one(n) for n below number from so many threads.

    :param pause: seconds between two calls of a thread; without one the threads of this process
        wait for each other (the interpreter's lock), and that is what is measured.
    """
    responses = Responses()

    def timed(n: int) -> None:
        start = time.monotonic()
        status = one(n)
        responses.seconds.append(time.monotonic() - start)
        responses.statuses.append(status)
        time.sleep(pause)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(timed, range(number)))
    return responses


def in_process(
    app: Flask, number: int, client: str | None = None, threads: int = 8, pause: float = 0.0
) -> Responses:
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
) -> Responses:
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
            response = connection.getresponse()
            response.read()
        except (http.client.HTTPException, ConnectionError):  # the server closed it: idle too long
            connection.close()
            connection.request("GET", path, headers=headers(n))
            response = connection.getresponse()
            response.read()
        status: int = response.status
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
