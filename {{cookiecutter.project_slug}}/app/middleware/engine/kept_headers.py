"""Headers that an error needs, whoever renders it: WWW-Authenticate, Allow, Retry-After, Accept.

An error handler of the service, or of an extension, makes a new response and so forgets what the
exception brought along.

Standards: RFC 9110 15.5.2 (401), 15.5.6 (405), 15.5.16 (415), 15.6.4 (503); RFC 6585 (429).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask
from werkzeug.exceptions import HTTPException

from .header_lists import Headers


def keep_headers(app: Flask) -> None:
    """Each middleware that raises such errors asks for it; it is put in place once."""
    if "kept_headers" in app.extensions:
        return
    app.extensions["kept_headers"] = True
    handle = app.handle_http_exception

    def handle_and_keep(e: HTTPException) -> Any:
        rendered = handle(e)
        if rendered is e or e.response is not None:
            return rendered
        response = app.make_response(rendered)
        if response.status_code == e.code:
            missing = [pair for pair in headers_of(e) if pair[0] not in response.headers]
            response.headers.extend(missing)
        return response

    app.handle_http_exception = handle_and_keep  # type: ignore[method-assign]


def headers_of(error: HTTPException) -> Headers:
    """What the exception brings, in get_headers(), as `headers` or by told_by_abort(); not the type
    of its own body."""
    own = getattr(error, "headers", None) or told_by_abort(error).get("headers") or {}
    brought = error.get_headers() + list(own.items() if isinstance(own, Mapping) else own)
    return [(name, value) for name, value in brought if name.lower() != "content-type"]


def told_by_abort(error: HTTPException) -> Mapping[str, Any]:
    """What abort() of webargs, flask-smorest, Flask-RESTX was given: message, errors, headers."""
    data = getattr(error, "data", None)
    return data if isinstance(data, Mapping) else {}
