"""The results as tables: for a terminal, and for docs/performance.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from benchmarks.entries import CONNECTIONS, PEER_SERVERS
from benchmarks.goals import Reached, reached
from benchmarks.noise import LIMITS
from benchmarks.runs import Run, together

TITLES = {
    "stacks": "In process, memory://: microseconds per request",
    "layers": "Layer by layer: microseconds per request",
    "parts": "One middleware alone, in process",
    "on_redis": "In process, Redis",
    "over_http": "Over HTTP, one process on memory://",
    "over_http_on_redis": "Over HTTP, one and two processes on Redis",
    "scaling": "What must not grow: the always-on four",
    "start": "Start and memory of one process",
    "bake": "cookiecutter --no-input",
}
MET = {True: "yes", False: "NO", None: "-"}
NUMBER = re.compile(r"[\d.,]+|-")
MARKED = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Row = dict[str, Any]
Rows = list[list[str]]


class View(NamedTuple):
    """A table of the page that shows some of a part's rows and columns."""

    part: str
    shows: Callable[[Row], bool]
    columns: tuple[str, ...]


SPEED = ("per_second", "p50_ms", "p99_ms", "cpu_us", "to_bare")
VIEWS = {
    "over_http": View(
        "over_http",
        lambda row: row["connections"] == CONNECTIONS,
        ("server", "threads", "contender", *SPEED, "to_recipe", "p99_to_recipe"),
    ),
    "peers": View(
        "over_http",
        lambda row: row["contender"] == "generated",
        ("server", "threads", "connections", *(f"to_{peer}" for peer in PEER_SERVERS)),
    ),
    "connections": View(
        "over_http",
        lambda row: row["connections"] != CONNECTIONS,
        ("connections", "server", "threads", "contender", *SPEED),
    ),
    "over_http_on_redis": View(
        "over_http_on_redis",
        lambda row: True,
        ("server", "threads", "workers", "contender", *SPEED, "to_recipe", "p99_to_recipe"),
    ),
}


def rows_of(found: Sequence[Row], columns: Sequence[str] = ()) -> Rows:
    """Its first row is its heading.

    :param columns: those to show; by default all.
    """
    columns = columns or list(dict.fromkeys(key for row in found for key in row))
    return [[*columns], *([shown(row.get(column)) for column in columns] for row in found)]


def rows_of_goals(runs: Sequence[Run], elsewhere: Sequence[Run] = ()) -> Rows:
    """:param elsewhere: runs of another machine, of which the medians are shown beside."""
    other = {goal.what: goal for goal in reached([*elsewhere])}
    head = ["ratio", "median", "range", "goal", "met"]
    if elsewhere:
        head += [f"on {elsewhere[0]['machine']['processor']}, {len(elsewhere)} runs", "met there"]
    rows = [head]
    for goal in reached([*runs]):
        row = [goal.what, shown(goal.median), spread(goal), goal.bound, MET[goal.is_met]]
        if elsewhere:
            there = other.get(goal.what)
            row += [shown(there.median), MET[there.is_met]] if there else ["-", "-"]
        rows.append(row)
    return rows


def spread(goal: Reached) -> str:
    return f"{shown(min(goal.measured))} to {shown(max(goal.measured))}"


def rows_of_runs(runs: Sequence[Run]) -> Rows:
    """When each run was, where, and whether the machine was quiet."""
    body = []
    for number, run in enumerate(runs, 1):
        noise = run["noise"]
        seen = [shown(noise.get(name)) for name in LIMITS]
        verdict = f"no: {', '.join(noise['too_noisy'])}" if noise["too_noisy"] else "yes"
        body.append(
            [str(number), run["machine"]["processor"], shown(run["minutes"]), *seen, verdict]
        )
    return [["run", "processor", "minutes", *LIMITS, "quiet"], *body]


def rows_for(name: str, runs: Sequence[Run], elsewhere: Sequence[Run]) -> Rows:
    """:param name: of a table: of a part, of a view, "goals" or "runs"."""
    if name == "goals":
        return rows_of_goals(runs, elsewhere)
    if name == "runs":
        return rows_of_runs(runs)
    if name not in VIEWS:
        return rows_of(together(runs, name))
    view = VIEWS[name]
    return rows_of([row for row in together(runs, view.part) if view.shows(row)], view.columns)


def shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " / ".join(map(shown, value))
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, numbers to the right."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(aligned(row, widths)).rstrip() for row in rows)


def aligned(row: Iterable[str], widths: Iterable[int]) -> list[str]:
    return [
        cell.rjust(width) if NUMBER.fullmatch(cell) else cell.ljust(width)
        for cell, width in zip(row, widths, strict=True)
    ]


def markdown(rows: Rows) -> str:
    head, *body = rows
    numeric = [all(NUMBER.fullmatch(row[n]) for row in body) for n in range(len(head))]
    rule = ["--:" if is_number else "---" for is_number in numeric]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rule, *body])


def rendered(name: str, part: Any) -> str:
    """One part under its title, for a terminal."""
    return f"\n{TITLES[name]}\n{table(rows_of(part if isinstance(part, list) else [part]))}"


def with_figures(page: str, runs: Sequence[Run], elsewhere: Sequence[Run] = ()) -> str:
    """The page, with what stands between `<!-- figures: NAME -->` and `<!-- end -->` renewed."""

    def renewed(match: re.Match[str]) -> str:
        return f"{match[1]}\n{markdown(rows_for(match[2], runs, elsewhere))}\n{match[3]}"

    return MARKED.sub(renewed, page)
