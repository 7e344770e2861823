"""Every request in numbers for Prometheus, over all workers together; off until it has a token.

Needs:  pip install "flask>=3.1,<4" "prometheus-client>=0.21,<1"
Copy:   engine/ (pipeline, exchange, settings, paths, refusals, routes, series, writer)
Add:    configure_metrics(app)

Key            Default     Meaning (unit)
-------------  ----------  ---------------------------------------------------------------------
METRICS_TOKEN  ""          who sends it may read the metrics (Authorization: Bearer <token>): 32
                           characters or more of A-Z a-z 0-9 - . _ ~ + / =; "" is off
METRICS_PATH   "/metrics"  where; whoever comes without the token gets there what he would get
                           without this file, and is limited like anybody

Metric                         Type       Labels                What is counted
-----------------------------  ---------  --------------------  ----------------------------------
http_request_duration_seconds  histogram  method, rule, status  requests; _count is their number
http_requests_in_flight        gauge                            those that are being served
http_requests_refused_total    counter    reason                events of the security log, and
                                                                origin_refused: a page may not read
log_lines_dropped_total        counter                          lines that found no room
rate_limit_store_up            gauge                            1; 0: limits are held in memory
                                                                while the store is away

Requests count once, when their last byte is sent, whoever responds, as in the log; reading the
metrics does not count. `status` is "2xx", `rule` the route's: what a client writes never becomes a
label. Metrics of your own go into app.extensions["metrics"].registry.

Several processes count together in the folder PROMETHEUS_MULTIPROC_DIR, which has to be empty when
the server starts (gunicorn.conf.py sees to it). What a worker has counted stays when it ends, what
it has in flight does not. All applications of these processes are then one sum.

Standards: Prometheus text format 0.0.4, OpenMetrics 1.0, RFC 6750 (Bearer)
Version: 2.0.0
"""

from __future__ import annotations

import hmac
import importlib.util
import logging
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from flask import Flask

from .engine.paths import as_in_environ, read_metrics_path
from .engine.pipeline import ResponseParts, pipeline_of
from .engine.refusals import refusal_of
from .engine.routes import note_route, rule_of
from .engine.series import open_series, render
from .engine.settings import Config, is_missing, refuse_secret

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from prometheus_client import Metric

    from .engine.exchange import Exchange

TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{32,}=*")  # RFC 6750 section 2.1
NEW_ONE = "what this prints: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
STORE = {"shared": 1.0, "fallback": 0.0}  # by where the limits are counted
OF_ONE_WORKER = (
    "metrics_of_one_worker: several processes serve, and each counts for itself: start the server "
    "with PROMETHEUS_MULTIPROC_DIR=<an empty folder>, or with one worker"
)

logger = logging.getLogger(__name__)


def configure_metrics(app: Flask) -> None:
    """Count requests, and show the counts at METRICS_PATH to whoever has METRICS_TOKEN.

    :raises ValueError: if a key is wrong, or prometheus-client or the folder is missing.
    """
    token = read_token(app.config, "METRICS_TOKEN")
    path = read_metrics_path(app.config)
    if token is None:
        return
    metrics = app.extensions["metrics"] = Metrics(app, path, token)
    note_route(app)
    pipeline = pipeline_of(app)
    pipeline.on_respond(metrics.respond)
    pipeline.on_end(metrics.end)


def read_token(config: Config, key: str) -> bytes | None:
    token = config.get(key)
    if is_missing(token):
        return None
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        refuse_secret(key, "is not a token of 32 characters or more", NEW_ONE)
    if importlib.util.find_spec("prometheus_client") is None:
        remedy = "pip install 'prometheus-client>=0.21,<1'"
        refuse_secret(key, "is set, and prometheus-client is not installed", remedy)
    return token.encode()


class Metrics:
    """The metrics of one application."""

    def __init__(self, app: Flask, path: str, token: bytes) -> None:
        self.path, self.token = as_in_environ(path), token
        self.config, self.extensions = app.config, app.extensions
        self.series = open_series()
        self.registry = self.series.registry  # takes metrics of your own
        self.has_begun = False
        self.unsaid = [] if self.series.folder else [OF_ONE_WORKER]

    # a request comes in

    def respond(self, environ: WSGIEnvironment) -> ResponseParts | None:
        """To a monitor, before anybody is limited, and whatever Host it asks for."""
        if not self.has_begun:
            self.has_begun = True
            self.before_first_request()
        is_counted = environ.get("PATH_INFO") != self.path or not self.is_scrape(environ)
        self.series.flying[id(environ)] = is_counted
        self.series.wake()
        return None if is_counted else self.scraped(environ)

    def before_first_request(self) -> None:
        log = self.extensions.get("request_logging")
        if log is not None:
            log.tell_drops(self.series.dropped)

    def is_scrape(self, environ: WSGIEnvironment) -> bool:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if environ["REQUEST_METHOD"] != "GET" or scheme.lower() != "bearer":
            return False
        if hmac.compare_digest(token.strip().encode("latin-1", "replace"), self.token):
            return True
        environ["security_event"] = {"event": "authn_failed", "reason": "metrics_token"}
        return False

    # and goes out

    def end(self, exchange: Exchange) -> None:
        environ, status, series = exchange.environ, exchange.status_code, self.series
        if series.flying.pop(id(environ), True) is False:
            return
        seconds = time.perf_counter() - exchange.began
        series.ended.append((environ["REQUEST_METHOD"], rule_of(environ), status // 100, seconds))
        series.wake()
        event = refusal_of(environ, status, self.config.get("TRUSTED_HOSTS"))
        if event is not None:
            series.refuse(event["event"])
        if "cors.refused" in environ:
            series.refuse("origin_refused")

    # the metrics are read

    def scraped(self, environ: WSGIEnvironment) -> ResponseParts:
        if self.unsaid and environ.get("wsgi.multiprocess"):
            logger.error(self.unsaid.pop())
        body, content_type = render(cast(Any, self), environ.get("HTTP_ACCEPT", ""))
        headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        return "200 OK", headers, (body,)

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        yield from self.series.collect()
        limits = self.extensions.get("rate_limiting")
        up = STORE.get(limits.state) if limits is not None else None
        if up is not None:
            text = "Whether limits are counted in the store that processes share."
            yield GaugeMetricFamily("rate_limit_store_up", text, value=up)
