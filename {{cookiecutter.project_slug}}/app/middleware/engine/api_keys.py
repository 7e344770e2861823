"""Callers and the hashes of their keys: how they are configured, compared and made.

{"mobile": {"keys": ["<SHA-256 of a key, in hex>", ...], "scopes": ["orders:read"]}}
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any, NoReturn

import click

from .credentials import digest_of
from .settings import from_json, refuse_secret

KEY_PREFIX = "apikey_"  # so that a scanner, or a person, recognises a key that leaked

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SCOPE = re.compile(r"[!#-&(-\[\]-~]+")  # RFC 6749 section 3.3, without the apostrophe
HASH = re.compile(r"[0-9a-f]{64}")

EXAMPLE = '{"mobile": {"keys": ["<SHA-256 in hex>"], "scopes": ["orders:read"]}}'

Caller = tuple[str, frozenset[str]]  # a name and its scopes
Callers = dict[str, dict[str, list[str]]]  # "keys" and "scopes" by name


class KeyRing:
    """The hashes of all keys, and whose they are."""

    def __init__(self, callers: Callers) -> None:
        self.entries: list[tuple[bytes, Caller]] = [
            (bytes.fromhex(digest), (name, frozenset(caller["scopes"])))
            for name, caller in callers.items()
            for digest in caller["keys"]
        ]

    def holder_of(self, key: str) -> Caller | None:
        digest = digest_of(key)
        found = None
        for known, caller in self.entries:  # all of them: the time tells nothing
            if hmac.compare_digest(known, digest):
                found = caller
        return found


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


def _read_caller(key: str, name: object, caller: object) -> dict[str, list[str]]:
    def refuse(problem: str, example: str) -> NoReturn:
        refuse_secret(key, f"caller {name!r}: {problem}", example)

    if not isinstance(name, str) or not NAME.fullmatch(name):
        refuse("the name is not 1 to 64 characters of A-Z a-z 0-9 . _ -", "mobile")
    if not isinstance(caller, Mapping) or set(caller) - {"keys", "scopes"} or "keys" not in caller:
        refuse('the value is not a mapping with "keys", perhaps "scopes" and nothing else', EXAMPLE)
    keys, scopes = caller["keys"], caller.get("scopes", [])
    if not isinstance(keys, list | tuple) or not keys:
        refuse('"keys" is not a list of one or more hashes', '["<SHA-256 in hex>"]')
    if not isinstance(scopes, list | tuple) or not all(map(is_scope, scopes)):
        refuse('"scopes" is not a list of names without blanks or quotes', '["orders:read"]')
    for entry in keys:
        if problem := _problem_of_hash(entry):
            refuse(problem, f"make a new key: flask api-key {name}")
    return {"keys": [entry.lower() for entry in keys], "scopes": list(scopes)}


def is_scope(value: object) -> bool:
    return isinstance(value, str) and SCOPE.fullmatch(value) is not None


def _problem_of_hash(entry: object) -> str | None:
    if not isinstance(entry, str) or not HASH.fullmatch(entry.lower()):
        size = f" ({len(entry)} characters)" if isinstance(entry, str) else ""
        return f'an entry of "keys"{size} is not the SHA-256 of a key, 64 hex digits'
    if entry.lower() == digest_of("").hex():
        return 'an entry of "keys" is the hash of an empty key'
    return None


def api_key_command(key: str, callers: Callers) -> click.Command:
    """`flask api-key NAME`; :param key: the configuration key that the printed line sets."""

    @click.command("api-key")
    @click.argument("name")
    @click.option("--scope", "scopes", multiple=True, help="What it may do; repeat it for more.")
    def api_key(name: str, scopes: tuple[str, ...]) -> None:
        """Make a key for a new caller, or one more for a caller that changes its key."""
        made = KEY_PREFIX + secrets.token_urlsafe(32)
        caller = callers.get(name, {"keys": [], "scopes": []})
        keys = [*caller["keys"], digest_of(made).hex()]
        merged: dict[str, Any] = {
            "keys": keys,
            "scopes": list(dict.fromkeys([*caller["scopes"], *scopes])),
        }
        try:
            line = json.dumps(read_callers(key, {**callers, name: merged}))
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        click.echo(f"The key of {name}, shown this once:", err=True)
        click.echo(made)
        click.echo("The line for .env, in place of the old one (it holds hashes only):", err=True)
        click.echo(f"FLASK_{key}='{line}'")
        if len(keys) > 1:
            click.echo(
                f"{name} has {len(keys)} keys now; drop the first when it is unused.", err=True
            )

    return api_key
