"""The pages that may read responses (CORS) and change something (CSRF). ASVS 5.0 3.4.2."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from app.checks.finding import Finding, in_production
from app.checks.service import EXAMPLE_HOST, Service, is_local, is_public_suffix
from app.middleware.engine.origins import read_origins
from app.middleware.engine.paths import read_paths
from app.middleware.engine.settings import read_boolean

LONGEST_PREFLIGHT = 86400  # seconds; browsers stop at two hours, or at a day


@in_production
def origins(service: Service) -> Iterator[Finding]:
    for origin in service.cors.origins if service.cors else ():
        host = urlsplit(origin).hostname or ""
        if "*" in origin and service.cors.with_credentials and not is_anybodys(host):
            reason = f"CORS_ORIGINS: {origin} trusts every page on any subdomain with the cookies"
            remedy = "name the subdomains, or set FLASK_CORS_SUPPORTS_CREDENTIALS=false"
            yield Finding("W004", reason, remedy)
        yield from one_origin(origin, host, "CORS_ORIGINS", "read responses")


@in_production
def preflights(service: Service) -> Iterator[Finding]:
    age = int(service.config.get("CORS_MAX_AGE") or 0)
    if service.cors and age > LONGEST_PREFLIGHT:
        reason = f"CORS_MAX_AGE: what is allowed now stays allowed for {age / 86400:.0f} days"
        yield Finding("W050", reason, f"remove {service.place_of('CORS_MAX_AGE')}")


@in_production
def foreign_writes(service: Service) -> Iterator[Finding]:
    if not read_boolean(service.config, "CSRF_PROTECTION", True):
        reason = "CSRF_PROTECTION is off: a page of any site may act as its visitor"
        yield Finding("W030", reason, f"remove {service.place_of('CSRF_PROTECTION')}")
        return
    if "/" in read_paths(service.config, "CSRF_EXEMPT_PATHS"):
        reason = "CSRF_EXEMPT_PATHS: / opens every route to the pages of any site"
        yield Finding("W030", reason, "name the paths that are meant for them")
    for origin in read_origins(service.config, "CSRF_TRUSTED_ORIGINS"):
        host = urlsplit(origin).hostname or ""
        yield from one_origin(origin, host, "CSRF_TRUSTED_ORIGINS", "act as their visitor")


def is_anybodys(host: str) -> bool:
    return host.startswith("*.") and is_public_suffix(host[2:])


def one_origin(origin: str, host: str, key: str, what: str) -> Iterator[Finding]:
    """:param what: its pages may do."""
    remedy = f"name the origins of your pages in FLASK_{key}"
    if is_anybodys(host):
        yield Finding("E010", f"{key}: {origin} is every page that anybody can put there", remedy)
    if not origin.startswith("http"):  # of an app, whose pages are at localhost
        return
    if is_local(host):
        reason = f"{key}: {origin} lets any program on a visitor's machine {what}"
        yield Finding("W002", reason, remedy)
    elif origin.startswith("http:"):
        reason = f"{key}: {origin} can be changed by anybody on the way to the browser"
        yield Finding("E006", reason, f"write https://{host}")
    elif EXAMPLE_HOST.search(host):
        yield Finding("W003", f"{key}: {origin} is an example", remedy)
