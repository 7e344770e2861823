"""docs/benchmark.svg, drawn from the runs: readable on white and on black, no library needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.entries import CONNECTIONS
from benchmarks.runs import Run, together

WIDTH, LABELS, BAR, GAP = 760, 268, 18, 8
STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.note { fill: #57606a; font-size: 12px }
.other { fill: #afb8c1 } .ours { fill: #1a7f37 } .bare { fill: #6e7781 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9198a1 }
  .other { fill: #484f58 } .ours { fill: #3fb950 } .bare { fill: #7d8590 }
}
"""
Bar = tuple[str, str, float, str]  # label, class, value, what is written behind the bar


def draw(runs: Sequence[Run]) -> str:
    """:param runs: of all parts; what is drawn is their median."""
    panels = [
        (
            "What one request costs",
            "microseconds in one process; less is better",
            costs(together(runs, "stacks")),
        ),
        (
            "Requests per second",
            f"{http_note()}; more is better",
            speeds(together(runs, "over_http")),
        ),
    ]
    drawn, y = [], 0
    for title, note, bars in panels:
        text, height = panel(title, note, bars)
        drawn.append(f'<g transform="translate(0 {y})">{text}</g>')
        y += height
    label = "; ".join(f"{title}: {names(bars)}" for title, _, bars in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" '
        f'height="{y}" role="img" aria-label="{escape(label, {chr(34): "&quot;"})}">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(drawn) + "\n</svg>\n"
    )


def http_note() -> str:
    return "one process, 16 connections, limits in memory, a log line each"


def names(bars: list[Bar]) -> str:
    return ", ".join(f"{label} {value:,.0f}" for label, _, value, _ in bars)


def costs(found: Sequence[dict[str, Any]]) -> list[Bar]:
    rows = {(r["scenario"], r["contender"]): r for r in found}
    shown = [
        ("bare", "bare Flask", "bare"),
        ("generated", "this service, as generated", "ours"),
        ("eight", "this service, all eight switched on", "ours"),
        ("recipe", "the usual recipe", "other"),
        ("recipe+talisman", "the recipe with Flask-Talisman", "other"),
    ]
    bars: list[Bar] = []
    for name, label, kind in shown:
        row = rows["plain", name]
        bars.append((label, kind, row["us"], f"{row['us']:.0f} us, {row['to_bare']:.1f}x"))
    return bars


def speeds(found: Sequence[dict[str, Any]]) -> list[Bar]:
    rows = {
        (r["server"], r["threads"], r["contender"]): r
        for r in found
        if r["connections"] == CONNECTIONS
    }
    shown = [
        ("granian", 1, "bare", "bare Flask on Granian", "bare"),
        ("node", 1, "fastify", "Fastify, helmet, cors, rate-limit, pino", "other"),
        ("granian", 1, "generated", "this service on Granian", "ours"),
        ("node", 1, "express", "Express, helmet, cors, rate-limit, pino", "other"),
        ("uvicorn", 1, "fastapi", "FastAPI, CORSMiddleware, slowapi", "other"),
        ("uvicorn", 1, "litestar", "Litestar, its CORS and rate limits", "other"),
        ("granian", 1, "recipe", "the usual recipe on Granian", "other"),
        ("gunicorn gthread", 4, "bare", "bare Flask on gunicorn", "bare"),
        ("gunicorn gthread", 4, "generated", "this service on gunicorn", "ours"),
        ("gunicorn gthread", 4, "recipe", "the usual recipe on gunicorn", "other"),
    ]
    bars: list[Bar] = []
    for server, threads, name, label, kind in shown:
        row = rows[server, threads, name]
        behind = f"{row['per_second']:,.0f}/s, p99 {row['p99_ms']:.1f} ms"
        bars.append((label, kind, row["per_second"], behind))
    return bars


def panel(title: str, note: str, bars: list[Bar]) -> tuple[str, int]:
    """:returns: its elements and its height."""
    room = WIDTH - LABELS - 150  # for the longest bar; what is written behind it takes the rest
    longest = max(value for _, _, value, _ in bars)
    lines = [
        f'<text class="title" x="8" y="24">{escape(title)}</text>',
        f'<text class="note" x="{WIDTH - 8}" y="24" text-anchor="end">{escape(note)}</text>',
    ]
    y = 40
    for label, kind, value, behind in bars:
        width = max(2, round(value / longest * room))
        middle = y + 14
        lines += [
            f'<text x="{LABELS - 10}" y="{middle}" text-anchor="end">{escape(label)}</text>',
            f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{width}" height="{BAR}" rx="3"/>',
            f'<text x="{LABELS + width + 8}" y="{middle}">{escape(behind)}</text>',
        ]
        y += BAR + GAP
    return "\n".join(lines), y + 12
