"""The names that the service responds to, and how much it reads. ASVS 5.0 4.2.1, 5.2.1, 13.4."""

from __future__ import annotations

from collections.abc import Iterator

from app.checks.finding import Finding, in_production
from app.checks.service import EXAMPLE_HOST, Service, is_local, is_public_suffix
from app.middleware.engine.settings import read_list

LARGEST = {  # beyond these, one request may fill the memory
    "MAX_CONTENT_LENGTH": 256 * 1024 * 1024,  # bytes
    "MAX_FORM_MEMORY_SIZE": 64 * 1024 * 1024,  # bytes
    "MAX_FORM_PARTS": 100_000,
}


@in_production
def hosts(service: Service) -> Iterator[Finding]:
    trusted = read_list(service.config, "TRUSTED_HOSTS")
    if not trusted:
        reason = "TRUSTED_HOSTS is not set: links that the service builds may name any host"
        yield Finding("W009", reason, "set FLASK_TRUSTED_HOSTS=api.your-domain")
    if trusted and all(map(is_local, trusted)):
        reason = "TRUSTED_HOSTS has this machine only: everybody else is refused"
        yield Finding("W020", reason, "name the domain: FLASK_TRUSTED_HOSTS=api.your-domain")
    for host in trusted:
        if host.startswith(".") and is_public_suffix(host[1:]):
            reason = f"TRUSTED_HOSTS: {host} is every name that anybody can register below it"
        elif "." not in host and not is_local(host):
            reason = f"TRUSTED_HOSTS: {host} is a name that each network gives to what it likes"
        elif EXAMPLE_HOST.search(host):
            reason = f"TRUSTED_HOSTS: {host} is an example"
        else:
            continue
        yield Finding("W020", reason, "name the domain: FLASK_TRUSTED_HOSTS=api.your-domain")


@in_production
def bodies(service: Service) -> Iterator[Finding]:
    for key, most in LARGEST.items():
        value = service.config[key]
        if value is None:
            reason = f"{key} is not set: one request may fill the memory"
        elif int(value) > most:
            reason = f"{key}: {value} lets one request fill the memory"
        else:
            continue
        remedy = f"set FLASK_{key} to what a caller needs, and @body_limit where a view needs more"
        yield Finding("W010", reason, remedy)
