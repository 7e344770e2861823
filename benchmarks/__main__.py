"""`python -m benchmarks [--quick] [--only PART ...]`: measure, print tables, write results.

Those of all parts are in build/bench.json. `--publish` takes the results of a full run, of this one
or of `--results FILE`, into benchmarks/results.json, docs/performance.md and docs/benchmark.svg.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import against, chart
from benchmarks.in_process import BUILD, ROOT, Failed
from benchmarks.install import bench_python, needed, node_peers
from benchmarks.report import TITLES, rendered, rows_of, rows_of_goals, table, with_figures
from benchmarks.suite import FULL, QUICK, Suite

RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "performance.md"
CHART = ROOT / "docs" / "benchmark.svg"


def measure(parts: list[str], quick: bool) -> dict[str, Any]:
    if {"on_redis", "over_http"} & set(parts):
        needed("redis-server", "redis-server")
    if "over_http" in parts:
        needed("wrk", "wrk")
        node_peers()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as logs:
        suite = Suite(bench_python(), Path(logs), QUICK if quick else FULL)
        results: dict[str, Any] = {"quick": quick, "machine": suite.machine()}
        for part in parts:
            results[part] = getattr(suite, part)()
            print(rendered(part, results[part]), flush=True)
    if set(TITLES) <= set(results):
        (BUILD / "bench.json").write_text(as_text(results), encoding="utf-8")
    return results


def compare(other: Path, cases: list[str], quick: bool) -> None:
    """Print what this checkout costs against another one, case by case."""
    if any(against.CASES[case].on_redis for case in cases):
        needed("redis-server", "redis-server")
    effort = against.QUICK if quick else against.FULL
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as logs:
        for case, rows in against.measure(bench_python(), Path(logs), other, cases, effort):
            print(f"\n{case}\n{table(rows_of(rows))}", flush=True)


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
    parser.add_argument("--only", nargs="+", metavar="PART")
    parser.add_argument("--results", type=Path, help="measure nothing: take these")
    parser.add_argument("--publish", action="store_true", help="renew what is committed")
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout, in turns")
    options = parser.parse_args()
    known = list(against.CASES if options.against else TITLES)
    if unknown := set(options.only or ()) - set(known):
        parser.error(f"--only {' '.join(unknown)} is not one of {', '.join(known)}")
    if options.against:
        compare(options.against, options.only or known, options.quick)
        return
    if options.results:
        results = json.loads(options.results.read_text(encoding="utf-8"))
    else:
        results = measure(options.only or known, options.quick)
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
