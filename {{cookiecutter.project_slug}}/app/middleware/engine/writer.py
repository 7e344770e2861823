"""One thread of this process that writes what was gathered: lines, and numbers that come with them.

It writes 20 ms after the first, so that the interpreter's lock is not handed round at every line.
What has been gathered is also written at exit, at SIGTERM and SIGHUP, and before a fork.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import weakref
from types import FrameType
from typing import Protocol

GATHER_SECONDS = 0.02
IDLE_ROUNDS = 50  # of gathering, before the thread sleeps until there is something
LAST_SECONDS = 1.0  # at exit, for a reader that is slow


class Gathered(Protocol):
    """What the writer writes. flush() says whether all was taken; reset() is called in a fork."""

    def flush(self) -> bool: ...
    def reset(self) -> None: ...


class _Writer:
    """The one thread of this process that writes what was gathered."""

    def __init__(self) -> None:
        self.reset()
        self.has_ended = False

    def reset(self) -> None:
        self.lock = threading.RLock()
        self.has_work = threading.Event()
        self.thread: threading.Thread | None = None
        self.stopping = threading.Event()

    def wake(self) -> None:
        if not self.has_work.is_set():
            self.has_work.set()
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
            self.has_work.wait()
            stopping.wait(GATHER_SECONDS)
            idle = 0 if _waiting else idle + 1
            _flush_waiting()
            if idle >= IDLE_ROUNDS:  # while there is work, nobody has to wake this thread
                self.has_work.clear()
                if _waiting:
                    self.has_work.set()

    def stop(self) -> None:
        with self.lock:
            thread, self.thread = self.thread, None
            stopping, self.stopping = self.stopping, threading.Event()
        if thread is not None and thread is not threading.current_thread():
            stopping.set()
            self.has_work.set()
            thread.join(LAST_SECONDS)


_everything: weakref.WeakSet[Gathered] = weakref.WeakSet()
_waiting: set[Gathered] = set()  # that have something: kept, although nobody else may use them
_writer = _Writer()


def register(gathered: Gathered) -> None:
    """It is written at exit and before a fork too, as long as somebody uses it."""
    with _writer.lock:
        _everything.add(gathered)


def wake(gathered: Gathered) -> None:
    """Whenever there is something to write."""
    _waiting.add(gathered)
    _writer.wake()


def has_ended() -> bool:
    """Whether the process is at its end, and whoever gathers has to write by himself."""
    return _writer.has_ended


def flush_all() -> bool:
    """Write all that has been gathered, if the readers take it. :returns: whether they did."""
    return all([one.flush() for one in _all()])


def _all() -> set[Gathered]:
    with _writer.lock:
        return {*_everything, *_waiting}


def _flush_waiting() -> None:
    for one in list(_waiting):
        _waiting.discard(one)
        if not one.flush():
            _waiting.add(one)


# -- the end of the process, and forks -------------------------------------------------------------


def write_before_signals() -> None:
    """Write at SIGTERM and SIGHUP too, where they would end the process and Python not know."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _write_and_end)


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
    finalize = getattr(sys.modules.get("multiprocessing.util"), "Finalize", None)
    if finalize is not None:
        finalize(None, _at_exit, exitpriority=0)


def _before_fork() -> None:
    _writer.stop()
    flush_all()


def _in_parent() -> None:
    if _waiting:
        _writer.wake()


def _in_child() -> None:
    _writer.reset()
    for one in _all():
        one.reset()
    _waiting.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
