"""The client's address, scheme and host, behind a known number of proxies, and from nobody else.

Needs:  pip install "flask>=3.1,<4"
Add:    configure_proxy(app)

Key              Default  Meaning (unit)
---------------  -------  ------------------------------------------------------------
TRUSTED_PROXIES  0        how many proxies of yours stand in front of the service (0 to
                          10). Each of them must set, or delete, X-Forwarded-For,
                          X-Forwarded-Proto and X-Forwarded-Host: what it lets through
                          is what the client wrote. 0: the headers are ignored, and the
                          first request that carries one is named in the log.

X-Forwarded-Port, X-Forwarded-Prefix and Forwarded are never read: few proxies replace them.

The server has a part in it, and the log says once what seems wrong. Granian takes X_Forwarded_For
for X-Forwarded-For, so a proxy in front of it must drop names with an underscore (nginx and Apache
do) or a client chooses its address. waitress deletes the headers unless it is started with
--no-clear-untrusted-proxy-headers.

Standards: RFC 7239 (section 8.1: what may be believed), RFC 9110 section 3.7
Version: 1.0.0
"""

from __future__ import annotations

import ipaddress
import itertools
import logging
import re
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_HOPS = 10
FORWARDED = {
    "HTTP_X_FORWARDED_FOR": "X-Forwarded-For",
    "HTTP_X_FORWARDED_PROTO": "X-Forwarded-Proto",
    "HTTP_X_FORWARDED_HOST": "X-Forwarded-Host",
    "HTTP_FORWARDED": "Forwarded",
}
# one entry of X-Forwarded-For: some proxies add brackets and the port; never a zone (fe80::1%any)
ENTRY = re.compile(
    r"\s*(?:([0-9.]{7,15})(?::[0-9]{1,5})?"
    r"|\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?"
    r"|([0-9A-Fa-f:.]{2,45}))\s*"
)
WARNING = (
    "%s arrived and no proxy is trusted, so it is ignored: every client behind a proxy shares "
    "the proxy's address and its rate limit, and https is not seen. If N proxies of yours stand "
    "in front of this service, set TRUSTED_PROXIES=N; if none does, a client made the header up."
)
UNDERSCORES = (
    "Granian takes X_Forwarded_For for X-Forwarded-For: the proxy in front of it must drop names "
    "with an underscore (nginx and Apache do, unless told not to), or a client chooses its address."
)
LOOKED_AT = 20  # requests: the first ones may be a health check's
MISSING = (
    "TRUSTED_PROXIES=%d, but none of the first %d requests came with X-Forwarded-For: then all "
    "clients share one address and its rate limit. waitress deletes it unless it is started with "
    "--no-clear-untrusted-proxy-headers. If no proxy stands in front, set TRUSTED_PROXIES=0; if "
    "these were health checks, all is well."
)


def configure_proxy(app: Flask) -> None:
    """Believe TRUSTED_PROXIES hops of X-Forwarded-For, -Proto and -Host.

    :raises ValueError: if TRUSTED_PROXIES is not a whole number from 0 to 10.
    """
    hops = trusted_hops(app.config.get("TRUSTED_PROXIES"))
    app.config["TRUSTED_PROXIES"] = hops
    # Outside every layer that answers by itself: one that does (a preflight) sees the client
    # too. Layers around this one look at the environ only when the answer starts or ends.
    inner = app.wsgi_app
    layer = TrustedProxies(inner, hops, app) if hops else UntrustedProxies(inner, app)
    app.wsgi_app = layer  # type: ignore[method-assign]


def trusted_hops(value: object) -> int:
    if value is None or value == "":
        return 0
    text = "" if isinstance(value, bool) else str(value).strip()
    if re.fullmatch(r"[0-9]{1,2}", text) and int(text) <= MAX_HOPS:
        return int(text)
    raise ValueError(
        f"TRUSTED_PROXIES: {value!r:.80} is not a whole number from 0 to {MAX_HOPS}; "
        "count the proxies of yours in front of the service and write 0, 1, 2, ..."
    )


class TrustedProxies:
    """Werkzeug's ProxyFix, of which only what can be an address or a scheme is kept."""

    def __init__(self, wsgi_app: WSGIApplication, hops: int, app: Flask) -> None:
        self.wsgi_app = wsgi_app
        self.hops = hops
        self.fix = ProxyFix(self.checked, x_for=hops, x_proto=hops, x_host=hops)
        self.logger = logging.getLogger(app.name)  # app.logger would add a handler
        self.requests = itertools.count(1)  # next() is one step, whatever the threads
        self.is_watching = True

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self.is_watching:
            self.watch(environ)
        return self.fix(environ, start_response)

    def watch(self, environ: WSGIEnvironment) -> None:
        """Until X-Forwarded-For has come once: say what the server may do to it."""
        number = next(self.requests)
        if number == 1 and (environ.get("SERVER_SOFTWARE") or "").startswith("Granian"):
            self.logger.warning(UNDERSCORES)
        if "HTTP_X_FORWARDED_FOR" in environ:
            self.is_watching = False
        elif number == LOOKED_AT:
            self.is_watching = False
            self.logger.warning(MISSING, self.hops, LOOKED_AT)

    def checked(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        original = environ["werkzeug.proxy_fix.orig"]
        claimed = environ.get("REMOTE_ADDR")
        if claimed != original["REMOTE_ADDR"]:
            environ["REMOTE_ADDR"] = address(claimed) or original["REMOTE_ADDR"] or ""
        scheme = str(environ["wsgi.url_scheme"]).lower()
        known = scheme in ("http", "https")
        environ["wsgi.url_scheme"] = scheme if known else original["wsgi.url_scheme"]
        return self.wsgi_app(environ, start_response)


class UntrustedProxies:
    """Changes nothing; says once that forwarded headers arrive."""

    def __init__(self, wsgi_app: WSGIApplication, app: Flask) -> None:
        self.wsgi_app = wsgi_app
        self.logger = logging.getLogger(app.name)  # app.logger would add a handler
        self.unsaid = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        arrived = [name for key, name in FORWARDED.items() if key in environ]
        if arrived and self.unsaid.acquire(blocking=False):
            self.logger.warning(WARNING, ", ".join(arrived))
        return self.wsgi_app(environ, start_response)


def address(text: str | None) -> str | None:
    """The address in one entry of X-Forwarded-For, in its shortest form; None if there is none."""
    match = ENTRY.fullmatch(text or "")
    try:
        return str(ipaddress.ip_address(match[match.lastindex or 0])) if match else None
    except ValueError:
        return None
