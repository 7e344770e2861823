"""What is known of a request while it arrives."""

from __future__ import annotations

import socket
import time

import pytest

pytest.importorskip("gunicorn", reason="gunicorn is not on this system")

from serving.request import MOST_HEAD, Arriving, Bounds, PacedUnreader

POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
BOUNDS = Bounds(seconds=5, rate=100, line=50, body=1000)


def arrived(*parts: bytes) -> Arriving:
    arriving = Arriving(BOUNDS, 5)
    for part in parts:
        arriving.add(part)
    return arriving


@pytest.mark.parametrize(
    ("sent", "ready", "whole"),
    [
        (b"", False, False),
        (b"GE", False, False),
        (POST, False, False),
        (POST + b"\r\n", True, True),
        (POST + b"Content-Length: 3\r\n\r\nab", False, False),
        (POST + b"content-length:3\r\n\r\nabc", True, True),
        (POST + b"Content-Length: 3\r\n\r\nabcGET /", True, True),
        (POST + b"Content-Length: 1001\r\n\r\nab", True, False),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", True, False),
        (POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n", True, False),
        (b"GET / HTTP/1.1\nHost: a\n\n", True, False),
        (b"GET /" + b"a" * 60, True, False),
        (b"\r\nGET / HTTP/1.1\r\n", False, False),
    ],
)
def test_a_thread_gets_a_request_when_it_need_not_wait(
    sent: bytes, ready: bool, whole: bool
) -> None:
    for arriving in (arrived(sent), arrived(*(bytes([byte]) for byte in sent))):
        assert (arriving.is_ready, arriving.is_whole) == (ready, whole)


def test_a_head_of_more_than_64_kilobytes_is_too_large() -> None:
    line = b"X: " + b"a" * 1000 + b"\r\n"
    assert not arrived(POST, line).is_too_large
    assert arrived(POST, line * (MOST_HEAD // len(line) + 1)).is_too_large


def test_a_byte_more_of_a_head_does_not_put_its_end_off_and_a_body_has_its_rate() -> None:
    arriving = arrived(b"G")
    end = arriving.deadline
    arriving.add(b"ET / HTTP/1.1\r\nContent-Length: 500\r\n")
    assert arriving.deadline == end
    arriving.add(b"\r\n")
    body_end = arriving.deadline
    assert body_end >= end
    arriving.add(b"a" * 200)
    assert arriving.deadline == pytest.approx(body_end + 2)


def test_a_thread_that_waits_for_a_body_gives_up_in_time() -> None:
    client, server = socket.socketpair()
    with client, server:
        unreader = PacedUnreader(server, Bounds(seconds=0.05, rate=1000), b"abc")
        assert unreader.read(3) == b"abc"
        client.send(b"d")
        assert unreader.read(1) == b"d"
        with pytest.raises(TimeoutError):
            unreader.read(1)
        time.sleep(0.05)
        client.send(b"e")
        with pytest.raises(TimeoutError):
            unreader.read(1)
        assert server.gettimeout() is None  # as the application finds it
