"""Lines that are gathered, written whole, and never waited for.

A request notes what its line is made of and goes on; 20 ms later writer.py makes the lines of many
requests, which costs less than one by one, and writes them. When 4 MB wait for a stalled reader no
more are taken: lines are dropped, counted, and the count is written as soon as there is room again.
Only a process that is killed (SIGKILL, os._exit) loses the lines of its last 20 ms.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from .destinations import Captured, Destination, File, StandardOutput, standard_output
from .rendering import as_json, renamed, timestamp
from .writer import has_ended, register, wake

MOST_BYTES = 1 << 22  # that wait to be written
EACH = 300  # bytes that each line counts for while it is gathered, besides its own if it is made

Noted = tuple[Callable[[Any], bytes], Any]  # a function, and what it makes a line of


class Lines:
    """The lines for one destination, of all applications in this process that write to it."""

    is_registered = False  # the writer comes; others write when a line is added, or are flushed

    def __init__(self, destination: Destination | None) -> None:
        """:param destination: None takes nothing: a closed standard output."""
        self.destination = destination
        self.names: Mapping[str, str] = {}  # other names for the members of the count
        self.told: weakref.WeakSet[Any] = weakref.WeakSet()  # counters that are told of drops
        self.reset()

    def reset(self) -> None:
        """Begin anew, as after a fork: what the parent has gathered is the parent's."""
        self.lock = threading.RLock()  # of what is made and counted
        self.gathered: deque[bytes | Noted] = deque()
        self.made: list[bytes] = []  # of what was gathered
        self.size = 0  # of the lines in both
        self.dropped = 0  # since the last count was written
        self.is_awaited = False  # the writer knows that there is something, and will look
        self.writing = threading.RLock()
        self.is_writing = False
        self.taken: list[bytes] = []  # the newest first
        self.unsent = b""

    def add(self, line: bytes, at_once: bool) -> None:
        if self.destination is None:
            return
        with self.lock:
            if self.size + len(line) + EACH * len(self.gathered) > MOST_BYTES:
                self.count_drop()
            else:
                self.gathered.append(line)
                self.size += len(line)
        if at_once or not self.is_awaited:
            self.write_or_wake(at_once)

    def note(self, noted: Noted) -> None:
        """Add a line that is made when it is written. Every request does so: without a lock."""
        if self.destination is None:
            return
        if self.size + EACH * (len(self.gathered) + 1) > MOST_BYTES:
            self.drop(at_once=False)
            return
        self.gathered.append(noted)
        if not self.is_awaited:
            self.write_or_wake(at_once=False)

    def drop(self, at_once: bool) -> None:
        """Count a line that cannot be made."""
        with self.lock:
            self.count_drop()
        self.write_or_wake(at_once)

    def count_drop(self) -> None:
        self.dropped += 1
        for counter in self.told:
            counter.inc()

    def write_or_wake(self, at_once: bool) -> None:
        is_now = at_once or has_ended() or isinstance(self.destination, Captured)
        if not (is_now and self.flush()) and self.is_registered:
            self.is_awaited = True
            wake(self)

    def flush(self) -> bool:
        """Write what has been gathered until now; what comes meanwhile is for the next time.

        :returns: whether all of it has been written.
        """
        with self.writing:
            if self.is_writing:  # this very thread, which was interrupted there
                return False
            self.is_writing = True
            self.is_awaited = False  # before it is looked what there is: what comes later wakes
            try:
                self.make()  # whether there is room or not: what they are made of is larger
                self.write_taken()  # which the reader had no room for
                self.take()
                self.write_taken()
                return True
            except Exception:  # whatever is wrong with the log, the service goes on
                return False
            finally:
                self.is_writing = False

    def send(self, lines: bytes) -> int:
        assert self.destination is not None  # noqa: S101
        return self.destination.send(lines)

    def make(self) -> None:
        """Make lines of what has been gathered; others may gather meanwhile."""
        made, size = [], 0
        for _ in range(len(self.gathered)):
            line = self.gathered.popleft()
            try:
                if not isinstance(line, bytes):
                    line = line[0](line[1])
                    size += len(line)
                made.append(line)
            except Exception:  # something odd in what a client sent
                with self.lock:
                    self.count_drop()
        with self.lock:
            self.made += made
            self.size += size

    def take(self) -> None:
        with self.lock:
            self.make()  # the few that came meanwhile: the count of the dropped is behind them
            lines, self.made, self.size = self.made, [], 0
            dropped, self.dropped = self.dropped, 0
        if dropped:
            lines.append(_count_of(dropped, self.names))
        self.taken = lines[::-1]

    def write_taken(self) -> None:
        """:raises BlockingIOError: if there is no room; what is left is next."""
        while self.unsent or self.taken:
            self.unsent = self.unsent or self.next_lines()
            self.unsent = self.unsent[self.send(self.unsent) :]

    def next_lines(self) -> bytes:
        """As many whole lines as the destination takes without tearing one."""
        assert self.destination is not None  # noqa: S101
        lines = [self.taken.pop()]
        room = self.destination.limit - len(lines[0])
        while self.taken and len(self.taken[-1]) <= room:
            lines.append(self.taken.pop())
            room -= len(lines[-1])
        return b"".join(lines)


def _count_of(dropped: int, names: Mapping[str, str]) -> bytes:
    now = {"time": timestamp(time.time()), "level": "WARNING"}
    fields = now | {"message": "log_lines_dropped", "dropped": dropped}
    return as_json(renamed(fields, names))


_of_files: weakref.WeakValueDictionary[str, Lines] = weakref.WeakValueDictionary()  # by path


def lines_to_file(path: str) -> Lines:
    """:raises OSError: if it cannot be opened."""
    path = os.path.abspath(path)
    lines = _of_files.get(path)
    if lines is None:
        lines = _of_files[path] = _registered(File(path))
    return lines


def lines_to_standard_output(is_test: bool) -> Lines:
    """:param is_test: follow sys.stdout wherever a test has put it."""
    destination = standard_output(is_test)
    return _kept(destination) if isinstance(destination, StandardOutput) else Lines(destination)


def _registered(destination: Destination) -> Lines:
    lines = Lines(destination)
    lines.is_registered = True
    register(lines)
    return lines


_kept = cache(_registered)  # for the life of the process
