"""Ids of requests and of traces: new ones, and which of a client's are accepted.

Standards: W3C Trace Context.
"""

from __future__ import annotations

import os
import re

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
# Version ff is invalid, 00 ends after the flags, a later one may go on after a dash; no id is zero.
TRACEPARENT = re.compile(
    r"(?!ff|00[^,]{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[^,]*)?"
)

_unused: list[str] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unused.clear)  # or both would hand out the same ones


def new_ids() -> str:
    """64 hexadecimal digits, for two ids. The system is asked for many at once: it is cheaper."""
    try:
        return _unused.pop()
    except IndexError:
        digits = os.urandom(64 * 32).hex()
        new, *others = (digits[at : at + 64] for at in range(0, len(digits), 64))
        _unused.extend(others)
        return new


def accepted_request_id(given: str) -> str | None:
    """What the client calls its request, if that can stand in any log and header."""
    return given if REQUEST_ID.fullmatch(given) else None


def trace_of(traceparent: str) -> str | None:
    """The id of the trace that the client asks to be a part of, if it asks as W3C says."""
    match = TRACEPARENT.fullmatch(traceparent.strip(" \t"))
    return match[1] if match else None
