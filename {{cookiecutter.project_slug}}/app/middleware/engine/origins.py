"""Web origins: read as people write them, compared as browsers send them.

Standards: the URL standard (how an origin is written), RFC 6454 (what it is).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from .settings import Config, read_list, refuse

# where pages come from, with the port that browsers leave out; then apps and browser extensions
SCHEMES = {"http": 80, "https": 443, "capacitor": 0, "ionic": 0, "tauri": 0}
SCHEMES |= {"chrome-extension": 0, "moz-extension": 0, "safari-web-extension": 0}
LABEL = re.compile(r"[a-z0-9_-]{1,63}")
AUTHORITY = re.compile(r"(\*\.)?(\[.*\]|[^:\[\]]+)(?::([0-9]{1,5}))?", re.DOTALL)

EXAMPLE, SUBDOMAINS = "https://app.example.com", "https://*.example.com"
NOT_IN_ORIGINS = {"@": "user info", "?": "a query", "#": "a fragment", "/": "a path"}


class Origins:
    """A list of allowed origins; look-ups alone, so that a thousand cost what one costs."""

    def __init__(self, origins: Iterable[str]) -> None:
        """:param origins: as read_origin() returns them."""
        self.known = frozenset(origins)

    def allow(self, origin: str) -> bool:
        """:param origin: the header as it stands: browsers write an origin in one way only."""
        if origin in self.known:
            return "*" not in origin
        scheme, _, host = origin.partition("://")
        label, _, parent = host.partition(".")
        return f"{scheme}://*.{parent}" in self.known and LABEL.fullmatch(label) is not None


def is_own_origin(origin: str, environ: Mapping[str, Any]) -> bool:
    """Whether a page of this origin is the service's own, by the host that was asked for.

    An http page is another's where the service is on https. Not the other way round: a proxy may
    have ended TLS without saying so.
    """
    scheme, _, host = origin.partition("://")
    if scheme not in ("http", "https") or (scheme, environ["wsgi.url_scheme"]) == ("http", "https"):
        return False
    own = str(environ.get("HTTP_HOST", "")).lower()
    return host in (own, own.removesuffix(f":{SCHEMES[scheme]}")) and host != ""


def read_origins(config: Config, key: str) -> list[str]:
    """:raises ValueError: for what is not an origin."""
    written = read_list(config, key, example=EXAMPLE)
    return list(dict.fromkeys(read_origin(key, text) for text in written))


def as_pattern(origin: str) -> str | re.Pattern[str]:
    """For flask-cors, which takes text with any of * [ ] for a regular expression, unanchored."""
    if "*" not in origin and "[" not in origin:
        return origin
    return re.compile(rf"\A{re.escape(origin)}\Z".replace(r"\*", LABEL.pattern))


def read_origin(key: str, text: str) -> str:
    """Bring a configured origin into the one form in which browsers send it.

    :returns: for example "https://app.example.com:8443", perhaps with `*` for the first label.
    :raises ValueError: with the key, the text and what to write.
    """

    def refuse_it(problem: str, example: str = EXAMPLE) -> NoReturn:
        refuse(key, text, problem, example)

    value = text.strip().lower()
    scheme, separator, rest = value.partition("://")
    authority = rest.removesuffix("/")
    if value in ("*", "null"):
        refuse_it("lets in pages that nobody chose")
    if not separator:
        refuse_it("has no scheme", f"{EXAMPLE} or http://localhost:3000")
    if scheme not in SCHEMES:
        refuse_it(f"does not have a scheme of pages ({', '.join(SCHEMES)})")
    for sign, what in NOT_IN_ORIGINS.items():
        if sign in authority:
            refuse_it(f"has {what}, which no origin has")
    parts = AUTHORITY.fullmatch(authority)
    if parts is None:
        refuse_it("does not have a host, or has a port that is not a number")
    star, name, digits = parts.groups()
    if "*" in name:
        refuse_it("has a `*` that is not the whole first label", SUBDOMAINS)
    port = int(digits or SCHEMES[scheme])
    if digits and not 0 < port < 65536:
        refuse_it("has a port that is not from 1 to 65535")
    host = normal_host(name)
    if host is None and value.isascii():
        refuse_it("does not have a host as browsers write it (nor a regular expression)")
    if host is None:  # Python's IDNA is not the browsers': some names would become another's
        refuse_it("is not ASCII: copy location.origin from the browser", "https://xn--tst-qla.de")
    if star and not (scheme == "https" and is_domain(host)):
        refuse_it("lets in more than one name's subdomains over https", SUBDOMAINS)
    suffix = "" if port == SCHEMES[scheme] else f":{port}"
    return f"{scheme}://{star or ''}{host}{suffix}"


def is_domain(host: str) -> bool:
    """Below a single label there is everybody; below an address, nobody's subdomain."""
    return "." in host and host[-1] not in "0123456789]"


def normal_host(host: str) -> str | None:
    """As browsers write it, an address at its shortest; None if it is neither name nor address."""
    try:
        if host.startswith("["):
            return normal_ipv6(ipaddress.IPv6Address(host[1:-1]))
        if re.fullmatch(r"(.*\.)?([0-9]+|0x[0-9a-f]*)", host):
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        return None
    return host if len(host) < 254 and all(map(LABEL.fullmatch, host.split("."))) else None


def normal_ipv6(address: ipaddress.IPv6Address) -> str | None:
    if address.scope_id:
        return None
    if not address.ipv4_mapped:
        return f"[{address.compressed}]"
    low = int(address) & 0xFFFFFFFF  # Python 3.13 would write a.b.c.d
    return f"[::ffff:{low >> 16:x}:{low & 0xFFFF:x}]"
