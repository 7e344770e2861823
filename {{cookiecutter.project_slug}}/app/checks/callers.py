"""Who may call what (authentication). ASVS 5.0 6.3, 8.2.1, 9.1, 9.2, 13.3."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from app.checks.finding import Finding, everywhere, in_production
from app.checks.service import EXAMPLE_HOST, Service
from app.middleware.engine.settings import read_mapping

RATE = re.compile(r"(\d+) ?(?:per|/) ?(second|minute|hour|day)")
MINUTES = {"second": 1 / 60, "minute": 1, "hour": 60, "day": 1440}
MOST_GUESSES = 1000  # per minute
MOST_KEYS = 3  # of one caller: one, and the one before while clients change
LONGEST_LEEWAY = 120  # seconds
GUESSED = ("", "secret", "password", "key", "apikey", "api-key", "test", "admin", "changeme")
PUBLISHED = {hashlib.sha256(key.encode()).hexdigest() for key in GUESSED} | {
    # those of the documentation, now and before
    "beb4344d0ff4f238ec2232cc2e6543aa56d6509277cf520c5ea2f7ad4859fe96",
    "59c45b4f136ce6fe4d2d28047bc1a92b31a29b88a5df8a2f8d27b4aab7029ef4",
    "4a4f4e5b470f4a905a7e7fe85b70e109071289071587fdd1e213f12759b1a7cf",
    "5975fc75a4e6c4411e5d9e16b60a3fe200caa0c7a3283c006b27bef4ac9236be",
}


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


@in_production
def browsers(service: Service) -> Iterator[Finding]:
    """Browsers send no key for what they open by themselves."""
    folder = service.app.static_folder
    route = next((r for r in service.routes if r.endpoint == "static"), None)
    if not service.has_authentication or not folder or not route or route.scopes is None:
        return
    if Path(folder).is_dir() and any(Path(folder).iterdir()):
        reason = f"{route.path} needs a key, which browsers do not send for images and scripts"
        yield Finding("I007", reason, 'public(app.view_functions["static"])')


@everywhere
def public_writes(service: Service) -> Iterator[Finding]:
    for route in service.routes if service.has_authentication else ():
        if route.scopes is None and route.is_changing:
            reason = f"{route.method} {route.path} changes something and is @public"
            yield Finding("W013", reason, "remove @public from the view")


@in_production
def api_keys(service: Service) -> Iterator[Finding]:
    for name, caller in read_mapping(service.config, "API_KEYS", "{}").items():
        keys = caller.get("keys", []) if isinstance(caller, dict) else []
        if any(is_published(str(key).lower()) for key in keys):
            reason = f"API_KEYS: {name} has a key that others know, or a placeholder"
            yield Finding("E012", reason, f"make one: flask api-key {name}")
        if len(keys) > MOST_KEYS:
            reason = f"API_KEYS: {name} has {len(keys)} keys, and each one opens the door"
            yield Finding("W035", reason, "remove the hashes of keys that nobody uses any more")


def is_published(digest: str) -> bool:
    return digest in PUBLISHED or len(set(digest)) == 1


@everywhere
def tiers(service: Service) -> Iterator[Finding]:
    """Without this, who pays for more would have the limits of everybody."""
    known = service.limits.settings.tiers if service.limits else None
    if known is None or not service.has_authentication:
        return
    remedy = 'set FLASK_RATELIMIT_TIERS={"gold": "10000 per hour"}, or remove the tier'
    for name, caller in read_mapping(service.config, "API_KEYS", "{}").items():
        if (tier := caller.get("tier")) and tier not in known:
            reason = f"API_KEYS: {name} has the tier {tier!r}, which RATELIMIT_TIERS lacks"
            yield Finding("E019", reason, remedy)
    if service.config.get("JWT_TIER_CLAIM") and not known:
        yield Finding("E019", "JWT_TIER_CLAIM is set, and RATELIMIT_TIERS has no tier", remedy)


@in_production
def tokens(service: Service) -> Iterator[Finding]:
    source = service.config.get("JWT_JWKS")
    if not source or not service.has_authentication:
        return
    if float(service.config.get("JWT_LEEWAY") or 0) > LONGEST_LEEWAY:
        reason = "JWT_LEEWAY: a token is taken for minutes after it has ended"
        remedy = f"remove {service.place_of('JWT_LEEWAY')}, and let the clocks be set by NTP"
        yield Finding("W036", reason, remedy)
    for key in ("JWT_JWKS", "JWT_ISSUER"):
        for value in as_texts(service.config.get(key)):
            if EXAMPLE_HOST.search(urlsplit(value).hostname or ""):
                yield Finding("W037", f"{key}: {value} is an example", "name your own provider")
            elif value.startswith("http:"):
                reason = f"{key}: {value} can be changed by anybody on the way"
                yield Finding("W037", reason, "write https://")
    path = Path(str(source))
    if "://" not in str(source) and path.is_file() and path.stat().st_mode & stat.S_IWOTH:
        reason = f"JWT_JWKS: anybody on this machine may write {path}, and so make tokens"
        yield Finding("E013", reason, f"chmod o-w {path}")


def as_texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value or "")]
