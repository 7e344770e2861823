"""`python -m benchmarks.servers`: how servers stand what production does to them, as a table.

Each line is a question that docs/decisions.md answers with these figures.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.in_process import BUILD, python_environment
from benchmarks.install import bench_python
from benchmarks.load import load, processor_times
from benchmarks.report import table
from tests.servers import Server, free_port, launch, running

GUNICORN = [
    "-m",
    "gunicorn",
    "--bind",
    "127.0.0.1:{port}",
    "--timeout",
    "60",
    "benchmarks.probe:app",
]
GRANIAN = ["-m", "granian", "--interface", "wsgi", "--port", "{port}", "benchmarks.probe:app"]
SERVERS = {
    "gunicorn sync, 2 workers": [*GUNICORN, "-k", "sync", "-w", "2"],
    "gunicorn gthread, 2 x 8 threads": [*GUNICORN, "-k", "gthread", "-w", "2", "--threads", "8"],
    "the same, --reuse-port": [
        *[*GUNICORN, "-k", "gthread", "-w", "2", "--threads", "8"],
        "--reuse-port",
    ],
    "granian, 2 workers": [*GRANIAN, "--workers", "2"],
}
GTHREAD = [name for name in SERVERS if "gthread" in name or "same" in name]
HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half"
PATIENCE = 5.0  # seconds for an answer


@contextlib.contextmanager
def serving(name: str, python: Path) -> Iterator[Server]:
    port = free_port()
    command = [str(python), *(part.format(port=port) for part in SERVERS[name])]
    with (
        tempfile.TemporaryDirectory(prefix="servers-", dir=BUILD) as folder,
        running(launch(command, port, Path(folder), python_environment())) as server,
    ):
        answer_of(server, "/")
        time.sleep(1.5)  # until the second worker accepts, too
        yield server


def answer_of(server: Server, path: str, headers: dict[str, str] | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=headers or {})
        return connection.getresponse().read()
    finally:
        connection.close()


@contextlib.contextmanager
def half_open(server: Server, number: int) -> Iterator[None]:
    """Clients that begin a request and never end it."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(HALF)
        time.sleep(0.5)
        yield


def seconds_to_answer(server: Server) -> float | None:
    """:returns: None if none came in time."""
    start = time.perf_counter()
    try:
        answer_of(server, "/")
    except (OSError, http.client.HTTPException):
        return None
    return time.perf_counter() - start


def under_half_open(server: Server) -> str:
    """The first of these numbers of half-open requests that stops the server."""
    for number in (1, 2, 4, 8, 16, 200):
        with half_open(server, number):
            if seconds_to_answer(server) is None:
                return f"stopped by {number}"
    return "answers with 200"


def speed_with_slow_clients(server: Server) -> str:
    """Requests per second beside 200 half-open requests."""
    alone = load(server, 2)
    try:
        with half_open(server, 200):
            beside = load(server, 2)
    except Exception as error:
        return f"{alone['requests'] / alone['seconds']:,.0f}/s alone, then {type(error).__name__}"
    return f"{beside['requests'] / alone['requests']:.0%} of its speed"


def underscore(server: Server) -> str:
    """Whether X_Forwarded_For replaces the X-Forwarded-For that a proxy has written."""
    headers = {"X-Forwarded-For": "192.0.2.1", "X_Forwarded_For": "198.51.100.6"}
    try:
        seen = json.loads(answer_of(server, "/", headers))["headers"]
    except (OSError, ValueError, http.client.HTTPException):
        return "refused"
    return "dropped" if seen["HTTP_X_FORWARDED_FOR"] == "192.0.2.1" else "replaces the proxy's"


def broken_stream(server: Server) -> str:
    """What a client sees of an answer that breaks off."""
    try:
        answer_of(server, "/broken-stream")
    except (OSError, http.client.HTTPException) as error:
        return f"seen by the client ({type(error).__name__})"
    return "looks complete"


def balance(server: Server) -> str:
    """Speed on 16 kept-alive connections, and the part of the work of the busiest worker."""
    before = processor_times(server)
    seen = load(server, 1)
    after = processor_times(server)
    used = [after[process] - before.get(process, 0) for process in after]
    return f"{seen['requests'] / seen['seconds']:.0f} {max(used) / max(0.01, sum(used)):.2f}"


QUESTIONS: dict[str, Callable[[Server], str]] = {
    "half-open requests": under_half_open,
    "200 slow clients": speed_with_slow_clients,
    "X_Forwarded_For": underscore,
    "a stream that breaks": broken_stream,
}


def main(runs: int = 15) -> None:
    python = bench_python()
    rows = [["server", *QUESTIONS]]
    for name in SERVERS:
        answers = []
        for ask in QUESTIONS.values():
            with serving(name, python) as server:
                answers.append(ask(server))
        rows.append([name, *answers])
    print(table(rows), flush=True)
    for name in [*GTHREAD, "granian, 2 workers"]:
        print(f"\n{name}: requests/s and the busiest worker's part of the work, {runs} loads")
        with serving(name, python) as server:
            print("  " + " | ".join(balance(server) for _ in range(runs)), flush=True)


if __name__ == "__main__":
    BUILD.mkdir(exist_ok=True)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
