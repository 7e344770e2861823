"""The generated service of two checkouts behind real servers, loaded in turns."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.entries import CONNECTIONS, Entry
from benchmarks.in_process import SERVICE
from benchmarks.load import Load, ratio
from benchmarks.over_http import Loads, loaded_in_turns
from tests.servers import redis

SETTINGS = [("gunicorn gthread", 1), ("gunicorn gthread", 4), ("granian", 1), ("granian", 4)]
SECONDS = 1


def measure_http(python: Path, logs: Path, old: Path, rounds: int) -> list[dict[str, Any]]:
    """One process each, on memory:// and on Redis; bare Flask shows the ceiling."""
    with redis() as server:
        storages = ["memory://", f"redis://127.0.0.1:{server.port}"]
        pairs = [pair_of(old, *setting, uri) for uri in storages for setting in SETTINGS]
        ceilings = {setting: Entry(setting[0], "bare", setting[1]) for setting in SETTINGS}
        entries = [*ceilings.values(), *(entry for pair in pairs for entry in pair)]
        loads = loaded_in_turns(entries, python, logs, {CONNECTIONS: rounds}, SECONDS)
    return [row(pair, ceilings[pair[0].server, pair[0].threads], loads) for pair in pairs]


def pair_of(old: Path, server: str, threads: int, uri: str) -> tuple[Entry, Entry]:
    """:param uri: of the storage; in Redis each counts in a database of its own."""
    number = 2 * SETTINGS.index((server, threads))
    names = [uri, uri] if uri == "memory://" else [f"{uri}/{number}", f"{uri}/{number + 1}"]
    storage = uri.partition(":")[0]
    return (
        Entry(server, "generated", threads, 1, names[0], old, f"old {storage} "),
        Entry(server, "generated", threads, 1, names[1], SERVICE, f"new {storage} "),
    )


def row(pair: tuple[Entry, Entry], ceiling: Entry, loads: Loads) -> dict[str, Any]:
    old, new, bare = (loads[entry.label, CONNECTIONS] for entry in (*pair, ceiling))
    return {
        "server": pair[0].server,
        "threads": pair[0].threads,
        "storage": pair[0].storage.partition(":")[0],
        "old_per_second": round(median(old.per_second)),
        "new_per_second": round(median(new.per_second)),
        "new_to_old": round(ratio(new.per_second, old.per_second), 3),
        "range": spread(new, old),
        "cpu_new_to_old": round(ratio(new.cpu_us, old.cpu_us), 3),
        "p99_new_to_old": round(ratio(new.p99_ms, old.p99_ms), 3),
        "old_to_bare": round(ratio(old.per_second, bare.per_second), 3),
        "new_to_bare": round(ratio(new.per_second, bare.per_second), 3),
    }


def spread(new: Load, old: Load) -> list[float]:
    found = [a / b for a, b in zip(new.per_second, old.per_second, strict=True)]
    return [round(min(found), 3), round(max(found), 3)]
