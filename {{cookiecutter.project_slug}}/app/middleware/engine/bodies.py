"""Bodies that are whole: one that ends early is 400, one that ends late 413, never a part of one.

Standards: RFC 9110 section 8.6 and 15.5.14 (413), RFC 9112 section 6 (framing).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NoReturn

from flask import Request
from werkzeug.exceptions import BadRequest, LengthRequired, RequestEntityTooLarge

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

UNCLOSED = (
    "The body broke off, or is JSON without a bracket at its end: Content-Length is required."
)


def has_body(environ: WSGIEnvironment) -> bool:
    """Whether a body follows: one of two headers says so, and in HTTP/2 perhaps none."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return True
    if length := environ.get("CONTENT_LENGTH"):
        return bool(length != "0")
    if not str(environ.get("SERVER_PROTOCOL")).startswith("HTTP/2"):
        return False
    first = _receive(environ, environ["wsgi.input"], 1, 0)  # nothing else tells
    environ["wsgi.input"] = PutBack(first, environ["wsgi.input"]) if first else io.BytesIO()
    return bool(first)


def expect_exact_body(request: Request, limit: int | None) -> None:
    """Refuse a body that its headers condemn; the rest is refused while it is read.

    :param limit: the longest body (bytes), None for any; a view may lower it while it is not read
        (`request.max_content_length`).
    :raises BadRequest: if its length is said in two ways, or in none that is a number.
    :raises LengthRequired: if it could be cut without anybody noticing.
    :raises RequestEntityTooLarge: if it is declared to be longer than the limit.
    """
    environ = request.environ
    declared = _declared_length(environ)
    if declared is None and not _shows_its_end(request):
        raise LengthRequired("Content-Length is required.")
    if declared is not None and limit is not None and declared > limit:
        refuse_too_large(environ, limit)
    # Granian's chunks: what ends by its brackets has to end with one
    must_close = declared is None and _hides_cuts(environ) and request.is_json
    body = ExactBody(request, declared, limit, must_close)
    request.stream = body  # type: ignore[assignment]


def _declared_length(environ: WSGIEnvironment) -> int | None:
    """Content-Length, or None for a chunked body; two answers to one question are refused.

    HTTP/1.0 has no chunks: servers differ in what they take for the body (RFC 9112 section 6.1).
    """
    length = environ.get("CONTENT_LENGTH") or None
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    is_old = environ.get("SERVER_PROTOCOL") in ("HTTP/1.0", "HTTP/1")
    if coding is not None and (length or is_old or coding.strip().lower() != "chunked"):
        _refuse(environ, "framing", "The body must be either chunked or of a declared length.")
    if length is None:
        return None
    if not (length.isascii() and length.isdigit() and len(length) < 19):
        _refuse(environ, "length", "Content-Length must be one whole number.")
    return int(length)


def _shows_its_end(request: Request) -> bool:
    """Whether a body without a length, if cut, is seen to be cut.

    Servers say so by an error, but for Granian: there JSON ends by its brackets and a multipart
    form by its last boundary, and anything else could have been longer.
    """
    if "wsgi.input_terminated" not in request.environ:
        return False
    if not _hides_cuts(request.environ):
        return True
    return request.is_json or request.mimetype == "multipart/form-data"


def _hides_cuts(environ: WSGIEnvironment) -> bool:
    """Granian 2.8 ends a body whose chunks broke off as if it were complete."""
    return environ.get("SERVER_SOFTWARE") == "Granian"


class ExactBody(io.RawIOBase):
    """The input stream of a request, which ends where it should or is refused.

    :param declared: its length (bytes), None if it is chunked.
    :param limit: how long it may be (bytes), None for any length, where the request has no limit.
    :param must_close: it has to end with a closing bracket.
    """

    def __init__(
        self, request: Request, declared: int | None, limit: int | None, must_close: bool
    ) -> None:
        self.request = request
        self.limit = limit
        self.environ = request.environ
        self.input = self.environ["wsgi.input"]
        self.declared = declared
        self.must_close = must_close
        self.position = 0
        self.ends_with = b""

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        if self.declared is not None:
            size = min(size, self.declared - self.position)
        if not size:
            return 0
        data = _receive(self.environ, self.input, size, self.position)
        if not data and self.declared is not None:
            reason = f"The body ended after {self.position} of {self.declared} bytes."
            _refuse(self.environ, "cut_short", reason)
        self.position += len(data)
        if self.must_close:
            self.ends_with = data.rstrip(b" \t\r\n")[-1:] or self.ends_with
            if not data and self.ends_with not in (b"", b"}", b"]"):
                _refuse(self.environ, "broke_off", UNCLOSED)
        limit = self.request.max_content_length  # a view's; None outside of Flask's context
        limit = self.limit if limit is None else limit
        length = self.position if self.declared is None else self.declared
        if limit is not None and length > limit:
            refuse_too_large(self.environ, limit)
        buffer[: len(data)] = data
        return len(data)


class PutBack(io.RawIOBase):
    """A body of which the first byte has been read already."""

    def __init__(self, first: bytes, rest: Any) -> None:
        self.first = first
        self.rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        data, self.first = self.first[:size], self.first[size:]
        data = data or self.rest.read(size)
        buffer[: len(data)] = data
        return len(data)


def _receive(environ: WSGIEnvironment, stream: Any, size: int, position: int) -> bytes:
    try:
        data: bytes = stream.read(size)
    except Exception:  # servers have errors of their own for chunks that are not chunks
        _refuse(environ, "broke_off", f"The body broke off after {position} bytes.")
    return data


def _refuse(environ: WSGIEnvironment, reason: str, sentence: str) -> NoReturn:
    """A body that does not end as announced belongs in the security log, bad JSON does not."""
    environ["security_event"] = {"event": "body_refused", "reason": reason}
    raise BadRequest(sentence)


def refuse_too_large(
    environ: WSGIEnvironment, limit: int, sentence: str = "The body may have at most {} bytes."
) -> NoReturn:
    """:param sentence: what the client is told, with {} for the limit."""
    environ["security_event"] = {"event": "body_refused", "reason": "too_large", "limit": limit}
    raise RequestEntityTooLarge(sentence.format(limit))
