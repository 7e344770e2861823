"""The contenders behind real servers, loaded by wrk in turns: requests per second and p99."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.checks import Send, check
from benchmarks.contenders import CONTENDERS, EVERYTHING, LIMITS, ORIGIN
from benchmarks.in_process import ROOT, Failed, python_environment
from benchmarks.install import NODE, PEERS, needed
from benchmarks.wsgi_client import Answer
from tests.servers import Server, free_port, launch, running

CONNECTIONS = 16
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}"]
GRANIAN = ["-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", "{port}"]
UVICORN = ["-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--no-access-log"]
SERVERS = {
    # one process each on memory://, as no contender shares memory between processes
    "gunicorn gthread": [*GUNICORN, "-k", "gthread", "--threads", "4", "benchmarks.wsgi:app"],
    "granian": [*GRANIAN, "--blocking-threads", "1", "--no-access-log", "benchmarks.wsgi:app"],
    "uvicorn": [*UVICORN, "--proxy-headers", "benchmarks.peers.fastapi_app:app"],
    # two processes on Redis
    "gunicorn sync x2": [*GUNICORN, "-k", "sync", "--workers", "2", "benchmarks.wsgi:app"],
    "gunicorn gthread x2": [
        *[*GUNICORN, "-k", "gthread", "--threads", "4", "--workers", "2", "--reuse-port"],
        "benchmarks.wsgi:app",
    ],
    "granian x2": [
        *[*GRANIAN, "--blocking-threads", "1", "--workers", "2", "--no-access-log"],
        "benchmarks.wsgi:app",
    ],
}


@dataclass(frozen=True)
class Entry:
    server: str
    contender: str
    storage: str = "memory://"

    @property
    def label(self) -> str:
        return f"{self.server}: {self.contender}"

    @property
    def processes(self) -> int:
        return 2 if self.server.endswith("x2") else 1


@contextlib.contextmanager
def serving(entry: Entry, python: Path, logs: Path) -> Iterator[Server]:
    """Start a contender on a free port, and check there that it does its work."""
    port = free_port()
    log = logs / f"{entry.label.replace(' ', '-').replace(':', '')}.http.log"
    log.unlink(missing_ok=True)
    settings = {"log": str(log), "storage": entry.storage, "limits": LIMITS}
    if entry.contender == "express":
        command: list[str | Path] = [needed("node", "nodejs"), PEERS / "express_app.js", str(port)]
    else:
        command = [python, *(part.format(port=port) for part in SERVERS[entry.server])]
        if entry.contender != "fastapi":
            settings["proxied"] = True  # type: ignore[assignment]
    env = {
        **python_environment(),
        "BENCH_CONTENDER": entry.contender,
        "BENCH_ORIGIN": ORIGIN,
        "BENCH_SETTINGS": json.dumps(settings),
        "NODE_ENV": "production",
        "NODE_PATH": str(NODE / "node_modules"),
    }
    with running(launch(command, port, logs, env)) as server:
        does = CONTENDERS[entry.contender].does if entry.contender in CONTENDERS else EVERYTHING
        processes = 1 if entry.storage != "memory://" else entry.processes
        check(entry.label, does, http_sender(port), log, processes)
        yield server


def http_sender(port: int) -> Send:
    def send(client: str, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/api/ping", headers={"X-Forwarded-For": client, **headers})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(str(response.status), names, response.read())
        connection.close()
        return answer

    return send


@dataclass
class Load:
    """What wrk saw of one contender, round by round."""

    per_second: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


def load(server: Server, seconds: int, connections: int = CONNECTIONS) -> dict[str, float]:
    """:raises Failed: if a request was refused or failed; it would have cost too little."""
    command = [needed("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    script = ROOT / "benchmarks" / "wrk.lua"
    done = subprocess.run(
        [*command, "-s", str(script), server.url], capture_output=True, text=True, check=True
    )
    seen: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if seen["failed"]:
        raise Failed(f"{seen['failed']} requests were not answered 200:\n{server.output()[-2000:]}")
    return seen


def processor_times(server: Server) -> dict[int, float]:
    """Seconds that each process of a server has used, as Linux tells them."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == server.process.pid:  # its process group
                ticks = int(fields[11]) + int(fields[12])
                found[int(stat.parent.name)] = ticks / os.sysconf("SC_CLK_TCK")
    return found


def loaded_in_turns(
    entries: Sequence[Entry], python: Path, logs: Path, rounds: int, seconds: int
) -> dict[str, Load]:
    """All servers stand ready, one is loaded at a time: A B C, C B A, ..."""
    loads = {entry.label: Load() for entry in entries}
    with contextlib.ExitStack() as stack:
        servers = [(e, stack.enter_context(serving(e, python, logs))) for e in entries]
        for number in range(rounds):
            for entry, server in servers if number % 2 else reversed(servers):
                before = sum(processor_times(server).values())
                seen = load(server, seconds)
                used = sum(processor_times(server).values()) - before
                mine = loads[entry.label]
                mine.cpu_us.append(used / seen["requests"] * 1e6)
                mine.per_second.append(seen["requests"] / seen["seconds"])
                mine.p50_ms.append(seen["p50_ms"])
                mine.p99_ms.append(seen["p99_ms"])
    return loads


def ratio(mine: Sequence[float], other: Sequence[float]) -> float:
    return median(a / b for a, b in zip(mine, other, strict=True))
