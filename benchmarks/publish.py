"""What of the runs is committed: all of them, the page and the chart."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import chart
from benchmarks.in_process import ROOT, Failed
from benchmarks.report import with_figures
from benchmarks.runs import AT_LEAST, Run, as_text

RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "performance.md"
CHART = ROOT / "docs" / "benchmark.svg"


def publish(runs: Sequence[Run]) -> None:
    """:raises Failed: if they are too few, or quick ones."""
    if len(runs) < AT_LEAST or any(run["quick"] for run in runs):
        raise Failed(
            f"a page is made of {AT_LEAST} full runs at least: --runs {AT_LEAST} --publish"
        )
    write(runs)


def write(runs: Sequence[Run]) -> None:
    RESULTS.write_text(as_text(runs), encoding="utf-8")
    CHART.write_text(chart.draw(runs), encoding="ascii")
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8"), runs), encoding="utf-8")
