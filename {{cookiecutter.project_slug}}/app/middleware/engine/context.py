"""Which request is served now, and by what ids its line and the records of its time are known.

A context variable says it from a request's first phase to its last; in a thread that Flask's
copy_current_request_context feeds it is Flask's own request. g.request_id is the id of the request;
outside of requests it is whatever a job or command sets: g.request_id = "nightly-report".
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from flask import g, has_app_context, has_request_context, request

from .ids import accepted_request_id, new_ids, trace_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask import Flask, Request
    from flask.ctx import _AppCtxGlobals

    from .output import Output

CURRENT = "logging.current"  # in the environ

_current: ContextVar[Current | None] = ContextVar("current", default=None)


class Current:
    """A request that is being served."""

    request_id: str
    trace_id: str
    span_id: str | None = None
    request: Request | None = None  # Flask's, which takes itself out of the environ at its end
    in_g: dict[str, Any] | None = None  # what the view's g holds, when Flask has ended too
    outer: Current | None = None  # whose view asks its own application, or whose part this one is
    is_open = True
    is_quiet = False  # logged only if something is wrong

    def __init__(self, environ: WSGIEnvironment, output: Output) -> None:
        self.environ = environ
        self.output = output
        outer = _current.get()
        if outer is not None and outer.is_open:
            self.begin_within(outer)
        else:
            self.find_ids()
        environ[CURRENT] = self
        environ["request_id"] = self.request_id
        environ["trace_id"] = self.trace_id
        _current.set(self)

    def find_ids(self) -> None:
        new = new_ids()
        given = self.environ.get("HTTP_X_REQUEST_ID")
        self.request_id = (given and accepted_request_id(given)) or new[:32]
        parent = self.environ.get("HTTP_TRACEPARENT")
        self.trace_id = (parent and trace_of(parent)) or new[32:]

    def begin_within(self, outer: Current) -> None:
        is_part = outer.environ is self.environ  # this application is a part of another one
        if is_part or outer.outer is None:  # of views that ask themselves no chain is kept
            self.outer = outer
        if is_part:
            self.request_id, self.trace_id = outer.request_id, outer.trace_id
        else:
            self.find_ids()

    def end(self) -> None:
        self.is_open = False
        outer = self.outer if self.outer is not None and self.outer.is_open else None
        if outer is not None and outer.environ is self.environ:
            self.environ[CURRENT] = outer
        if _current.get() is self:
            _current.set(outer)
        self.environ, self.request, self.in_g = {}, None, None  # no circle for the collector

    def note_span(self) -> None:
        """Take the ids of OpenTelemetry's span, if there is one."""
        span = active_span()
        if span is not None:
            self.trace_id, self.span_id = span
            self.environ["trace_id"] = self.trace_id


def current() -> Current | None:
    """The request that is served here, if one is."""
    found = _current.get()
    if found is None and has_request_context():
        found = request.environ.get(CURRENT)
    return found


def current_ids() -> dict[str, str | None]:
    """request_id, trace_id and span_id, or None: what every record carries."""
    now = current()
    request_id = now.request_id if now is not None else None
    if has_app_context():
        request_id = g.get("request_id") or request_id
    trace_id, span_id = active_span() or (now.trace_id if now is not None else None, None)
    return {"request_id": request_id, "trace_id": trace_id, "span_id": span_id}


def of_module(module: str, name: str) -> Any:
    """None if the service does not use it, or another thread is just importing it."""
    return getattr(sys.modules.get(module), name, None)


def active_span() -> tuple[str, str] | None:
    """Trace and span of OpenTelemetry, if the service uses it."""
    get_span = of_module("opentelemetry.trace", "get_current_span")
    if get_span is None:
        return None
    context = get_span().get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


def note_spans(app: Flask) -> None:
    """Where OpenTelemetry is used, note the span of each request: it ends before the line is made.

    Called when a request comes in, since then all hooks have been registered, and the last one
    registered is the first one called.
    """
    if "opentelemetry.trace" in sys.modules:
        app.teardown_request_funcs.setdefault(None, []).append(_note_span)


def _note_span(error: BaseException | None) -> None:
    now = _current.get()
    if now is not None:
        now.note_span()


def tell_g(app: Flask) -> None:
    """Let `g` know the request's id, and be seen when Flask makes it: no hook is as sure."""
    app.app_ctx_globals_class = _told_of_requests(app.app_ctx_globals_class)


def _told_of_requests(base: type[_AppCtxGlobals]) -> type[_AppCtxGlobals]:
    class Globals(base):  # type: ignore[misc, valid-type]
        """As it was, and request_id."""

        def __init__(self) -> None:
            super().__init__()
            now = _current.get()
            if now is not None and now.in_g is None:
                now.in_g = self.__dict__
                now.request = now.environ.get("werkzeug.request")
                _tell_sentry(now.request_id)

        def __getattr__(self, name: str) -> Any:
            now = current() if name == "request_id" else None
            return now.request_id if now is not None else super().__getattr__(name)

        def get(self, name: str, default: Any = None) -> Any:
            if name == "request_id":
                return getattr(self, name, default)
            return super().get(name, default)

    return Globals


def _tell_sentry(request_id: str) -> None:
    """Name the request in Sentry's events, if the service uses it."""
    set_tag = of_module("sentry_sdk", "set_tag")
    if set_tag is not None:
        set_tag("request_id", request_id)
