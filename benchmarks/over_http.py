"""The contenders behind real servers, loaded in turns: requests per second, p50 and p99."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.checks import Send, check
from benchmarks.contenders import CONTENDERS
from benchmarks.duties import EVERYTHING, LIMITS, ORIGIN
from benchmarks.entries import PEER_SERVERS, Entry
from benchmarks.in_process import python_environment
from benchmarks.install import NODE
from benchmarks.load import Load, ratio
from benchmarks.wsgi_client import Answer
from tests.servers import Server, free_port, launch, running

Loads = dict[tuple[str, int], Load]  # by label and number of connections


@contextlib.contextmanager
def serving(entry: Entry, python: Path, logs: Path) -> Iterator[Server]:
    """Start a contender on a free port, and check there that it does its work."""
    port = free_port()
    log = logs / f"{entry.label.replace(' ', '-').replace(':', '')}.http.log"
    log.unlink(missing_ok=True)
    settings = {"log": str(log), "storage": entry.storage, "limits": LIMITS}
    env = {
        **python_environment(entry.service),
        "BENCH_CONTENDER": entry.contender,
        "BENCH_ORIGIN": ORIGIN,
        "BENCH_SETTINGS": json.dumps(settings if entry.is_peer else settings | {"proxied": True}),
        "NODE_ENV": "production",
        "NODE_PATH": str(NODE / "node_modules"),
    }
    with running(launch(entry.command(python, port), port, logs, env)) as server:
        does = EVERYTHING if entry.is_peer else CONTENDERS[entry.contender].does
        check(entry.label, does, http_sender(port), log)
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


def loaded_in_turns(
    entries: Sequence[Entry], python: Path, logs: Path, rounds: Mapping[int, int], seconds: int
) -> Loads:
    """All servers stand ready, one is loaded at a time: A B C, C B A, ...

    :param rounds: how many for each number of connections. Before them each server is loaded once
        uncounted, so that no interpreter is seen while it warms up.
    """
    loads: Loads = {(entry.label, number): Load() for entry in entries for number in rounds}
    with contextlib.ExitStack() as stack:
        servers = [(e, stack.enter_context(serving(e, python, logs))) for e in entries]
        for _, server in servers:
            Load().add(server, seconds, max(rounds))
        for connections, count in rounds.items():
            for number in range(count):
                for entry, server in servers if number % 2 else reversed(servers):
                    loads[entry.label, connections].add(server, seconds, connections)
    return loads


def rows(entries: Sequence[Entry], loads: Loads) -> list[dict[str, Any]]:
    """One for each entry and number of connections, beside the others of the same server."""
    by_label = {entry.label: entry for entry in entries}
    return [row(by_label[label], connections, loads) for label, connections in loads]


def row(entry: Entry, connections: int, loads: Loads) -> dict[str, Any]:
    mine = loads[entry.label, connections]
    result: dict[str, Any] = {
        "server": entry.server,
        "threads": entry.threads,
        "workers": entry.workers,
        "connections": connections,
        "contender": entry.contender,
        "storage": entry.storage.partition(":")[0],
        "per_second": round(median(mine.per_second)),
        "p50_ms": round(median(mine.p50_ms), 2),
        "p99_ms": round(median(mine.p99_ms), 2),
        "cpu_us": round(median(mine.cpu_us)),
    }
    if entry.is_peer:
        return result
    beside = {
        name: Entry(entry.server, name, entry.threads, entry.workers) for name in ("bare", "recipe")
    }
    if entry.contender == "generated":
        beside |= {peer: Entry(server, peer) for peer, server in PEER_SERVERS.items()}
    for name, other in beside.items():
        if found := loads.get((other.label, connections)):
            result[f"to_{name}"] = round(ratio(mine.per_second, found.per_second), 3)
            if name == "recipe":
                result["p99_to_recipe"] = round(ratio(mine.p99_ms, found.p99_ms), 3)
    return result
