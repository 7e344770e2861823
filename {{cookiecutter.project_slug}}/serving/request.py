"""A request while it arrives: where its head ends, how much body follows, how long it may take."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass

from gunicorn.http.unreader import SocketUnreader

MOST_HEAD = 64 * 1024  # bytes of a head; more is 431

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:([^\r]*)", re.IGNORECASE)
_KNOWN = re.compile(rb"[ \t]*[0-9]{1,18}[ \t]*")  # what else the parser takes for one is streamed
_STREAMED = re.compile(rb"\r\n(?:transfer-encoding|expect):", re.IGNORECASE)


@dataclass(frozen=True)
class Bounds:
    """How slow a client may be, and how much is waited for.

    :param seconds: for a whole head, and for a body before its rate counts.
    :param rate: bytes of a body per second, at the least.
    :param line: bytes of a request line, at the most.
    :param body: bytes of a body that are waited for before a thread works on it.
    """

    seconds: float = 15.0
    rate: float = 1000.0
    line: int = 4094
    body: int = 1024 * 1024


class Arriving:
    """The bytes of one request, collected until a thread can work on it without waiting.

    :param patience: seconds to wait for the first byte.
    """

    def __init__(self, bounds: Bounds, patience: float) -> None:
        self.received = bytearray()
        self.deadline = time.monotonic() + patience
        self.is_streamed = False  # a thread has to wait for its body
        self._bounds = bounds
        self._head = self._body = 0  # bytes; 0 while the head has no end

    def add(self, data: bytes) -> None:
        now = time.monotonic()
        if not self.received:
            self.deadline = now + self._bounds.seconds
        searched = max(0, len(self.received) - len(_END) + 1)
        self.received += data
        if self._head:
            self.deadline += len(data) / self._bounds.rate
            return
        end = self.received.find(_END, searched)
        if end >= 0:
            self.deadline = now + self._bounds.seconds
            self._read_head(end + len(_END))

    def _read_head(self, size: int) -> None:
        head = bytes(self.received[:size])
        lengths = _LENGTH.findall(head) or [b"0"]
        is_known = len(lengths) == 1 and _KNOWN.fullmatch(lengths[0]) is not None
        self._head, self._body = size, int(lengths[0]) if is_known else 0
        is_large = self._body > self._bounds.body or not is_known
        self.is_streamed = is_large or bool(_STREAMED.search(head))

    @property
    def is_too_large(self) -> bool:
        return (self._head or len(self.received)) > MOST_HEAD

    @property
    def has_head(self) -> bool:
        return self._head > 0

    @property
    def is_whole(self) -> bool:
        has_all = self._head > 0 and len(self.received) >= self._head + self._body
        return has_all and not self.is_streamed

    @property
    def is_ready(self) -> bool:
        """Whether a thread shall have it: whole, streamed, or what the parser will refuse."""
        if self._head:
            return self.is_streamed or self.is_whole
        has_line = self.received.find(b"\r\n", 2) > 0  # an empty line may be first: RFC 9112, 2.2
        return (not has_line and len(self.received) - 2 > self._bounds.line) or self.received.count(
            b"\n"
        ) != self.received.count(b"\r\n")


class PacedUnreader(SocketUnreader):
    """What gunicorn's parser reads from: what has arrived, then the rest at the pace or faster."""

    def __init__(self, sock: socket.socket, bounds: Bounds, received: bytes | bytearray) -> None:
        super().__init__(sock)
        self.buf.write(received)
        self._rate, self._deadline = bounds.rate, time.monotonic() + bounds.seconds

    def chunk(self, size_hint: int | None = None) -> bytes:
        """
        :raises TimeoutError: where the client is too slow; the application sees it as it reads.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the client is too slow")
        before = self.sock.gettimeout()
        self.sock.settimeout(left if before is None else min(left, before))
        try:
            data: bytes = super().chunk(size_hint)
        finally:
            self.sock.settimeout(before)
        self._deadline += len(data) / self._rate
        return data
