"""What of the runs is committed: all of them, the page and the chart."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import chart
from benchmarks.in_process import ROOT, Failed
from benchmarks.report import with_figures
from benchmarks.runs import AT_LEAST, Run, as_text, read

RESULTS = ROOT / "benchmarks" / "results.json"
ELSEWHERE = ROOT / "benchmarks" / "elsewhere.json"  # runs of another machine, if there are any
PAGE = ROOT / "docs" / "performance.md"
CHART = ROOT / "docs" / "benchmark.svg"


def publish(runs: Sequence[Run], elsewhere: Sequence[Run] = ()) -> None:
    """:param elsewhere: runs of another machine, shown beside; by default those committed before.

    :raises Failed: if they are too few, or quick ones.
    """
    for some in (runs, elsewhere) if elsewhere else (runs,):
        if len(some) < AT_LEAST or any(run["quick"] for run in some):
            what = f"a page is made of {AT_LEAST} full runs at least of each machine"
            raise Failed(f"{what}: --runs {AT_LEAST} --publish")
    if elsewhere:
        ELSEWHERE.write_text(as_text(elsewhere), encoding="utf-8")
    RESULTS.write_text(as_text(runs), encoding="utf-8")
    draw(runs)


def draw(runs: Sequence[Run]) -> None:
    """The page and the chart, of runs that are committed."""
    CHART.write_text(chart.draw(runs), encoding="ascii")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_figures(page, runs, committed_elsewhere()), encoding="utf-8")


def committed_elsewhere() -> list[Run]:
    return read(ELSEWHERE) if ELSEWHERE.exists() else []
