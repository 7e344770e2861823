"""`python -m benchmarks [--quick] [--runs N] [--only PART ...]`: measure, and print tables.

Runs of all parts are kept in build/bench.json. `--runs 5 --publish` makes the page of five of them:
benchmarks/results.json with every run, docs/performance.md and docs/benchmark.svg. `--results FILE`
takes the runs of a file first; with `--runs N` it adds N to them. `--beside FILE` publishes runs
that another machine kept, in columns of their own.

`--against PATH` measures this checkout against another one instead, block by block.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import against, noise
from benchmarks.in_process import BUILD, Failed
from benchmarks.install import bench_python, needed, node_peers
from benchmarks.machine import describe
from benchmarks.publish import publish
from benchmarks.report import TITLES, rendered, rows_of, rows_of_goals, rows_of_runs, table
from benchmarks.runs import Run, as_text, read
from benchmarks.suite import FULL, QUICK, Suite

KEPT = BUILD / "bench.json"


def prepare(parts: list[str]) -> Path:
    """:returns: the interpreter that the contenders run on."""
    over_http = any("http" in part for part in parts)
    if over_http or any("redis" in part for part in parts):
        needed("redis-server", "redis-server")
    if over_http:
        needed("wrk", "wrk")
        node_peers()
    return bench_python()


def run_once(parts: list[str], quick: bool) -> Run:
    python = prepare(parts)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as logs:
        suite = Suite(python, Path(logs), QUICK if quick else FULL)
        run: Run = {"quick": quick, "machine": describe(python)}
        start, watch = time.perf_counter(), noise.Noise()
        watch.pause()
        for part in parts:
            run[part] = getattr(suite, part)()
            watch.pause()
            print(rendered(part, run[part]), flush=True)
        run["minutes"] = round((time.perf_counter() - start) / 60, 1)
        run["noise"] = watch.found()
    print(f"\n{run['minutes']} minutes; the machine was {noise.verdict(run['noise'])}", flush=True)
    return run


def measure(runs: list[Run], more: int, parts: list[str], quick: bool) -> None:
    """Add runs, and keep each as soon as it is there."""
    for number in range(1, more + 1):
        print(f"\nRun {number} of {more}", flush=True)
        run = run_once(parts, quick)
        if set(TITLES) <= set(run):
            runs.append(run)
            KEPT.write_text(as_text(runs), encoding="utf-8")


def compare(other: Path, cases: list[str], quick: bool) -> None:
    """Print what this checkout costs against another one, case by case."""
    python = prepare(cases)
    effort = against.QUICK if quick else against.FULL
    watch = noise.Noise()
    watch.pause()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as logs:
        for case, rows in against.measure(python, Path(logs), other, cases, effort):
            print(f"\n{case}\n{table(rows_of(rows))}", flush=True)
            watch.pause()
    print(f"\nthe machine was {noise.verdict(watch.found())}")


def options_of(arguments: list[str] | None = None) -> Any:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a minute or two a run, and rough")
    parser.add_argument("--only", nargs="+", metavar="PART", help="or cases of --against")
    parser.add_argument("--runs", type=int, metavar="N", help="full runs one after the other")
    parser.add_argument("--results", type=Path, metavar="FILE", help="runs that were kept")
    parser.add_argument("--publish", action="store_true", help="renew what is committed")
    parser.add_argument("--beside", type=Path, metavar="FILE", help="runs of another machine")
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout, in turns")
    options = parser.parse_args(arguments)
    known = list(against.NAMES if options.against else TITLES)
    if unknown := set(options.only or ()) - set(known):
        parser.error(f"--only {' '.join(unknown)} is not one of {', '.join(known)}")
    options.only = options.only or known
    if options.runs is None:
        options.runs = 0 if options.results else 1
    return options


def main() -> None:
    options = options_of()
    if options.against:
        compare(options.against, options.only, options.quick)
        return
    runs = read(options.results) if options.results else []
    measure(runs, options.runs, options.only, options.quick)
    if runs:
        print(f"\nRuns\n{table(rows_of_runs(runs))}\n\nGoals\n{table(rows_of_goals(runs))}")
    if options.publish:
        publish(runs, read(options.beside) if options.beside else ())


if __name__ == "__main__":
    BUILD.mkdir(exist_ok=True)
    try:
        main()
    except Failed as error:
        sys.exit(f"stopped: {error}")
