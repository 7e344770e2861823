"""Headers that an error needs, whoever renders it: WWW-Authenticate, Allow, Retry-After, Accept.

An error handler of the service, or of an extension, makes a new response and so forgets what the
exception brought along.

Standards: RFC 9110 15.5.2 (401), 15.5.6 (405), 15.5.16 (415), 15.6.4 (503); RFC 6585 (429).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from werkzeug.exceptions import HTTPException

from .header_lists import Headers, has_header
from .pipeline import pipeline_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# In the environ: the status of the exception that Flask has handled last, and what it brought. Not
# the exception: its traceback holds the request, which would then wait for the garbage collector.
BROUGHT = "kept_headers.brought"
NOTHING: tuple[str, Headers] = ("", [])


def keep_headers(app: Flask) -> None:
    """Each middleware that raises such errors asks for it; it is put in place once."""
    if "kept_headers" in app.extensions:
        return
    app.extensions["kept_headers"] = True
    handle = app.handle_http_exception

    def remember(e: HTTPException) -> Any:
        is_rendered = e.response is not None
        request.environ[BROUGHT] = NOTHING if is_rendered else (str(e.code), headers_of(e))
        return handle(e)

    app.handle_http_exception = remember  # type: ignore[method-assign]
    pipeline_of(app).on_headers(add_forgotten)


def add_forgotten(environ: WSGIEnvironment, status: str, headers: Headers) -> None:
    code, brought = environ.get(BROUGHT, NOTHING)
    if brought and status.startswith(code):
        headers += [pair for pair in brought if not has_header(headers, pair[0].lower())]


def headers_of(error: HTTPException) -> Headers:
    """What the exception brings, in get_headers() or as `headers`; not the type of its own body."""
    own = getattr(error, "headers", None) or {}
    brought = error.get_headers() + list(own.items() if isinstance(own, Mapping) else own)
    return [(name, value) for name, value in brought if name.lower() != "content-type"]
