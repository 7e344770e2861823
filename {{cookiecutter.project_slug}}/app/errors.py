"""Every error is application/problem+json (RFC 9457) with the request id, whoever raised it.

    {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "...",
     "request_id": "..."}

`type` says more only where an exception brings its own: an HTTPException may carry `problem`, a
mapping of further members, and `headers`; what abort() of webargs, flask-smorest and Flask-RESTX
puts into `data` is read too. Nothing of an unhandled exception is shown: it is in the log, under
the same request id. A browser that asks for HTML gets the template error.html, if
the service has one in app/templates; it is rendered with title, status, detail and request_id.

Standards: RFC 9457, RFC 9110 section 15, OWASP ASVS 5.0 16.5.1-4.
"""

from __future__ import annotations

import json
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException, InternalServerError, default_exceptions

from app.middleware.engine.kept_headers import headers_of, keep_headers, told_by_abort
from app.middleware.engine.pipeline import ResponseParts, pipeline_of
from app.middleware.engine.shown_paths import shown_path

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PROBLEM_JSON = "application/problem+json"
INTERNAL = "The server could not do what was asked. The request id finds the reason in its log."


def configure_errors(app: Flask) -> None:
    """Render every error of this application, those included that leave Flask itself."""
    keep_headers(app)  # where an extension's handler comes before this one
    has_page = Path(app.root_path, app.template_folder or "templates", "error.html").is_file()
    app.register_error_handler(HTTPException, partial(render, app, has_page))

    @pipeline_of(app).on_error
    def respond(environ: WSGIEnvironment, error: Exception) -> ResponseParts | None:
        """Where an exception leaves Flask: a teardown function, a session that cannot be opened, a
        stream that fails before its first byte, a header that cannot be sent."""
        if propagates(app, environ):
            return None
        where = shown_path(environ), environ["REQUEST_METHOD"]
        app.logger.error("Exception that left Flask on %s [%s]", *where, exc_info=error)
        problem = describe(InternalServerError(), environ)
        if app.debug:
            problem["traceback"] = traceback.format_exception(error)
        return outside_of_flask(problem, environ)

    @pipeline_of(app).on_respond
    def refuse(environ: WSGIEnvironment) -> ResponseParts | None:
        """What gunicorn refused before it was a request: 400, 408, 431 (serving/refusals.py)."""
        status = environ.get("service.status")
        if status is None:
            return None
        return outside_of_flask(describe(default_exceptions[status](), environ), environ)

    app.extensions["server_error"] = app


def render(app: Flask, has_page: bool, error: HTTPException) -> Response:
    """:param has_page: whether browsers get the template error.html."""
    if error.response is not None:  # the view has built its own response
        return error.get_response(request.environ)  # type: ignore[return-value]
    problem = describe(error, request.environ)
    response = app.response_class(status=problem["status"])
    if has_page and prefers_html():
        response.data = render_template("error.html", **problem)
    else:
        response.data = json.dumps(problem, default=str)  # a UUID, a date, a translated text
        response.mimetype = PROBLEM_JSON
    if has_page:
        response.vary.add("Accept")
    for name, value in headers_of(error):
        response.headers.add(name, value)
    return response


def outside_of_flask(problem: dict[str, Any], environ: WSGIEnvironment) -> ResponseParts:
    body = json.dumps(problem).encode()
    headers = [("Content-Type", PROBLEM_JSON), ("Content-Length", str(len(body)))]
    line = f"{problem['status']} {problem['title'].upper()}"
    return line, headers, () if environ["REQUEST_METHOD"] == "HEAD" else (body,)


def describe(error: HTTPException, environ: WSGIEnvironment) -> dict[str, Any]:
    """The problem details of an exception, without anything that was not written for clients."""
    status, data = error.code or 500, told_by_abort(error)
    told = {"detail": data.get("message"), "errors": data.get("errors") or data.get("messages")}
    problem = {
        "type": "about:blank",
        "title": error.name,
        "status": status,
        "detail": INTERNAL if status == 500 else str(error.description or error.name),
        **{name: value for name, value in told.items() if value},
        **(getattr(error, "problem", None) or {}),
    }
    problem["status"] = status  # RFC 9457 3.1.2: the same as the response's
    if "request_id" in environ:
        problem["request_id"] = environ["request_id"]
    return problem


def prefers_html() -> bool:
    offers = [PROBLEM_JSON, "application/json", "text/html"]
    return request.accept_mimetypes.best_match(offers) == "text/html"


def propagates(app: Flask, environ: WSGIEnvironment) -> bool:
    """As Flask decides it: tests and the debugger want to see the exception.

    But a page's fetch() could not read the debugger's page: what sends it stands outside of this
    application, and knows nothing of CORS.
    """
    wanted: bool | None = app.config["PROPAGATE_EXCEPTIONS"]
    if wanted is not None:
        return wanted
    is_fetch = "HTTP_ORIGIN" in environ and "text/html" not in environ.get("HTTP_ACCEPT", "")
    return app.testing or (app.debug and not is_fetch)
