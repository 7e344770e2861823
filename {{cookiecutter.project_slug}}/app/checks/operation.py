"""How the service is run: by which server, behind which proxies, with which settings read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from flask import Flask

from app.checks.finding import Finding, at_every_start, everywhere, in_production
from app.checks.service import Service, source_of
from app.config import config_by_name
from app.middleware.engine.settings import did_you_mean, read_boolean

TABLE_ROW = re.compile(r"^([A-Z][A-Z0-9_]+)  ", re.M)
ALWAYS_ON = {"proxy", "logging", "cors", "csrf", "rate_limiting", "security"}
OF_OTHERS = {"PRODUCTION"}  # names that other programs read too
MOST_PROXIES = 4
ON_DEMAND = {
    "METRICS_TOKEN": "metrics",
    "BLOCKED_USER_AGENTS": "user_agents",
    "API_KEYS": "authentication",
    "JWT_JWKS": "authentication",
    "MAX_CONTENT_LENGTH": "validation",
    "REQUEST_CONTENT_TYPES": "validation",
}


@at_every_start
def outside_production(service: Service) -> Iterator[Finding]:
    """A server for the world with a configuration for one's own machine."""
    if service.is_production:
        return
    if "FLASK_PRODUCTION" in service.environ:
        reason = "FLASK_PRODUCTION switches off what production checks"
        yield Finding("W022", reason, "remove FLASK_PRODUCTION, and silence single risks")
    elif service.server:
        reason = f"{service.server} serves a configuration that is not for production"
        yield Finding("W022", reason, "remove APP_CONFIG, or set it to production")


@at_every_start
def misspelt_names(service: Service) -> Iterator[Finding]:
    """A FLASK_ variable that nothing reads, and that is nearly the name of one.

    None is near FLASK_APP and FLASK_RUN_*, which are for the command and are no keys.
    """
    names = (name for name in sorted(service.environ) if name.startswith("FLASK_"))
    # FLASK_A__B is key B of A
    keys = {name.removeprefix("FLASK_").partition("__")[0] for name in names}
    known = known_keys(service.app) if keys else set()
    for key in sorted(keys - known):
        if near := did_you_mean(key, sorted(known), likeness=0.85):
            reason = f"FLASK_{key} is not known{near.replace('mean ', 'mean FLASK_')}"
            yield Finding("W025", reason, "write that, or name your own key in app/config.py")


@at_every_start
def names_without_prefix(service: Service) -> Iterator[Finding]:
    """CORS_ORIGINS in .env is read by nobody: FLASK_CORS_ORIGINS is."""
    documented = documented_keys(Path(service.app.root_path)) | {"SECRET_KEY"}
    for key in sorted(documented.intersection(service.environ)):
        if f"FLASK_{key}" not in service.environ and key not in OF_OTHERS:
            yield Finding("W048", f"{key} is set, and nothing reads it", f"write FLASK_{key}")


def known_keys(app: Flask) -> set[str]:
    """Those of Flask, of app/config.py, and of the service's own tables."""
    known = documented_keys(Path(app.root_path)).union(Flask.default_config)
    for config in config_by_name.values():
        known.update(key for key in dir(config) if key.isupper())
    return known


def documented_keys(folder: Path) -> set[str]:
    """The keys of the tables at the top of the files of a package and of those below it."""
    known: set[str] = set()
    for path in [*folder.glob("*.py"), *folder.glob("*/*.py")]:
        docstring = source_of(path).partition(b'"""')[2].partition(b'"""')[0]
        known.update(TABLE_ROW.findall(docstring.decode("utf-8", "replace")))
    return known


@everywhere
def forgotten_lines(service: Service) -> Iterator[Finding]:
    """A middleware whose file is there and whose line in create_app() is not does nothing."""
    expected = ALWAYS_ON | {name for key, name in ON_DEMAND.items() if service.config.get(key)}
    if service.limits is None and "RATELIMIT_ENABLED" in service.config:
        expected.discard("rate_limiting")  # W005 says it
    if not read_boolean(service.config, "CSRF_PROTECTION", True):
        expected.discard("csrf")  # W030 says it
    folder = Path(service.app.root_path, "middleware")
    for name in sorted(expected - service.configured):
        if (folder / f"{name}.py").exists():
            reason = f"app/middleware/{name}.py is not called from create_app()"
            yield Finding("W017", reason, "put its line back, or delete the file")


@in_production
def proxies(service: Service) -> Iterator[Finding]:
    if "proxy" not in service.configured:
        return
    hops = int(service.config.get("TRUSTED_PROXIES") or 0)
    if hops > MOST_PROXIES:
        reason = f"TRUSTED_PROXIES is {hops}: with fewer proxies a client chooses its own address"
        yield Finding("W042", reason, "set FLASK_TRUSTED_PROXIES to how many of yours there are")
    elif hops:
        reason = f"TRUSTED_PROXIES is {hops}: who gets past them can claim any address"
        yield Finding("I004", reason, "let nothing but your proxies connect to its port")
    else:
        reason = "TRUSTED_PROXIES is 0: behind a proxy all clients have its address and one limit"
        yield Finding("I003", reason, "set FLASK_TRUSTED_PROXIES to how many of yours there are")
