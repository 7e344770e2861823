"""Two checkouts of the project in one run, block by block: what a change costs or saves.

Both are asked by the benchmark of this checkout and run on the same interpreter and packages; only
the `app` that they import differs. The older one stands twice in each group: what it seems to
differ from itself is what this run cannot tell.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.against_http import measure_http
from benchmarks.in_process import SERVICE, Failed, Samples, Seat, in_turns, workers
from benchmarks.ours import ALL
from benchmarks.wsgi_client import KINDS, LIMITED
from tests.servers import redis

OLD, NEW, TWIN, BARE = "old", "new", "old again", "bare"
Results = list[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A contender of benchmarks/contenders.py, and the kinds of request that it is sent."""

    contender: str
    scenarios: Sequence[str]
    on_redis: bool = False

    @property
    def storage(self) -> str:
        return "redis" if self.on_redis else "memory"


CASES = {
    "generated": Case("generated", KINDS),
    "four": Case("four", KINDS),
    "eight": Case("eight", KINDS),
    "limits": Case("decorated", ("plain", *LIMITED)),
    **{part: Case(f"only {part}", ("plain", "origin")) for part in ALL},
    "redis": Case("generated", ("plain", "origin", "429"), on_redis=True),
    "redis-four": Case("four", ("plain", "429"), on_redis=True),
    "redis-limits": Case("decorated", ("plain", *LIMITED), on_redis=True),
}


@dataclass(frozen=True)
class Effort:
    generations: int  # of processes: where one lies in memory is worth some 3 %
    rounds: int  # in each of them


FULL, QUICK = Effort(generations=6, rounds=6), Effort(generations=2, rounds=4)
HTTP = "http"  # a case of another kind
NAMES = [*CASES, HTTP]


def service_of(checkout: Path) -> Path:
    """:param checkout: of the template, or a service's own folder.

    :raises Failed: if no service is there.
    """
    for folder in (checkout / SERVICE.name, checkout):
        if (folder / "app" / "__init__.py").is_file():
            return folder.resolve()
    raise Failed(f"{checkout} has no {SERVICE.name}/app and no app: name a checkout")


def measure(
    python: Path, logs: Path, other: Path, names: Sequence[str], effort: Effort
) -> Iterator[tuple[str, Results]]:
    """:param other: the checkout that is the measure; this one is the new one.

    :returns: each case with its rows, as soon as it is measured.
    """
    old = service_of(other)
    for name in names:
        if name == HTTP:
            yield name, measure_http(python, logs, old, effort.rounds)
        else:
            yield name, measure_case(python, logs, old, CASES[name], effort)


def measure_case(python: Path, logs: Path, old: Path, case: Case, effort: Effort) -> Results:
    generations: list[dict[str, Samples]] = []
    for _ in range(effort.generations):
        with (
            store(case) as uris,
            workers(python, logs, seats(case, old, uris), check=True) as group,
        ):
            found = in_turns(group, case.scenarios, effort.rounds, waits=case.on_redis)
            generations.append(found)
    return [row(case, scenario, [g[scenario] for g in generations]) for scenario in case.scenarios]


@contextlib.contextmanager
def store(case: Case) -> Iterator[list[str]]:
    """A storage for each of four seats; they use the same keys."""
    if not case.on_redis:
        yield ["memory://"] * 4
        return
    with redis() as server:
        yield [f"redis://127.0.0.1:{server.port}/{n}" for n in range(4)]


def seats(case: Case, old: Path, uris: Sequence[str]) -> list[Seat]:
    services = {OLD: old, NEW: SERVICE, TWIN: old}
    found = [
        Seat(label, case.contender, {"storage": uri}, service)
        for (label, service), uri in zip(services.items(), uris, strict=False)
    ]
    has_bare = not set(case.scenarios) & set(LIMITED)  # bare Flask has no such routes
    return [*found, Seat(BARE, "bare", {})] if has_bare else found


def row(case: Case, scenario: str, generations: Sequence[Samples]) -> dict[str, Any]:
    together = Samples()
    for samples in generations:
        together.extend(samples)
    ratios = [samples.ratio(NEW, OLD) for samples in generations]
    with_bare = BARE in together.rounds
    return {
        "contender": case.contender,
        "scenario": scenario,
        "storage": case.storage,
        "old_us": round(together.median(OLD), 1),
        "new_us": round(together.median(NEW), 1),
        "new_to_old": round(together.ratio(NEW, OLD), 3),
        "range": [round(min(ratios), 3), round(max(ratios), 3)],
        "old_to_itself": round(together.ratio(TWIN, OLD), 3),
        "old_to_bare": round(together.ratio(OLD, BARE), 3) if with_bare else None,
        "new_to_bare": round(together.ratio(NEW, BARE), 3) if with_bare else None,
    }
