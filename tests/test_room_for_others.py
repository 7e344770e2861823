"""Many clients that wait with a request of any kind: connections and memory are left for others."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.raw_http import read_answer
from tests.servers import SERVICE, Server, gunicorn, until
from tests.test_slow_clients import ORDER, POST, clients, health

CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
EXPECTING = POST + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
WAITING = {
    "half a head": POST,
    "half a body": POST + b"Content-Length: 100\r\n\r\n{",
    "a chunked body": CHUNKED,
    "half a chunk": CHUNKED + b"ff\r\n{",
    "an expectation": EXPECTING,
    "a large body": POST + b"Content-Length: 9000000\r\n\r\n",
    "a large body in HTTP/1.0": POST.replace(b"1.1", b"1.0") + b"Content-Length: 9000000\r\n\r\n",
    "a length with zeros": POST + b"Content-Length: " + b"0" * 20 + b"100\r\n\r\n",
    "a length without measure": POST + b"Content-Length: " + b"9" * 20 + b"\r\n\r\n",
    "what comes after another": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + CHUNKED,
}
HALF = POST + b"Content-Length: %d\r\n\r\n" + b" " * 100_000
CONFIG = """
with open({path!r}, encoding="utf-8") as text:
    exec(text.read())
import serving.worker
serving.worker.MOST_HELD = 350_000  # two bodies that threads wait for, and another
"""


def served_among(number: int, sent: bytes, *options: str) -> None:
    env = {"SOCKET_TIMEOUT": "60", "FLASK_RATELIMIT_ENABLED": "false"}
    with gunicorn(SERVICE, *options, env=env) as server, clients(server, sent, number):
        for _ in range(10):
            assert health(server) == 200
        assert "Traceback" not in server.output()


@pytest.mark.parametrize("what", WAITING)
def test_clients_that_wait_with_anything_leave_room_for_others(what: str) -> None:
    served_among(60, WAITING[what], "--worker-connections", "20")


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("what", WAITING)
def test_more_clients_than_connections_leave_room_for_others(what: str, workers: int) -> None:
    served_among(1030 * workers, WAITING[what], "--workers", str(workers))


@contextlib.contextmanager
def both_threads_busy(server: Server) -> Iterator[None]:
    """Those that may wait for a body: two clients, slow but within the rate of 1 byte a second."""
    with clients(server, EXPECTING, 2) as slow:
        for client in slow:
            assert client.recv(100).startswith(b"HTTP/1.1 100")
            client.sendall(b"ff\r\n" + b" " * 100)
        yield


@pytest.mark.parametrize("what", ["a chunked body", "a large body", "an expectation"])
def test_whoever_finds_no_thread_in_time_is_told_503(what: str) -> None:
    env = {
        "SOCKET_TIMEOUT": "1",
        "SOCKET_RATE": "1",
        "FLASK_CORS_ORIGINS": "https://app.example.com",
    }
    request = WAITING[what].replace(b"\r\n", b"\r\nOrigin: https://app.example.com\r\n", 1)
    with (
        gunicorn(env=env) as server,
        both_threads_busy(server),
        clients(server, request, 1) as (late,),
    ):
        answer = read_answer(late)
        assert answer.status == 503 and b"application/problem+json" in answer.raw
        assert b"\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n" in answer.raw


def is_answered(client: socket.socket) -> bool:
    return bool(select.select([client], [], [], 0)[0])


def order_in_two_parts(server: Server) -> int:
    head = POST + b"Content-Length: %d\r\n\r\n" % (100_000 + len(ORDER)) + b" " * 100_000
    with clients(server, head, 1) as (client,):
        assert not select.select([client], [], [], 0.2)[0]  # nobody is told to go
        client.sendall(ORDER)
        return read_answer(client).status


def test_when_memory_runs_out_the_longest_silent_are_told_503_and_it_is_given_back(
    tmp_path: Path,
) -> None:
    config = tmp_path / "small.conf.py"
    config.write_text(CONFIG.format(path=str(SERVICE / "gunicorn.conf.py")), encoding="utf-8")
    env = {"SOCKET_TIMEOUT": "60"}
    with gunicorn(SERVICE, "--config", str(config), env=env) as server:
        for _ in range(2):
            with clients(server, HALF % 200_000, 20) as silent:
                until(lambda: sum(map(is_answered, silent)) >= 15, 10)
                refused = next(client for client in silent if is_answered(client))
                assert read_answer(refused).status == 503
                assert health(server) == 200
                assert order_in_two_parts(server) == 201
        for _ in range(5):
            assert order_in_two_parts(server) == 201
        assert "Traceback" not in server.output()


def memory(server: Server) -> int:
    """Bytes of the one worker."""
    master = server.process.pid
    worker = Path(f"/proc/{master}/task/{master}/children").read_text().split()[0]
    (line,) = [
        line
        for line in Path(f"/proc/{worker}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    ]
    return int(line.split()[1]) * 1024


@pytest.mark.soak
def test_five_hundred_large_bodies_do_not_grow_the_worker_beyond_its_bound() -> None:
    start = POST + b"Content-Length: 1048576\r\n\r\n" + b" " * (1048576 - 5)
    with gunicorn(env={"FLASK_LOG_FILE": "/dev/null"}) as server, contextlib.ExitStack() as stack:
        assert health(server) == 200
        before = most = memory(server)
        for _ in range(500):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            stack.enter_context(client)
            with contextlib.suppress(ConnectionError):  # told to go
                client.sendall(start)
            most = max(most, memory(server))
        print(f"\nat first {before >> 20} MiB, at most {most >> 20} MiB")
        assert health(server) == 200
        assert most - before < 128 * 1024 * 1024
