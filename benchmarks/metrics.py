"""`python -m benchmarks.metrics`: what the metrics cost per request, in parts of bare Flask.

In one process, block by block in turns: bare Flask, the four middlewares, these with metrics.py on
and off. The least time of each one's blocks counts. Then the same with the files in which several
processes count together.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flask import Flask

from benchmarks.duties import Settings
from benchmarks.in_process import SERVICE
from benchmarks.ours import ALWAYS_ON, service
from benchmarks.wsgi_client import SCENARIOS, call, environ_of

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
ROUNDS, REQUESTS = 200, 200


def applications(log: Path) -> dict[str, Flask]:
    settings = Settings(log, limits="1000000000 per day")
    built = {
        "bare": service()(settings),
        "without": service(*ALWAYS_ON, whole=True)(settings),
        "off": service(*ALWAYS_ON, whole=True)(settings),
        "on": service(*ALWAYS_ON, "metrics", whole=True)(settings),
    }
    module = importlib.import_module("app.middleware.metrics")
    module.configure_metrics(built["off"])  # it has no token
    return built


def microseconds(app: Flask) -> float:
    environs = [environ_of(SCENARIOS["plain"]) for _ in range(REQUESTS)]
    start = time.process_time()
    for environ in environs:
        call(app, environ)
    return (time.process_time() - start) / REQUESTS * 1e6


def measure() -> dict[str, float]:
    """:returns: the least microseconds of a request, by application."""
    with tempfile.TemporaryDirectory() as folder:
        apps = applications(Path(folder) / "log")
        names = list(apps)
        least = dict.fromkeys(names, float("inf"))
        for turn in range(ROUNDS):
            for name in names[turn % 4 :] + names[: turn % 4]:
                least[name] = min(least[name], microseconds(apps[name]))
    return least


def report() -> None:
    least = measure()
    where = "files for all processes" if os.environ.get(FOLDER) else "one process"
    on, off = ((least[name] - least["without"]) / least["bare"] for name in ("on", "off"))
    print(f"{where}: bare {least['bare']:.1f} us; on {on:+.3f}, off {off:+.3f} of it", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(SERVICE))
    report()
    if FOLDER not in os.environ:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as shared:
            environ = {**os.environ, FOLDER: shared}
            subprocess.run([sys.executable, "-m", "benchmarks.metrics"], env=environ, check=True)
