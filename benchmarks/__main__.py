"""`python -m benchmarks [--quick] [--only PART ...]`: measure, print tables, write results.

Those of all parts are in build/bench.json. `--publish` takes the results of a full run, of this one
or of `--results FILE`, into benchmarks/results.json, docs/performance.md and docs/benchmark.svg.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from benchmarks import chart
from benchmarks.in_process import BUILD, ROOT, Failed
from benchmarks.over_http import install_express, needed
from benchmarks.report import TITLES, rendered, rows_of_goals, table, with_figures
from benchmarks.suite import FULL, QUICK, Suite

REQUIREMENTS = ROOT / "benchmarks" / "requirements.txt"
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "performance.md"
CHART = ROOT / "docs" / "benchmark.svg"


def bench_python() -> Path:
    """The interpreter of build/bench-venv, which is made anew when the requirements change."""
    folder = BUILD / "bench-venv"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = folder / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print("installing the contenders into build/bench-venv", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
        subprocess.run(command, check=True)
        stamp.write_text(wanted)
    return python


def measure(parts: list[str], quick: bool) -> dict[str, Any]:
    if {"on_redis", "over_http"} & set(parts):
        needed("redis-server", "redis-server")
    if "over_http" in parts:
        needed("wrk", "wrk")
        install_express()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as logs:
        suite = Suite(bench_python(), Path(logs), QUICK if quick else FULL)
        results: dict[str, Any] = {"quick": quick, "machine": suite.machine()}
        for part in parts:
            results[part] = getattr(suite, part)()
            print(rendered(part, results[part]), flush=True)
    if set(TITLES) <= set(results):
        (BUILD / "bench.json").write_text(as_text(results), encoding="utf-8")
    return results


def publish(results: dict[str, Any]) -> None:
    if results["quick"]:
        raise Failed("--publish wants a full run, not a quick one")
    RESULTS.write_text(as_text(results), encoding="utf-8")
    CHART.write_text(chart.draw(results), encoding="ascii")
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


def as_text(results: dict[str, Any]) -> str:
    return json.dumps(results, indent=1) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute or two, and rough")
    parser.add_argument("--only", nargs="+", choices=TITLES, default=list(TITLES), metavar="PART")
    parser.add_argument("--results", type=Path, help="measure nothing: take these")
    parser.add_argument("--publish", action="store_true", help="renew what is committed")
    options = parser.parse_args()
    if options.results:
        results = json.loads(options.results.read_text(encoding="utf-8"))
    else:
        results = measure(options.only, options.quick)
    if set(TITLES) <= set(results):
        print(f"\nGoals\n{table(rows_of_goals(results))}")
        if options.publish:
            publish(results)


if __name__ == "__main__":
    BUILD.mkdir(exist_ok=True)
    try:
        main()
    except Failed as error:
        sys.exit(f"stopped: {error}")
