"""Requests as bytes on a socket, for what no client library would send."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from dataclasses import dataclass

STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9])[ \r]")
INTERIM = re.compile(rb"\AHTTP/1\.1 1[0-9][0-9] .*?\r\n\r\n", re.S)
SECONDS = 10.0  # a server that neither answers nor closes in this time hangs


class Hang(AssertionError):
    """The server held the connection and said nothing."""


DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8  # frames of HTTP/2
END_STREAM, END_HEADERS = 1, 4  # their flags


@dataclass(frozen=True)
class Answer:
    """The first answer on a connection; status 0 where it was closed without one."""

    status: int
    raw: bytes

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]


NOTHING = Answer(0, b"")


def ask(port: int, request: bytes, *, half_close: bool = True, reset: bool = False) -> Answer:
    """Send bytes and read the first answer.

    :param half_close: end our side after the last byte, so that the server sees that no more comes.
    :param reset: break the connection off instead of reading.
    :raises Hang: if nothing happens for SECONDS.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        try:
            connection.sendall(request)
            if reset:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return NOTHING
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except TimeoutError:
            raise Hang(f"does not read: {request[:200]!r}") from None
        except OSError:
            pass  # answered and closed before it had read everything
        return read_answer(connection, request)


def over_http_2(port: int, method: str, path: str, body: bytes, content_type: bytes) -> bytes:
    """One request without content-length over HTTP/2 (RFC 9113), and the body of its answer."""
    fields = {b":method": method.encode(), b":scheme": b"http", b":path": path.encode()}
    fields |= {b":authority": b"localhost", b"content-type": content_type}
    head = b"".join(
        b"\0%c%s%c%s" % (len(name), name, len(value), value) for name, value in fields.items()
    )
    request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"")
    if body:
        request += frame(HEADERS, END_HEADERS, 1, head) + frame(DATA, END_STREAM, 1, body)
    else:
        request += frame(HEADERS, END_HEADERS | END_STREAM, 1, head)
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(request)
        stream = connection.makefile("rb")
        answer = b""
        while True:
            start = stream.read(9)
            if len(start) < 9:
                raise AssertionError(f"closed after {answer!r}")
            data = stream.read(int.from_bytes(start[:3], "big"))
            kind, flags = start[3], start[4]
            if kind == DATA:
                answer += data
            elif kind not in (HEADERS, SETTINGS, WINDOW_UPDATE):
                raise AssertionError(f"frame {kind}: {data!r}")
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                return answer


def frame(kind: int, flags: int, stream: int, data: bytes) -> bytes:
    return struct.pack(">I", len(data))[1:] + struct.pack(">BBI", kind, flags, stream) + data


def read_answer(connection: socket.socket, request: bytes = b"") -> Answer:
    """Read up to the end of the first final answer: a connection may be kept alive after it."""
    received = b""
    is_head = request.startswith(b"HEAD ")
    while not is_complete(received, is_head):
        try:
            part = connection.recv(65536)
        except TimeoutError:
            raise Hang(f"{request[:200]!r} after {received[:100]!r}") from None
        except OSError:
            break
        if not part:
            break
        received = INTERIM.sub(b"", received + part)
    if not received:
        return NOTHING
    status = STATUS.match(received)
    return Answer(int(status[1]) if status else -1, received)


def is_complete(received: bytes, is_head: bool) -> bool:
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return False
    if is_head or head[9:12] in (b"204", b"304"):
        return True
    lines = head.lower().split(b"\r\n")[1:]
    fields = dict(line.split(b":", 1) for line in lines if b":" in line)
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        return body.endswith(b"0\r\n\r\n")
    with contextlib.suppress(KeyError, ValueError):
        return len(body) >= int(fields[b"content-length"])
    return False


def chunks(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end
