"""Several runs as one: every run is kept, and what is shown of them is their median."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.in_process import Failed

AT_LEAST = 5  # runs that a page is made of
Run = dict[str, Any]


def read(path: Path) -> list[Run]:
    runs: list[Run] = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return runs


def as_text(runs: Sequence[Run]) -> str:
    """JSON with a line for each row of a table, so that a person can compare two commits."""
    written = [
        ",\n".join(f"{json.dumps(part)}: {lines_of(of)}" for part, of in run.items())
        for run in runs
    ]
    return '{"runs": [\n' + ",\n".join(f"{{\n{run}\n}}" for run in written) + "\n]}\n"


def lines_of(part: Any) -> str:
    if not isinstance(part, list):
        return json.dumps(part)
    return "[\n" + ",\n".join(f" {json.dumps(row)}" for row in part) + "\n]"


def together(runs: Sequence[Run], part: str) -> list[dict[str, Any]]:
    """The rows of one part, each number the median of the runs'.

    :raises Failed: if the runs did not measure the same.
    """
    tables = [run[part] if isinstance(run[part], list) else [run[part]] for run in runs]
    if len({tuple(names_of(row) for row in rows) for rows in tables}) > 1:
        raise Failed(f"the runs do not show the same in {part}: they are of different versions")
    return [merged(rows) for rows in zip(*tables, strict=True)]


def names_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row is about: its columns, and what in them is not a measured number."""
    return tuple((key, value if isinstance(value, str) else None) for key, value in row.items())


def merged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {key: of_all([row[key] for row in rows]) for key in rows[0]}


def of_all(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, list):
        return [of_all(same) for same in zip(*values, strict=True)]
    if isinstance(first, (str, type(None))) or all(value == first for value in values):
        return first
    found = median(values)
    return round(found) if isinstance(first, int) else round(found, 3)
