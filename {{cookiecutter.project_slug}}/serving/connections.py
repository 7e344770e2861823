"""The connections that no thread has: the loop of a worker waits for their clients."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from functools import partial

from gunicorn.workers.gthread import TConn

from serving.request import Arriving


class Connection(TConn):
    """A client, and what has arrived of its next request."""

    arriving: Arriving
    deadline = 0.0
    held = 0  # bytes of its request, until that has been served
    is_closing = is_streaming = False
    when_readable: Callable[[Connection], None] | None = None  # None: nobody waits for more

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost when it is closed."""
        return self.is_closing or not self.arriving.received


class Waiting:
    """Those connections, the longest first. Each has a deadline, and may be hung up on.

    held: bytes of all requests, those included that a thread has or shall have.
    """

    def __init__(self, poller: selectors.BaseSelector) -> None:
        self._poller = poller
        self._all: dict[Connection, None] = {}
        self._queue: dict[Connection, None] = {}  # for a thread; nothing is read meanwhile
        self._holding: dict[Connection, None] = {}  # those with bytes, the longest silent first
        self._next_look = 0.0
        self.held = 0

    def add(self, conn: Connection, callback: Callable[[Connection], None]) -> None:
        """:param callback: is called when the client has sent something."""
        if conn.when_readable is None:
            self._all[conn] = None
            self._poller.register(conn.sock, selectors.EVENT_READ, partial(self._tell, conn))
        conn.when_readable = callback

    def _tell(self, conn: Connection, _: object) -> None:
        if conn.when_readable is not None:  # else another one of this round made it go
            conn.when_readable(conn)

    def queue(self, conn: Connection, seconds: float) -> None:
        """For a thread that may wait for the rest of its body, for so long at the most."""
        self._ignore(conn)
        self._all[conn] = self._queue[conn] = None
        conn.deadline = time.monotonic() + seconds

    def is_queued(self, conn: Connection) -> bool:
        return conn in self._queue

    def first_in_queue(self) -> Connection | None:
        return next(iter(self._queue), None)

    def hold(self, conn: Connection, data: bytes) -> None:
        conn.arriving.add(data)
        conn.deadline = conn.arriving.deadline
        conn.held += len(data)
        self.held += len(data)
        self._holding.pop(conn, None)
        self._holding[conn] = None

    def leave(self, conn: Connection) -> None:
        """A thread has it; its bytes are held until `release`."""
        self._ignore(conn)
        for those in (self._all, self._queue, self._holding):
            those.pop(conn, None)

    def release(self, conn: Connection) -> None:
        self.leave(conn)
        self.held -= conn.held
        conn.held = 0

    def _ignore(self, conn: Connection) -> None:
        if conn.when_readable is not None:
            conn.when_readable = None
            self._poller.unregister(conn.sock)

    def longest(self) -> Connection | None:
        return next(iter(self._all), None)

    def longest_silent(self) -> Connection | None:
        """Of those that hold bytes."""
        return next(iter(self._holding), None)

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
