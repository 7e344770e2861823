"""docs/metrics.svg: `python -m tests.metrics_svg` draws a minute as a real Prometheus has seen it.

Four workers on a Redis, scraped each second. After 20 s the Redis is stopped, after 30 s somebody
tries keys, after 40 s the Redis is back. The panels are those of deploy/grafana-dashboard.json.
"""

from __future__ import annotations

import http.client
import itertools
import json
import tempfile
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.metrics import ON
from tests.prometheus import asked, prometheus
from tests.servers import SERVICE, TEMPLATE, free_port, gunicorn, redis, until

KEY = "a-key-for-tests-0123456789abcdefghij"
PICTURE = TEMPLATE / "docs" / "metrics.svg"
SECONDS = 60
PANELS = ("Requests", "Duration", "Refusals", "In flight", "Share of 5xx", "Store of limits")
COLOURS = ("a", "b", "c", "d", "e")
WIDTH, HEIGHT, LEFT, TOP = 270, 150, 46, 34  # of a panel, and around its plot
STYLE = """
  .paper { fill: #ffffff; stroke: #d1d5db } .axis { stroke: #d1d5db } text { fill: #111827; font-size: 11px }
  .title { font-weight: 600; font-size: 13px } polyline { fill: none; stroke-width: 1.5 }
  .a { stroke: #1d4ed8; fill: #1d4ed8 } .b { stroke: #b45309; fill: #b45309 } .c { stroke: #15803d; fill: #15803d }
  .d { stroke: #b91c1c; fill: #b91c1c } .e { stroke: #7c3aed; fill: #7c3aed } text.key { stroke: none }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; stroke: #4b5563 } .axis { stroke: #4b5563 } text { fill: #f9fafb }
    .a { stroke: #93c5fd; fill: #93c5fd } .b { stroke: #fcd34d; fill: #fcd34d } .c { stroke: #86efac; fill: #86efac }
    .d { stroke: #fca5a5; fill: #fca5a5 } .e { stroke: #c4b5fd; fill: #c4b5fd }
  }
"""  # noqa: E501


def load(port: int, over: threading.Event, key: list[str]) -> None:
    """One client: pings, orders, unknown paths, and keys once there are some."""
    for n in itertools.count():
        if over.wait(0.02):
            return
        path = ("/api/ping", "/api/orders", "/api/ping", "/api/orders/7")[n % 4]
        headers = {"X-API-Key": f"{key[0]}{n}" if key and n % 2 else KEY}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path, headers=headers)
        connection.getresponse().read()
        connection.close()


def record() -> list[tuple[str, str, list[Any]]]:
    """:returns: of each panel its title, its unit, and what query_range has answered."""
    panels = json.loads((SERVICE / "deploy" / "grafana-dashboard.json").read_text("utf-8"))
    store_port, over, key = free_port(), threading.Event(), list[str]()
    env = {**ON, "FLASK_RATELIMIT_STORAGE_URI": f"redis://127.0.0.1:{store_port}/0"}
    env |= {"WEB_CONCURRENCY": "4", "FLASK_RATELIMIT_DEFAULT": "2000 per minute"}
    callers = {"shop": {"keys": [sha256(KEY.encode()).hexdigest()], "scopes": ["orders:read"]}}
    env["FLASK_API_KEYS"] = json.dumps(callers)
    with tempfile.TemporaryDirectory() as folder, gunicorn(env=env) as service:
        clients = [threading.Thread(target=load, args=(service.port, over, key)) for _ in range(6)]
        with prometheus(service.port, Path(folder)) as server:
            start = time.time()
            with redis(port=store_port):
                for client in clients:
                    client.start()
                until(lambda: time.time() > start + 20)
            until(lambda: time.time() > start + 30)
            key.append("x" * 40)
            until(lambda: time.time() > start + 40, 60)
            with redis(port=store_port):
                until(lambda: time.time() > start + SECONDS, 60)
                over.set()
                span = {"start": start + 4, "end": start + SECONDS, "step": 1}
                return [
                    (
                        one["title"],
                        one["fieldConfig"]["defaults"]["unit"],
                        series_of(server, one, span),
                    )
                    for title in PANELS
                    for one in panels["panels"]
                    if one["title"] == title
                ]


def series_of(server: Any, panel: dict[str, Any], span: dict[str, Any]) -> list[Any]:
    found = []
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", "4s").replace("$job", "shop")
        for one in asked(server, "query_range", query=query, **span)["result"]:
            legend = target["legendFormat"]
            for name, value in one["metric"].items():
                legend = legend.replace("{{" + name + "}}", value)
            points = [(t - span["start"], float(v)) for t, v in one["values"] if v != "NaN"]
            found.append((legend, points))
    return found


def drawn(panels: list[tuple[str, str, list[Any]]]) -> str:
    columns, rows = 3, -(-len(panels) // 3)
    width, height = columns * (WIDTH + 20) + 20, rows * (HEIGHT + 70) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Six panels over a minute" font-family="system-ui, sans-serif">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" x="1" y="1" width="{width - 2}" height="{height - 2}" rx="8"/>',
    ]
    for n, panel in enumerate(panels):
        x, y = 20 + n % columns * (WIDTH + 20), 20 + n // columns * (HEIGHT + 70)
        parts.append(f'<g transform="translate({x} {y})">{plot(*panel)}</g>')
    note = "seconds; the store is away from 20 to 40, keys are tried from 30 on"
    parts.append(f'<text x="20" y="{height - 14}">{note}</text></svg>')
    return "\n".join(parts) + "\n"


def plot(title: str, unit: str, series: list[Any]) -> str:
    most = max([value for _, points in series for _, value in points], default=0) or 1
    right, low = WIDTH - 4, HEIGHT
    top = f"{most * 1000:.0f} ms" if unit == "s" else f"{most:.3g}"
    parts = [
        f'<text class="title" x="0" y="12">{title}</text>',
        f'<path class="axis" fill="none" d="M{LEFT} {TOP} V{low} H{right}"/>',
        f'<text x="{LEFT - 6}" y="{TOP + 8}" text-anchor="end">{top}</text>',
        f'<text x="{LEFT - 6}" y="{low}" text-anchor="end">0</text>',
    ]
    for second in (0, 20, 40):
        x = LEFT + (right - LEFT) * second / SECONDS
        parts.append(f'<text x="{x:.0f}" y="{low + 14}">{second}</text>')
    for n, (legend, points) in enumerate(series):
        colour = COLOURS[n % len(COLOURS)]
        line = " ".join(
            f"{LEFT + (right - LEFT) * (t + 4) / SECONDS:.1f},{low - (low - TOP) * v / most:.1f}"
            for t, v in points
        )
        parts.append(f'<polyline class="{colour}" points="{line}" fill="none" style="fill: none"/>')
        at = f'x="{LEFT + n % 2 * 110}" y="{low + 28 + n // 2 * 13}"'
        parts.append(f'<text class="key {colour}" {at}>{legend}</text>')
    return "".join(parts)


if __name__ == "__main__":
    PICTURE.write_text(drawn(record()), encoding="utf-8", newline="\n")
