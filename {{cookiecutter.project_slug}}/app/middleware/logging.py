"""Every request is one JSON line, written when its body ends; a log nobody reads stalls nothing.

Needs:  pip install "flask>=3.1,<4" "orjson>=3.10,<4"
Add:    configure_request_logging(app)

Key                Default  Meaning (unit)
-----------------  -------  ------------------------------------------------------------------------
LOG_FORMAT         "json"   "json", or "text": lines for people
LOG_LEVEL          "INFO"   from which level on the records of other loggers are written; the
                            requests' own lines always are
LOG_FILE           "-"      "-" is standard output; or a path, opened anew after a rotation
SECURITY_LOG_FILE  ""       "-" or a path: also gets the line, as JSON with an "event", of each 401,
                            403, 413, 429, and 400 for a host (once, if it is LOG_FILE's); "" is off

Every answer carries X-Request-ID: the client's if it matches [A-Za-z0-9._-]{8,64}, else a new one.
Others find the ids in environ["request_id"], environ["trace_id"], g.request_id and in every record
of the logging module, and name the caller of the line in g.client or environ["client"].

A JSON line is at most 4096 bytes, which a pipe takes whole or not at all (longer fields lose their
middle: "truncated": true), and nobody waits for it: a line that finds no room is dropped and
counted, and "log_lines_dropped" says how many as soon as there is room again.

Records of other loggers are written the same way, unless a handler is configured already.
A layer around app.wsgi_app, not after_request: a hook can be skipped and ends before a stream does.

Standards: W3C Trace Context, PEP 3333, OWASP Logging Cheat Sheet, OWASP ASVS 5.0 16.4.1
Version: 1.0.0
"""

from __future__ import annotations

if __name__ == "logging":  # every import of the standard library's logging would find this file
    raise ImportError(
        "logging.py hides the standard library's logging here: "
        "put it into a package (app/middleware/logging.py) or rename it to request_logging.py"
    )

import atexit
import contextlib
import errno
import json
import logging
import os
import re
import select
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import orjson
from flask import Flask, g, has_app_context
from flask.logging import default_handler
from werkzeug.exceptions import SecurityError
from werkzeug.wsgi import get_host

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask.ctx import _AppCtxGlobals

Fields = dict[str, Any]

MAX_LINE = 4096  # bytes: PIPE_BUF, up to which a write to a pipe is never torn
MAX_TEXT = 16384  # bytes: a traceback for people
MAX_FIELD = 1024  # characters of a field that a client sends
STDOUT = 1  # the descriptor
RETRY_SECONDS = 0.25  # between two tries to log how many lines were dropped
OPEN_FLAGS = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)

MILLISECONDS = [f".{n:03d}Z" for n in range(1000)]

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
# Version ff is invalid, 00 ends after the flags, a later one may go on after a dash; no id is zero.
TRACEPARENT = re.compile(
    r"(?!ff|00[^,]{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[^,]*)?"
)
COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")

FORMATS = ("json", "text")
LEVELS = ("INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL")
CLIENTS_FIELDS = ("method", "path", "remote_addr", "user_agent")
EVENTS = {401: "authn_failed", 403: "authz_denied", 413: "body_refused", 429: "rate_limited"}

_unused_ids: list[str] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unused_ids.clear)  # or both would hand out the same ones
_formatted = (-1, "")  # a second as a timestamp has it
_current: ContextVar[_Exchange | None] = ContextVar("current", default=None)


def configure_request_logging(app: Flask) -> None:
    """Give every answer its X-Request-ID and every request its line.

    :raises ValueError: if a key is wrong or a file cannot be opened, with what to write instead.
    """
    style = _choice(app, "LOG_FORMAT", FORMATS)
    level = _choice(app, "LOG_LEVEL", LEVELS)
    output = _Output(_open_sink("LOG_FILE", app.config.get("LOG_FILE") or "-"), style)
    path = app.config.get("SECURITY_LOG_FILE")
    security = _Output(_open_sink("SECURITY_LOG_FILE", path)) if path else None
    app.wsgi_app = _Layer(app, output, security)  # type: ignore[method-assign]
    app.app_ctx_globals_class = _told_of_requests(app.app_ctx_globals_class)
    _write_other_records(app, output, level)


def _choice(app: Flask, key: str, choices: tuple[str, ...]) -> str:
    value = app.config.get(key) or choices[0]
    for choice in choices:
        if str(value).lower() == choice.lower():
            return choice
    raise ValueError(f"{key}: {value!r} is not known; write one of {', '.join(choices)}")


def _open_sink(key: str, path: str) -> _Sink:
    if path == "-":
        return _sink("-")  # opened at its first line: a service without standard output starts too
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{key}: {path!r} is not a path; write - or /var/log/service.log")
    sink = _sink(os.path.abspath(path))
    try:
        sink.open()
    except OSError as error:
        if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(path).st_mode):
            # but a FIFO that nobody reads yet may be read later
            raise ValueError(
                f"{key}: {path!r} cannot be opened ({error.strerror}); "
                "write - or a file in an existing folder that this user may write to"
            ) from None
    return sink


def _told_of_requests(base: type[_AppCtxGlobals]) -> type[_AppCtxGlobals]:
    class Globals(base):  # type: ignore[misc, valid-type]
        """`g` as it was, that also knows the request's id, and is seen when Flask makes it.

        A hook would cost 1 us more; and when the answer starts Flask may have ended already.
        """

        def __init__(self) -> None:
            super().__init__()
            exchange = _current.get()
            if exchange is not None and exchange.request is None:
                exchange.request = exchange.environ.get("werkzeug.request")
                exchange.in_g = self.__dict__

        def __getattr__(self, name: str) -> Any:
            exchange = _current.get() if name == "request_id" else None
            return exchange.request_id if exchange is not None else super().__getattr__(name)

        def get(self, name: str, default: Any = None) -> Any:
            if name == "request_id":
                return getattr(self, name, default)
            return super().get(name, default)

    return Globals


# -- the layer ------------------------------------------------------------------------------------


class _Layer:
    """Around the application: each request becomes an _Exchange."""

    def __init__(self, app: Flask, output: _Output, security: _Output | None) -> None:
        self.wsgi_app: WSGIApplication = app.wsgi_app
        self.output = output
        self.security = security
        self.config = app.config
        self.served = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self.served:  # by now a host application has configured its handlers, if it does
            self.served = True
            _give_records_their_ids()
        exchange = _Exchange(self, environ, start_response)
        try:
            exchange.body = self.wsgi_app(environ, exchange.start)
        except BaseException:
            exchange.end("failed")
            exchange.close()
            raise
        return exchange

    def write(self, environ: WSGIEnvironment, fields: Fields) -> None:
        event = None
        if self.security is not None:
            event = _security_event(environ, fields["status"], self.config)
        if self.security is None or event is None:
            self.output.write_request(fields)
        elif self.security.sink is self.output.sink:  # one line all the same
            self.output.write_request(fields | event)
        else:
            self.output.write_request(fields)
            self.security.write_request(fields | event)


class _Exchange:
    """A request and its answer: passes the body on, sees how it ends, and writes the line then."""

    def __init__(
        self, layer: _Layer, environ: WSGIEnvironment, start_response: StartResponse
    ) -> None:
        self.began = time.perf_counter()
        self.open = True
        self.layer = layer
        self.environ = environ
        self.start_response = start_response
        self.body: Iterable[bytes] = ()
        self.status = ""
        self.sent = 0
        self.in_g: Fields = {}
        self.request: Any = None
        new = _new_ids()
        given, parent = environ.get("HTTP_X_REQUEST_ID"), environ.get("HTTP_TRACEPARENT")
        self.request_id = given if given and REQUEST_ID.fullmatch(given) else new[:32]
        self.trace_id = (parent and _trace_id(parent)) or new[32:]
        environ["request_id"] = self.request_id
        environ["trace_id"] = self.trace_id
        outer = _current.get()  # of a view that asks its own application; no longer chain is kept
        nested = outer is not None and outer.open and outer.outer is None
        self.outer: _Exchange | None = outer if nested else None
        _current.set(self)

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], object]:
        for name, _ in headers:
            if name.lower() == "x-request-id":
                headers = [header for header in headers if header[0].lower() != "x-request-id"]
                break
        headers = [*headers, ("X-Request-ID", self.request_id)]
        if exc_info is None:
            self.server_write = self.start_response(status, headers)
        else:
            self.server_write = self.start_response(status, headers, exc_info)
        self.status, self.headers = status, headers  # not if the server raised: the first ones stay
        if self.request is None and has_app_context():  # of an application without our Globals
            self.request = self.environ.get("werkzeug.request")
            self.in_g = getattr(g._get_current_object(), "__dict__", {})
        return self.write

    def write(self, data: bytes) -> object:
        self.sent += len(data)
        return self.server_write(data)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self.body:
                self.sent += len(chunk)
                yield chunk
        except GeneratorExit:  # the server stopped asking; close() tells why
            raise
        except BaseException:
            self.end("failed")
            raise
        self.end("complete")

    def close(self) -> None:
        try:
            close = getattr(self.body, "close", None)
            if close is not None:
                close()
        finally:
            if self.open:
                self.end("complete" if self.is_whole() else "aborted")
            if _current.get() is self:
                _current.set(self.outer if self.outer is not None and self.outer.open else None)

    def is_whole(self) -> bool:
        """Whether an answer that was not read to its end was sent: some servers ask for no more."""
        if not self.status or sys.exc_info()[0] is not None:  # in a `finally`: sending failed
            return False
        if self.environ.get("REQUEST_METHOD") == "HEAD" or self.status[:3] in ("204", "304"):
            return True
        return ("content-length", str(self.sent)) in [(n.lower(), v) for n, v in self.headers]

    def end(self, outcome: str) -> None:
        """Write the line, once."""
        if not self.open:
            return
        self.open = False
        try:
            self.layer.write(self.environ, self.fields(outcome))
        except Exception:  # something odd in the environ or in g: the request goes on
            self.layer.output.sink.drop()

    def fields(self, outcome: str) -> Fields:
        environ = self.environ
        status = int(self.status[:3]) if self.status[:3].isdecimal() else 500
        if outcome == "failed" and not self.sent:
            status = 500  # what the server answers then
        method = environ.get("REQUEST_METHOD")
        client = environ.get("client")
        if client is None:
            client = self.in_g.get("client")
        rule = getattr(self.request, "url_rule", None)
        return {
            "time": _timestamp(time.time()),
            "level": "INFO",
            "message": "request_completed",
            "request_id": self.request_id,
            "method": method,
            "path": environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
            "status": status,
            "duration_ms": int((time.perf_counter() - self.began) * 100_000) / 100,
            "bytes": 0 if method == "HEAD" or status in (204, 304) else self.sent,
            "remote_addr": environ.get("REMOTE_ADDR"),
            "user_agent": environ.get("HTTP_USER_AGENT"),
            "endpoint": rule and rule.endpoint,
            "trace_id": self.trace_id,
            "client": client if isinstance(client, str) else None,
            "outcome": outcome if self.status else "failed",
        }


def _new_ids() -> str:
    """64 hexadecimal digits: a request's id and its trace's.

    From the system for 64 requests at once: a call for each takes 0.5 us more, uuid4 3 us.
    """
    try:
        return _unused_ids.pop()
    except IndexError:
        digits = os.urandom(64 * 32).hex()
        new, *others = (digits[at : at + 64] for at in range(0, len(digits), 64))
        _unused_ids.extend(others)
        return new


def _trace_id(traceparent: str) -> str | None:
    """The trace that the client asks to be a part of, if it asks as W3C says."""
    match = TRACEPARENT.fullmatch(traceparent.strip(" \t"))
    return match[1] if match else None


def _security_event(environ: WSGIEnvironment, status: int, config: dict[str, Any]) -> Fields | None:
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


# -- lines ----------------------------------------------------------------------------------------


class _Output:
    """A sink and how its lines look."""

    def __init__(self, sink: _Sink, style: str = "json") -> None:
        self.sink = sink
        self.render, self.size = _json, MAX_LINE
        if style == "text":
            colours = sink.is_terminal() and "NO_COLOR" not in os.environ
            self.render, self.size = partial(_text, colours=colours), MAX_TEXT

    def write(self, fields: Fields) -> None:
        self.sink.write(_fit(fields, self.render, self.size))

    def write_request(self, fields: Fields) -> None:
        """The same, of fields that a client chose."""
        if self.render is _json:
            try:
                line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
            except TypeError:  # a call more takes 0.2 us
                line = _json(fields)
            # One look at the whole line, not at each field, for what needs care: saves 1 us.
            if len(line) < 2048 and line.isascii() and b"\\" not in line and b"\x7f" not in line:
                self.sink.write(line)
                return
        self.write(_harmless(fields))


def _harmless(fields: Fields) -> Fields:
    cut = {"truncated": True} if any(len(str(text)) > MAX_FIELD for text in fields.values()) else {}
    from_client = {key: _from_client(fields[key]) for key in CLIENTS_FIELDS}
    return {
        key: _printable(value[:MAX_FIELD]) if isinstance(value, str) else value
        for key, value in (fields | from_client | cut).items()
    }


def _json(fields: Fields) -> bytes:
    try:
        return orjson.dumps(fields, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a lone surrogate, or an integer of more than 64 bits
        return json.dumps(fields, default=str).encode() + b"\n"


def _text(fields: Fields, colours: bool) -> bytes:
    """For people: a clock and what happened; what needs more lines is indented below."""
    clock = time.strftime("%H:%M:%S") + fields["time"][19:23]
    if "method" not in fields:
        words = [clock, fields["level"], f"{fields['logger']}:", fields["message"]]
        words += [f"[{fields['request_id']}]"] if fields["request_id"] else []
        words += [f"\n{fields['exception']}"] if "exception" in fields else []
        return (" ".join(words).replace("\n", "\n    ") + "\n").encode(errors="replace")
    status = str(fields["status"])
    if colours:
        colour = {"2": 32, "3": 36, "4": 33}.get(status[0], 31)
        status = f"\x1b[{colour}m{status}\x1b[0m"
    method, path = (fields[name].replace(" ", "%20") for name in ("method", "path"))
    words = [clock, method, path, status]
    words += [f"{fields['duration_ms']} ms", f"{fields['bytes']} B", fields["request_id"]]
    words += [f"client={fields['client']!r}"] if fields["client"] else []
    words += [fields["outcome"]] if fields["outcome"] != "complete" else []
    words += [fields["event"]] if "event" in fields else []
    return (" ".join(words) + "\n").encode()


def _fit(fields: Fields, render: Callable[[Fields], bytes], size: int) -> bytes:
    """Render in at most so many bytes: long fields lose their middle."""
    line, limit = render(fields), size
    while len(line) > size and limit:
        limit = limit * 3 // 4
        fields = {key: _cut(value, limit) for key, value in fields.items()} | {"truncated": True}
        line = render(fields)
    return line


def _cut(value: Any, limit: int) -> Any:
    if not isinstance(value, str) or len(value) <= limit:
        return value
    return f"{value[: limit // 4]}...{value[len(value) - limit * 3 // 4 :]}"


def _from_client(text: str | None) -> str | None:
    """A WSGI string, which is bytes as latin-1, as the client meant it."""
    raw = text and text[:MAX_FIELD].encode("latin-1", "backslashreplace")
    return raw.decode("utf-8", "replace") if raw else text


def _printable(text: str, keep: str = "") -> str:
    """Escape what could forge a line or its look: controls, separators, bidirectional marks."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def _timestamp(now: float) -> str:
    """2026-01-02T03:04:05.678Z; formatted once a second: saves 2 us over datetime.isoformat()."""
    global _formatted
    second, text = _formatted
    if int(now) != second:
        second = int(now)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _formatted = second, text  # at once: other threads read it
    return text + MILLISECONDS[int((now - second) * 1000)]


# -- where lines go -------------------------------------------------------------------------------


@cache
def _sink(target: str) -> _Sink:
    """One for each file in a process: applications that share it share its count of drops."""
    return _Sink(target)


class _Sink:
    """Writes each line at once, whole and without waiting, or drops and counts it."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.fd = -1
        self.opened = False
        self.send: Callable[[bytes], int] = self.open_and_send
        self.looked = 0
        self.torn = False
        self.reset()
        atexit.register(self.report)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.reset)  # the parent's drops are the parent's

    def reset(self) -> None:
        self.lock = threading.RLock()  # a replaced sys.stdout may log again
        self.dropped = 0
        self.retrying = False

    def write(self, line: bytes) -> None:
        if not self.dropped or self.report():
            try:
                if self.fd >= 0:
                    if int(time.time()) != self.looked:
                        self.follow_rotation()
                elif sys.stdout is not sys.__stdout__ and self.is_captured():
                    sys.stdout.write(line.decode())
                    sys.stdout.flush()
                    return
                if self.torn:  # a full disk took a part: end that line
                    line = b"\n" + line
                self.torn = self.send(line) < len(line)
                if not self.torn:
                    return
            except Exception:  # noqa: S110 - whatever is wrong with the log, the request goes on
                pass
        self.drop()

    def drop(self) -> None:
        with self.lock:
            self.dropped += 1
            if self.retrying:
                return
            self.retrying = True
        try:
            threading.Thread(target=self.retry, name="log-lines-dropped", daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter is ending: atexit reports
            self.retrying = False

    def retry(self) -> None:
        while True:
            time.sleep(RETRY_SECONDS)
            with self.lock:
                if self.report():
                    self.retrying = False
                    return

    def report(self) -> bool:
        """Log how many lines were dropped.

        :returns: False if that could not be written either.
        """
        with self.lock:
            count, self.dropped = self.dropped, 0
            if count:
                now = {"time": _timestamp(time.time()), "level": "WARNING"}
                self.write(_json(now | {"message": "log_lines_dropped", "dropped": count}))
                if self.dropped:  # this line: it takes no part in the count
                    self.dropped = count
            return not self.dropped

    def open(self) -> None:
        with self.lock:
            if self.opened:
                return
            if self.target == "-":
                if sys.__stdout__ is None:  # closed at start: the descriptor is somebody else's now
                    raise OSError
                self.send = _never_waiting(STDOUT)
            else:
                self.fd = self.open_file()
                self.send = partial(os.write, self.fd)
            self.opened = True

    def open_and_send(self, line: bytes) -> int:
        self.open()
        return self.send(line)

    def open_file(self) -> int:
        return os.open(self.target, OPEN_FLAGS | os.O_APPEND | os.O_CREAT, 0o640)

    def follow_rotation(self) -> None:
        """Open the file anew if another one, or none, has its name; look once a second."""
        self.looked = int(time.time())
        with contextlib.suppress(OSError):  # else go on with the old one
            exists = os.path.exists(self.target)
            if not exists or not os.path.samestat(os.stat(self.target), os.fstat(self.fd)):
                new = self.open_file()
                os.dup2(new, self.fd, inheritable=False)  # other threads may be writing to it
                os.close(new)

    def is_terminal(self) -> bool:
        return self.target == "-" and sys.stdout is not None and sys.stdout.isatty()

    def is_captured(self) -> bool:
        """Whether a test, say, reads sys.stdout; one that only wraps the descriptor may wait."""
        try:
            return self.target == "-" and sys.stdout.fileno() != STDOUT
        except (AttributeError, OSError, ValueError):
            return True


def _never_waiting(fd: int) -> Callable[[bytes], int]:
    """A way to write to a descriptor without waiting, that changes no flag others see.

    Flags belong to the open file that the descriptor shares with other processes, so a pipe is
    opened anew where that is possible.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode) or os.name == "nt":
        return partial(os.write, fd)
    if stat.S_ISSOCK(mode):  # systemd's journal
        journal = socket.socket(fileno=os.dup(fd))
        return lambda line: journal.send(line, socket.MSG_DONTWAIT)
    try:
        own = os.open(f"/proc/self/fd/{fd}", OPEN_FLAGS)
    except OSError:
        return partial(_write_if_ready, fd)
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        # Room for some 2,500 lines while a reader rests, instead of 150.
        fcntl.fcntl(own, fcntl.F_SETPIPE_SZ, 1 << 20)
    return partial(os.write, own)


def _write_if_ready(fd: int, line: bytes) -> int:
    if not select.select([], [fd], [], 0)[1]:
        raise BlockingIOError
    return os.write(fd, line)


# -- the records of other loggers -----------------------------------------------------------------


def _write_other_records(app: Flask, output: _Output, level: str) -> None:
    """Write them as lines too, if the application that this file was copied into has no handler."""
    logging.getLogger("werkzeug").addFilter(_is_no_access_line)
    logger = logging.getLogger(app.name)
    if all(handler is default_handler for handler in (*logging.root.handlers, *logger.handlers)):
        logger.removeHandler(default_handler)
        logging.root.addHandler(_RecordHandler(output))
        logging.root.setLevel(level)
    _give_records_their_ids()


def _is_no_access_line(record: logging.LogRecord) -> bool:
    """The development server's own line for each request: that one is logged already."""
    return not str(record.msg).endswith('"%s" %s %s')


def _give_records_their_ids() -> None:
    """A filter on every handler, as a record factory would make extra={"request_id": ...} raise."""
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):
            handler.addFilter(_carry_ids)


def _carry_ids(record: logging.LogRecord) -> bool:
    exchange = _current.get()
    for name in ("request_id", "trace_id"):
        if getattr(record, name, None) is None:
            setattr(record, name, getattr(exchange, name, None))
    return True


class _RecordHandler(logging.Handler):
    """Renders records as the requests' lines are."""

    def __init__(self, output: _Output) -> None:
        super().__init__()
        self.output = output
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            exchange = _current.get()
            output = exchange.layer.output if exchange is not None else self.output
            output.write(self.fields(record))
        except Exception:
            self.handleError(record)

    def fields(self, record: logging.LogRecord) -> Fields:
        fields = {
            "time": _timestamp(record.created),
            "level": record.levelname,
            "message": _readable(record.getMessage()),
            "logger": record.name,
            "request_id": getattr(record, "request_id", None),
            "trace_id": getattr(record, "trace_id", None),
        }
        if record.exc_info and record.exc_info[0]:
            assert self.formatter  # noqa: S101
            fields["exception"] = _readable(self.formatter.formatException(record.exc_info))
        return fields


def _readable(text: str) -> str:
    return _printable(COLOUR_CODES.sub("", _cut(text, 4 * MAX_LINE)), keep="\n\t")
