"""Where lines go: a file, the standard output of the process, or one that a test reads instead.

It is found out once, at start: neither a replaced sys.stdout nor a descriptor that is redirected
later takes a line. Writing never waits: a destination without room raises BlockingIOError.

Standards: POSIX.1-2017 write(2): up to PIPE_BUF bytes go into a pipe as a whole, or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, TextIO

from .settings import is_command

PIPE_BUF = 4096
LONGEST = 1 << 16  # bytes of a line elsewhere
AT_ONCE = 1 << 18  # bytes of many lines, elsewhere
STDOUT = 1  # the descriptor
LOOK_SECONDS = 1.0  # between two looks whether a file has been rotated
OPEN_FLAGS = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


class File:
    """A file by its path, opened anew after a rotation; or a named pipe."""

    def __init__(self, path: str) -> None:
        """A command does not make it until it has a line: the user may not be the service's.

        :raises OSError: if it cannot be opened now; a pipe that nobody reads yet may be.
        """
        self.path = path
        self.fd = -1
        self.looked = time.monotonic()
        try:
            self.fd = self.open(0 if is_command() else os.O_CREAT)
        except FileNotFoundError:
            if not os.access(os.path.dirname(path), os.W_OK):
                raise
        except OSError as error:
            if error.errno != errno.ENXIO or not Path(path).is_fifo():
                raise
        self.line_limit = LONGEST
        self.limit = AT_ONCE
        if Path(path).is_fifo():
            self.line_limit = self.limit = PIPE_BUF

    def send(self, lines: bytes) -> int:
        if self.fd < 0:
            self.fd = self.open()
        elif time.monotonic() - self.looked >= LOOK_SECONDS:
            self.follow_rotation()
        return os.write(self.fd, lines)

    def __del__(self, close: Callable[[int], object] = os.close) -> None:
        """When no application writes to it any more; `os` may be gone by then."""
        if self.fd >= 0:
            close(self.fd)

    def open(self, create: int = os.O_CREAT) -> int:
        return os.open(self.path, OPEN_FLAGS | os.O_APPEND | create, 0o640)

    def follow_rotation(self) -> None:
        self.looked = time.monotonic()
        with contextlib.suppress(OSError):  # else go on with the old one
            exists = os.path.exists(self.path)
            if not exists or not os.path.samestat(os.stat(self.path), os.fstat(self.fd)):
                old, self.fd = self.fd, self.open()
                os.close(old)


class StandardOutput:
    """The descriptor that the process has been given, whatever sys.stdout is later."""

    def __init__(self) -> None:
        """:raises OSError: if it is closed."""
        is_pipe = stat.S_ISFIFO(os.fstat(STDOUT).st_mode)
        self.line_limit = PIPE_BUF if is_pipe else LONGEST
        self.limit = PIPE_BUF if is_pipe else AT_ONCE
        self.send = _never_waiting(STDOUT)


class Captured:
    """What stands in for standard output: a test's capture, a notebook."""

    line_limit = LONGEST
    limit = AT_ONCE

    def __init__(self, stream: TextIO | None) -> None:
        """:param stream: None is whatever sys.stdout is when a line is written."""
        self.stream = stream

    def send(self, lines: bytes) -> int:
        stream = self.stream or sys.stdout
        encoding = getattr(stream, "encoding", None) or "utf-8"
        text = lines.decode(errors="replace")
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
        return len(lines)


Destination = File | StandardOutput | Captured


def standard_output(is_test: bool) -> StandardOutput | Captured | None:
    """None if it is closed: its descriptor may be somebody else's by now."""
    if is_test:
        return Captured(None)
    if sys.stdout is not None and sys.stdout is not sys.__stdout__ and _is_captured(sys.stdout):
        return Captured(sys.stdout)
    with contextlib.suppress(OSError):
        return _of_process() if sys.__stdout__ is not None else None
    return None


def _of_process() -> StandardOutput:
    """:raises OSError: if it is closed."""
    found = os.fstat(STDOUT)
    # What print() writes goes out line by line, so that no line of ours ends up within one.
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
    return _by_identity(found.st_dev, found.st_ino)


@cache
def _by_identity(device: int, inode: int) -> StandardOutput:
    """One descriptor for each standard output that this process has had."""
    return StandardOutput()


def _is_captured(stream: Any) -> bool:
    """One that only wraps the descriptor in another way is none."""
    try:
        return bool(stream.fileno() != STDOUT)
    except (AttributeError, OSError, ValueError):
        return True


def _never_waiting(fd: int) -> Callable[[bytes], int]:
    """A way to write to a descriptor without waiting, that changes no flag others see.

    Flags belong to the open file that the descriptor shares with other processes, so a pipe is
    opened anew where that is possible.
    """
    own = os.dup(fd)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode) or os.name == "nt":
        return partial(os.write, own)
    if stat.S_ISSOCK(mode):  # systemd's journal
        journal = socket.socket(fileno=own)
        return lambda lines: journal.send(lines, socket.MSG_DONTWAIT)
    try:
        anew = os.open(f"/proc/self/fd/{fd}", OPEN_FLAGS)
    except OSError:
        return partial(_write_if_ready, own)
    os.close(own)
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(anew, fcntl.F_SETPIPE_SZ, 1 << 20)  # room while a reader rests
    return partial(os.write, anew)


def _write_if_ready(fd: int, lines: bytes) -> int:
    if not select.select([], [fd], [], 0)[1]:
        raise BlockingIOError
    return os.write(fd, lines)
