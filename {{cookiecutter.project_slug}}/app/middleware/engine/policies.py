"""Content security policies: parsed and checked at start, written into a header per response.

Standards: W3C CSP 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .settings import Config, did_you_mean, refuse

Policy = Mapping[str, "str | None"]  # directive to its sources; None leaves the directive out

DIRECTIVES = frozenset(
    """
    base-uri child-src connect-src default-src fenced-frame-src font-src form-action
    frame-ancestors frame-src img-src manifest-src media-src object-src report-to report-uri
    require-trusted-types-for sandbox script-src script-src-attr script-src-elem style-src
    style-src-attr style-src-elem trusted-types upgrade-insecure-requests worker-src
    """.split()  # noqa: SIM905
)
UNQUOTED = re.compile(
    r"(?i)(self|none|nonce|strict-dynamic|report-sample|(wasm-)?unsafe-.*|(nonce|sha(256|384|512))-.*)"
)
EXAMPLE = "default-src 'self'"


def read_policy(config: Config, key: str, default: str) -> dict[str, str]:
    """None is the default, and "" no policy.

    :raises ValueError: for what a browser would not understand, or not use.
    """
    value = config.get(key)
    return parse_policy(key, default if value is None else value)


def parse_policy(key: str, text: object) -> dict[str, str]:
    """:raises ValueError: for what a browser would not understand, or not use."""
    if text is not None and not isinstance(text, str):
        refuse(key, text, "is not text", EXAMPLE)
    policy: dict[str, str] = {}
    for part in filter(None, map(str.strip, (text or "").split(";"))):
        name, _, value = part.partition(" ")
        check_directive(key, name, value)
        if name in policy:
            refuse(key, name, "stands twice, and browsers use the first alone", part)
        policy[name] = value.strip()
    return policy


def check_directive(key: str, name: str, value: str) -> None:
    if name not in DIRECTIVES:
        refuse(key, name, f"is not a directive{did_you_mean(name, DIRECTIVES)}", EXAMPLE)
    check_line(f"{key}: {name}", value, banned=";,")
    for source in value.split():
        if UNQUOTED.fullmatch(source):
            refuse(key, source, f"would be a host in {name}: put it in quotes", f"'{source}'")
        if source.lower().startswith("'nonce-"):
            refuse(key, source, "serves once, 'nonce' is a fresh one each time", f"{name} 'nonce'")


def check_line(key: str, value: object, banned: str = "") -> None:
    """:raises ValueError: for what cannot stand in one header."""
    if not isinstance(value, str):
        refuse(key, value, "is not text", '"DENY"')
    if any(not " " <= character <= "~" or character in banned for character in value):
        refuse(key, value, f"is not one line of ASCII{banned and ' without ; and ,'}", "'self'")


def write_policy(policy: Policy) -> str:
    parts = (f"{name} {value}" for name, value in policy.items() if value is not None)
    return "; ".join(part.rstrip() for part in parts)


def names_a_host(policy: Policy) -> bool:
    """Whether pages may fetch from others."""
    fetched = " ".join(value or "" for name, value in policy.items() if name.endswith("-src"))
    return any(not source.startswith(("'", "data:", "blob:")) for source in fetched.split())
