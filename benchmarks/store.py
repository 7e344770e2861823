"""What one Redis carries of our rate limits: `python -m benchmarks.store`, for docs/scaling.md.

What a request of the service asks is heard with MONITOR and asked again by redis-benchmark: for
many clients, with limits of several sizes, with counters empty, half full, used up and run out.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks.duties import LIMITS
from benchmarks.in_process import BUILD, Seat, workers
from benchmarks.install import bench_python
from benchmarks.report import rows_of, table
from benchmarks.wsgi_client import THE_ONE
from tests.parts import require
from tests.servers import redis

REQUESTS = 50_000
CLIENTS = 10_000
RANDOM = "__rand_int__"  # which redis-benchmark replaces
SCRIPTS = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_fcall")


@dataclass
class Store:
    """A running Redis, and what asks it."""

    port: int
    client: Any
    python: Path

    def question(self, limits: str) -> list[str]:
        """What a request of one client sends, as words."""
        settings = {"limits": limits, "storage": f"redis://127.0.0.1:{self.port}"}
        seats = [Seat("four", "four", settings)]
        with (
            tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as logs,
            workers(self.python, Path(logs), seats, check=False) as (worker,),
        ):
            worker.ask("hold", 1)  # loads the script
            with self.client.monitor() as heard:
                worker.ask("hold", 1)
                while True:  # lines of MONITOR: time [database address] "word" "word" ...
                    _, _, source, *words = shlex.split(heard.connection.read_response())
                    is_script = source != "lua]" and f"cmdstat_{words[0].lower()}" in SCRIPTS
                    if is_script and THE_ONE in " ".join(words):  # and no probe of the store
                        return words

    def ask(self, words: list[str], requests: int, connections: int = 1) -> tuple[float, float]:
        """:returns: requests per second, and the median wait in milliseconds."""
        command = [str(require("redis-benchmark")), "-p", str(self.port), "-c", str(connections)]
        command += ["-n", str(requests), "-r", str(CLIENTS), "-q", *words]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rate, wait = re.findall(r"([\d.]+) requests per second.*?p50=([\d.]+)", said)[-1]
        return float(rate), float(wait)

    def cpu_seconds(self) -> float:
        used = self.client.info("cpu")
        return float(used["used_cpu_user"] + used["used_cpu_sys"])

    def script_us(self, words: list[str], requests: int) -> float:
        """Microseconds that the script takes, without what surrounds it."""
        self.client.config_resetstat()
        if requests == 1:  # too few for redis-benchmark
            self.client.execute_command(*words)
        else:
            self.ask(words, requests)
        stats = self.client.info("commandstats")
        found = [stats[name] for name in SCRIPTS if name in stats]
        return float(sum(one["usec"] for one in found) / sum(one["calls"] for one in found))


def of_many(words: list[str]) -> list[str]:
    return [word.replace(THE_ONE, RANDOM) for word in words]


def carried(store: Store) -> Iterator[dict[str, Any]]:
    """Two limits, many clients, few connections and many."""
    words = of_many(store.question(LIMITS))
    for connections in (1, 8, 64, 256):
        store.client.flushdb()
        before = store.cpu_seconds()
        rate, wait = store.ask(words, REQUESTS, connections)
        cpu = (store.cpu_seconds() - before) / REQUESTS * 1e6
        yield {"connections": connections, "per_second": round(rate), "p50_ms": wait, "cpu_us": cpu}


def by_fullness(store: Store, limit: int, window: int = 10) -> dict[str, Any]:
    """The script's time for one client, from its first request until its window has run out.

    :param window: in seconds; filling takes a part of it.
    """
    words = store.question(f"{limit} per {window} seconds")
    store.client.flushdb()
    row: dict[str, Any] = {"limit": limit, "first_us": store.script_us(of_many(words), 1000)}
    store.ask(words, limit // 2)
    row["half_full_us"] = store.script_us(words, 100) if limit >= 1000 else None
    store.ask(words, limit)
    filled = time.monotonic()
    row["used_up_us"] = store.script_us(words, 1000)
    if time.monotonic() - filled > window / 2:
        row["used_up_us"] = None  # some of it had run out meanwhile
    time.sleep(window + 0.5)  # a window is waited for: that is what is measured
    return {**row, "run_out_us": store.script_us(words, 1)}


def size(store: Store, requests: int) -> dict[str, Any]:
    """Bytes of one client's counters after so many requests, of two limits that are far away."""
    words = of_many(store.question("100000 per day;50000 per hour"))
    store.client.flushdb()
    before = store.client.info("memory")["used_memory"]
    store.ask(words, CLIENTS * requests, connections=8)
    used = store.client.info("memory")["used_memory"] - before
    clients = sum(1 for _ in store.client.scan_iter(count=1000)) / 2
    return {"requests_of_each": requests, "bytes": round(used / clients)}


def main() -> None:
    python = bench_python()
    with redis() as server, Redis(port=server.port, decode_responses=True) as client:
        store = Store(server.port, client, python)
        print(f"Two limits, {CLIENTS:,} clients\n{table(rows_of([*carried(store)]))}", flush=True)
        print("\nThe script by the limit's size and the counter's fullness", flush=True)
        limits = (10, 100, 1000, 10_000, 100_000)
        print(table(rows_of([by_fullness(store, limit) for limit in limits])), flush=True)
        print("\nMemory of one client with two limits", flush=True)
        print(table(rows_of([size(store, requests) for requests in (1, 10, 50, 200)])), flush=True)


if __name__ == "__main__":
    BUILD.mkdir(exist_ok=True)
    main()
