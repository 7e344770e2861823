"""The secrets that sign sessions, and the cookies that carry them.

ASVS 5.0 3.3.1-4 (cookies), 7.3.2 (lifetime), 11.2.3 (strength), Django security.W009 and W010-W016.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeGuard

from app.checks.finding import Finding, in_production
from app.checks.service import Service, is_public_suffix, source_of
from app.config import config_by_name

NEW_KEY = "python -c 'import secrets; print(secrets.token_hex())'"
SHORTEST = 32  # characters
FEWEST = 8  # different ones
LONGEST_SESSION = timedelta(days=90)
MOST_OLD_KEYS = 3
SETS_COOKIE = re.compile(rb"\.set_cookie\(")  # which is not found in this file itself
PLACEHOLDER = re.compile(
    r"(.)\1{7}|change.?(?:me|this|it)|replace.?(?:me|this)|placeholder|"
    r"your.?(?:\w+.?)?(?:secret|key)|(?:super|very|top|my|flask|app).?secret|secret.?key|"
    r"not.?(?:a|so|very).?secret|insecure|passw(?:or)?d|hunter2|letmein|qwerty|default|example|"
    r"dummy|(?:dev|test)(?:elopment|ing)?.?(?:key|only|secret)",
    re.I,
)
RUNS = ("01234567", "12345678", "98765432", "abcdefgh", "asdfghjk")
PUBLISHED = {  # of Flask's documentation, and hashes of nothing and of "secret"
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
    "d41d8cd98f00b204e9800998ecf8427e",
    "5791628bb0b13ce0c676dfde280ba245",  # of a tutorial that many follow
    "5f4dcc3b5aa765d61d8327deb882cf99",
}
OF_EXTENSIONS = (  # protections of Flask-Login, Flask-JWT-Extended and Flask-WTF
    "REMEMBER_COOKIE_SECURE",
    "REMEMBER_COOKIE_HTTPONLY",
    "JWT_COOKIE_SECURE",
    "JWT_COOKIE_CSRF_PROTECT",
    "WTF_CSRF_ENABLED",
    "WTF_CSRF_CHECK_DEFAULT",
    "WTF_CSRF_SSL_STRICT",
)


@in_production
def secret_key(service: Service) -> Iterator[Finding]:
    config = service.app.config  # with their blanks, as Flask signs with them
    current, fallbacks = config["SECRET_KEY"], config.get("SECRET_KEY_FALLBACKS") or []
    if not isinstance(fallbacks, list | tuple):  # Flask would take each character for a key
        remedy = "set FLASK_SECRET_KEY_FALLBACKS='[\"<the key before>\"]'"
        yield Finding("E002", "SECRET_KEY_FALLBACKS is not a list of keys", remedy)
        fallbacks = []
    yield from one_key("SECRET_KEY", current)
    for number, key in enumerate(fallbacks):
        yield from one_key(f"SECRET_KEY_FALLBACKS[{number}]", key)
    if current in fallbacks or len(fallbacks) > MOST_OLD_KEYS:
        reason = "SECRET_KEY_FALLBACKS: a key that was replaced is to be forgotten some day"
        yield Finding("W026", reason, "keep the last one only, until its sessions have ended")


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
    elif is_guessable(text):
        yield Finding("E003", f"{name} is a pattern that can be guessed", remedy)


def published_keys() -> set[object]:
    """Those of app/config.py that are for one's own machine, and well-known ones."""
    open_to_all = (config_by_name.get(name) for name in ("development", "testing"))
    return PUBLISHED | {getattr(config, "SECRET_KEY", None) for config in open_to_all}


def is_guessable(text: str) -> bool:
    """Few different characters, a piece again and again, or a run of the alphabet or keyboard."""
    if len(set(text)) < FEWEST or any(run in text.lower() for run in RUNS):
        return True
    pieces = (text[:size] for size in range(1, len(text) // 2 + 1))
    return any(text == (piece * len(text))[: len(text)] for piece in pieces)


@in_production
def cookies_of_views(service: Service) -> Iterator[Finding]:
    """Nobody but the view knows whether a script needs its cookie: so HttpOnly is not added."""
    for path in sorted(Path(service.app.root_path).rglob("*.py")):
        source = source_of(path)
        if not SETS_COOKIE.search(source):
            continue
        for node in ast.walk(tree_of(source)):
            if sets_cookie(node) and "httponly" not in {word.arg for word in node.keywords}:
                reason = f"{path.name}:{node.lineno} sets a cookie that scripts can read"
                remedy = "write httponly=True, or httponly=False where a script needs it"
                yield Finding("W031", reason, remedy)


def tree_of(source: bytes) -> ast.AST:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # no Python, and so nothing of the service: a template, say
        return ast.Module([], [])


def sets_cookie(node: ast.AST) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "set_cookie"
    )


@in_production
def remember_cookie(service: Service) -> Iterator[Finding]:
    """Flask-Login's, where it is in use."""
    if not hasattr(service.app, "login_manager"):
        return
    wanted = {"SECURE": True, "HTTPONLY": True, "SAMESITE": "lax"}
    defaults = {"SECURE": False, "HTTPONLY": True, "SAMESITE": None}  # Flask-Login's own
    for name, value in wanted.items():
        if not service.config.get(f"REMEMBER_COOKIE_{name}", defaults[name]):
            reason = f"REMEMBER_COOKIE_{name} is off: it is worth as much as the session"
            yield Finding("W032", reason, f"set FLASK_REMEMBER_COOKIE_{name}={str(value).lower()}")


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
    lifetime = service.app.permanent_session_lifetime
    if lifetime > LONGEST_SESSION:
        reason = f"PERMANENT_SESSION_LIFETIME: a stolen session serves for {lifetime.days} days"
        yield Finding("W027", reason, "set FLASK_PERMANENT_SESSION_LIFETIME=2678400 (31 days)")


@in_production
def cookie_scope(service: Service) -> Iterator[Finding]:
    """To which hosts browsers send the cookies."""
    for key in ("SESSION_COOKIE_DOMAIN", "REMEMBER_COOKIE_DOMAIN", "JWT_COOKIE_DOMAIN"):
        domain = str(service.config.get(key) or "").lstrip(".")
        if domain and is_public_suffix(domain):
            reason = f"{key}: {domain} is shared by strangers, and browsers drop the cookie"
            yield Finding("E009", reason, f"remove {service.place_of(key)}")
        elif domain:
            reason = f"{key}: every host below {domain} gets the cookie"
            yield Finding("I005", reason, f"remove {service.place_of(key)} if one host is enough")
    name = str(service.config["SESSION_COOKIE_NAME"])
    if not name.startswith(("__Host-", "__Secure-")):
        reason = f"SESSION_COOKIE_NAME: {name} can be set by any other host of the domain"
        yield Finding("I006", reason, "set FLASK_SESSION_COOKIE_NAME=__Host-session")


@in_production
def cookies_of_extensions(service: Service) -> Iterator[Finding]:
    for key in OF_EXTENSIONS:
        value = service.config.get(key, True)
        if not value:
            reason = f"{key} is {value}: its protection is off"
            yield Finding("W028", reason, f"set FLASK_{key}=true")
