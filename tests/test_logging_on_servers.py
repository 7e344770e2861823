"""One line for every request on real servers: none missing, twice, torn, forged or waited for."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests import servers

MIDDLEWARE = servers.SERVICE / "app" / "middleware"
APP = """
import logging
import os
import time
from flask import Flask, Response
from own.engine import lines
from own.logging import configure_request_logging

lines.MOST_BYTES = int(os.environ.get("MOST_BYTES") or lines.MOST_BYTES)
app = Flask(__name__)
app.config.from_prefixed_env()
configure_request_logging(app)

@app.get("/ping")
def ping():
    return {"message": "pong"}

@app.get("/record")
def record():
    logging.getLogger("a.library").warning("careful")
    return {}

@app.get("/error")
def error():
    raise RuntimeError("broken view")

@app.get("/stream")
def stream():
    def slowly():
        yield b"a"
        time.sleep(0.1)
        yield b"b"
    return Response(slowly())

@app.get("/broken")
def broken():
    def breaking():
        yield b"a" * 100
        raise RuntimeError("broken stream")
    return Response(breaking())

@app.get("/endless")
def endless():
    return Response(b"x" * 65536 for _ in range(100_000))

@app.get("/forbidden")
def forbidden():
    return {}, 403
"""
KINDS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "gunicorn-sync": (servers.gunicorn, ["--workers", "4"]),
    "gunicorn-gthread": (servers.gunicorn, ["--workers", "2", "--threads", "4"]),
    "waitress": (servers.waitress, ["--threads=16"]),
    "granian": (servers.granian, ["--blocking-threads", "4", "--no-log"]),
}
KEYS = [
    "time", "level", "message", "request_id", "method", "path", "status", "duration_ms", "bytes",
    "remote_addr", "user_agent", "endpoint", "trace_id", "client", "outcome",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A service with nothing but the logging middleware."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "__init__.py").touch()
    shutil.copy(MIDDLEWARE / "logging.py", own)
    shutil.copytree(MIDDLEWARE / "engine", own / "engine", ignore=shutil.ignore_patterns("*.pyc"))
    (tmp_path / "service.py").write_text(APP, encoding="utf-8")
    return tmp_path


class Pipe:
    """A server's standard output, read from when the test says so."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.data = bytearray()  # 40 MB in a soak: bytes would be copied at each chunk
        self.thread = threading.Thread(target=self.read, daemon=True)

    def start_reading(self) -> None:
        self.thread.start()

    def read(self) -> None:
        while chunk := os.read(self.reader, 1 << 20):
            self.data += chunk

    def close(self) -> bytes:
        """What was written until the server, the last writer, had ended."""
        os.close(self.writer)
        self.thread.join(20)
        os.close(self.reader)
        return bytes(self.data)


def parse(written: bytes) -> list[dict[str, Any]]:
    """Every line, checked: whole, JSON, at most 4096 bytes, nothing that paints or breaks it."""
    lines = []
    for line in written.splitlines(keepends=True):
        assert line.endswith(b"\n")
        assert len(line) <= 4096
        assert line.decode()[:-1].isprintable()
        lines.append(json.loads(line))
    return lines


def requests_in(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["message"] == "request_completed"]


def dropped_in(lines: list[dict[str, Any]]) -> int:
    return sum(line["dropped"] for line in lines if line["message"] == "log_lines_dropped")


@contextlib.contextmanager
def serving(
    kind: str, folder: Path, *, stdout: Pipe | None = None, **config: str
) -> Iterator[servers.Server]:
    start, options = KINDS[kind]
    env = {f"FLASK_{key}": value for key, value in config.items()}
    env["MOST_BYTES"] = env.pop("FLASK_MOST_BYTES", "")
    output = stdout.writer if stdout else None
    with start(folder, *options, target="service:app", env=env, stdout=output) as server:
        yield server


def ask(server: servers.Server, path: str, **headers: str) -> tuple[int, str, bytes]:
    """:returns: status, request id and as much of the body as came."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    try:
        body = answer.read()
    except http.client.IncompleteRead as broken:
        body = broken.partial
    connection.close()
    return answer.status, str(answer.headers["X-Request-ID"]), body


def ask_often(
    server: servers.Server, requests: int, agent: str = "test", threads: int = 8
) -> tuple[list[str], list[float]]:
    """Ask from several threads, kept alive where the server does it.

    :returns: the request ids of the answers, which were all right, and the seconds that each took.
    """
    ids: list[str] = []
    seconds: list[float] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for _ in range(requests // threads):
            began = time.perf_counter()
            connection.request("GET", "/ping", headers={"User-Agent": agent})
            answer = connection.getresponse()
            if answer.read() != b'{"message":"pong"}\n':
                break
            seconds.append(time.perf_counter() - began)
            ids.append(str(answer.headers["X-Request-ID"]))
        connection.close()

    running = [threading.Thread(target=client) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert len(ids) == requests
    return ids, seconds


def counted(written: bytes | bytearray) -> int:
    lines = parse(bytes(written[: written.rfind(b"\n") + 1]))
    return len(requests_in(lines)) + dropped_in(lines)


def eventually(true: Callable[[], bool]) -> None:
    """Wait for a line: it is written a moment after its answer has arrived."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- exactly one ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_request_is_one_whole_line_in_a_pipe(kind: str, folder: Path) -> None:
    pipe = Pipe()
    with serving(kind, folder, stdout=pipe) as server:
        pipe.start_reading()
        ids, _ = ask_often(server, 400)
        eventually(lambda: counted(pipe.data) == 400)
        assert "/ping" not in server.output()  # no second line from the server
    assert_lines(ids, parse(pipe.close()))


@pytest.mark.parametrize("kind", KINDS)
def test_every_request_is_one_whole_line_in_a_file(kind: str, folder: Path) -> None:
    file = folder / "service.log"
    with serving(kind, folder, LOG_FILE=str(file)) as server:
        ids, _ = ask_often(server, 400)
        eventually(lambda: counted(file.read_bytes()) == 400)
        assert "/ping" not in server.output()
    assert_lines(ids, parse(file.read_bytes()))


@pytest.mark.soak
@pytest.mark.parametrize("sink", ["pipe", "file"])
def test_100_000_requests_over_4_workers_are_100_000_lines(sink: str, folder: Path) -> None:
    file, pipe = folder / "service.log", Pipe()
    target = "-" if sink == "pipe" else str(file)
    with serving("gunicorn-sync", folder, stdout=pipe, LOG_FILE=target) as server:
        pipe.start_reading()
        ids, _ = ask_often(server, 100_000)
        eventually(lambda: counted(pipe.data if sink == "pipe" else file.read_bytes()) == 100_000)
    printed = pipe.close()
    assert_lines(ids, parse(printed if sink == "pipe" else file.read_bytes()))


PRINTING = """
@app.get("/printing")
def printing():
    print("a view prints, and this is no line of the log", "." * 100)
    return {"message": "pong"}

@app.get("/stuck")
def stuck():
    time.sleep(60)
"""
PRINTED = b"a view prints, and this is no line of the log " + b"." * 100


def end_in_the_middle(how: str, number: int, sink: str, folder: Path) -> None:
    """Views print meanwhile. What was answered is a line; one request more may be one as well for
    each client, whose response did not arrive."""
    (folder / "service.py").write_text(APP + PRINTING, encoding="utf-8")
    file, pipe = folder / "service.log", Pipe()
    target = "-" if sink == "pipe" else str(file)
    options = ["--workers", "4", "--timeout", "2"]  # of one thread, which a stuck view stops
    env = {"FLASK_LOG_FILE": target}
    answered: list[str] = []
    with servers.gunicorn(
        folder, *options, target="service:app", env=env, stdout=pipe.writer
    ) as server:
        pipe.start_reading()
        clients = [
            threading.Thread(target=ask_until_the_end, args=(server.port, number // 8, answered))
            for _ in range(8)
        ]
        for client in clients:
            client.start()
        servers.until(lambda: len(answered) > number // 3, 300)
        if how == "SIGTERM":
            os.kill(server.process.pid, signal.SIGTERM)
        else:
            with contextlib.suppress(OSError, http.client.HTTPException):
                ask(server, "/stuck")
        for client in clients:
            client.join()
    printed = pipe.close()
    written = printed if sink == "pipe" else file.read_bytes()
    lines = b"".join(
        line for line in written.splitlines(keepends=True) if line.rstrip(b"\n") != PRINTED
    )
    logged = Counter(line["request_id"] for line in requests_in(parse(lines)))
    assert set(answered) <= set(logged) and set(logged.values()) == {1}
    assert len(logged) - len(answered) <= (8 if how == "SIGTERM" else 1)
    assert len(answered) == number or how == "SIGTERM"


def ask_until_the_end(port: int, number: int, answered: list[str]) -> None:
    """One client, which asks again where a worker that ended has closed its connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while number:
        try:
            connection.request("GET", "/printing")
            answer = connection.getresponse()
            answer.read()
        except (http.client.HTTPException, ConnectionResetError, BrokenPipeError):
            connection.close()
            continue
        except OSError:  # nobody listens any more
            break
        answered.append(str(answer.headers["X-Request-ID"]))
        number -= 1
    connection.close()


@pytest.mark.parametrize("sink", ["pipe", "file"])
@pytest.mark.parametrize("how", ["SIGTERM", "time-out"])
@pytest.mark.parametrize("number", [2000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_what_was_answered_is_a_line_though_the_service_ends_or_a_worker_is_killed(
    number: int, how: str, sink: str, folder: Path
) -> None:
    end_in_the_middle(how, number, sink, folder)


def assert_lines(ids: list[str], lines: list[dict[str, Any]]) -> None:
    lines = requests_in(lines)
    assert Counter(line["request_id"] for line in lines) == Counter(ids)
    assert all(list(line) == KEYS and line["outcome"] == "complete" for line in lines)


def test_the_service_as_it_is_generated_logs_each_request_once(tmp_path: Path) -> None:
    pipe = Pipe()
    env = {"WEB_CONCURRENCY": "1"}
    with servers.gunicorn(env=env, stdout=pipe.writer) as server:
        pipe.start_reading()
        assert ask(server, "/health")[0] == 200  # all is well: quiet
        answers = [ask(server, path) for path in ("/api/ping", "/nothing") * 5]
        eventually(lambda: counted(pipe.data) == 10)
        assert "/api/ping" not in server.output()
    lines = requests_in(parse(pipe.close()))
    assert Counter((line["status"], line["request_id"]) for line in lines) == Counter(
        (status, request_id) for status, request_id, _ in answers
    )


@pytest.mark.parametrize("style", ["json", "text"])
def test_the_development_server_logs_each_request_once(folder: Path, style: str) -> None:
    port = servers.free_port()
    command = [sys.executable, "-m", "flask", "--app", "service", "run", "--port", str(port)]
    pipe = Pipe()
    env = {"FLASK_LOG_FORMAT": style, "PYTHONDONTWRITEBYTECODE": "1"}
    with servers.running(servers.launch(command, port, folder, env, pipe.writer)) as server:
        pipe.start_reading()
        status, request_id, _ = ask(server, "/ping")
        assert status == 200
        eventually(lambda: request_id.encode() in pipe.data)
        assert "/ping" not in server.output()
    written = pipe.close().decode()
    assert written.count("/ping") == 1
    assert written.count(request_id) == 1
    assert written.count("Running on") == 1


# -- how an answer ends ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_streams_have_their_real_duration_and_end(kind: str, folder: Path) -> None:
    file = folder / "service.log"
    with serving(kind, folder, LOG_FILE=str(file)) as server:
        assert ask(server, "/stream")[2] == b"ab"
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            ask(server, "/broken")
        assert ask(server, "/error")[0] == 500
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(100_000)
        eventually(lambda: counted(file.read_bytes()) == 4)
    lines = requests_in(parse(file.read_bytes()))
    by_path = {line["path"]: line for line in lines}
    assert by_path["/stream"]["duration_ms"] >= 100
    assert by_path["/stream"]["bytes"] == 2
    assert {path: (line["status"], line["outcome"]) for path, line in by_path.items()} == {
        "/stream": (200, "complete"),
        "/broken": (200, "failed"),
        "/error": (500, "complete"),
        "/endless": (200, "aborted"),
    }
    assert len(lines) == 4


# -- a reader that stalls -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_stalled_reader_fails_no_request_and_the_drops_are_counted(
    kind: str, folder: Path
) -> None:
    stall(kind, folder, requests=1600)


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_stalled_for_30_seconds_slows_no_request(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stalled, read = stall(kind, folder, requests=4000, seconds=30.0)
    with capsys.disabled():
        print(f"\n{kind}: {len(stalled)} requests while nobody read, {len(read)} while read")
        for name, times in (("stalled", stalled), ("read", read)):
            p99 = statistics.quantiles(times, n=100)[98]
            print(
                f"  {name:8} median {1e3 * statistics.median(times):.2f} ms"
                f"  p99 {1e3 * p99:.2f} ms  max {1e3 * max(times):.2f} ms"
            )


def stall(
    kind: str, folder: Path, requests: int, seconds: float = 0.0
) -> tuple[list[float], list[float]]:
    """Ask until the pipe is full and long after, and only then read it.

    :returns: the seconds of the requests while nobody read, and of those while the pipe is read.
    """
    pipe = Pipe()
    agent = "a" * 900  # so that the pipe is full after some 800 lines
    room = "1000000" if seconds else "100000"  # for a fast server's lines of 100 ms at the least
    with serving(kind, folder, stdout=pipe, MOST_BYTES=room) as server:
        began = time.monotonic()
        ids, stalled = ask_often(server, requests, agent)
        while time.monotonic() - began < seconds:
            more = ask_often(server, requests, agent)
            ids += more[0]
            stalled += more[1]
        pipe.start_reading()
        eventually(lambda: counted(pipe.data) == len(ids))  # without another request
        later, read = ask_often(server, requests if seconds else 80, agent)
        ids += later
        eventually(lambda: counted(pipe.data) == len(ids))  # its line comes after an answer
    lines = parse(pipe.close())
    written = requests_in(lines)
    assert dropped_in(lines) > 0
    assert len(written) + dropped_in(lines) == len(ids)
    assert {line["request_id"] for line in written} <= set(ids)
    assert set(later) <= {line["request_id"] for line in written}
    return stalled, read


# -- hostile clients ------------------------------------------------------------------------------

ESCAPES = [
    "\r\n",
    "\n",
    "\x1b[2J",
    "\x00",
    "\x7f",
    "\x85",
    "\u2028",
    "\u202e",
    '"}',
    "\\",
    "%0d%0a",
]
TEXT = st.text(max_size=40) | st.sampled_from(ESCAPES) | st.text('\x00\n\r\x1b\x7f\x9b"\\{}:,%')
HOSTILE = st.lists(TEXT, max_size=6).map("".join) | st.builds(
    str.__mul__, TEXT, st.integers(1, 400)
)


def escaped(text: str) -> bytes:
    """For a path: percent-encoded, which every server decodes before the application sees it."""
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass")).encode()


def raw(text: str) -> bytes:
    """For a header: without what would end it, which no server lets pass."""
    return re.sub(rb"[\r\n]", b" ", text.encode("utf-8", "surrogatepass"))[:6000]


class Attacker:
    """Sends bytes as they are, and counts the answers that came from the application."""

    def __init__(self, server: servers.Server) -> None:
        self.port = server.port
        self.answers = 0
        self.ids: list[bytes] = []

    def send(self, path: str, request_id: str, agent: str) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as client:
            client.sendall(
                b"GET /%s HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: %s\r\nUser-Agent: %s\r\n"
                b"Connection: close\r\n\r\n" % (escaped(path)[:7000], raw(request_id), raw(agent))
            )
            answer = b""
            with contextlib.suppress(ConnectionError):
                while chunk := client.recv(65536):
                    answer += chunk
        head = answer.partition(b"\r\n\r\n")[0]
        self.ids += re.findall(rb"(?im)^x-request-id: ?([^\r\n]*)", head)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tries", [100, pytest.param(10_000, marks=pytest.mark.soak)])
def test_nothing_that_clients_send_forges_tears_or_paints_a_line(
    tries: int, kind: str, folder: Path
) -> None:
    attack(kind, folder, tries)


def attack(kind: str, folder: Path, tries: int) -> None:
    pipe = Pipe()
    with serving(kind, folder, stdout=pipe) as server:
        pipe.start_reading()
        attacker = Attacker(server)

        @seed(20260102)
        @settings(
            max_examples=tries,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(HOSTILE, HOSTILE, HOSTILE)
        def send(path: str, request_id: str, agent: str) -> None:
            attacker.send(path, request_id, agent)

        send()
        eventually(lambda: counted(pipe.data) >= len(attacker.ids))
    lines = requests_in(parse(pipe.close()))
    assert len(attacker.ids) >= tries // 4  # the rest was refused by the server itself
    assert all(re.fullmatch(rb"[A-Za-z0-9._-]{8,64}", given) for given in attacker.ids)
    assert Counter(line["request_id"].encode() for line in lines) == Counter(attacker.ids)


# -- others ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_records_of_other_loggers_carry_the_id_and_refusals_are_told_apart(
    kind: str, folder: Path
) -> None:
    file, security = folder / "service.log", folder / "security.log"
    with serving(kind, folder, LOG_FILE=str(file), SECURITY_LOG_FILE=str(security)) as server:
        recorded = ask(server, "/record", X_Request_ID="client-id-1")[1]
        refused = ask(server, "/forbidden")[1]
        eventually(lambda: refused.encode() in security.read_bytes())
    careful = [line for line in parse(file.read_bytes()) if line["message"] == "careful"]
    assert [line["request_id"] for line in careful] == [recorded] == ["client-id-1"]
    events = [(line["request_id"], line["event"]) for line in parse(security.read_bytes())]
    assert events == [(refused, "authz_denied")]


def test_the_flags_of_a_shared_output_stay_as_they_are(folder: Path) -> None:
    """A pipe made non-blocking for one process would make others' writes to it fail."""
    script = (
        "import fcntl, os, service\n"
        "service.app.test_client().get('/ping').data\n"
        "assert not fcntl.fcntl(1, fcntl.F_GETFL) & os.O_NONBLOCK\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, check=True, text=True
    )
    assert json.loads(result.stdout)["path"] == "/ping"
