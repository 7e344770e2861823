"""Clients that stop or drip in the middle of a request: they hold no thread, and not for ever."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import require
from tests.raw_http import Answer, read_answer
from tests.servers import SERVICE, Server, gunicorn, until

POST = b"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
ORDER = b'{"item": "tea", "quantity": 2}'
SLOW = {
    "in the request line": b"GE",
    "in a header": b"GET /health HTTP/1.1\r\nHost: loc",
    "in a body": POST + b"Content-Length: 100\r\n\r\n{",
    "in a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
}
ENDLESS = """
from flask import Flask, Response, request

app = Flask("service")
app.get("/health")(lambda: "fine")


@app.get("/endless")
def endless():
    return Response(b"x" * 65536 for _ in range(10**9))


@app.get("/socket")
def bare():  # as WebSocket extensions do it
    return request.environ["gunicorn.socket"].recv(100)
"""


@contextlib.contextmanager
def clients(server: Server, sent: bytes, number: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(number):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            opened.append(stack.enter_context(client))
            client.sendall(sent)
        yield opened


def health(server: Server) -> int:
    with urllib.request.urlopen(f"{server.url}/health", timeout=10) as response:
        status: int = response.status
        return status


def drip(client: socket.socket, byte: bytes, pause: float) -> Answer:
    """Send a byte now and then until there is a response."""
    client.settimeout(pause)
    with contextlib.suppress(ConnectionError):
        for _ in range(int(20 / pause)):
            client.sendall(byte)
            with contextlib.suppress(TimeoutError):
                client.recv(1, socket.MSG_PEEK)
                break
    client.settimeout(20)
    return read_answer(client)


@pytest.mark.parametrize("place", SLOW)
def test_others_are_served_while_many_clients_are_silent(place: str) -> None:
    with (
        gunicorn(env={"SOCKET_TIMEOUT": "60"}) as server,  # four threads
        clients(server, SLOW[place], 40),
    ):
        for _ in range(20):
            assert health(server) == 200


@pytest.mark.parametrize("place", [place for place in SLOW if place != "in a chunk"])
def test_whoever_falls_silent_is_told_408_and_hung_up_on(place: str) -> None:
    with (
        gunicorn(env={"SOCKET_TIMEOUT": "0.3"}) as server,
        clients(server, SLOW[place], 3) as silent,
    ):
        for client in silent:
            assert read_answer(client).status == 408
            assert client.recv(1) == b""
        assert "Traceback" not in server.output()


@pytest.mark.parametrize(
    ("place", "byte"), [("in a header", b"a"), ("in a body", b" "), ("in a chunk", b" ")]
)
def test_a_byte_now_and_then_does_not_put_the_end_off(place: str, byte: bytes) -> None:
    start = SLOW[place].replace(b"100", b"90000").replace(b"\r\n5\r\n", b"\r\nffff\r\n")
    with (
        gunicorn(env={"SOCKET_TIMEOUT": "0.3"}) as server,
        clients(server, start, 1) as (client,),
    ):
        assert drip(client, byte, 0.05).status in (400, 408)
        assert "Traceback" not in server.output()


@pytest.mark.parametrize("kind", ["declared", "chunked"])
def test_a_slow_body_within_the_rate_is_accepted(kind: str) -> None:
    body = b" " * 30 + ORDER
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    start = POST + (length if kind == "declared" else b"Transfer-Encoding: chunked\r\n\r\n")
    with (
        gunicorn(env={"SOCKET_TIMEOUT": "0.5", "SOCKET_RATE": "1"}) as server,
        clients(server, start, 1) as (client,),
    ):
        for number in range(0, len(body), 3):
            part = body[number : number + 3]
            client.sendall(part if kind == "declared" else b"%x\r\n%s\r\n" % (len(part), part))
            time.sleep(0.06)  # 1.2 s in all, which is more than the time for a head
        client.sendall(b"" if kind == "declared" else b"0\r\n\r\n")
        assert read_answer(client).status == 201


def test_when_connections_run_out_the_oldest_half_request_makes_room() -> None:
    with (
        gunicorn(SERVICE, "--worker-connections", "20", env={"SOCKET_TIMEOUT": "60"}) as server,
        clients(server, SLOW["in a header"], 60),
    ):
        for _ in range(10):
            assert health(server) == 200


def test_a_client_that_does_not_close_its_side_keeps_nobody_waiting() -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with gunicorn() as server, clients(server, request, 20) as done:
        for client in done:
            assert read_answer(client).status == 200
        assert health(server) == 200  # gunicorn alone waits 2 s for each of them


def endless(folder: Path) -> None:
    shutil.copytree(SERVICE / "serving", folder / "serving")
    shutil.copy(SERVICE / "gunicorn.conf.py", folder)
    (folder / "endless.py").write_text(ENDLESS, encoding="ascii")


def test_clients_that_take_no_more_of_a_response_free_their_threads(tmp_path: Path) -> None:
    endless(tmp_path)
    request = b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n"
    env = {"SOCKET_TIMEOUT": "0.5"}
    with (
        gunicorn(tmp_path, target="endless:app", env=env) as server,
        clients(server, request, 4),
    ):
        assert health(server) == 200
        until(lambda: server.output().count("took none of its response for 0.5 s") == 4)
        assert "Traceback" not in server.output()


def test_a_socket_that_the_application_took_over_may_be_silent(tmp_path: Path) -> None:
    endless(tmp_path)
    request = b"GET /socket HTTP/1.1\r\nHost: localhost\r\n\r\n"
    env = {"SOCKET_TIMEOUT": "0.2"}
    with (
        gunicorn(tmp_path, target="endless:app", env=env) as server,
        clients(server, request, 1) as (client,),
    ):
        time.sleep(0.8)
        client.sendall(b"hello")
        assert read_answer(client).body == b"hello"


def test_a_connection_that_is_kept_alive_is_not_hung_up_on() -> None:
    with gunicorn(env={"SOCKET_TIMEOUT": "0.3"}) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        with contextlib.closing(connection):
            for _ in range(2):
                connection.request("GET", "/health")
                assert connection.getresponse().read()
                time.sleep(0.8)


def test_requests_that_are_sent_ahead_are_all_answered() -> None:
    get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    post = POST + b"Content-Length: %d\r\n\r\n" % len(ORDER) + ORDER
    end = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with gunicorn() as server, clients(server, get + post + get + end, 1) as (client,):
        received = b""
        while part := client.recv(65536):
            received += part
        assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"201", b"200", b"200"]


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan"])
@pytest.mark.parametrize("name", ["SOCKET_TIMEOUT", "SOCKET_RATE", "KEEP_ALIVE"])
def test_a_number_that_is_none_is_refused_at_start(name: str, value: str) -> None:
    with pytest.raises(RuntimeError, match=rf"{name}: '{value}' is not a number of .*, for exam"):
        gunicorn(env={name: value})


def test_tls_and_http_2_are_refused_at_start_where_the_worker_does_not_speak_them() -> None:
    with pytest.raises(RuntimeError, match="leave TLS and HTTP/2 to a proxy in front"):
        gunicorn(SERVICE, "--certfile", __file__)


@contextlib.contextmanager
def five_hundred(server: Server) -> Iterator[None]:
    """Half-open and dripping connections, renewed when they are closed."""
    over = threading.Event()
    kinds = [start.replace(b"100", b"100000") for start in SLOW.values()]

    def begin(number: int) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(kinds[number % 4])
        client.setblocking(False)
        return client

    def attack() -> None:
        connections = [begin(number) for number in range(500)]
        ready.set()
        while not over.is_set():
            for number, client in enumerate(connections):
                try:
                    if number % 4:  # a quarter is silent
                        client.send(b"1")
                    if not client.recv(4096):
                        raise ConnectionError
                except BlockingIOError:
                    pass
                except OSError:
                    client.close()
                    connections[number] = begin(number)
                if number % 20 == 0:
                    over.wait(0.06)  # each of them once in 1.5 s
        for client in connections:
            client.close()

    ready = threading.Event()
    thread = threading.Thread(target=attack)
    thread.start()
    try:
        ready.wait(60)
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.soak
def test_a_hundred_clients_hardly_notice_five_hundred_slow_ones() -> None:
    def slowest_percent() -> float:
        command = [str(require("wrk")), "-t1", "-c100", "-d20s", "--latency", f"{url}/api/ping"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"99%\s+([\d.]+)(ms|s)", said)
        assert found and "Non-2xx" not in said and "Socket errors" not in said, said
        return float(found[1]) * (1000 if found[2] == "s" else 1)

    quiet, attacked = [], []
    with gunicorn(env={"FLASK_RATELIMIT_ENABLED": "false", "FLASK_LOG_FILE": "/dev/null"}) as it:
        url = it.url
        for _ in range(3):
            quiet.append(slowest_percent())
            with five_hundred(it):
                attacked.append(slowest_percent())
    print(f"\n99th percentile in ms, quiet {quiet}, with 500 slow clients {attacked}")
    assert statistics.median(attacked) <= 2 * statistics.median(quiet)
