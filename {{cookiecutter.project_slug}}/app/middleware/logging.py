"""Every request is one JSON line, written when its body ends; a log nobody reads stalls nothing.

Needs:  pip install "flask>=3.1,<4" "orjson>=3.10,<4"
Copy:   engine/ (pipeline, exchange, settings, context, ids, lines, destinations, output, paths,
        rendering, records, refusals, routes, shown_paths, tracebacks, writer)
Add:    configure_request_logging(app)

Key                Default  Meaning (unit)
-----------------  -------  ------------------------------------------------------------------------
LOG_FORMAT         "json"   "json", or "text": lines for people
LOG_LEVEL          "INFO"   from which level on the records of other loggers are written; the
                            requests' own lines always are
LOG_FILE           "-"      "-" is standard output; or a path, opened anew after a rotation
LOG_AT_ONCE        false    write each line when it is made, not gathered for 20 ms; true where
                            LOG_FORMAT is "text" or TESTING is true
LOG_SKIP           below    paths that are logged only if the response is not 2xx, or slow; by
                            default /health, /ready, METRICS_PATH
LOG_PATH           "path"   "rule": the route's rule, /reset/<token>, in place of the path
LOG_SLOW           0        from how many seconds on a request's line is a WARNING; 0: never
LOG_START          false    also write "request_started" when a request comes in
LOG_FIELDS         {}       other names for members of JSON lines: {"level": "severity"}
SECURITY_LOG_FILE  ""       "-" or a path: also gets the line, as JSON with an "event", of each 401,
                            403, 413, 429, and 400 for a host (once, if it is LOG_FILE's); "" is off

Every response carries X-Request-ID: the client's, if it matches [A-Za-z0-9._-]{8,64}, or a new one.
Others find the ids in environ["request_id"], environ["trace_id"], g.request_id and in every record
of the logging module, and name the caller of the line in g.client or environ["client"]. A job or a
command has an id too if it sets one: g.request_id = "nightly-report". Where OpenTelemetry has an
active span, its ids are the line's; Sentry's events have the tag request_id. Members of one's own:

    configure_request_logging(app, edit_line=name_tenant)

    def name_tenant(line, environ):  # may add members, change and delete them
        line["tenant"] = environ.get("tenant")

Nobody waits for the log. A reader that stalls costs lines, which are counted: "log_lines_dropped"
says how many as soon as there is room again. Lines are whole: in a pipe at most 4096 bytes, which
it takes at once or not at all, elsewhere 64 KB; longer members lose their middle ("truncated").
Standard output is the one at start: a replaced sys.stdout gets no line, except in tests. Records of
other loggers are lines too, unless a handler that writes to the console has them already.

Standards: W3C Trace Context, PEP 3333, OWASP Logging Cheat Sheet, OWASP ASVS 5.0 16.4.1
Version: 2.0.0
"""

from __future__ import annotations

if __name__ == "logging":  # every import of the standard library's logging would find this file
    raise ImportError(
        "logging.py hides the standard library's logging here: "
        "put it into a package (app/middleware/logging.py) or rename it to request_logging.py"
    )

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask

from .engine.context import CURRENT, Current, note_spans, tell_g
from .engine.output import Output, open_lines, read_names
from .engine.paths import read_exact_paths, read_metrics_path
from .engine.pipeline import pipeline_of
from .engine.records import write_records
from .engine.refusals import refusal_of
from .engine.rendering import MEMBERS, Fields, edited, from_client, timestamp
from .engine.routes import NO_ROUTE, hide_paths
from .engine.settings import (
    Config,
    is_missing,
    read_boolean,
    read_choice,
    read_seconds,
    refuse,
)
from .engine.shown_paths import IS_HIDDEN
from .engine.writer import write_before_signals

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from .engine.exchange import Exchange, Headers

    EditLine = Callable[[Fields, WSGIEnvironment], object]

FORMATS = ("json", "text")
LEVELS = ("INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL")
SKIPPED = ("/health", "/ready")


def configure_request_logging(app: Flask, edit_line: EditLine | None = None) -> None:
    """Give every response its X-Request-ID and every request its line.

    :param edit_line: is given the members of a request's line, and the environ.
    :raises ValueError: if a key is wrong or a file cannot be opened, with what to write instead.
    """
    log = app.extensions["request_logging"] = _RequestLog(app, edit_line)
    pipeline = pipeline_of(app)
    pipeline.on_begin(log.begin)
    pipeline.on_headers(log.add_request_id)
    pipeline.on_end(log.end)
    pipeline.on_close(log.close)


class _RequestLog:
    """The log of one application: where its lines go, and what is in them."""

    def __init__(self, app: Flask, edit_line: EditLine | None) -> None:
        config = self.config = app.config
        self.edit_line = edit_line
        quiet = (*SKIPPED, read_metrics_path(config))
        self.skipped = read_exact_paths(config, "LOG_SKIP", quiet)
        self.has_rules = read_choice(config, "LOG_PATH", ("path", "rule")) == "rule"
        self.slow = read_seconds(config, "LOG_SLOW", 0.0) or float("inf")
        self.has_starts = read_boolean(config, "LOG_START", default=False)
        if self.has_starts and self.has_rules:
            refuse("LOG_START", True, "and LOG_PATH rule: no route is known at the start", "false")

        self.output, self.security = _open_outputs(config)
        self.has_begun = False
        self.before_first_request = partial(note_spans, app)
        tell_g(app)
        if self.has_rules:
            hide_paths(app)
        write_records(app, self.output, read_choice(config, "LOG_LEVEL", LEVELS))

    def tell_drops(self, counter: Any) -> None:
        """:param counter: whose inc() is called for each line that found no room."""
        for output in (self.output, self.security or self.output):
            output.lines.told.add(counter)

    def begin(self, environ: WSGIEnvironment) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.before_first_request()
        if self.has_rules:
            environ[IS_HIDDEN] = True
        now = Current(environ, self.output)
        now.is_quiet = environ.get("PATH_INFO") in self.skipped  # before a dispatcher changes it
        if self.has_starts and not now.is_quiet:
            fields = {"time": timestamp(time.time()), "level": "INFO", "message": "request_started"}
            method = from_client(environ["REQUEST_METHOD"])
            fields |= {"request_id": now.request_id, "method": method}
            self.output.write_request(fields | {"path": _path(environ)})

    def add_request_id(self, environ: WSGIEnvironment, status: str, headers: Headers) -> None:
        for name, _ in headers:
            if name.lower() == "x-request-id":
                headers[:] = [header for header in headers if header[0].lower() != "x-request-id"]
                break
        request_id = environ.get("request_id") or self.current(environ).request_id
        headers.append(("X-Request-ID", request_id))

    def end(self, exchange: Exchange) -> None:
        environ = exchange.environ
        try:
            now = self.current(environ)
            fields = self.fields(exchange, now)
            if now.is_quiet and _is_fine(fields):
                return
            event = self.event_of(environ, fields["status"]) if self.security else None
            if event is None and self.edit_line is None:
                self.output.note_request(self.line, fields)
            else:
                self.write(environ, fields, event)
        except Exception:  # something odd in the environ or in g: the request goes on
            self.output.drop()

    def line(self, fields: Fields) -> bytes:
        """Called 20 ms later, when environ and g are others'."""
        fields["time"] = timestamp(fields["time"])
        return self.output.request_line(fields)

    def close(self, exchange: Exchange) -> None:
        now = exchange.environ.get(CURRENT)
        if now is not None:
            now.end()

    def current(self, environ: WSGIEnvironment) -> Current:
        """A new one if something failed before ours could begin."""
        return environ.get(CURRENT) or Current(environ, self.output)

    def event_of(self, environ: WSGIEnvironment, status: int) -> Fields | None:
        return refusal_of(environ, status, self.config.get("TRUSTED_HOSTS"))

    def fields(self, exchange: Exchange, now: Current) -> Fields:
        environ, status = exchange.environ, exchange.status_code
        method = from_client(environ.get("REQUEST_METHOD"))
        client = environ.get("client") or (now.in_g or {}).get("client")
        rule = getattr(now.request, "url_rule", None)
        seconds = time.perf_counter() - exchange.began
        fields = {
            "time": time.time(),
            "level": "INFO" if seconds < self.slow else "WARNING",
            "message": "request_completed",
            "request_id": now.request_id,
            "method": method,
            "path": (rule.rule if rule else NO_ROUTE) if self.has_rules else _path(environ),
            "status": status,
            "duration_ms": int(seconds * 100_000) / 100,
            "bytes": 0 if method == "HEAD" or status in (204, 304) else exchange.sent,
            "remote_addr": from_client(environ.get("REMOTE_ADDR")),
            "user_agent": from_client(environ.get("HTTP_USER_AGENT")),
            "endpoint": rule and rule.endpoint,
            "trace_id": now.trace_id,
            "client": client if isinstance(client, str) else None,
            "outcome": exchange.outcome if exchange.status else "failed",
        }
        return fields | {"span_id": now.span_id} if now.span_id else fields

    def write(self, environ: WSGIEnvironment, fields: Fields, event: Fields | None) -> None:
        """:param event: what the security log says of it, if it belongs there."""
        fields["time"] = timestamp(fields["time"])
        if self.edit_line is not None:
            fields = edited(fields, environ, self.edit_line)
        if event is None or self.security is not self.output:
            self.output.write_request(fields)
        if event is not None and self.security is not None:
            self.security.write_request(fields | event)


def _open_outputs(config: Config) -> tuple[Output, Output | None]:
    """Where the lines go, and where those for a security person."""
    is_text = read_choice(config, "LOG_FORMAT", FORMATS) == "text"
    is_test = bool(config.get("TESTING"))
    at_once = read_boolean(config, "LOG_AT_ONCE", default=is_text or is_test)
    names = read_names(config, "LOG_FIELDS", MEMBERS)
    if not at_once:
        write_before_signals()

    path = "-" if is_missing(config.get("LOG_FILE")) else config["LOG_FILE"]
    output = Output(open_lines("LOG_FILE", path, is_test), at_once, is_text, names)
    security = config.get("SECURITY_LOG_FILE")
    if is_missing(security):
        return output, None
    lines = output.lines if security == path else open_lines("SECURITY_LOG_FILE", security, is_test)
    is_same = lines is output.lines  # then there is one line for both
    return output, output if is_same else Output(lines, at_once, names=names)


def _path(environ: WSGIEnvironment) -> str:
    path: str = from_client(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))
    return path


def _is_fine(fields: Fields) -> bool:
    is_success = 200 <= fields["status"] < 300 and fields["outcome"] == "complete"
    return is_success and bool(fields["level"] == "INFO")
