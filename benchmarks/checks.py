"""A contender that does not do its work is fast and worthless: this finds out before it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.duties import LIMITS, ORIGIN
from benchmarks.wsgi_client import SCENARIOS, THE_ONE, Answer, call, environ_of

SECURITY_HEADERS = (
    "content-security-policy",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "strict-transport-security",
)
ADMITTED = int(LIMITS.split(";")[1].split()[0])  # what one client may do in an hour
LINE_SECONDS = 1.0  # a log written by a thread may come a little later

Send = Callable[[str, dict[str, str]], Answer]
"""Sends a GET of /api/ping from an address with these headers."""


class NotDone(Exception):
    """A contender lacks what it claims: the comparison would be worthless."""


def wsgi_sender(app: object) -> Send:
    def send(client: str, headers: dict[str, str]) -> Answer:
        environ = environ_of(SCENARIOS["plain"])
        environ |= {f"HTTP_{k.upper().replace('-', '_')}": v for k, v in headers.items()}
        return call(app, {**environ, "REMOTE_ADDR": client})  # type: ignore[arg-type]

    return send


def check(name: str, does: frozenset[str], send: Send, log: Path) -> None:
    """Compare what a contender claims with what its answers and its log file show.

    :raises NotDone: naming the contender and what is missing.
    """

    def demand(done: bool, what: str) -> None:
        if not done:
            raise NotDone(f"{name} does not do its work: {what}")

    before = lines(log)
    answer = send("192.0.2.2", {"Origin": ORIGIN})
    demand(answer.status == "200", f"GET /api/ping answers {answer.status}")
    demand(json.loads(answer.body) == {"message": "pong"}, f"its body is {answer.body!r}")
    if "headers" in does:
        sent = sum(header in answer.headers for header in SECURITY_HEADERS)
        demand(sent >= 6, f"{sent} security headers instead of six or more")
    if "cors" in does:
        demand(answer.headers.get("access-control-allow-origin") == ORIGIN, "no CORS headers")
        other = send("192.0.2.2", {"Origin": "https://evil.example"})
        demand("access-control-allow-origin" not in other.headers, "it allows every origin")
    if "id" in does:
        demand("x-request-id" in answer.headers, "no X-Request-ID")
    if "key" in does:
        demand(send("192.0.2.2", {"X-API-Key": "wrong"}).status == "401", "a wrong key passes")
    if "log" in does:
        expected = before + 1 + ("cors" in does) + ("key" in does)
        demand(lines_reach(log, expected), f"{lines(log) - before} lines, not {expected - before}")
        last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
        demand(isinstance(last, dict), "its log lines are no JSON objects")
    if "limit" in does:
        admitted = [send(THE_ONE, {}).status for _ in range(ADMITTED + 1)]
        demand(admitted[:ADMITTED] == ["200"] * ADMITTED, "it refuses before the limit")
        demand(admitted[-1] == "429", f"request {len(admitted)} of one client is not refused")


def lines(log: Path) -> int:
    """Lines about requests; what a service says when it starts is not counted."""
    if not log.exists():
        return 0
    written = log.read_bytes().splitlines()
    return sum(b"/api/ping" in line and b'"status' in line for line in written)


def lines_reach(log: Path, expected: int) -> bool:
    deadline = time.monotonic() + LINE_SECONDS
    while lines(log) < expected and time.monotonic() < deadline:
        time.sleep(0.01)
    return lines(log) == expected


def check_wsgi(name: str, app: object, log: Path) -> None:
    check(name, CONTENDERS[name].does, wsgi_sender(app), log)
