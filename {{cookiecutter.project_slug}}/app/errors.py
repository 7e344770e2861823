"""Every error is application/problem+json (RFC 9457) with the request id, whoever raised it.

    {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "...",
     "request_id": "..."}

`type` says more only where an exception brings its own: an HTTPException may carry `problem`, a
mapping of further members, and `headers`. Nothing of an unhandled exception is shown: it is in
the log, under the same request id. A browser that asks for HTML gets the template error.html, if
the service has one in app/templates; it is rendered with title, status, detail and request_id.

Standards: RFC 9457, RFC 9110 section 15, OWASP ASVS 5.0 16.5.1-4.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException, InternalServerError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PROBLEM_JSON = "application/problem+json"
INTERNAL = "The server could not answer. The request id finds the reason in its log."

Headers = list[tuple[str, str]]


def configure_errors(app: Flask) -> None:
    """Render every error of this application, those included that leave Flask itself."""
    has_page = Path(app.root_path, app.template_folder or "templates", "error.html").is_file()

    @app.errorhandler(HTTPException)
    def render(error: HTTPException) -> Response:
        if error.response is not None:  # the view has built its own answer
            return error.get_response(request.environ)  # type: ignore[return-value]
        problem = describe(error, request.environ)
        response = app.response_class(status=problem["status"])
        if has_page and prefers_html():
            response.data = render_template("error.html", **problem)
        else:
            response.data = json.dumps(problem)
            response.mimetype = PROBLEM_JSON
        if has_page:
            response.vary.add("Accept")
        for name, value in extra_headers(error, request.environ):
            response.headers.add(name, value)
        return response

    holder: Any = app
    while hasattr(holder.wsgi_app, "wsgi_app"):
        holder = holder.wsgi_app
    holder.wsgi_app = LastResort(holder.wsgi_app, app)


def describe(error: HTTPException, environ: WSGIEnvironment) -> dict[str, Any]:
    """The problem details of an exception, without anything that was not written for clients."""
    status = error.code or 500
    problem = {
        "type": "about:blank",
        "title": error.name,
        "status": status,
        "detail": INTERNAL if status == 500 else str(error.description or error.name),
        **(getattr(error, "problem", None) or {}),
    }
    problem["status"] = status  # RFC 9457 3.1.2: the same as the answer's
    if "request_id" in environ:
        problem["request_id"] = environ["request_id"]
    return problem


def extra_headers(error: HTTPException, environ: WSGIEnvironment) -> Headers:
    """WWW-Authenticate, Allow, Retry-After and what the exception brings itself."""
    own = getattr(error, "headers", None) or {}
    headers = error.get_headers(environ) + list(own.items() if isinstance(own, Mapping) else own)
    return [(name, value) for name, value in headers if name.lower() != "content-type"]


def prefers_html() -> bool:
    offers = [PROBLEM_JSON, "application/json", "text/html"]
    return request.accept_mimetypes.best_match(offers) == "text/html"


class LastResort:
    """Answers 500 where an exception leaves Flask: a teardown function, a session that cannot be
    opened, a stream that fails before its first byte, a header that cannot be sent.

    It holds the head of an answer back until there is a body to send: start_response must not be
    called twice, and gunicorn sends both heads when it is.
    """

    def __init__(self, inner: WSGIApplication, app: Flask) -> None:
        # Not named wsgi_app, so that no later layer finds a way inside this one: what is
        # answered here then passes through all of them.
        self.inner = inner
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        head: list[Any] = []

        def hold(*args: Any) -> Callable[[bytes], object]:
            head[:] = args
            return refuse_write

        body: Iterable[bytes] = ()
        try:
            body = self.inner(environ, hold)
            if not head or is_stream(head[1]):
                body = Started(body)
            check_encoding(head[1])
        except Exception:
            if self.propagates():
                raise
            with contextlib.suppress(Exception):
                close(body)
            return self.answer(environ, start_response)
        start_response(*head)
        return body

    def propagates(self) -> bool:
        """As Flask decides it: tests and the debugger want to see the exception."""
        wanted: bool | None = self.app.config["PROPAGATE_EXCEPTIONS"]
        return self.app.testing or self.app.debug if wanted is None else wanted

    def answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        where = ascii(environ.get("PATH_INFO", "")), environ["REQUEST_METHOD"]
        self.app.logger.error(
            "Exception outside of the application on %s [%s]", *where, exc_info=True
        )
        problem = json.dumps(describe(InternalServerError(), environ))
        response = Response(problem, 500, mimetype=PROBLEM_JSON)
        return response(environ, start_response)


class Started:
    """A body whose first piece has been made, and so cannot fail any more."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self.body = body
        self.rest = iter(body)
        self.first = list(itertools.islice(self.rest, 1))

    def __iter__(self) -> Iterator[bytes]:
        return itertools.chain(self.first, self.rest)

    def close(self) -> None:
        close(self.body)


def is_stream(headers: Headers) -> bool:
    """Flask writes the length of every answer that it holds complete."""
    return "Content-Length" not in dict(headers)


def check_encoding(headers: Headers) -> None:
    """:raises UnicodeEncodeError: here, where it becomes a 500, and not in the server."""
    "".join(itertools.chain.from_iterable(headers)).encode("latin-1")


def close(body: Iterable[bytes]) -> None:
    if hasattr(body, "close"):
        body.close()


def refuse_write(data: bytes) -> object:
    raise RuntimeError("write() of WSGI is not supported here: return the body")
