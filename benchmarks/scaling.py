"""What must not grow: the cost of a request with routes, origins, clients and limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.in_process import Seat, in_turns, workers
from benchmarks.wsgi_client import CLIENTS

HIGH = "1000000 per day;500000 per hour"
WIDE = "100000 per 5 minutes"  # long enough to be used up, on a slow machine too
ROUNDS_EACH = 3  # a curve is short: its processes are started and filled once


@dataclass(frozen=True)
class Curve:
    """The always-on four with little and with much of something, in turns."""

    what: str
    sizes: tuple[int, int]
    few: dict[str, Any]
    many: dict[str, Any]
    scenario: str = "plain"
    before: str | None = None  # a command of the worker, which is told the size
    factor: int = 1  # times which it is told


def curves(quick: bool) -> list[Curve]:
    clients, limit = (30_000, 10_000) if quick else (300_000, 100_000)
    wide = {"limits": WIDE.replace("100000", str(limit))}
    high = {"limits": HIGH}
    return [
        Curve("routes", (10, 1000), {"routes": 10}, {"routes": 1000}),
        Curve("origins allowed", (1, 1000), {"origins": 1}, {"origins": 1000}, "origin"),
        Curve("clients seen", (1, clients), {}, {}, before="fill"),
        Curve(
            "requests held by each of 1,000 clients",
            (1, 50),
            high,
            high,
            "plain",
            "repeat",
            CLIENTS,
        ),
        Curve(
            "limits of routes seen",
            (10, 1000),
            {"routes": 10, "own_limits": True},
            {"routes": 1000, "own_limits": True},
            before="visit",
        ),
        Curve(
            "a limit per window, used up",
            (10, limit),
            {"limits": "10 per 5 minutes"},
            wide,
            "429",
            "hold",
        ),
        Curve("requests held by one client", (10, limit // 2), wide, wide, "one client", "hold"),
    ]


def measure_curves(python: Path, logs: Path, rounds: int, quick: bool) -> list[dict[str, Any]]:
    return [measure_curve(curve, python, logs, rounds * ROUNDS_EACH) for curve in curves(quick)]


def measure_curve(curve: Curve, python: Path, logs: Path, rounds: int) -> dict[str, Any]:
    pair = [Seat("few", "four", curve.few), Seat("many", "four", curve.many)]
    with workers(python, logs, pair, check=False) as group:
        if curve.before:
            for worker, size in reversed([*zip(group, curve.sizes, strict=True)]):
                worker.ask(curve.before, size * curve.factor)  # many takes longest: it goes first
        samples = in_turns(group, [curve.scenario], rounds)[curve.scenario]
    return {
        "what": curve.what,
        "from": curve.sizes[0],
        "to": curve.sizes[1],
        "us": [round(samples.median("few"), 1), round(samples.median("many"), 1)],
        "ratio": round(samples.ratio("many", "few"), 3),
    }
