"""The results as tables: for a terminal, and for docs/performance.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.goals import goals, is_met

TITLES = {
    "stacks": "In process, memory://: microseconds per request",
    "layers": "Layer by layer: microseconds per request",
    "parts": "One middleware alone, in process",
    "on_redis": "In process, Redis",
    "over_http": "Over HTTP: 16 connections; one process on memory://, two (x2) on Redis",
    "scaling": "What must not grow: the always-on four",
    "start": "Start: import and create_app(), against Flask with both extensions imported",
    "bake": "cookiecutter --no-input",
}
NUMBER = re.compile(r"[\d.,]+|-")
MARKED = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Rows = list[list[str]]


def rows_of(part: Any) -> Rows:
    """One part of the results; its first row is its heading."""
    found = part if isinstance(part, list) else [part]
    columns = list(dict.fromkeys(key for row in found for key in row))
    return [columns, *([shown(row.get(column)) for column in columns] for row in found)]


def rows_of_goals(results: dict[str, Any]) -> Rows:
    body = [
        [what, shown(float(measured)), limit, "yes" if is_met((what, measured, limit)) else "NO"]
        for what, measured, limit in goals(results)
    ]
    return [["ratio", "measured", "goal", "met"], *body]


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
    return f"\n{TITLES[name]}\n{table(rows_of(part))}"


def with_figures(page: str, results: dict[str, Any]) -> str:
    """The page, with what stands between `<!-- figures: NAME -->` and `<!-- end -->` renewed."""

    def renewed(match: re.Match[str]) -> str:
        name = match[2]
        rows = rows_of_goals(results) if name == "goals" else rows_of(results[name])
        return f"{match[1]}\n{markdown(rows)}\n{match[3]}"

    return MARKED.sub(renewed, page)
