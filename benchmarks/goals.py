"""What the template promises of its speed, beside what a run measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.entries import CONNECTIONS

Results = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """One figure of one run, and its bound: "<= 1.80", ">= 1.40", or "-" if it is only told."""

    what: str
    measured: float
    bound: str = "-"


@dataclass(frozen=True)
class Reached:
    """A goal over several runs."""

    what: str
    measured: tuple[float, ...]
    bound: str

    @property
    def median(self) -> float:
        return median(self.measured)

    @property
    def is_met(self) -> bool | None:
        """As the median is; None if it is only told."""
        if self.bound == "-":
            return None
        bound = float(self.bound[3:])
        return self.median <= bound if self.bound.startswith("<=") else self.median >= bound


def goals(results: Results) -> Iterator[Goal]:
    """:param results: of a run of all parts."""
    yield from in_process_goals(results)
    yield from redis_goals(results)
    yield from http_goals(results)
    for row in results["scaling"]:
        what = f"{row['what']}, {row['from']:,} to {row['to']:,}: cost"
        yield Goal(what, row["ratio"], "<= 1.15")
    for row in results["start"]:
        if row["application"] == "generated":
            yield Goal(f"start with {row['storage']} / Flask's", row["to_flask"], "<= 1.80")


def in_process_goals(results: Results) -> Iterator[Goal]:
    stacks = {(r["scenario"], r["contender"]): r for r in results["stacks"]}
    parts = {(r["scenario"], r["contender"]): r for r in results["parts"]}
    for name, label, bound in [
        ("generated", "generated service", 1.6),
        ("four", "four middlewares", 1.5),
        ("eight", "eight switched on", 2.0),
    ]:
        yield Goal(f"{label} / bare Flask", stacks["plain", name]["to_bare"], f"<= {bound:.2f}")
        origin = stacks["origin", name]["to_bare"]
        yield Goal(f"{label} / bare Flask, with Origin", origin, f"<= {bound:.2f}")
    for scenario in ("404", "429"):
        measured = stacks[scenario, "generated"]["to_bare_404"]
        yield Goal(f"a {scenario} / bare Flask's 404", measured, "<= 1.30")
    for part, bound in [
        ("logging", 1.2),
        ("security", 1.08),
        ("cors", 1.1),
        ("rate_limiting", 1.8),
    ]:
        measured = parts["plain", f"only {part}"]["to_bare"]
        yield Goal(f"{part} alone / bare Flask", measured, f"<= {bound:.2f}")
    by_hand = parts["plain", "floor: logging"]["to_bare"]
    yield Goal("the floor: logging alone / bare Flask", by_hand)
    yield Goal("the floor / bare Flask", stacks["plain", "floor"]["to_bare"])


def redis_goals(results: Results) -> Iterator[Goal]:
    shared = {r["contender"]: r for r in results["on_redis"]}
    yield Goal("round trips to Redis per request", shared["generated"]["round_trips"], "<= 1.00")
    yield Goal("on Redis, four / recipe", shared["four"]["to_recipe"], "<= 0.35")
    yield Goal("on Redis, generated / recipe", shared["generated"]["to_recipe"], "<= 0.35")


def http_goals(results: Results) -> Iterator[Goal]:
    """Requests per second of the generated service, with 16 connections."""
    of_floor, ours = (
        {
            (r["server"], r["threads"]): r
            for r in results["over_http"]
            if r["contender"] == contender and r["connections"] == CONNECTIONS
        }
        for contender in ("floor", "generated")
    )
    for server, bound in [("granian", 0.75), ("gunicorn gthread", 0.9)]:
        for threads in (1, 4):
            label = f"{server}, {threads} thread{'s' * (threads > 1)}"
            measured = ours[server, threads]["to_bare"]
            yield Goal(f"{label}: requests/s / bare Flask's there", measured, f">= {bound:.2f}")
            by_hand = of_floor[server, threads]["to_bare"]
            yield Goal(f"the floor: {label}: requests/s / bare Flask's there", by_hand)
    for server, threads, bound in [("gunicorn gthread", 4, 1.4), ("granian", 1, 2.0)]:
        row = ours[server, threads]
        yield Goal(f"{server}: requests/s / recipe's", row["to_recipe"], f">= {bound:.2f}")
        yield Goal(f"{server}: p99 / recipe's", row["p99_to_recipe"], "<= 1.00")
    row = ours["granian", 1]
    yield Goal("granian / Express's requests/s", row["to_express"], ">= 1.80")
    yield Goal("granian / FastAPI's requests/s", row["to_fastapi"], ">= 2.00")
    yield Goal("granian / Litestar's requests/s", row["to_litestar"])
    yield Goal("granian / Fastify's requests/s", row["to_fastify"])


def reached(runs: list[Results]) -> list[Reached]:
    """:param runs: all of them, none left out."""
    of_runs = [list(goals(run)) for run in runs]
    return [
        Reached(same[0].what, tuple(float(goal.measured) for goal in same), same[0].bound)
        for same in zip(*of_runs, strict=True)
    ]
