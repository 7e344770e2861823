"""The floor: the same duties by hand in one layer, with no regard for anything but speed.

Not a thing to copy: fixed windows, nothing configurable, no fault survived. What the service costs
above it is the price of its promises.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson
from flask import Flask
from werkzeug.wsgi import ClosingIterator

from benchmarks.duties import ORIGIN, SECURITY_HEADERS, Settings, new_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HEADERS = list(SECURITY_HEADERS.items())
CORS = [("Access-Control-Allow-Origin", ORIGIN), ("Access-Control-Allow-Credentials", "true")]


def floor(settings: Settings) -> Flask:
    app = new_app(settings)
    inner = app.wsgi_app
    fd = os.open(settings.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    per_day, per_hour = (int(limit.split()[0]) for limit in settings.limits.split(";"))
    client = "HTTP_X_FORWARDED_FOR" if settings.proxied else "REMOTE_ADDR"
    counts: dict[tuple[int, int, str], int] = {}

    def layer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start, now = time.perf_counter(), time.time()
        request_id = os.urandom(16).hex()
        address = environ[client]
        hour, day = (3600, int(now // 3600), address), (86400, int(now // 86400), address)
        taken, today = counts.get(hour, 0), counts.get(day, 0)
        sent = "429 TOO MANY REQUESTS"

        def start_ours(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal sent
            sent = status
            headers += HEADERS
            headers.append(("X-Request-ID", request_id))
            if environ.get("HTTP_ORIGIN") == ORIGIN:
                headers += CORS
            return start_response(status, headers, exc_info)

        if taken >= per_hour or today >= per_day:
            start_ours(sent, [("Retry-After", str(3600 - int(now % 3600)))])
            body: Iterable[bytes] = [b""]
        else:
            counts[hour], counts[day] = taken + 1, today + 1
            body = inner(environ, start_ours)
        os.write(fd, line_of(environ, address, request_id, sent, start))
        return body

    app.wsgi_app = layer  # type: ignore[method-assign]
    return app


def floor_of_logging(settings: Settings) -> Flask:
    """The log alone, written when the body ends."""
    app = new_app(settings)
    inner = app.wsgi_app
    fd = os.open(settings.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def layer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start = time.perf_counter()
        request_id = os.urandom(16).hex()
        sent = ""

        def start_ours(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal sent
            sent = status
            headers.append(("X-Request-ID", request_id))
            return start_response(status, headers, exc_info)

        def write() -> None:
            os.write(fd, line_of(environ, environ["REMOTE_ADDR"], request_id, sent, start))

        return ClosingIterator(inner(environ, start_ours), write)

    app.wsgi_app = layer  # type: ignore[method-assign]
    return app


def line_of(
    environ: WSGIEnvironment, address: str, request_id: str, status: str, start: float
) -> bytes:
    line = {
        "time": time.time(),
        "request_id": request_id,
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "status": int(status[:3]),
        "duration_ms": (time.perf_counter() - start) * 1000,
        "remote_addr": address,
        "user_agent": environ.get("HTTP_USER_AGENT"),
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
