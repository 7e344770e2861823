"""Attributes that cookies get where the code that sets them names none.

Standards: RFC 6265bis 4.1 (Set-Cookie).
"""

from __future__ import annotations

from .settings import Config, read_text, refuse

KNOWN = {"secure": "Secure", "httponly": "HttpOnly"}
KNOWN |= {f"samesite={name.lower()}": f"SameSite={name}" for name in ("Lax", "Strict", "None")}
EXAMPLE = "Secure; HttpOnly; SameSite=Lax"


def read_attributes(config: Config, key: str, default: str) -> list[str]:
    """:raises ValueError: for what is not an attribute of a cookie that makes it safer."""
    if config.get(key) == "":
        return []
    parts = read_text(config, key, default, example=EXAMPLE).split(";")
    written = [part.strip() for part in parts if part.strip()]
    for part in written:
        if part.lower().replace(" ", "") not in KNOWN:
            refuse(key, part, f"is not one of {', '.join(KNOWN.values())}", EXAMPLE)
    return [KNOWN[part.lower().replace(" ", "")] for part in written]


def with_attributes(cookie: str, attributes: list[str], is_https: bool) -> str:
    """:param cookie: a Set-Cookie header.
    :param attributes: as read_attributes() returns them; Secure is for https only."""
    given = {part.partition("=")[0].strip().lower() for part in cookie.split(";")[1:]}
    for attribute in attributes:
        name = attribute.partition("=")[0].lower()
        if name not in given and (is_https or name != "secure"):
            cookie = f"{cookie}; {attribute}"
    return cookie


def cookie_name(cookie: str) -> str:
    return cookie.partition("=")[0].strip()
