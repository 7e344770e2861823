"""The one WSGI layer around Flask: how a request comes in and how its response goes out.

The phases, in the order in which a request passes them; the functions of one phase run in the order
in which they were registered:

    1. on_identify   who is asking: may correct the environ (a trusted proxy's client)
    2. on_begin      something starts with the request: an id, a context
    3. on_respond    may respond before Flask is entered (a preflight); the first response counts
       ...           Flask itself, with its hooks, views and error handlers
    4. on_error      last resort: turns an exception that left Flask into a response
    5. on_headers    completes the response's headers, whoever responded
    6. on_end        the last byte is sent, or never will be: the time for a line in a log
    7. on_close      the body is closed: what was set for the request is taken back

A middleware registers plain functions:

    pipeline_of(app).on_headers(add_server_timing)

    def add_server_timing(environ, status, headers):
        headers.append(("Server-Timing", "app"))

What needs the route, the view or `g` is a Flask hook and not a phase. The pipeline exists once per
application, whoever asks for it first, and comes before what others put around app.wsgi_app,
earlier or later: so their responses pass it as well.

Standards: PEP 3333 (WSGI).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask

from .exchange import Exchange, Headers, close

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Function = TypeVar("Function", bound=Callable[..., object])

ResponseParts = tuple[str, Headers, Iterable[bytes]]  # status line, headers, body
MaybeResponse = ResponseParts | None

ENTERED = "pipeline.entered"  # in the environ: the pipeline that this request has entered


def pipeline_of(app: Flask) -> Pipeline:
    """The pipeline of this application; the first call puts it in place."""
    pipeline: Pipeline | None = app.extensions.get("pipeline")
    if pipeline is None:
        pipeline = app.extensions["pipeline"] = Pipeline(app.wsgi_app)
        app.wsgi_app = pipeline  # type: ignore[method-assign]
        app.__class__ = _entering(type(app), pipeline)
    return pipeline


def _entering(base: type[Flask], pipeline: Pipeline) -> type[Flask]:
    """The application's class as it was, but a request enters the pipeline first: also where
    app.wsgi_app was wrapped since, or Flask.__call__ replaced (Sentry does)."""

    class Application(base):  # type: ignore[misc, valid-type]
        def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            if self.wsgi_app is pipeline and base.__call__.__module__ == "flask.app":
                return pipeline(environ, start_response)
            return pipeline(environ, start_response, super().__call__)

    Application.__name__, Application.__qualname__ = base.__name__, base.__qualname__
    Application.__module__ = base.__module__
    return Application


class Pipeline:
    """The functions of each phase, and the way of a request past them."""

    def __init__(self, inner: WSGIApplication) -> None:
        self.inner = inner
        self.inherited = {name: value for name, value in os.environ.items() if is_misread(name)}
        self.identify_functions: list[Callable[[WSGIEnvironment], object]] = []
        self.begin_functions: list[Callable[[WSGIEnvironment], object]] = []
        self.respond_functions: list[Callable[[WSGIEnvironment], MaybeResponse]] = []
        self.error_functions: list[Callable[[WSGIEnvironment, Exception], MaybeResponse]] = []
        self.headers_functions: list[Callable[[WSGIEnvironment, str, Headers], object]] = []
        self.end_functions: list[Callable[[Exchange], object]] = []
        self.close_functions: list[Callable[[Exchange], object]] = []

    def on_identify(self, function: Function) -> Function:
        """:param function: takes the environ, and may change it."""
        return _register(self.identify_functions, function)

    def on_begin(self, function: Function) -> Function:
        """:param function: takes the environ."""
        return _register(self.begin_functions, function)

    def on_respond(self, function: Function) -> Function:
        """:param function: takes the environ; returns status line, headers and body, or None."""
        return _register(self.respond_functions, function)

    def on_error(self, function: Function) -> Function:
        """:param function: takes the environ and the exception; returns a response, or None if the
        exception is to go on to the server."""
        return _register(self.error_functions, function)

    def on_headers(self, function: Function) -> Function:
        """:param function: takes the environ, the status line and the list of headers, which it
        changes in place."""
        return _register(self.headers_functions, function)

    def on_end(self, function: Function) -> Function:
        """:param function: takes the Exchange, once for each request."""
        return _register(self.end_functions, function)

    def on_close(self, function: Function) -> Function:
        """:param function: takes the Exchange."""
        return _register(self.close_functions, function)

    def __call__(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        outer: WSGIApplication | None = None,
    ) -> Iterable[bytes]:
        """:param outer: what was put around this pipeline, and comes back here."""
        entered: object = environ.get(ENTERED)
        if entered is self:
            return self.inner(environ, start_response)
        environ[ENTERED] = self
        if environ.get("SERVER_SOFTWARE") == "Granian":
            self.forget_inherited(environ)
        exchange = Exchange(self, environ, start_response)
        try:
            try:
                self.respond(exchange, outer or self.inner)
                exchange.send_head()
            except Exception as error:
                if isinstance(error, StopIteration) or exchange.is_started:
                    raise
                self.respond_to_error(exchange, error)
        except BaseException as error:
            exchange.leave(error)
            raise
        is_needed = self.end_functions or self.close_functions or exchange.rest is not None
        return exchange if is_needed else exchange.body

    def forget_inherited(self, environ: WSGIEnvironment) -> None:
        """Granian begins each environ with the variables of the process."""
        for name, value in self.inherited.items():
            if environ.get(name) == value:
                del environ[name]

    def respond(self, exchange: Exchange, inner: WSGIApplication) -> None:
        environ = exchange.environ
        for identify in self.identify_functions:
            identify(environ)
        for begin in self.begin_functions:
            begin(environ)
        for respond in self.respond_functions:
            response = respond(environ)
            if response is not None:
                exchange.status, exchange.headers, exchange.body = response
                return
        exchange.body = inner(environ, exchange.hold_head)
        # While nothing is sent an exception can still become a response: so a body is asked for its
        # first piece before its head goes out. Its length does not tell whether it can fail.
        if not exchange.status or self.error_functions:
            exchange.ask_for_first()

    def respond_to_error(self, exchange: Exchange, error: Exception) -> None:
        """:raises Exception: the error, if nobody makes a response of it."""
        for respond in self.error_functions:
            response = respond(exchange.environ, error)
            if response is None:
                continue
            with contextlib.suppress(Exception):
                close(exchange.body)
            exchange.status, exchange.headers, exchange.body = response
            exchange.first, exchange.rest = b"", None
            exchange.send_head(is_after_error=True)
            return
        raise error


def is_misread(variable: str) -> bool:
    """Whether it is a header in an environ, or a name of ours. A Host is the request's own."""
    is_header = variable.startswith("HTTP_") and variable != "HTTP_HOST"
    return is_header or variable.islower()


def _register(functions: list[Any], function: Function) -> Function:
    functions.append(function)
    return function
