"""One request and its response: the head is held back, the body passed on, its end seen.

pipeline.py makes one for each request, and hands it to the functions of its last two phases.

Standards: PEP 3333 (WSGI), RFC 9110 (which responses have no body).
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .pipeline import Pipeline

Headers = list[tuple[str, str]]

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

logger = logging.getLogger(__name__)


class Exchange:
    """What a function of the last two phases may look at:

    - environ, headers (as sent)
    - status_code (500 if nothing was sent because of an exception)
    - began (seconds, time.perf_counter()) and sent (bytes of the body so far)
    - outcome: "complete", "aborted" (the client left) or "failed" (an exception)
    """

    status = ""
    body: Iterable[bytes] = ()
    first = b""  # piece of the body
    rest: Iterator[bytes] | None = None  # None: the first piece has not been asked for
    sent = 0
    outcome = "failed"
    is_started = False  # the server has the head
    is_open = True
    send: Callable[[bytes], object] | None = None

    def __init__(
        self, pipeline: Pipeline, environ: WSGIEnvironment, start_response: StartResponse
    ) -> None:
        self.began = time.perf_counter()
        self.pipeline = pipeline
        self.environ = environ
        self.start_response = start_response
        self.headers: Headers = []

    # the head

    def hold_head(
        self, status: str, headers: Headers, exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """The start_response of what responds; nothing is sent before it has returned."""
        if self.is_started:
            if exc_info is None:
                raise AssertionError("start_response was called twice")
            return self.start_response(status, headers, exc_info)  # PEP 3333: it raises exc_info
        self.status, self.headers = status, list(headers)
        return self.write

    def send_head(self, is_after_error: bool = False) -> None:
        """Complete the headers and hand them to the server.

        :param is_after_error: a function that raises is left out, since there is no other response.
        """
        if self.is_started:  # by write()
            return
        check_head(self.status, self.headers)
        for complete in self.pipeline.headers_functions:
            try:
                complete(self.environ, self.status, self.headers)
            except Exception:
                if not is_after_error:
                    raise
                logger.exception("the headers of %s were left out", complete)
        self.send = self.start_response(self.status, self.headers)
        self.is_started = True

    def write(self, data: bytes) -> object:
        """WSGI's other way to send a body, for old applications."""
        self.send_head()
        self.sent += len(data)
        assert self.send is not None  # noqa: S101
        return self.send(data)

    # the body

    def ask_for_first(self) -> None:
        """Have the first piece of the body made, which then cannot fail any more."""
        self.rest = iter(self.body)
        self.first = next(self.rest, b"")

    def __iter__(self) -> Iterator[bytes]:
        try:
            if self.first:
                self.sent += len(self.first)
                yield self.first
            for piece in self.body if self.rest is None else self.rest:
                self.sent += len(piece)
                yield piece
        except GeneratorExit:  # the server stopped asking; close() tells why
            raise
        except BaseException as error:
            self.log(error)
            self.end("failed")
            raise
        self.end("complete")

    def close(self) -> None:
        try:
            close(self.body)
        except Exception as error:
            self.log(error)
            raise
        finally:
            if self.is_open:
                self.end("complete" if self.is_whole() else "aborted")
            self.tell(self.pipeline.close_functions)

    def leave(self, error: BaseException) -> None:
        """No body goes to the server: an exception is on its way there, or its own signal."""
        is_signal = isinstance(error, StopIteration)  # how a WebSocket ends on gunicorn
        if self.is_started and not is_signal:
            self.log(error)
        if is_signal and not self.status:
            self.status = "101 Switching Protocols"
        self.end("complete" if is_signal else "failed")
        self.tell(self.pipeline.close_functions)

    def log(self, error: BaseException) -> None:
        """No error handler sees it, and servers take an OSError for a client that has left."""
        if isinstance(error, Exception):
            logger.error("The response broke off", exc_info=error)

    def end(self, outcome: str) -> None:
        if self.is_open:
            self.is_open = False
            self.outcome = outcome
            self.tell(self.pipeline.end_functions)

    def tell(self, functions: list[Callable[[Exchange], object]]) -> None:
        for function in functions:
            try:
                function(self)
            except Exception:
                logger.exception("%s failed; the response is not concerned", function)

    def is_whole(self) -> bool:
        """Whether all was sent, although not read to its end: some servers ask for no more."""
        if not self.status or sys.exc_info()[0] is not None:  # in a `finally`: sending failed
            return False
        if self.environ.get("REQUEST_METHOD") == "HEAD" or self.status[:3] in ("204", "304"):
            return True
        return ("content-length", str(self.sent)) in [(n.lower(), v) for n, v in self.headers]

    @property
    def status_code(self) -> int:
        if (self.outcome == "failed" and not self.sent) or not self.status[:3].isdecimal():
            return 500
        return int(self.status[:3])


def check_head(status: str, headers: Headers) -> None:
    """Refuse what a server would refuse, here, while it can become a 500.

    :raises UnicodeEncodeError: for what is not latin-1.
    :raises ValueError: for a name that is not a token (RFC 9110 5.1), and control characters (5.5).
    """
    if not (status.isascii() and status.isprintable()):
        check_text("Status", status)
    for name, value in headers:
        if not is_header_name(name):
            raise ValueError(f"header {name!r} is not a name")
        if not (value.isascii() and value.isprintable()):
            check_text(name, value)


def check_text(name: str, value: str) -> None:
    value.encode("latin-1")
    if any((sign < " " and sign != "\t") or sign == "\x7f" for sign in value):
        raise ValueError(f"header {name}: {value!r} has a control character")


@lru_cache(1024)
def is_header_name(name: str) -> bool:
    return TOKEN.fullmatch(name) is not None


def close(body: Iterable[bytes]) -> None:
    if hasattr(body, "close"):
        body.close()
