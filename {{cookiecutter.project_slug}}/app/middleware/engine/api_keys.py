"""Callers and the hashes of their keys: how they are configured and compared.

{"mobile": {"keys": ["<SHA-256 of a key, in hex>", ...], "scopes": ["orders:read"],
            "limits": "1000 per hour"}}   or "tier": "gold" in place of "limits"

A key made here names its caller, `apikey_mobile_<43 characters>`, so that guesses at the keys of
one caller say nothing against those of another.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any, NoReturn

from .credentials import Caller, digest_of
from .settings import from_json, refuse_secret

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SCOPE = re.compile(r"[!#-&(-\[\]-~]+")  # RFC 6749 section 3.3, without the apostrophe
WINDOW = "(([1-9][0-9]{0,8} *)?(second|minute|hour)|([1-9][0-9]{0,4} *)?(day|month|year))s?"
LIMIT = r" *[1-9][0-9]{0,8} *(/|per) *" + WINDOW + " *"
LIMITS = re.compile(LIMIT + "([;,|]" + LIMIT + ")*", re.IGNORECASE)
HASH = re.compile(r"[0-9a-f]{64}")
# The prefix is for scanners, and for a person who finds a key in a log.
OWN_KEY = re.compile("apikey_(" + NAME.pattern + ")_[A-Za-z0-9_-]{43}")

EXAMPLE = '{"mobile": {"keys": ["<SHA-256 in hex>"], "scopes": ["orders:read"]}}'

Callers = dict[str, dict[str, Any]]  # "keys", "scopes", perhaps "limits" or "tier", by name


def make_key(name: str) -> str:
    """A new key for this caller, of 256 random bits."""
    return f"apikey_{name}_{secrets.token_urlsafe(32)}"


class KeyRing:
    """The hashes of all keys, and whose they are."""

    def __init__(self, callers: Callers) -> None:
        self.names: set[str] = set()
        self.limits: dict[str, str] = {}  # a caller's own
        self.holders: dict[bytes, tuple[bytes, Caller]] = {}
        for name, caller in callers.items():
            self.add(name, caller)

    def add(self, name: str, caller: Mapping[str, Any]) -> None:
        """One more caller, as read_callers() gives it; in tests, at any time."""
        holder = Caller(name, frozenset(caller["scopes"]), caller.get("limits"), caller.get("tier"))
        for digest in map(bytes.fromhex, caller["keys"]):
            self.holders[digest] = digest, holder
        self.names.add(name)
        if holder.limits is not None:
            self.limits[name] = holder.limits

    def holder_of(self, key: str) -> Caller | None:
        """Found by the key's hash, so the time tells nothing of how near a guess came."""
        digest = digest_of(key)
        known, holder = self.holders.get(digest, (b"", None))
        return holder if hmac.compare_digest(known, digest) else None

    def claimed_by(self, key: str) -> str | None:
        """The caller whom a key names, right or wrong."""
        match = OWN_KEY.fullmatch(key)
        return match[1] if match and match[1] in self.names else None


def read_callers(key: str, value: object) -> Callers:
    """Check what is configured, a mapping or its JSON text; None is nobody.

    :raises ValueError: naming the caller and the remedy, and never the value: it may be a key.
    """
    if value is None:
        return {}
    if isinstance(value, str):
        value = from_json(value)
    if not isinstance(value, Mapping):
        remedy = "the line that `flask api-key NAME` prints, or {} to leave authentication off"
        refuse_secret(key, "is not a mapping of callers", remedy)
    callers = {name: _read_caller(key, name, caller) for name, caller in value.items()}
    owners: dict[str, str] = {}
    for name, caller in callers.items():
        for digest in caller["keys"]:
            if digest in owners:
                problem = f"{owners[digest]!r} and {name!r} have the same key ({digest[:8]}...)"
                refuse_secret(key, problem, f"a key for each: flask api-key {name}")
            owners[digest] = name
    return callers


def _read_caller(key: str, name: object, caller: object) -> dict[str, Any]:
    def refuse(problem: str, example: str) -> NoReturn:
        refuse_secret(key, f"caller {name!r}: {problem}", example)

    if not isinstance(name, str) or not NAME.fullmatch(name):
        refuse("the name is not 1 to 64 characters of A-Z a-z 0-9 . _ -", "mobile")
    if not isinstance(caller, Mapping) or "keys" not in caller:
        refuse('the value is not a mapping with "keys"', EXAMPLE)
    for member in set(caller) - {"keys", "scopes", "limits", "tier"}:
        refuse(f"{member!r} is not one of keys, scopes, limits, tier", EXAMPLE)
    keys, scopes = caller["keys"], caller.get("scopes", [])
    if not isinstance(keys, list | tuple) or not keys:
        refuse('"keys" is not a list of one or more hashes', '["<SHA-256 in hex>"]')
    if not isinstance(scopes, list | tuple) or not all(map(is_scope, scopes)):
        refuse('"scopes" is not a list of names without blanks or quotes', '["orders:read"]')
    for entry in keys:
        if problem := _problem_of_hash(entry):
            refuse(problem, f"make a new key: flask api-key {name}")
    limits, tier = caller.get("limits"), caller.get("tier")
    if limits is not None and not (isinstance(limits, str) and LIMITS.fullmatch(limits)):
        refuse(f'"limits" is not text with limits: {limits!r:.80}', '"1000 per hour;20 per second"')
    if tier is not None and not is_scope(tier):
        refuse('"tier" is not a name without blanks or quotes', '"gold"')
    own = {"limits": limits, "tier": tier}
    return {
        "keys": [entry.lower() for entry in keys],
        "scopes": list(scopes),
        **{member: value for member, value in own.items() if value is not None},
    }


def is_scope(value: object) -> bool:
    return isinstance(value, str) and SCOPE.fullmatch(value) is not None


def _problem_of_hash(entry: object) -> str | None:
    if not isinstance(entry, str) or not HASH.fullmatch(entry.lower()):
        size = f" ({len(entry)} characters)" if isinstance(entry, str) else ""
        return f'an entry of "keys"{size} is not the SHA-256 of a key, 64 hex digits'
    if entry.lower() == digest_of("").hex():
        return 'an entry of "keys" is the hash of an empty key'
    return None
