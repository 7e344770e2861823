"""Every request is one JSON line, written when its body ends; a log nobody reads stalls nothing.

Needs:  pip install "flask>=3.1,<4" "orjson>=3.10,<4"
Copy:   engine/ (pipeline, exchange, settings, context, ids, lines, destinations, output, rendering,
        records, tracebacks)
Add:    configure_request_logging(app)

Key                Default  Meaning (unit)
-----------------  -------  ------------------------------------------------------------------------
LOG_FORMAT         "json"   "json", or "text": lines for people
LOG_LEVEL          "INFO"   from which level on the records of other loggers are written; the
                            requests' own lines always are
LOG_FILE           "-"      "-" is standard output; or a path, opened anew after a rotation
LOG_AT_ONCE        false    write each line when it is made, not gathered for 20 ms; true where
                            LOG_FORMAT is "text" or TESTING is true
SECURITY_LOG_FILE  ""       "-" or a path: also gets the line, as JSON with an "event", of each 401,
                            403, 413, 429, and 400 for a host (once, if it is LOG_FILE's); "" is off

Every response carries X-Request-ID: the client's, if it matches [A-Za-z0-9._-]{8,64}, or a new one.
Others find the ids in environ["request_id"], environ["trace_id"], g.request_id and in every record
of the logging module, and name the caller of the line in g.client or environ["client"]. A job or a
command has an id too if it sets one: g.request_id = "nightly-report". Where OpenTelemetry has an
active span, its ids are the line's; Sentry's events have the tag request_id.

Nobody waits for the log. A reader that stalls costs lines, which are counted: "log_lines_dropped"
says how many as soon as there is room again. Lines are whole: in a pipe at most 4096 bytes, which
it takes at once or not at all, elsewhere 64 KB; longer members lose their middle ("truncated":
true). Standard output is the one at start: a replaced sys.stdout gets no line, except in tests.

Records of other loggers are written the same way, with their extra members, unless a handler that
writes to the console has them already.

Standards: W3C Trace Context, PEP 3333, OWASP Logging Cheat Sheet, OWASP ASVS 5.0 16.4.1
Version: 2.0.0
"""

from __future__ import annotations

if __name__ == "logging":  # every import of the standard library's logging would find this file
    raise ImportError(
        "logging.py hides the standard library's logging here: "
        "put it into a package (app/middleware/logging.py) or rename it to request_logging.py"
    )

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.exceptions import SecurityError
from werkzeug.wsgi import get_host

from .engine.context import CURRENT, Current, note_spans, tell_g
from .engine.lines import (
    Lines,
    lines_to_file,
    lines_to_standard_output,
    write_before_sigterm,
)
from .engine.output import Output
from .engine.pipeline import pipeline_of
from .engine.records import write_records
from .engine.rendering import Fields, timestamp
from .engine.settings import Config, is_missing, read_boolean, read_choice, refuse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from .engine.exchange import Exchange, Headers

FORMATS = ("json", "text")
LEVELS = ("INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL")
EVENTS = {401: "authn_failed", 403: "authz_denied", 413: "body_refused", 429: "rate_limited"}


def configure_request_logging(app: Flask) -> None:
    """Give every response its X-Request-ID and every request its line.

    :raises ValueError: if a key is wrong or a file cannot be opened, with what to write instead.
    """
    log = _RequestLog(app)
    pipeline = pipeline_of(app)
    pipeline.on_begin(log.begin)
    pipeline.on_headers(log.add_request_id)
    pipeline.on_end(log.end)
    pipeline.on_close(log.close)


class _RequestLog:
    """The log of one application: where its lines go, and what is in them."""

    def __init__(self, app: Flask) -> None:
        config = self.config = app.config
        is_text = read_choice(config, "LOG_FORMAT", FORMATS) == "text"
        level = read_choice(config, "LOG_LEVEL", LEVELS)
        is_test = bool(config.get("TESTING"))
        at_once = read_boolean(config, "LOG_AT_ONCE", default=is_text or is_test)

        path = "-" if is_missing(config.get("LOG_FILE")) else config["LOG_FILE"]
        lines = _open(config, "LOG_FILE", path)
        self.output = Output(lines, at_once, is_text)
        security_path = config.get("SECURITY_LOG_FILE")
        self.security: Output | None = None
        if security_path == path:  # one line for both
            self.security = self.output
        elif not is_missing(security_path):
            self.security = Output(_open(config, "SECURITY_LOG_FILE", security_path), at_once)

        if not at_once:
            write_before_sigterm()
        self.has_begun = False
        self.before_first_request = partial(note_spans, app)
        tell_g(app)
        write_records(app, self.output, level)

    def begin(self, environ: WSGIEnvironment) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.before_first_request()
        Current(environ, self.output)

    def add_request_id(self, environ: WSGIEnvironment, status: str, headers: Headers) -> None:
        for name, _ in headers:
            if name.lower() == "x-request-id":
                headers[:] = [header for header in headers if header[0].lower() != "x-request-id"]
                break
        request_id = environ.get("request_id") or self.current(environ).request_id
        headers.append(("X-Request-ID", request_id))

    def end(self, exchange: Exchange) -> None:
        try:
            self.write(exchange.environ, self.fields(exchange))
        except Exception:  # something odd in the environ or in g: the request goes on
            self.output.drop()

    def close(self, exchange: Exchange) -> None:
        now = exchange.environ.get(CURRENT)
        if now is not None:
            now.end()

    def current(self, environ: WSGIEnvironment) -> Current:
        """A new one if something failed before ours could begin."""
        return environ.get(CURRENT) or Current(environ, self.output)

    def fields(self, exchange: Exchange) -> Fields:
        environ, status = exchange.environ, exchange.status_code
        now = self.current(environ)
        method = environ.get("REQUEST_METHOD")
        client = environ.get("client") or (now.in_g or {}).get("client")
        rule = getattr(now.request, "url_rule", None)
        fields = {
            "time": timestamp(time.time()),
            "level": "INFO",
            "message": "request_completed",
            "request_id": now.request_id,
            "method": method,
            "path": environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
            "status": status,
            "duration_ms": int((time.perf_counter() - exchange.began) * 100_000) / 100,
            "bytes": 0 if method == "HEAD" or status in (204, 304) else exchange.sent,
            "remote_addr": environ.get("REMOTE_ADDR"),
            "user_agent": environ.get("HTTP_USER_AGENT"),
            "endpoint": rule and rule.endpoint,
            "trace_id": now.trace_id,
            "client": client if isinstance(client, str) else None,
            "outcome": exchange.outcome if exchange.status else "failed",
        }
        return fields | {"span_id": now.span_id} if now.span_id else fields

    def write(self, environ: WSGIEnvironment, fields: Fields) -> None:
        event = None
        if self.security is not None:
            event = _security_event(environ, fields["status"], self.config)
        if self.security is None or event is None:
            self.output.write_request(fields)
            return
        if self.security is not self.output:
            self.output.write_request(fields)
        self.security.write_request(fields | event)


def _open(config: Config, key: str, path: object) -> Lines:
    if path == "-":
        return lines_to_standard_output(is_test=bool(config.get("TESTING")))
    example = "- or /var/log/service.log"
    if not isinstance(path, str | os.PathLike):
        refuse(key, path, "is not a path", example)
    try:
        return lines_to_file(os.fspath(path))
    except (OSError, ValueError) as error:  # ValueError: a null character
        why = getattr(error, "strerror", error)
        refuse(key, path, f"is not a file that can be written to ({why})", example)


def _security_event(environ: WSGIEnvironment, status: int, config: Config) -> Fields | None:
    """What a security person looks for: set by whoever refused, else told from the status."""
    event = environ.get("security_event")
    if event is not None:
        return {key: str(value) for key, value in event.items()}
    if status == 400:
        trusted = config.get("TRUSTED_HOSTS") or None
        try:
            get_host(environ, trusted.split(",") if isinstance(trusted, str) else trusted)
        except SecurityError:
            return {"event": "host_refused"}
    return {"event": EVENTS[status]} if status in EVENTS else None
