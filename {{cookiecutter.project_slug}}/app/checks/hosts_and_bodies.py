"""The names that the service responds to, and how much it reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.checks.finding import Finding, in_production
from app.checks.service import Service, is_local
from app.middleware.engine.settings import read_list

BARE_SUFFIX = re.compile(r"\.[^.]+|\.(ac|co|com|edu|gov|net|org)\.[a-z]{2}")


@in_production
def hosts(service: Service) -> Iterator[Finding]:
    trusted = read_list(service.config, "TRUSTED_HOSTS")
    if not trusted:
        reason = "TRUSTED_HOSTS is not set: links that the service builds may name any host"
        yield Finding("W009", reason, "set FLASK_TRUSTED_HOSTS=api.your-domain")
    for host in trusted:
        if BARE_SUFFIX.fullmatch(host):
            reason = f"TRUSTED_HOSTS: {host} is every name that anybody can register below it"
        elif "." not in host and not is_local(host):
            reason = f"TRUSTED_HOSTS: {host} is a name that each network gives to what it likes"
        else:
            continue
        yield Finding("W020", reason, "name the domain: FLASK_TRUSTED_HOSTS=api.your-domain")


@in_production
def bodies(service: Service) -> Iterator[Finding]:
    if not service.config["MAX_CONTENT_LENGTH"]:
        reason = "MAX_CONTENT_LENGTH is not set: one request may fill the memory"
        yield Finding("W010", reason, "set FLASK_MAX_CONTENT_LENGTH=1048576 (bytes)")
