"""Limits of requests, and the store in which they are counted. ASVS 5.0 2.4.1, 12.3, 13.2."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from app.checks.finding import Finding, in_production
from app.checks.service import Service, is_local
from app.middleware.engine.networks import read_network_list
from app.middleware.engine.settings import read_mapping

SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "month": 2592000,
    "year": 31536000,
}
LIMIT = re.compile(rf"(\d+) per (?:(\d+) )?({'|'.join(SECONDS)})")
MOST_REQUESTS = 200  # per second and address, for long
MOST_COUNTERS = 10_000_000
LONGEST_WAIT = 2.0  # seconds
WEAK_PASSWORDS = {"redis", "valkey", "password", "secret", "admin", "root", "changeme", "foobared"}
WEAK_PASSWORDS |= {"postgres", "mysql", "guest", "test", "123456", "default"}
SHORTEST_PASSWORD = 8
HOSTS = ("redis:", "rediss:", "valkey:", "valkeys:")  # schemes of a single server


@in_production
def no_limits(service: Service) -> Iterator[Finding]:
    if service.limits is None:
        where = service.place_of("RATELIMIT_ENABLED")
        remedy = f"remove {where}, or call configure_rate_limiting(app)"
        yield Finding("W005", "nothing limits how often one address may ask", remedy)
        return
    if any(one.prefixlen == 0 for one in read_network_list(service.config, "RATELIMIT_ALLOW")):
        remedy = "name the networks of monitors and load balancers"
        yield Finding("W005", "RATELIMIT_ALLOW has every address: nothing is limited", remedy)
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
def limits_that_limit_nothing(service: Service) -> Iterator[Finding]:
    for limits in {route.limits for route in service.routes if route.limits}:
        rates = [rate_of(text) for text in limits]
        if min(rates) > MOST_REQUESTS:
            paths = sorted({route.path for route in service.routes if route.limits == limits})
            reason = f"{'; '.join(limits)} lets an address ask as fast as it can: {paths[0]}"
            reason += f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            yield Finding("W029", reason, "allow what a caller needs: 200 per hour;50 per minute")


def rate_of(limit: str) -> float:
    """Requests per second; none if the text is not understood."""
    match = LIMIT.search(limit)
    return int(match[1]) / int(match[2] or 1) / SECONDS[match[3]] if match else 0.0


@in_production
def workers(service: Service) -> Iterator[Finding]:
    """What the servers are told; what RATELIMIT_WORKERS says rate_limiting.py checks itself."""
    if service.limits is None:
        return
    told = int(service.config.get("RATELIMIT_WORKERS") or 1)
    names = ["GRANIAN_WORKERS"]
    if service.server == "Granian":  # its wsgi.multiprocess is false, however many there are
        arguments = {"granian": " ".join(sys.argv)}
    else:  # of which Granian reads nothing; platforms set the first one whatever serves
        names.append("WEB_CONCURRENCY")
        arguments = {"GUNICORN_CMD_ARGS:": service.environ.get("GUNICORN_CMD_ARGS", "")}
    values = {name: service.environ.get(name, "").strip() for name in names}
    for name, text in arguments.items():
        if match := re.search(r"(?:^|\s)(?:-w|--workers)[= ]*(\d+)", text):
            values[f"{name} --workers"] = match[1]
    for name, value in values.items():
        if not value.isdecimal() or int(value) <= told:
            continue
        if storage_uri(service).startswith("memory:"):
            reason = f"{name}={value}: each worker admits the whole limit from a memory of its own"
            yield Finding("E007", reason, "set FLASK_RATELIMIT_STORAGE_URI=redis://host:6379")
        else:
            reason = f"{name}={value}, RATELIMIT_WORKERS={told}: without the store too much passes"
            yield Finding("W007", reason, f"set FLASK_RATELIMIT_WORKERS={value}")


@in_production
def store(service: Service) -> Iterator[Finding]:
    uri = storage_uri(service)
    if service.limits is None or uri.startswith("memory:"):
        return
    parts = urlsplit(uri)
    host = parts.hostname or ""
    options = read_mapping(service.config, "RATELIMIT_STORAGE_OPTIONS", '{"db": 1}')
    password = unquote(parts.password or "") or str(options.get("password") or "")
    missing = [] if parts.scheme.startswith(("rediss", "valkeys")) else ["TLS"]
    missing += [] if password else ["a password"]
    if missing and host and not is_local(host):
        reason = f"RATELIMIT_STORAGE_URI: {host} is asked without {' and '.join(missing)}"
        yield Finding("W008", reason, "write rediss://:password@host:6379, or keep it on loopback")
    if password and (len(password) < SHORTEST_PASSWORD or password.lower() in WEAK_PASSWORDS):
        reason = "RATELIMIT_STORAGE_URI: the password of the store can be guessed"
        yield Finding(
            "W051", reason, "make one: python -c 'import secrets; print(secrets.token_hex())'"
        )
    if "," in parts.netloc and uri.startswith(HOSTS):
        reason = "RATELIMIT_STORAGE_URI: names several hosts, of which one is used"
        yield Finding("W052", reason, "write redis+cluster:// or redis+sentinel://, or one host")
    if not service.config.get("RATELIMIT_KEY_PREFIX"):
        reason = "RATELIMIT_KEY_PREFIX is not set: services on one store may count into each other"
        yield Finding("W053", reason, "set FLASK_RATELIMIT_KEY_PREFIX to the name of the service")
    yield from unverified(dict(parse_qsl(parts.query)) | options)


def unverified(options: dict[str, object]) -> Iterator[Finding]:
    """TLS that takes whoever answers for the store."""
    requirements = str(options.get("ssl_cert_reqs", "required")).lower()
    checks_name = str(options.get("ssl_check_hostname", True)).lower()
    if requirements in ("none", "0", "optional", "verifymode.cert_none", "1") or checks_name in (
        "false",
        "0",
        "no",
    ):
        reason = "RATELIMIT_STORAGE_OPTIONS: TLS without verification lets anybody be the store"
        remedy = "remove ssl_cert_reqs and ssl_check_hostname; name your authority in ssl_ca_certs"
        yield Finding("E011", reason, remedy)


@in_production
def sizes(service: Service) -> Iterator[Finding]:
    if service.limits is None:
        return
    counters = int(service.config.get("RATELIMIT_MEMORY_COUNTERS") or 0)
    if counters > MOST_COUNTERS:
        reason = f"RATELIMIT_MEMORY_COUNTERS: {counters} fill gigabytes before one is dropped"
        yield Finding("W033", reason, f"remove {service.place_of('RATELIMIT_MEMORY_COUNTERS')}")
    wait = float(service.config.get("RATELIMIT_STORAGE_TIMEOUT") or 0)
    if wait > LONGEST_WAIT:
        reason = (
            f"RATELIMIT_STORAGE_TIMEOUT: each request waits {wait:g} s for a store that is away"
        )
        yield Finding("W034", reason, f"remove {service.place_of('RATELIMIT_STORAGE_TIMEOUT')}")


def storage_uri(service: Service) -> str:
    return str(service.config.get("RATELIMIT_STORAGE_URI") or "memory://")
