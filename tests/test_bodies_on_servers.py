"""On real servers, a body is taken whole (201) or refused (400, 413): never cut without a word."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.raw_http import ask, chunks, over_http_2
from tests.servers import SERVICE, Server, granian, gunicorn, waitress

LIMIT = 1000
SERVERS: dict[str, Callable[..., AbstractContextManager[Server]]] = {
    "gunicorn-sync": lambda **options: gunicorn(SERVICE, "--worker-class", "sync", **options),
    "gunicorn-gthread": lambda **options: gunicorn(SERVICE, **options),
    "waitress": waitress,
    "granian": granian,
}
APPLICATION = """
from flask import request
from app import create_app

app = create_app("production")

@app.route("/api/raw", methods=["GET", "POST", "DELETE", "OPTIONS"])
def raw():
    return {"length": len(request.get_data())}, 201

@app.post("/api/number")
def number():
    return {"number": request.get_json()}, 201
"""
CLOSED = 0  # the connection ends without an response: what waitress does when the client has gone

DOCUMENT = b'{"item": "tea", "quantity": 2}'
HEAD = b"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
NUMBER = HEAD.replace(b"orders", b"number")
TEXT = b"POST /api/raw HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"


def padded(length: int) -> bytes:
    """A document that still parses, and means the same, when its end is cut off."""
    return DOCUMENT.ljust(length)


def declared(length: int | bytes, body: bytes, head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %s\r\n\r\n" % str(length).encode() + body


def in_chunks(body: bytes, head: bytes = HEAD) -> bytes:
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + body


WHOLE = {
    "declared": declared(len(DOCUMENT), DOCUMENT),
    "declared, at the limit": declared(LIMIT, padded(LIMIT)),
    "declared, more follows": declared(len(DOCUMENT), DOCUMENT + b"GET / HTTP/1.1\r\n"),
    "chunked": in_chunks(chunks(DOCUMENT)),
    "chunked, at the limit": in_chunks(chunks(padded(LIMIT))),
    "chunked by the byte": in_chunks(chunks(*(bytes([byte]) for byte in DOCUMENT))),
    "chunked, with an extension": in_chunks(b"1e;a=b\r\n" + DOCUMENT + b"\r\n0\r\n\r\n"),
    "chunked, with a trailer": in_chunks(chunks(DOCUMENT, end=b"0\r\nX-Sum: 1\r\n\r\n")),
}
OVER = {
    "declared, by one": declared(LIMIT + 1, padded(LIMIT + 1)),
    "declared, by far": declared(2_000_000, padded(2_000_000)),
    "chunked, by one": in_chunks(chunks(padded(LIMIT + 1))),
    "chunked, in a second chunk": in_chunks(chunks(padded(LIMIT), b" ")),
    "chunked, by a buffer": in_chunks(chunks(padded(LIMIT), b" " * 65536)),
    "chunked, by far": in_chunks(chunks(padded(LIMIT), *[b" " * 65536] * 30)),
}
SHORT = {
    "declared, would parse": declared(100, DOCUMENT),
    "declared, by one": declared(LIMIT, padded(LIMIT - 1)),
    "declared, nothing came": declared(100, b""),
    "declared, no json": declared(100, b"a,b\r\n1,2\r\n", TEXT),
    "chunked, in its data": in_chunks(b"1e\r\n" + DOCUMENT[:-1]),
    "chunked, in a size": in_chunks(chunks(DOCUMENT[:15], end=b"f")),
    "chunked, after a chunk": in_chunks(chunks(DOCUMENT[:15], end=b"")),
    "chunked, in a huge chunk": in_chunks(b"f" * 15 + b"\r\n" + DOCUMENT[:15]),
    "chunked, in its end": in_chunks(chunks(DOCUMENT[:15], end=b"0\r\n")),
    "chunked, in a number": in_chunks(chunks(b"123", end=b""), NUMBER),
    "chunked, after a number": in_chunks(chunks(b"123", end=b"3\r\n"), NUMBER),
    "chunked, no json": in_chunks(chunks(b"a,b\r\n", end=b""), TEXT),
}
WRONG = {
    "no body": declared(0, b""),
    "an empty chunked body": in_chunks(b"0\r\n\r\n"),
    "a size that is none": in_chunks(chunks(DOCUMENT[:15], end=b"zz\r\n\r\n")),
    "a negative size": in_chunks(chunks(DOCUMENT[:15], end=b"-1\r\n\r\n")),
    "a chunk longer than its size": in_chunks(b"a\r\n" + DOCUMENT + b"\r\n0\r\n\r\n"),
    "two lengths": declared(b"30\r\nContent-Length: 31", DOCUMENT),
    "a list of lengths": declared(b"30, 31", DOCUMENT),
    "a negative length": declared(-1, DOCUMENT),
    "a signed length": declared(b"+30", DOCUMENT),
    "a length in words": declared(b"thirty", DOCUMENT),
    "deep nesting": declared(LIMIT, b"[" * LIMIT),
    "NaN": declared(32, b'{"item": "tea", "quantity": NaN}'),
    "a number too large": declared(34, b'{"item": "tea", "quantity": 1e999}'),
    "a name twice": declared(43, b'{"item": "tea", "quantity": 2, "item": "x"}'),
    "another charset": declared(30, DOCUMENT, HEAD.replace(b"json", b"json; charset=utf-16")),
    "not UTF-8": declared(30, DOCUMENT.replace(b"tea", b"\xe9\xe9\xe9")),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bodies")
    (folder / "bodies.py").write_text(APPLICATION, encoding="utf-8")
    env = {
        "PYTHONPATH": str(folder),
        "FLASK_MAX_CONTENT_LENGTH": str(LIMIT),
        "FLASK_RATELIMIT_ENABLED": "false",
    }
    with SERVERS[request.param](target="bodies:app", env=env) as running:
        yield running
        assert "Traceback" not in running.output()
        running.stop(seconds=1)  # Granian at times waits on for a client that has gone


def is_running(server: Server, name: str) -> bool:
    return name in server.process.args  # type: ignore[operator]


@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_body_is_taken(server: Server, case: str) -> None:
    assert ask(server.port, WHOLE[case], half_close=False).status == 201


@pytest.mark.parametrize("case", OVER)
def test_a_body_over_the_limit_is_413(server: Server, case: str) -> None:
    assert ask(server.port, OVER[case], half_close=False).status == 413


@pytest.mark.parametrize("case", SHORT)
def test_a_body_that_is_cut_short_is_never_taken(server: Server, case: str) -> None:
    assert ask(server.port, SHORT[case]).status in (400, 411, CLOSED)


@pytest.mark.parametrize("case", WRONG)
def test_a_body_that_is_wrong_is_400(server: Server, case: str) -> None:
    assert ask(server.port, WRONG[case], half_close=False).status == 400


def test_http_1_0_has_no_chunks(server: Server) -> None:
    """RFC 9112 section 6.1: servers differ in where such a body ends."""
    for head in (TEXT, HEAD):
        old = in_chunks(chunks(DOCUMENT), head).replace(b"HTTP/1.1", b"HTTP/1.0")
        assert ask(server.port, old, half_close=False).status in (400, CLOSED)


@pytest.mark.parametrize("server", ["granian"], indirect=True)  # the one that speaks it
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_over_http_2_a_body_without_a_length_is_whole_or_refused(
    server: Server, method: str
) -> None:
    def response(body: bytes, content_type: bytes = b"application/json") -> Any:
        return json.loads(over_http_2(server.port, method, "/api/raw", body, content_type))

    assert response(padded(LIMIT)) == {"length": LIMIT}
    assert response(padded(LIMIT + 1))["status"] == 413
    assert response(padded(5 * LIMIT))["status"] == 413
    assert response(DOCUMENT[:-1])["status"] == 400
    assert response(b"a,b", b"text/csv")["status"] == 411
    assert response(b"") == {"length": 0}


def test_text_in_chunks_is_whole_or_refused(server: Server) -> None:
    """Granian does not say that chunks broke off, so what has no end of its own needs a length."""
    taken = 411 if is_running(server, "granian") else 201
    assert ask(server.port, in_chunks(chunks(b"a,b\r\n"), TEXT), half_close=False).status == taken
    over = in_chunks(chunks(b"a" * LIMIT, b"b"), TEXT)
    assert ask(server.port, over, half_close=False).status in (411, 413)


# waitress receives the whole body before it calls the service
@pytest.mark.parametrize("server", sorted({*SERVERS} - {"waitress"}), indirect=True)
def test_a_limit_is_told_before_the_body_is_sent(server: Server) -> None:
    assert ask(server.port, declared(LIMIT + 1, b""), half_close=False).status == 413


def test_two_lengths_that_agree_or_two_ways_to_end_are_read_in_one_way(server: Server) -> None:
    """RFC 9112 lets a server take these; where they reach the service, they are 400."""
    agreeing = declared(b"30\r\nContent-Length: 30", DOCUMENT)
    both = HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(DOCUMENT)
    for request in (agreeing, both):
        assert ask(server.port, request, half_close=False).status in (201, 400)


def test_a_client_that_goes_away_stops_nobody(server: Server) -> None:
    for request in (SHORT["declared, would parse"], SHORT["chunked, in its data"], HEAD):
        for _ in range(20):
            ask(server.port, request, reset=True)
    assert ask(server.port, WHOLE["declared"], half_close=False).status == 201
