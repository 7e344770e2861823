"""Lines that are gathered, written whole by one thread, and never waited for.

A request appends its line to a list and goes on. The thread writes the list 20 ms after its first
line, so that the interpreter's lock is not handed round at every line. A list that a stalled reader
has let grow to 4 MB takes no more: lines are dropped, counted, and the count is written as soon as
there is room again. What has been gathered is also written at exit, at SIGTERM, and before a fork;
only a process that is killed (SIGKILL, os._exit) loses the lines of its last 20 ms.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Protocol

from .destinations import Captured, Destination, File, StandardOutput, standard_output
from .rendering import as_json, renamed, timestamp

GATHER_SECONDS = 0.02
IDLE_ROUNDS = 50  # of gathering, before the thread sleeps until there is a line
LAST_SECONDS = 1.0  # at exit, for a reader that is slow
MOST_BYTES = 1 << 22  # that wait to be written


class Lines:
    """The lines for one destination, of all applications in this process that write to it."""

    def __init__(self, destination: Destination | None) -> None:
        """:param destination: None takes nothing: a closed standard output."""
        self.destination = destination
        self.names: Mapping[str, str] = {}  # other names for the members of the count
        self.told: weakref.WeakSet[Any] = weakref.WeakSet()  # counters that are told of drops
        self.reset()

    def reset(self) -> None:
        """Begin anew, as after a fork: what the parent has gathered is the parent's."""
        self.lock = threading.RLock()  # of what is gathered
        self.gathered: list[bytes] = []
        self.size = 0
        self.dropped = 0  # since the last count was written
        self.writing = threading.RLock()
        self.is_writing = False
        self.taken: list[bytes] = []  # the newest first
        self.unsent = b""

    def add(self, line: bytes, at_once: bool) -> None:
        if self.destination is None:
            return
        with self.lock:
            is_first = not self.gathered
            if self.size + len(line) > MOST_BYTES:
                self.count_drop()
            else:
                self.gathered.append(line)
                self.size += len(line)
        if is_first or at_once:  # else the writer knows already that there is something to write
            self.see_to_it(at_once)

    def drop(self, at_once: bool) -> None:
        """Count a line that cannot be made."""
        with self.lock:
            self.count_drop()
        self.see_to_it(at_once)

    def count_drop(self) -> None:
        self.dropped += 1
        for counter in self.told:
            counter.inc()

    def see_to_it(self, at_once: bool) -> None:
        is_now = at_once or _writer.has_ended or isinstance(self.destination, Captured)
        if not (is_now and self.flush()):
            _writer.wake()

    def is_anything_left(self) -> bool:
        return bool(self.gathered or self.dropped or self.taken or self.unsent)

    def flush(self) -> bool:
        """Write what has been gathered until now; what comes meanwhile is for the next time.

        :returns: whether all of it has been written.
        """
        with self.writing:
            if self.is_writing:  # this very thread, which was interrupted there
                return False
            self.is_writing = True
            try:
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

    def take(self) -> None:
        with self.lock:
            lines, self.gathered, self.size = self.gathered, [], 0
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


# -- the one thread --------------------------------------------------------------------------------


class _Writer:
    """The one thread of this process that writes what was gathered."""

    def __init__(self) -> None:
        self.reset()
        self.has_ended = False

    def reset(self) -> None:
        self.lock = threading.RLock()
        self.has_lines = threading.Event()
        self.thread: threading.Thread | None = None
        self.stopping = threading.Event()

    def wake(self) -> None:
        if not self.has_lines.is_set():
            self.has_lines.set()
        if self.thread is None:
            self.start()

    def start(self) -> None:
        with self.lock:
            if self.thread is not None:
                return
            thread = threading.Thread(target=self.run, name="log-writer", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter is ending
                flush_all()
                return
            self.thread = thread
        _also_at_the_end_of_multiprocessing()

    def run(self) -> None:
        stopping, idle = self.stopping, 0
        while not stopping.is_set():
            self.has_lines.wait()
            stopping.wait(GATHER_SECONDS)
            idle = 0 if _is_anything_left() else idle + 1
            flush_all()
            if idle >= IDLE_ROUNDS:  # while lines come, none of them has to wake this thread
                self.has_lines.clear()
                if _is_anything_left():
                    self.has_lines.set()

    def stop(self) -> None:
        with self.lock:
            thread, self.thread = self.thread, None
            stopping, self.stopping = self.stopping, threading.Event()
        if thread is not None and thread is not threading.current_thread():
            stopping.set()
            self.has_lines.set()
            thread.join(LAST_SECONDS)


class Gathered(Protocol):
    """What the writer writes: lines, or numbers that come with them."""

    def flush(self) -> bool: ...
    def is_anything_left(self) -> bool: ...
    def reset(self) -> None: ...


_lines: dict[object, Lines] = {}  # by what identifies the destination
_everywhere: list[Gathered] = []
_writer = _Writer()


def lines_to_file(path: str) -> Lines:
    """:raises OSError: if it cannot be opened."""
    path = os.path.abspath(path)
    return _lines.get(path) or _new(path, File(path))


def lines_to_standard_output(is_test: bool) -> Lines:
    """:param is_test: follow sys.stdout wherever a test has put it."""
    destination = standard_output(is_test)
    if isinstance(destination, StandardOutput):
        identity = destination.identity
        return _lines.get(identity) or _new(identity, destination)
    return Lines(destination)


def _new(identity: object, destination: Destination) -> Lines:
    lines = _lines[identity] = Lines(destination)
    _everywhere.append(lines)
    return lines


def write_with_lines(gathered: Gathered) -> Callable[[], object]:
    """Flush it as lines are, at the end of the process too; it lives as long as the process.

    :returns: what to call when there is something.
    """
    _everywhere.append(gathered)
    return lambda: gathered.flush() if _writer.has_ended else _writer.wake()


def flush_all() -> bool:
    """Write all that has been gathered, if the readers take it. :returns: whether they did."""
    return all([one.flush() for one in list(_everywhere)])


def _is_anything_left() -> bool:
    return any(one.is_anything_left() for one in list(_everywhere))


# -- the end of the process, and forks -------------------------------------------------------------


def write_before_sigterm() -> None:
    """Write at SIGTERM too, where that would end the process without a word to Python."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _write_and_end)


def _write_and_end(number: int, frame: FrameType | None) -> None:
    _at_exit()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _at_exit() -> None:
    _writer.has_ended = True  # from here on each line is written at once
    until = time.monotonic() + LAST_SECONDS
    while not flush_all() and time.monotonic() < until:
        time.sleep(0.005)


def _also_at_the_end_of_multiprocessing() -> None:
    """Its processes end without atexit before Python 3.13."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, _at_exit, exitpriority=0)


def _before_fork() -> None:
    _writer.stop()
    flush_all()


def _in_parent() -> None:
    if _is_anything_left():
        _writer.wake()


def _in_child() -> None:
    _writer.reset()
    for one in _everywhere:
        one.reset()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
