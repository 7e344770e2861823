"""The pages that may read responses (CORS)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from app.checks.finding import Finding, in_production
from app.checks.service import Service, is_local
from app.middleware.engine.settings import read_boolean

EXAMPLE_HOST = re.compile(r"(^|\.)example(\.(com|org|net))?$")
NAME_THEM = "name the origins of your pages in FLASK_CORS_ORIGINS"


@in_production
def origins(service: Service) -> Iterator[Finding]:
    with_cookies = read_boolean(service.config, "CORS_SUPPORTS_CREDENTIALS", True)
    for origin in service.cors.origins if service.cors else ():
        yield from one_origin(origin)
        if "*" in origin and with_cookies:
            reason = f"CORS_ORIGINS: {origin} trusts every page on any subdomain with the cookies"
            remedy = "name the subdomains, or set FLASK_CORS_SUPPORTS_CREDENTIALS=false"
            yield Finding("W004", reason, remedy)


def one_origin(origin: str) -> Iterator[Finding]:
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if is_local(host):
        reason = f"CORS_ORIGINS: {origin} lets any program on a visitor's machine read responses"
        yield Finding("W002", reason, NAME_THEM)
    elif parts.scheme == "http":
        reason = f"CORS_ORIGINS: {origin} can be changed by anybody on the way to the browser"
        yield Finding("E006", reason, f"write https://{host}")
    elif EXAMPLE_HOST.search(host):
        yield Finding("W003", f"CORS_ORIGINS: {origin} is an example", NAME_THEM)
