"""What the template promises of its speed, beside what this run measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Results = dict[str, Any]
Goal = tuple[str, float, str]  # what, measured, "<= 1.80" or ">= 1.40"


def goals(results: Results) -> Iterator[Goal]:
    """:param results: of a run of all parts."""
    stacks = {(r["scenario"], r["contender"]): r for r in results["stacks"]}
    parts = {(r["scenario"], r["contender"]): r for r in results["parts"]}
    shared = {r["contender"]: r for r in results["on_redis"]}
    http = {(r["server"], r["contender"]): r for r in results["over_http"]}

    yield "four middlewares / bare Flask", stacks["plain", "four"]["to_bare"], "<= 1.80"
    yield "the same with Origin", stacks["origin", "four"]["to_bare"], "<= 2.00"
    for part, limit in [
        ("logging", 1.3),
        ("security", 1.08),
        ("cors", 1.1),
        ("rate_limiting", 1.8),
    ]:
        measured = parts["plain", f"only {part}"]["to_bare"]
        yield f"{part} alone / bare Flask", measured, f"<= {limit:.2f}"
    yield "round trips to Redis per request", shared["generated"]["round_trips"], "<= 1.00"
    yield "on Redis, four / recipe", shared["four"]["to_recipe"], "<= 0.50"
    for server, limit in [("gunicorn gthread", 1.4), ("granian", 2.0)]:
        row = http[server, "generated"]
        yield f"{server}: requests/s / recipe's", row["to_recipe"], f">= {limit:.2f}"
        yield f"{server}: p99 / recipe's", row["p99_to_recipe"], "<= 1.00"
    yield "granian / FastAPI's requests/s", http["granian", "generated"]["to_fastapi"], ">= 1.20"
    yield "granian / Express's requests/s", http["granian", "generated"]["to_express"], ">= 1.20"
    for row in results["scaling"]:
        what = f"{row['what']}, {row['from']:,} to {row['to']:,}: cost"
        yield what, row["ratio"], "<= 1.15"
    for row in results["start"]:
        yield f"start with {row['storage']} / Flask's", row["ratio"], "<= 1.80"


def is_met(goal: Goal) -> bool:
    _, measured, limit = goal
    bound = float(limit[3:])
    return measured <= bound if limit.startswith("<=") else measured >= bound
