"""The connections that no thread has: the loop of a worker waits for their clients."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn

from serving.request import Arriving


class Connection(TConn):
    """A client, and what has arrived of its next request."""

    arriving: Arriving
    deadline = 0.0
    held = 0  # bytes
    is_watched = is_closing = is_streaming = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost when it is closed."""
        return self.is_closing or not self.arriving.received


class Waiting:
    """Those connections, the longest first, and the bytes that they have sent so far."""

    def __init__(self, poller: selectors.BaseSelector) -> None:
        self._poller = poller
        self._all: dict[Connection, None] = {}
        self._next_look = 0.0
        self.held = 0

    def add(self, conn: Connection, callback: Callable[[Connection, Any], None]) -> None:
        """:param callback: is called when the client has sent something."""
        if not conn.is_watched:
            conn.is_watched = True
            self._all[conn] = None
            self._poller.register(conn.sock, selectors.EVENT_READ, partial(callback, conn))

    def hold(self, conn: Connection, data: bytes) -> None:
        conn.arriving.add(data)
        conn.deadline = conn.arriving.deadline
        conn.held += len(data)
        self.held += len(data)

    def release(self, conn: Connection) -> None:
        self.held -= conn.held
        conn.held = 0
        if conn.is_watched:
            conn.is_watched = False
            del self._all[conn]
            self._poller.unregister(conn.sock)

    def longest(self) -> Connection | None:
        return next(iter(self._all), None)

    def overdue(self) -> list[Connection]:
        """Whose time is over; looked for four times a second."""
        now = time.monotonic()
        if now < self._next_look:
            return []
        self._next_look = now + 0.25
        return [conn for conn in self._all if conn.deadline <= now]

    def close_the_idle_by(self, deadline: float) -> None:
        for conn in self._all:
            if conn.is_idle:
                conn.deadline = min(conn.deadline, deadline)
