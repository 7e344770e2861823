"""Clients that count what they lose: a request that was sent and got no whole response."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.raw_http import read_answer

GET = b"GET /api/ping HTTP/1.1\r\nHost: localhost\r\n"
ORDER = b'{"item": "tea", "quantity": 2}'
POST = (
    b"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n" % len(ORDER)
)


@dataclass
class Load:
    """Clients that ask one after another until so many requests were sent.

    :ivar statuses: how often each status came; refused: connections that were never made.
    :ivar lost: what happened instead of a response, each with the bytes that came.
    """

    port: int
    requests: int
    clients: int = 8
    keep_alive: bool = True
    stop_when_refused: bool = False
    statuses: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    refused: int = 0
    sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        threads = [threading.Thread(target=self._client) for _ in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        except BaseException:
            self._over.set()
            raise
        finally:
            for thread in threads:
                thread.join()

    def half_way(self, share: float = 0.5) -> None:
        """Wait until this share of the requests was sent."""
        while self.sent < self.requests * share and not self._over.is_set():
            time.sleep(0.005)

    def _client(self) -> None:
        with contextlib.ExitStack() as stack:
            connection: socket.socket | None = None
            while not self._over.is_set():
                with self._lock:
                    if self.sent >= self.requests:
                        return
                    self.sent += 1
                    number = self.sent
                if connection is None:
                    try:
                        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
                    except ConnectionRefusedError:
                        self.refused += 1
                        if self.stop_when_refused:
                            self._over.set()
                        time.sleep(0.01)
                        continue
                    stack.callback(connection.close)
                if not self._ask(connection, number):
                    connection.close()
                    connection = None

    def _ask(self, connection: socket.socket, number: int) -> bool:
        """:returns: whether the connection can be used again."""
        began = time.monotonic()
        head, body = (POST, ORDER) if number % 4 == 0 else (GET, b"")
        wish = b"" if self.keep_alive else b"Connection: close\r\n"
        try:
            connection.sendall(head + wish + b"\r\n" + body)
            response = read_answer(connection)
        except (OSError, AssertionError) as error:
            self.lost.append(f"{error!r}")
            return False
        if response.status < 100 or b"\r\n\r\n" not in response.raw:
            self.lost.append(f"{response.raw[:100]!r} after {time.monotonic() - began:.3f} s")
            return False
        self.statuses[response.status] += 1
        return self.keep_alive and b"\r\nconnection: close" not in response.raw.lower()
