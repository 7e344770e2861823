"""What is measured: which contenders, in which groups, how often; and the results as plain data."""

from __future__ import annotations

import itertools
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import ALWAYS_ON
from benchmarks.in_process import Samples, Seat, in_turns, workers
from benchmarks.over_http import Entry, Load, loaded_in_turns, ratio
from benchmarks.scaling import measure_bake, measure_curves, measure_start
from tests.servers import redis

LAYERS = ["bare", *(f"+ {part}" for part in ALWAYS_ON), "four", "eight"]
STACKS = ["bare", "floor", "recipe", "recipe+talisman", "four", "eight", "generated"]
PARTS = ["logging", "cors", "rate_limiting", "security"]
OPTIONAL = ["proxy", "user_agents", "authentication", "validation"]
ONE_PROCESS = [
    Entry("gunicorn gthread", "bare"),
    Entry("gunicorn gthread", "recipe"),
    Entry("gunicorn gthread", "generated"),
    Entry("granian", "bare"),
    Entry("granian", "recipe"),
    Entry("granian", "generated"),
    Entry("uvicorn", "fastapi"),
    Entry("node", "express"),
]
SHARED = ["gunicorn sync x2", "gunicorn gthread x2", "granian x2"]
VERSIONS = [
    *["flask", "werkzeug", "flask-cors", "flask-limiter", "limits", "flask-talisman"],
    *["python-json-logger", "orjson", "redis", "gunicorn", "granian"],
    *["fastapi", "starlette", "slowapi", "uvicorn"],
]


@dataclass(frozen=True)
class Effort:
    generations: int  # of processes: where one lies in memory is worth some 3 %
    rounds: int  # in each of them
    http_rounds: int
    http_seconds: int
    starts: int
    bakes: int
    quick: bool = False


FULL = Effort(generations=4, rounds=8, http_rounds=7, http_seconds=2, starts=15, bakes=10)
QUICK = Effort(
    generations=2, rounds=4, http_rounds=2, http_seconds=1, starts=3, bakes=2, quick=True
)
Results = dict[str, Any]


@dataclass
class Suite:
    """One run; every method measures one part and returns it as plain data."""

    python: Path
    logs: Path
    effort: Effort

    def machine(self) -> Results:
        code = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
        command = [str(self.python), "-c", code, *VERSIONS]
        versions = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return {
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
            "versions": dict(zip(VERSIONS, versions.split(), strict=True)),
            "load_before": round(os.getloadavg()[0], 1),
        }

    def stacks(self) -> list[Results]:
        """The whole stacks on memory://, in every kind of request."""
        scenarios = ["plain", "origin", "preflight", "404"]
        results = self._group(STACKS, scenarios, "memory://")
        return results + self._group([n for n in STACKS if n != "bare"], ["429"], "memory://")

    def layers(self) -> list[Results]:
        """One middleware more each time; `more_us` is the median of the rounds' differences."""
        samples, _ = self._in_generations(LAYERS, ["plain"], "memory://")
        found = samples["plain"]
        return [
            {
                "up_to": name,
                "us": round(found.median(name), 1),
                "more_us": round(found.difference(name, LAYERS[max(0, n - 1)]), 1),
                "to_bare": round(found.ratio(name, "bare"), 3),
            }
            for n, name in enumerate(LAYERS)
        ]

    def parts(self) -> list[Results]:
        """Each middleware alone, ours and the recipe's."""
        names = ["bare", *(f"recipe: {part}" for part in PARTS)]
        names += [f"only {part}" for part in [*PARTS, *OPTIONAL]]
        return self._group(names, ["plain", "origin"], "memory://")

    def on_redis(self) -> list[Results]:
        with redis() as server:
            uri = f"redis://127.0.0.1:{server.port}"
            return self._group(["bare", "recipe", "four", "generated"], ["plain"], uri)

    def _in_generations(
        self,
        names: Sequence[str],
        scenarios: Sequence[str],
        storage: str,
    ) -> tuple[dict[str, Samples], dict[str, float]]:
        """:returns: samples by scenario; how often a request of each contender waits for Redis."""
        is_redis = storage != "memory://"
        samples = {scenario: Samples() for scenario in scenarios}
        trips: dict[str, float] = {}
        databases = itertools.count()  # one each: they use the same keys
        for _ in range(self.effort.generations):
            seats = [
                Seat(
                    name, name, {"storage": f"{storage}/{next(databases)}" if is_redis else storage}
                )
                for name in names
            ]
            with workers(self.python, self.logs, seats, check=True) as group:
                found = in_turns(group, scenarios, self.effort.rounds, waits=is_redis)
                if is_redis:
                    trips |= {w.label: w.ask("trips") for w in group if w.label != "bare"}
            for scenario, some in found.items():
                samples[scenario].extend(some)
        return samples, trips

    def _group(self, names: Sequence[str], scenarios: Sequence[str], storage: str) -> list[Results]:
        samples, trips = self._in_generations(names, scenarios, storage)
        return [
            {
                "scenario": scenario,
                "contender": name,
                "storage": storage.partition(":")[0],
                "us": round(found.median(name), 1),
                **{
                    f"to_{n}": round(found.ratio(name, n), 3)
                    for n in ("bare", "recipe")
                    if n in names
                },
                **({"round_trips": trips[name]} if name in trips else {}),
            }
            for scenario, found in samples.items()
            for name in names
        ]

    def over_http(self) -> list[Results]:
        """One process each on memory://; then two processes that share Redis."""
        results = self._loaded(ONE_PROCESS)
        with redis() as server:
            uri = f"redis://127.0.0.1:{server.port}"
            names = ("bare", "recipe", "generated")
            pairs = [(s, name) for s in SHARED for name in names]
            entries = [Entry(*pair, f"{uri}/{n}") for n, pair in enumerate(pairs)]
            results += self._loaded(entries)
        return results

    def _loaded(self, entries: Sequence[Entry]) -> list[Results]:
        effort = self.effort
        loads = loaded_in_turns(
            entries, self.python, self.logs, effort.http_rounds, effort.http_seconds
        )
        return [self._result(entry, loads) for entry in entries]

    def _result(self, entry: Entry, loads: dict[str, Load]) -> Results:
        mine = loads[entry.label]
        result = {
            "server": entry.server,
            "contender": entry.contender,
            "storage": entry.storage.partition(":")[0],
            "per_second": round(median(mine.per_second)),
            "p50_ms": round(median(mine.p50_ms), 2),
            "p99_ms": round(median(mine.p99_ms), 2),
            "cpu_us": round(median(mine.cpu_us)),
        }
        recipe = loads.get(f"{entry.server}: recipe")
        if recipe:
            result["to_recipe"] = round(ratio(mine.per_second, recipe.per_second), 2)
            result["cpu_to_recipe"] = round(ratio(mine.cpu_us, recipe.cpu_us), 2)
            result["p99_to_recipe"] = round(ratio(mine.p99_ms, recipe.p99_ms), 2)
        for peer in ("uvicorn: fastapi", "node: express"):
            if peer in loads and entry.contender == "generated":
                name = f"to_{peer.partition(': ')[2]}"
                result[name] = round(ratio(mine.per_second, loads[peer].per_second), 2)
        return result

    def scaling(self) -> list[Results]:
        effort = self.effort
        return measure_curves(
            self.python, self.logs, effort.generations, effort.rounds, effort.quick
        )

    def start(self) -> list[Results]:
        return measure_start(self.python, self.effort.starts)

    def bake(self) -> Results:
        return measure_bake(self.effort.bakes)
