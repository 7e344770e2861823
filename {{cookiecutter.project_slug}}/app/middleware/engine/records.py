"""The records of other loggers: each carries the ids of its request, and becomes a line.

A record's extra={...} and stack_info become members of its line, and never replace ours. A record
is left to others if a handler that writes to the console handles it: nothing appears there twice,
and handlers that send records elsewhere (OpenTelemetry, Sentry, a file) silence nothing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

from flask import Flask
from flask.logging import default_handler

from .context import current, current_ids
from .destinations import LONGEST
from .output import Output
from .rendering import (
    IDS,
    RECORD_MEMBERS,
    Fields,
    add_members,
    as_member,
    as_name,
    cut,
    readable,
    timestamp,
)
from .tracebacks import Traceback

STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", *IDS}


def write_records(app: Flask, output: Output, level: str) -> None:
    """Write the records of this process as lines.

    :param level: from which on, for example "INFO".
    """
    number = getattr(logging, level)
    logging.getLogger("werkzeug").addFilter(_is_no_access_line)
    logging.getLogger(app.name).removeHandler(default_handler)
    _add_handler()
    if not any(_is_console(handler) for handler in logging.root.handlers):
        logging.root.setLevel(min(number, logging.root.level))
    _handler.output, output.level = output, number
    _give_records_their_ids()


def _add_handler() -> None:
    if _handler not in logging.root.handlers:
        logging.root.addHandler(_handler)


def _is_no_access_line(record: logging.LogRecord) -> bool:
    """The development server's own line for each request: that one is logged already."""
    return not str(record.msg).endswith('"%s" %s %s')


# -- ids -------------------------------------------------------------------------------------------


class _Members(dict[str, Any]):
    """A record's members: extra={"request_id": ...} may replace the ids that we have set."""

    def __contains__(self, name: object) -> bool:
        return name not in IDS and super().__contains__(name)


def _give_records_their_ids() -> None:
    """From the record's making on, so that every handler finds them, whenever it is added."""
    make = logging.getLogRecordFactory()
    if getattr(make, "gives_ids", False) or (_handler.gives_ids and make is not logging.LogRecord):
        return  # another's factory has been put around ours since

    def with_ids(*args: Any, **kwargs: Any) -> logging.LogRecord:
        _add_handler()  # dictConfig and basicConfig(force=True) take all handlers off
        record = make(*args, **kwargs)
        record.__dict__ = _Members(record.__dict__, **current_ids())
        return record

    logging.setLogRecordFactory(with_ids)
    _handler.gives_ids = True


# -- lines -----------------------------------------------------------------------------------------


class _RecordHandler(logging.Handler):
    """One for the process: the request that a record belongs to tells where its line goes."""

    def __init__(self) -> None:
        super().__init__()
        self.output: Output | None = None  # for records outside of requests: the latest one's
        self.gives_ids = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            now = current()
            output = now.output if now is not None else self.output
            if output is None or record.levelno < output.level:
                return
            if not any(_is_console(handler) for handler in _handlers_of(record)):
                output.write(fields_of(record))
        except Exception:
            self.handleError(record)


_handler = _RecordHandler()


def fields_of(record: logging.LogRecord) -> Fields:
    fields = {
        "time": timestamp(record.created),
        "level": record.levelname,
        "message": readable(cut(record.getMessage(), LONGEST)),
        "logger": as_name(record.name),
        "request_id": as_member(getattr(record, "request_id", None)),
        "trace_id": as_member(getattr(record, "trace_id", None)),
    }
    if getattr(record, "span_id", None):
        fields["span_id"] = as_member(record.span_id)  # type: ignore[attr-defined]
    if record.exc_info and record.exc_info[0]:
        fields["exception"] = Traceback(record.exc_info)
    elif record.exc_text:
        fields["exception"] = readable(record.exc_text)
    if record.stack_info:
        fields["stack"] = readable(record.stack_info)
    extra = {name: value for name, value in record.__dict__.items() if name not in STANDARD}
    add_members(fields, RECORD_MEMBERS, extra)  # last: where there is no room they go first
    return fields


def _handlers_of(record: logging.LogRecord) -> Iterator[logging.Handler]:
    """The handlers that are given a record, as Logger.callHandlers finds them."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        yield from (one for one in logger.handlers if record.levelno >= one.level)
        logger = logger.parent if logger.propagate else None


def _is_console(handler: logging.Handler) -> bool:
    """Whether it writes where people look: standard output or standard error."""
    stream = getattr(handler, "stream", None) or getattr(
        getattr(handler, "console", None), "file", None
    )
    if stream is None:
        return False
    if stream in (sys.stdout, sys.stderr):
        return True
    try:
        return stream.fileno() in (1, 2)
    except (AttributeError, OSError, ValueError):
        return False
