"""Who asks, over what and for which host, behind a known number of proxies, and from nobody else.

Needs:  pip install "flask>=3.1,<4"
Copy:   engine/ (pipeline, exchange, settings, clients)
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
Version: 2.0.0
"""

from __future__ import annotations

import itertools
import logging
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from .engine.clients import normal_address
from .engine.pipeline import pipeline_of
from .engine.settings import read_whole_number

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MOST_PROXIES = 10
FORWARDED = {
    "HTTP_X_FORWARDED_FOR": "X-Forwarded-For",
    "HTTP_X_FORWARDED_PROTO": "X-Forwarded-Proto",
    "HTTP_X_FORWARDED_HOST": "X-Forwarded-Host",
    "HTTP_FORWARDED": "Forwarded",
}
READ = [key for key in FORWARDED if key != "HTTP_FORWARDED"]
UNTRUSTED = (
    "%s arrived and no proxy is trusted, so it is ignored: all that comes through a proxy shares "
    "the proxy's address and its rate limit, and https is not seen. If N proxies of yours stand "
    "in front of this service, set TRUSTED_PROXIES=N; if none does, a client made the header up."
)
UNDERSCORES = (
    "Granian takes X_Forwarded_For for X-Forwarded-For: the proxy in front of it must drop names "
    "with an underscore (nginx and Apache do, unless told not to), or a client chooses its address."
)
FIRST_REQUESTS = 20  # more than one, since the first ones may be a health check's
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
    hops = read_whole_number(app.config, "TRUSTED_PROXIES", 0, least=0, most=MOST_PROXIES)
    app.config["TRUSTED_PROXIES"] = hops
    logger = logging.getLogger(app.name)  # app.logger would add a handler
    proxies = TrustedProxies(hops, logger) if hops else UntrustedProxies(logger)
    pipeline_of(app).on_identify(proxies.identify)


class UntrustedProxies:
    """Changes nothing; says once that forwarded headers arrive."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.unsaid = threading.Lock()

    def identify(self, environ: WSGIEnvironment) -> None:
        if FORWARDED.keys().isdisjoint(environ) or not self.unsaid.acquire(blocking=False):
            return
        arrived = [name for key, name in FORWARDED.items() if key in environ]
        self.logger.warning(UNTRUSTED, ", ".join(arrived))


class TrustedProxies:
    """Werkzeug's ProxyFix, of which only what can be an address or a scheme is kept."""

    def __init__(self, hops: int, logger: logging.Logger) -> None:
        self.hops = hops
        self.logger = logger
        self.fix_for = lru_cache(hops * hops)(self.make_fix)
        self.requests = itertools.count(1)  # next() is one step, whatever the threads
        self.is_watching = True

    def identify(self, environ: WSGIEnvironment) -> None:
        if self.is_watching:
            self.watch(environ)
        for key in READ:
            if '"' in environ.get(key, ""):  # for Werkzeug it hides what a proxy adds behind it
                environ[key] = environ[key].replace('"', "")
        protos = self.values_of(environ, "HTTP_X_FORWARDED_PROTO")
        fix = self.fix_for(protos, self.values_of(environ, "HTTP_X_FORWARDED_HOST"))
        fix(environ, no_application)  # it changes the environ in place
        original = environ["werkzeug.proxy_fix.orig"]
        claimed = environ.get("REMOTE_ADDR")
        if claimed != original["REMOTE_ADDR"]:
            environ["REMOTE_ADDR"] = normal_address(claimed) or original["REMOTE_ADDR"] or ""
        scheme = str(environ["wsgi.url_scheme"]).lower()
        is_known = scheme in ("http", "https")
        environ["wsgi.url_scheme"] = scheme if is_known else original["wsgi.url_scheme"]

    def values_of(self, environ: WSGIEnvironment, key: str) -> int:
        """How many count: addresses are appended, one by each proxy, but scheme and host are mostly
        replaced, or left to the outermost one."""
        values: str = environ.get(key, "")
        return min(values.count(",") + 1, self.hops)

    def make_fix(self, protos: int, hosts: int) -> ProxyFix:
        return ProxyFix(no_application, x_for=self.hops, x_proto=protos, x_host=hosts)

    def watch(self, environ: WSGIEnvironment) -> None:
        """Until X-Forwarded-For has come once: say what the server may do to it."""
        number = next(self.requests)
        if number == 1 and (environ.get("SERVER_SOFTWARE") or "").startswith("Granian"):
            self.logger.warning(UNDERSCORES)
        if "HTTP_X_FORWARDED_FOR" in environ:
            self.is_watching = False
        elif number == FIRST_REQUESTS:
            self.is_watching = False
            self.logger.warning(MISSING, self.hops, FIRST_REQUESTS)


def no_application(*_: Any) -> Any:
    return ()
