"""Sends whoever asks over http to https, and never round in a circle.

Standards: RFC 9110 15.4.9 (308: the method and the body stay), RFC 6797 7.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from werkzeug.exceptions import SecurityError
from werkzeug.wsgi import get_host

from .paths import Paths

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class HttpsRedirect:
    def __init__(self, exempt: Paths, trusted_hosts: Callable[[], list[str] | None]) -> None:
        """:param trusted_hosts: is asked at each redirect; None is any host."""
        self.exempt = exempt
        self.trusted_hosts = trusted_hosts

    def respond(
        self, environ: WSGIEnvironment
    ) -> tuple[str, list[tuple[str, str]], tuple[bytes, ...]] | None:
        """None for https, for a path that is exempt, and for a host that is not trusted."""
        if environ["wsgi.url_scheme"] == "https" or says_https(environ):
            return None
        if self.exempt.cover(environ.get("PATH_INFO", "")):
            return None
        if not HOST.fullmatch(environ.get("HTTP_HOST", "")):
            return None
        try:
            host = get_host(environ, self.trusted_hosts())
        except SecurityError:
            return None
        if not host:  # what Werkzeug does not take for a host: an underscore, port 0
            return None
        location = f"https://{host}{asked_for(environ)}"
        return "308 Permanent Redirect", [("Location", location), ("Content-Length", "0")], ()


def asked_for(environ: WSGIEnvironment) -> str:
    """Path and query, as the client sent them; PEP 3333 has the path decoded, as Latin-1."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    query = environ.get("QUERY_STRING", "")
    safe = "/:@!$&'()*+,;=~-._"
    text = quote(path.encode("latin-1"), safe=safe) or "/"
    return f"{text}?{quote(query.encode('latin-1'), safe=safe + '%?')}" if query else text


def says_https(environ: WSGIEnvironment) -> bool:
    """By a proxy that ended TLS and is not trusted: a redirect would come back for ever."""
    said: str = environ.get("HTTP_X_FORWARDED_PROTO", "")
    return said.rpartition(",")[2].strip().lower() == "https"
