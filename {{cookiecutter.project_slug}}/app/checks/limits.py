"""Limits of requests, and the store in which they are counted."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from app.checks.finding import Finding, in_production
from app.checks.service import Service, is_local


@in_production
def no_limits(service: Service) -> Iterator[Finding]:
    if service.limits is None:
        remedy = "remove FLASK_RATELIMIT_ENABLED, or call configure_rate_limiting(app)"
        yield Finding("W005", "nothing limits how often one address may ask", remedy)
        return
    unlimited = [r for r in service.routes if r.limits == ()]
    if unlimited and len(unlimited) == len(service.routes):
        remedy = 'set FLASK_RATELIMIT_DEFAULT="200 per hour;50 per minute"'
        yield Finding("W005", "no route has a limit", remedy)
        return
    for route in unlimited:
        if route.is_changing:
            reason = f"{route.method} {route.path} changes something and has no limit"
            yield Finding("W006", reason, "remove @limiter.exempt, or give it a limit of its own")
    safe = sorted({r.path for r in unlimited if not r.is_changing})
    if safe:
        reason = f"exempt from limits: {', '.join(safe)}"
        yield Finding("I001", reason, "keep their responses cheap, or remove @limiter.exempt")


@in_production
def workers(service: Service) -> Iterator[Finding]:
    """What the servers are told; what RATELIMIT_WORKERS says rate_limiting.py checks itself."""
    if service.limits is None:
        return
    told = int(service.config.get("RATELIMIT_WORKERS") or 1)
    for name in ("WEB_CONCURRENCY", "GRANIAN_WORKERS"):
        value = service.environ.get(name, "")
        if not value.isdecimal() or int(value) <= told:
            continue
        if storage_uri(service).startswith("memory:"):
            reason = f"{name}={value}: each worker admits the whole limit from a memory of its own"
            yield Finding("E007", reason, "set FLASK_RATELIMIT_STORAGE_URI=redis://host:6379")
        else:
            reason = f"{name}={value}, RATELIMIT_WORKERS={told}: without the store too much passes"
            yield Finding("W007", reason, f"set FLASK_RATELIMIT_WORKERS={value}")


@in_production
def store_in_clear(service: Service) -> Iterator[Finding]:
    uri = storage_uri(service)
    if service.limits is None or uri.startswith("memory:"):
        return
    parts = urlsplit(uri)
    host = parts.hostname or ""
    missing = [] if parts.scheme.startswith(("rediss", "valkeys")) else ["TLS"]
    options = service.config.get("RATELIMIT_STORAGE_OPTIONS") or {}
    missing += [] if parts.password or "password" in options else ["a password"]
    if missing and host and not is_local(host):
        reason = f"RATELIMIT_STORAGE_URI: {host} is asked without {' and '.join(missing)}"
        yield Finding("W008", reason, "write rediss://:password@host:6379, or keep it on loopback")


def storage_uri(service: Service) -> str:
    return str(service.config.get("RATELIMIT_STORAGE_URI") or "memory://")
