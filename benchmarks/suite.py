"""What is measured: which contenders, in which groups, how often; and the results as plain data."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.entries import CONNECTIONS, Entry, on_redis, one_process
from benchmarks.in_process import Samples, Seat, in_turns, workers
from benchmarks.ours import ALWAYS_ON
from benchmarks.over_http import loaded_in_turns, rows
from benchmarks.scaling import measure_curves
from benchmarks.start import measure_bake, measure_start
from benchmarks.wsgi_client import KINDS
from tests.servers import redis

LAYERS = ["bare", *(f"+ {part}" for part in ALWAYS_ON), "four", "eight"]
STACKS = ["bare", "floor", "recipe", "recipe+talisman", "four", "eight", "generated"]
PARTS = ["logging", "cors", "rate_limiting", "security"]
OPTIONAL = ["proxy", "metrics", "csrf", "user_agents", "authentication", "validation"]


@dataclass(frozen=True)
class Effort:
    generations: int  # of processes: where one lies in memory is worth some 3 %
    rounds: int  # in each of them
    http_rounds: int  # with 16 connections; with fewer and more it is one
    starts: int
    bakes: int
    quick: bool = False


# A page is made of five full runs at least, so each of them may be short.
FULL = Effort(generations=2, rounds=6, http_rounds=3, starts=9, bakes=5)
QUICK = Effort(generations=1, rounds=3, http_rounds=1, starts=2, bakes=1, quick=True)
HTTP_SECONDS = 1
Results = dict[str, Any]


@dataclass
class Suite:
    """One run; every method measures one part and returns it as plain data."""

    python: Path
    logs: Path
    effort: Effort

    def stacks(self) -> list[Results]:
        """The whole stacks on memory://, in every kind of request."""
        return self._group(STACKS, KINDS)

    def layers(self) -> list[Results]:
        """One middleware more each time; `more_us` is the median of the rounds' differences."""
        samples, _ = self._in_generations(LAYERS, ["plain"])
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
        names = ["bare", "floor: logging", *(f"recipe: {part}" for part in PARTS)]
        names += [f"only {part}" for part in [*PARTS, *OPTIONAL]]
        return self._group(names, ["plain", "origin"])

    def on_redis(self) -> list[Results]:
        with redis() as server:
            uri = f"redis://127.0.0.1:{server.port}"
            return self._group(["bare", "recipe", "four", "generated"], ["plain"], uri)

    def over_http(self) -> list[Results]:
        """One process each on memory://, with few connections and with many."""
        return self._loaded(one_process(), {CONNECTIONS: self.effort.http_rounds, 1: 1, 64: 1})

    def over_http_on_redis(self) -> list[Results]:
        """One and two processes that share Redis."""
        with redis() as server:
            entries = on_redis(f"redis://127.0.0.1:{server.port}")
            return self._loaded(entries, {CONNECTIONS: max(1, self.effort.http_rounds - 1)})

    def scaling(self) -> list[Results]:
        return measure_curves(self.python, self.logs, self.effort.rounds, self.effort.quick)

    def start(self) -> list[Results]:
        return measure_start(self.python, self.logs, self.effort.starts)

    def bake(self) -> Results:
        return measure_bake(self.effort.bakes)

    def _loaded(self, entries: Sequence[Entry], rounds: dict[int, int]) -> list[Results]:
        loads = loaded_in_turns(entries, self.python, self.logs, rounds, HTTP_SECONDS)
        return rows(entries, loads)

    def _in_generations(
        self, names: Sequence[str], scenarios: Sequence[str], storage: str = "memory://"
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

    def _group(
        self, names: Sequence[str], scenarios: Sequence[str], storage: str = "memory://"
    ) -> list[Results]:
        samples, trips = self._in_generations(names, scenarios, storage)
        return [
            {
                "scenario": scenario,
                "contender": name,
                "storage": storage.partition(":")[0],
                "us": round(found.median(name), 1),
                **{
                    f"to_{other}": round(found.ratio(name, other), 3)
                    for other in ("bare", "recipe")
                    if other in found.rounds
                },
                **to_bare_404(samples, scenario, name),
                **({"round_trips": trips[name]} if name in trips else {}),
            }
            for scenario, found in samples.items()
            for name in names
            if name in found.rounds
        ]


def to_bare_404(samples: dict[str, Samples], scenario: str, name: str) -> Results:
    """What a refusal costs beside bare Flask's cheapest error, round by round."""
    if scenario not in ("404", "429") or "404" not in samples:
        return {}
    pairs = Samples({"mine": samples[scenario].rounds[name], "404": samples["404"].rounds["bare"]})
    return {"to_bare_404": round(pairs.ratio("mine", "404"), 3)}
