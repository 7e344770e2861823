"""What is counted for Prometheus: in this process, or in files for all processes of a server.

prometheus-client decides it when it is imported, by the environment variable
PROMETHEUS_MULTIPROC_DIR. Nothing imports it here before something is to be counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .refusals import REASONS

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.registry import Collector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
OTHER = "OTHER"  # the label of all that has none of its own


class Series:
    """The metrics of an application; their labels have so many values, whatever clients send.

    - registry: takes metrics of one's own
    - known: histograms by method, rule and the first digit of the status
    """

    def __init__(self, folder: str | None) -> None:
        """:raises ValueError: if the folder does not exist."""
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        from prometheus_client.multiprocess import MultiProcessCollector

        self.folder = folder
        self.registry = registry = CollectorRegistry()
        self.source: Any = registry
        if folder:
            self.source = MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]
        name, text = "http_request_duration_seconds", "Requests, and how long they took."
        self.seconds = Histogram(name, text, ["method", "rule", "status"], registry=registry)
        name, text = "http_requests_in_flight", "Requests that are being served."
        self.in_flight = Gauge(name, text, multiprocess_mode="livesum", registry=registry)
        name, text = "http_requests_refused_total", "Refused requests, as in the security log."
        refused = Counter(name, text, ["reason"], registry=registry)
        self.refused = {reason: refused.labels(reason) for reason in (*REASONS, OTHER)}
        name, text = "log_lines_dropped_total", "Lines of the log that found no room."
        self.dropped = Counter(name, text, registry=registry)
        self.known: dict[tuple[str, str, int], Any] = {}

    def seconds_of(self, method: str, rule: str, status: int) -> Any:
        """:param status: its first digit."""
        key = method if method in METHODS else OTHER, rule, status
        if key not in self.known:
            self.known[key] = self.seconds.labels(*key[:2], f"{status}xx")
        return self.known[key]

    def refuse(self, reason: str) -> None:
        self.refused.get(reason, self.refused[OTHER]).inc()

    def collect(self) -> Iterable[Metric]:
        if self.folder:
            forget_dead(self.folder)
        found: Iterable[Metric] = self.source.collect()
        return found


def open_series() -> Series:
    """:raises ValueError: if PROMETHEUS_MULTIPROC_DIR is not a folder."""
    folder = os.environ.get(FOLDER)
    return _of_all_processes(folder) if folder else Series(None)


@lru_cache(1)
def _of_all_processes(folder: str) -> Series:
    """One for all applications: two that wrote to one place of a file would undo each other."""
    return Series(folder)


def forget_dead(folder: str) -> None:
    """Forget what processes had in flight that have ended, on whichever server and however."""
    from prometheus_client.multiprocess import mark_process_dead

    for path in Path(folder).glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            if os.name == "posix":  # on Windows signal 0 is not a question
                os.kill(pid, 0)
        except OSError:
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def render(collector: Collector, accept: str) -> tuple[bytes, str]:
    """The metrics as text, and its content type.

    :param accept: the request's Accept header: OpenMetrics, or Prometheus's own format.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry()
    registry.register(collector)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
