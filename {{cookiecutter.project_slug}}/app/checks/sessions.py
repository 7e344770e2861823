"""The secret that signs sessions, and the cookie that carries them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.checks.finding import Finding, in_production
from app.checks.service import Service
from app.config import config_by_name

NEW_KEY = "python -c 'import secrets; print(secrets.token_hex())'"
SHORTEST = 32  # characters
PLACEHOLDER = re.compile(r"change.?me|replace.?me|placeholder|your.?secret|(.)\1{7}", re.I)


@in_production
def secret_key(service: Service) -> Iterator[Finding]:
    fallbacks = service.config.get("SECRET_KEY_FALLBACKS") or []
    if not isinstance(fallbacks, list | tuple):  # Flask would take each character for a key
        remedy = "set FLASK_SECRET_KEY_FALLBACKS='[\"<the key before>\"]'"
        yield Finding("E002", "SECRET_KEY_FALLBACKS is not a list of keys", remedy)
        fallbacks = []
    yield from one_key("SECRET_KEY", service.config["SECRET_KEY"])
    for number, key in enumerate(fallbacks):
        yield from one_key(f"SECRET_KEY_FALLBACKS[{number}]", key)


def one_key(name: str, key: object) -> Iterator[Finding]:
    remedy = f"set FLASK_SECRET_KEY to at least {SHORTEST} characters: {NEW_KEY}"
    text = key.decode("latin-1") if isinstance(key, bytes) else str(key or "")
    if not text:
        yield Finding("E001", f"{name} is not set", remedy)
    elif len(text) < SHORTEST:
        yield Finding("E002", f"{name} has {len(text)} characters, which can be tried", remedy)
    elif isinstance(key, int | float):
        yield Finding("E002", f"{name} is read as a number", "add a letter to it")
    elif not isinstance(key, str | bytes):
        reason = f"{name} is read as a {type(key).__name__}, not as text"
        yield Finding("E002", reason, remedy)
    elif text in published_keys() or PLACEHOLDER.search(text):
        yield Finding("E003", f"{name} is one that others know, or a placeholder", remedy)


def published_keys() -> list[object]:
    """Those of app/config.py that are for one's own machine."""
    open_to_all = (config_by_name.get(name) for name in ("development", "testing"))
    return [getattr(config, "SECRET_KEY", None) for config in open_to_all]


@in_production
def session_cookie(service: Service) -> Iterator[Finding]:
    config = service.config
    if not config["SESSION_COOKIE_SECURE"]:
        reason = "SESSION_COOKIE_SECURE is off: the session travels over http as well"
        yield Finding("W018", reason, "set FLASK_SESSION_COOKIE_SECURE=true")
    if not config["SESSION_COOKIE_HTTPONLY"]:
        reason = "SESSION_COOKIE_HTTPONLY is off: scripts can read the session"
        yield Finding("E008", reason, "set FLASK_SESSION_COOKIE_HTTPONLY=true")
    if str(config["SESSION_COOKIE_SAMESITE"]).title() not in ("Lax", "Strict"):
        reason = "SESSION_COOKIE_SAMESITE is not set: other sites' forms act as the visitor"
        yield Finding("W011", reason, "set FLASK_SESSION_COOKIE_SAMESITE=Lax")
