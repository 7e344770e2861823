"""An address and who stands behind it; what a CORS preflight is.

Standards: RFC 4291 2.5.5.2 (IPv4-mapped addresses), RFC 6177 (a site has a /64 or more), the
Fetch standard (CORS-preflight request).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Request

UNKNOWN = "unknown"  # the one bucket of whatever is not an address
LONGEST = 64  # characters: no address is longer, and what is kept of garbage stays short

# one entry of X-Forwarded-For: some proxies add brackets and the port; never a zone (fe80::1%any)
ENTRY = re.compile(
    r"\s*(?:([0-9.]{7,15})(?::[0-9]{1,5})?"
    r"|\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?"
    r"|([0-9A-Fa-f:.]{2,45}))\s*"
)


def normal_address(text: str | None) -> str | None:
    """The address in one entry of X-Forwarded-For, in its shortest form; None if there is none."""
    if text is not None and is_plain_ipv4(text):
        return text
    match = ENTRY.fullmatch(text or "")
    try:
        return str(ipaddress.ip_address(match[match.lastindex or 0])) if match else None
    except ValueError:
        return None


def is_plain_ipv4(text: str) -> bool:
    """The usual case, of which there is one spelling only; the system knows it without a search."""
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):  # ValueError: a null character
        return False
    return True


def bucket_of(address: str | None) -> str:
    """Who is counted behind an address: IPv4 as it is, IPv6 by its /64, never empty.

    One customer holds a whole IPv6 /64, and ::ffff:192.0.2.1 is 192.0.2.1. All text that is not an
    address shares one bucket, so that a forged header cannot make a new one of every request.
    """
    text = (address or "")[:LONGEST]
    return text if is_plain_ipv4(text) else _unusual_bucket(text)


@lru_cache(maxsize=8192)
def _unusual_bucket(text: str) -> str:
    normal = normal_address(text.partition("%")[0])
    if normal is None:
        return UNKNOWN
    ip = ipaddress.ip_address(normal)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(ip), 64), strict=False))
        ip = ip.ipv4_mapped
    return str(ip)


def is_preflight(environ: Mapping[str, Any]) -> bool:
    """A browser's question before a request (Fetch standard); it never carries a credential."""
    return (
        environ["REQUEST_METHOD"] == "OPTIONS"
        and "HTTP_ORIGIN" in environ
        and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    )


def is_automatic_preflight(request: Request) -> bool:
    """A preflight that no view's own code responds to: Flask does, or the path is unknown."""
    return is_preflight(request.environ) and bool(
        getattr(request.url_rule, "provide_automatic_options", True)
    )
