"""How a line looks, as JSON for machines or as text for people; and that nothing forges one."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from .tracebacks import Traceback

Fields = dict[str, Any]

logger = logging.getLogger(__name__)

WHOLE = 1 << 20  # characters: no member is longer, wherever it goes
LONGEST_FIELD = 1024  # characters of what a client sends
DEEPEST = 6  # levels of lists and mappings in a member
MOST_ITEMS = 200  # of one of them
SHORTEST_NAME = 40  # characters of its name are always left
FEW = 100  # characters: if each member has been cut to so few, there are too many members
MOST_MEMBERS = 20  # of them stay then
COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
MILLISECONDS = [f".{n:03d}Z" for n in range(1000)]
IDS = ("request_id", "trace_id", "span_id")
RECORD_MEMBERS = ("time", "level", "message", "logger", *IDS, "exception", "stack", "truncated")
REQUEST_MEMBERS = (
    *("time", "level", "message", "request_id", "method", "path", "status", "duration_ms", "bytes"),
    *("remote_addr", "user_agent", "endpoint", "trace_id", "client", "outcome", "span_id", "event"),
)
MEMBERS = (*REQUEST_MEMBERS, *RECORD_MEMBERS, "dropped")  # of any line

_last_second = (-1, "")  # and how a timestamp has it


def timestamp(now: float) -> str:
    """:param now: seconds since 1970. :returns: for example 2026-01-02T03:04:05.678Z."""
    global _last_second
    second, text = _last_second
    if int(now) != second:
        second = int(now)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _last_second = second, text  # at once: other threads read it
    return text + MILLISECONDS[int((now - second) * 1000)]


def as_json(fields: Fields) -> bytes:
    try:
        return orjson.dumps(fields, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a lone surrogate, or an integer of more than 64 bits
        return json.dumps(fields, default=str).encode() + b"\n"


def as_harmless_json(fields: Fields) -> bytes | None:
    """The JSON line of fields from a client; None if a look at each of them is needed.

    One look at the whole line is cheaper than one at each field, and nearly always enough.
    """
    try:
        line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return None
    is_harmless = len(line) < 2048 and line.isascii() and b"\\" not in line and b"\x7f" not in line
    return line if is_harmless else None


def renamed(fields: Fields, names: Mapping[str, str]) -> Fields:
    taken = names.values()  # who has one of these already makes way
    return {
        names.get(name) or (f"extra_{name}" if name in taken else name): value
        for name, value in fields.items()
    }


def as_text(fields: Fields, colours: bool) -> bytes:
    """For people: a clock and what happened; what needs more lines is indented below."""
    clock = time.strftime("%H:%M:%S") + str(fields.get("time", ""))[19:23]
    is_record = fields.keys() >= {"logger", "level", "message", "request_id"}
    words = _record_words(fields) if is_record else _request_words(fields, colours)
    return (" ".join([clock, *words]) + "\n").encode(errors="replace")


def _request_words(fields: Fields, colours: bool) -> list[str]:
    words: list[Any] = [
        str(fields.get(name, "-")).replace(" ", "%20") for name in ("method", "path")
    ]
    if "status" in fields:
        status = str(fields["status"])
        colour = {"2": 32, "3": 36, "4": 33}.get(status[:1], 31)
        words += [f"\x1b[{colour}m{status}\x1b[0m" if colours else status]
    words += [f"{fields['duration_ms']} ms"] if "duration_ms" in fields else []
    words += [f"{fields['bytes']} B"] if "bytes" in fields else []
    words += [fields["request_id"]] if "request_id" in fields else []
    words += [f"client={fields['client']!r}"] if fields.get("client") else []
    words += ["slow"] if fields.get("level") == "WARNING" else []
    words += [fields["outcome"]] if fields.get("outcome", "complete") != "complete" else []
    words += ["started"] if fields.get("message") == "request_started" else []
    words += [fields["event"]] if "event" in fields else []
    return [*map(str, words), *_extra_words(fields, (*REQUEST_MEMBERS, "truncated"))]


def _extra_words(fields: Fields, known: Iterable[str]) -> list[str]:
    return [f"{name}={value!r}" for name, value in fields.items() if name not in known]


def _record_words(fields: Fields) -> list[str]:
    words = [fields["level"], f"{fields['logger']}:", fields["message"]]
    words += _extra_words(fields, RECORD_MEMBERS)
    words += [f"[{fields['request_id']}]"] if fields["request_id"] else []
    words += [f"\n{fields[name]}" for name in ("stack", "exception") if name in fields]
    return [str(word).replace("\n", "\n    ") for word in words]


# -- as long as there is room for ------------------------------------------------------------------


def fit(fields: Fields, render: Callable[[Fields], bytes], size: int) -> bytes:
    """Render in at most so many bytes: long members lose their middle, tracebacks what matters
    least."""
    line, limit = render(_shortened(fields, WHOLE)), size
    if len(line) <= size:
        return line
    while len(line) > size and limit:
        limit = limit * 3 // 4
        if limit < FEW and len(fields) > MOST_MEMBERS:
            fields, limit = dict(list(fields.items())[:MOST_MEMBERS]), size
        line = render(_shortened(fields, limit) | {"truncated": True})
    return line


def _shortened(fields: Fields, limit: int) -> Fields:
    return {
        cut(name, max(limit, SHORTEST_NAME)): _short(value, limit) for name, value in fields.items()
    }


def _short(value: Any, limit: int) -> Any:
    if isinstance(value, Traceback):
        return readable(value.text(limit))
    if isinstance(value, dict | list):
        return value if len(as_json({"": value})) <= limit else cut(str(value), limit)
    return cut(value, limit) if isinstance(value, str) else value


def cut(text: str, limit: int) -> str:
    """A quarter of the room is for the beginning, the rest for the end."""
    if len(text) <= limit:
        return text
    return f"{text[: limit // 4]}...{text[len(text) - limit * 3 // 4 :]}"


# -- what could forge a line or its look -----------------------------------------------------------


def harmless(fields: Fields) -> Fields:
    """Members of a request's line, of which a client chose some."""
    texts = {key: value for key, value in fields.items() if isinstance(value, str)}
    is_cut = any(len(text) > LONGEST_FIELD for text in texts.values())
    fields = fields | {key: printable(text[:LONGEST_FIELD]) for key, text in texts.items()}
    return fields | {"truncated": True} if is_cut else fields


def from_client(text: Any) -> Any:
    """A WSGI string, which is bytes as latin-1, as the client meant it."""
    if not isinstance(text, str) or text.isascii():
        return text
    return text.encode("latin-1", "backslashreplace").decode("utf-8", "replace")


def printable(text: str, keep: str = "") -> str:
    """Escape controls, separators and bidirectional marks."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def readable(text: str) -> str:
    """The same, but lines stay lines; and a terminal's colours go."""
    return printable(COLOUR_CODES.sub("", text), keep="\n\t")


def add_members(fields: Fields, ours: Iterable[str], given: Mapping[Any, Any]) -> None:
    """Add what somebody's own code brings: a name that is ours, or taken, gets extra_ in front."""
    for key, value in given.items():
        name = as_name(key)
        while name in fields or name in ours:
            name = f"extra_{name}"
        fields[name] = as_member(value)


def as_member(value: object) -> Any:
    """What somebody's own code adds to a line, as JSON has it, whatever it does when it is read."""
    try:
        return _as_member(value, DEEPEST)
    except Exception:
        return f"<{type(value).__name__}>"


def _as_member(value: object, depth: int) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no word for it
    if isinstance(value, int) and not -(2**63) <= value < 2**64:  # readers take no more
        return as_words(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth and isinstance(value, Mapping):
        items = list(value.items())[:MOST_ITEMS]
        return {as_words(key): _as_member(item, depth - 1) for key, item in items}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_as_member(item, depth - 1) for item in list(value)[:MOST_ITEMS]]
    return as_words(value)


def as_words(value: object) -> str:
    try:
        return readable(str(value))
    except Exception:
        return f"<{type(value).__name__}>"


def as_name(key: object) -> str:
    return printable(COLOUR_CODES.sub("", as_words(key)))


def edited(
    fields: Fields, environ: Mapping[str, Any], edit: Callable[[Fields, Any], object]
) -> Fields:
    """A request's line as the service's own function leaves it, or as it was if that fails."""
    line = dict(fields)
    try:
        edit(line, environ)
    except Exception:
        logger.exception("%s failed; the line is as it was", edit)
        return fields
    kept = {name for name in line if name in fields and line[name] is fields[name]}
    return {as_name(n): line[n] if n in kept else as_member(line[n]) for n in line}
