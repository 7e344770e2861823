"""What must not grow: the cost of a request with routes, origins, clients and limits; the start."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.in_process import (
    ROOT,
    SERVICE,
    Samples,
    Seat,
    in_turns,
    python_environment,
    workers,
)

HIGH = "1000000 per day;500000 per hour"


@dataclass(frozen=True)
class Curve:
    """The always-on four with little and with much of something, in turns."""

    what: str
    few: dict[str, Any]
    many: dict[str, Any]
    scenario: str = "plain"
    before: tuple[str, int, int] = ("fill", 0, 0)  # a command of the worker; for few, for many


def curves(quick: bool) -> list[Curve]:
    clients = 30_000 if quick else 300_000
    return [
        Curve("routes", {"routes": 10}, {"routes": 1000}),
        Curve("origins allowed", {"origins": 1}, {"origins": 1000}, "origin"),
        Curve("clients seen", {}, {}, before=("fill", 0, clients)),
        Curve(
            "requests held per client",
            {"limits": HIGH},
            {"limits": HIGH},
            before=("repeat", 1000, 50_000),
        ),
        Curve(
            "limits of routes seen",
            {"routes": 10, "own_limits": True},
            {"routes": 1000, "own_limits": True},
            before=("visit", 10, 1000),
        ),
    ]


def size(curve: Curve, settings: dict[str, Any], before: int) -> int:
    named = [v for k, v in settings.items() if k in ("routes", "origins")]
    return int(named[0]) if named else before


def measure_curves(
    python: Path, logs: Path, generations: int, rounds: int, quick: bool
) -> list[dict[str, Any]]:
    results = []
    for curve in curves(quick):
        pair = [Seat("few", "four", curve.few), Seat("many", "four", curve.many)]
        command, few, many = curve.before
        samples = Samples()
        for _ in range(generations):
            with workers(python, logs, pair, check=False) as group:
                for worker, number in zip(group, (few, many), strict=True):
                    worker.ask(command, number)
                samples.extend(in_turns(group, [curve.scenario], rounds)[curve.scenario])
        results.append(
            {
                "what": curve.what,
                "from": max(1, size(curve, curve.few, few)),
                "to": size(curve, curve.many, many),
                "us": [round(samples.median("few"), 1), round(samples.median("many"), 1)],
                "ratio": round(samples.ratio("many", "few"), 3),
            }
        )
    return results


BARE_START = """
import time; start = time.perf_counter()
import flask_cors, flask_limiter
from flask import Flask
app = Flask("bench")
print(time.perf_counter() - start)
"""
SERVICE_START = """
import time; start = time.perf_counter()
from app import create_app
app = create_app("production")
print(time.perf_counter() - start)
"""


def measure_start(python: Path, rounds: int) -> list[dict[str, Any]]:
    """Import and create_app() in fresh processes, in turns with bare Flask and both extensions."""
    results = []
    for storage in ("memory://", "redis://127.0.0.1:1"):  # nothing answers there: the imports count
        env = {
            **python_environment(),
            "FLASK_SECRET_KEY": "a key for the benchmark that is long enough",
            "FLASK_RATELIMIT_STORAGE_URI": storage,
        }

        def start(code: str, env: dict[str, str] = env) -> float:
            command = [str(python), "-c", code]
            done = subprocess.run(
                command, env=env, cwd=SERVICE, capture_output=True, text=True, check=True
            )
            return float(done.stdout.splitlines()[-1])

        start(BARE_START), start(SERVICE_START)  # writes the .pyc files
        pairs = [(start(BARE_START), start(SERVICE_START)) for _ in range(rounds)]
        results.append(
            {
                "storage": storage.partition(":")[0],
                "bare_ms": round(median(bare for bare, _ in pairs) * 1000, 1),
                "service_ms": round(median(service for _, service in pairs) * 1000, 1),
                "ratio": round(median(service / bare for bare, service in pairs), 2),
            }
        )
    return results


def measure_bake(rounds: int) -> dict[str, float]:
    """`cookiecutter . --no-input` in fresh processes."""
    seconds = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "cookiecutter", str(ROOT), "--no-input"]
            start = time.perf_counter()
            subprocess.run([*command, "-o", folder], check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
    return {"median_seconds": round(median(seconds), 2), "worst_seconds": round(max(seconds), 2)}
