"""Who may call what (authentication)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.checks.finding import Finding, everywhere, in_production
from app.checks.service import Service

RATE = re.compile(r"(\d+) ?(?:per|/) ?(second|minute|hour|day)")
MINUTES = {"second": 1 / 60, "minute": 1, "hour": 60, "day": 1440}
MOST_GUESSES = 1000  # per minute


@in_production
def no_authentication(service: Service) -> Iterator[Finding]:
    if service.has_authentication:
        return
    scoped = sorted({r.path for r in service.routes if r.scopes})
    if scoped:
        reason = f"API_KEYS is empty, so anybody may use {', '.join(scoped)}"
        yield Finding("W012", reason, "make a key, and set FLASK_API_KEYS: flask api-key NAME")
    others = [r for r in service.routes if r.is_changing and not r.scopes]
    if others:
        names = ", ".join(f"{r.method} {r.path}" for r in others)
        reason = f"authentication is off, so anybody may change something: {names}"
        remedy = "make a key, and set FLASK_API_KEYS; if something else asks, silence W021"
        yield Finding("W021", reason, remedy)


@in_production
def guesses(service: Service) -> Iterator[Finding]:
    rate = RATE.search(str(service.config.get("API_KEY_FAILURES") or ""))
    if service.has_authentication and rate and int(rate[1]) / MINUTES[rate[2]] > MOST_GUESSES:
        reason = f"API_KEY_FAILURES: {rate[0]} lets an address try keys as fast as it can"
        yield Finding("W019", reason, 'set FLASK_API_KEY_FAILURES="20 per minute"')


@everywhere
def public_writes(service: Service) -> Iterator[Finding]:
    for route in service.routes if service.has_authentication else ():
        if route.scopes is None and route.is_changing:
            reason = f"{route.method} {route.path} changes something and is @public"
            yield Finding("W013", reason, "remove @public from the view")
