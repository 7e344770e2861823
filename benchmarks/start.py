"""What a process costs before its first request and after a thousand; how long a bake takes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.duties import SECRET_KEY
from benchmarks.in_process import ROOT, SERVICE, python_environment

CLOCK = "import time; start = time.perf_counter()"
BUILDS = {
    "Flask": "import flask_cors, flask_limiter; from flask import Flask; app = Flask('bench')",
    "recipe": """
from pathlib import Path
from benchmarks.duties import Settings
from benchmarks.recipe import whole_recipe
app = whole_recipe(Settings(Path({log!r}), {storage!r}))
""",
    "generated": "from app import create_app; app = create_app('production')",
}
MEASURE = """
started = time.perf_counter() - start
import json
from benchmarks.start import resident_mb
from benchmarks.wsgi_client import Client
before = resident_mb()
Client(app).fill({clients})
print(json.dumps([started * 1000, before, resident_mb()]))
"""
CLIENTS = 1000
STORAGES = {"memory": "memory://", "redis": "redis://127.0.0.1:1"}  # nothing is asked there


def resident_mb() -> float:
    """Memory of this process, as Linux tells it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def measure_start(python: Path, logs: Path, rounds: int) -> list[dict[str, Any]]:
    """Import and build an application in fresh processes, in turns.

    Flask is an application without any view of its own, with both extensions imported: what every
    service of this kind loads. Megabytes have the benchmark's own few
    in them, the same in each.
    """
    rows = []
    for storage, uri in STORAGES.items():
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in BUILDS}
        for number in range(-1, rounds):  # round -1 writes the .pyc files
            for name in BUILDS:
                seen = started(python, logs, name, uri)
                if number >= 0:
                    found[name].append(seen)
        rows += [start_row(name, storage, found) for name in BUILDS]
    return rows


def started(python: Path, logs: Path, name: str, uri: str) -> tuple[float, float, float]:
    """:returns: milliseconds, and megabytes before and after requests of a thousand clients."""
    log = str(logs / f"start-{name}.log")
    clients = CLIENTS if uri == STORAGES["memory"] else 0
    code = (
        CLOCK + "\n" + BUILDS[name].format(log=log, storage=uri) + MEASURE.format(clients=clients)
    )
    env = {
        **python_environment(),
        "FLASK_SECRET_KEY": SECRET_KEY,
        "FLASK_RATELIMIT_STORAGE_URI": uri,
        "FLASK_LOG_FILE": log,
        "FLASK_LOG_FORMAT": "json",
    }
    done = subprocess.run(
        [str(python), "-c", code], env=env, cwd=SERVICE, capture_output=True, text=True, check=True
    )
    ms, before, after = json.loads(done.stdout.splitlines()[-1])
    return ms, before, after


def start_row(
    name: str, storage: str, found: dict[str, list[tuple[float, float, float]]]
) -> dict[str, Any]:
    def to(other: str) -> float:
        pairs = zip(found[name], found[other], strict=True)
        return round(median(mine[0] / its[0] for mine, its in pairs), 3)

    before, after = (round(median(seen[n] for seen in found[name]), 1) for n in (1, 2))
    return {
        "application": name,
        "storage": storage,
        "ms": round(median(seen[0] for seen in found[name]), 1),
        "to_flask": to("Flask"),
        "to_recipe": to("recipe"),
        "mb": before,
        "mb_after_1000_clients": after if storage == "memory" else None,
    }


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
