"""A WSGI application that shows what its server hands over and passes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/broken-stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return broken_stream()
    headers = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
    body = json.dumps({"pid": os.getpid(), "headers": headers}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


def broken_stream() -> Iterator[bytes]:
    yield b"first part\n"
    raise RuntimeError("the stream breaks here")
