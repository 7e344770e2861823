"""What every contender is told and has to do, and the view that all of them serve.

All answer GET /api/ping with {"message": "pong"}. "log" is one JSON line per request in
`settings.log`, "headers" are six security headers, "cors" allows `ORIGIN`, "limit" is two limits
per client, and "id" a request id. Every claim is checked before anything is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

ORIGIN = "https://app.example.com"
LIMITS = "200 per day;50 per hour"  # a run is shorter than either window: nothing is forgotten
API_KEY = "bench-0123456789abcdef0123456789abcdef"
SECRET_KEY = "a key for the benchmark that is long enough"
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
}
EVERYTHING = frozenset({"log", "headers", "cors", "limit", "id"})


@dataclass(frozen=True)
class Settings:
    log: Path
    storage: str = "memory://"
    limits: str = LIMITS
    proxied: bool = False  # over HTTP every client comes through one trusted proxy
    routes: int = 1
    origins: int = 1
    own_limits: bool = False  # each of the routes has a limit of its own

    def allowed_origins(self) -> list[str]:
        others = [f"https://app-{n}.example.com" for n in range(self.origins - 1)]
        return [*others, ORIGIN]  # the worst place in a list that is searched


Build = Callable[[Settings], Flask]


def ping() -> dict[str, str]:
    return {"message": "pong"}


def new_app(settings: Settings) -> Flask:
    app = Flask("bench")
    app.add_url_rule("/api/ping", "ping", ping)
    return app
