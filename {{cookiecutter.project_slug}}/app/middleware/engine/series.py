"""What is counted for Prometheus: in this process, or in files for all processes of a server.

prometheus-client decides it when it is imported, by the environment variable
PROMETHEUS_MULTIPROC_DIR. Nothing imports it here before something is to be counted.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .refusals import REASONS
from .settings import refuse
from .writer import has_ended, register, wake

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.registry import Collector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
OTHER = "OTHER"  # the label of all that has none of its own
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf"))  # seconds
MOST = 1000  # requests that are noted, and not yet counted


class Series:
    """The metrics of an application; their labels have so many values, whatever clients send.

    Each request is noted, and many are counted together: where processes count in files, 20 ms
    after the first, by the thread that writes the log; otherwise when the metrics are read.

    - registry: takes metrics of one's own
    - flying: whether a request counts, by the id of its environ, from its begin to its end
    - ended: of each request its method, rule, status (the first digit) and seconds
    - wake: is called whenever one of these has changed
    """

    def __init__(self, folder: str | None) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        from prometheus_client.multiprocess import MultiProcessCollector

        self.folder = folder
        self.registry = registry = CollectorRegistry()
        self.source: Any = registry
        if folder:
            self.source = MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]
        labels = ["method", "rule", "status"]
        name, text = "http_request_duration_seconds", "Requests, and how long they took."
        self.seconds = Histogram(name, text, labels, buckets=BUCKETS, registry=registry)
        name, text = "http_requests_in_flight", "Requests that are being served."
        self.in_flight = Gauge(name, text, multiprocess_mode="livesum", registry=registry)
        name, text = "http_requests_refused_total", "Refused requests, as in the security log."
        refused = Counter(name, text, ["reason"], registry=registry)
        self.refused = {reason: refused.labels(reason) for reason in (*REASONS, OTHER)}
        name, text = "log_lines_dropped_total", "Lines of the log that found no room."
        self.dropped = Counter(name, text, registry=registry)
        self.reset()
        self.wake = wake_writer(self) if folder else self.bound

    def reset(self) -> None:
        """Begin anew, as after a fork."""
        self.lock = threading.Lock()
        self.ended: deque[tuple[str, str, int, float]] = deque()
        self.flying: dict[int, bool] = {}
        self.flew = 0  # requests, when they were counted last

    def refuse(self, reason: str) -> None:
        self.refused.get(reason, self.refused[OTHER]).inc()

    def bound(self) -> None:
        if len(self.ended) >= MOST:
            self.flush()

    def flush(self) -> bool:
        """Count what has been noted."""
        with self.lock:
            found: dict[tuple[str, str, int], list[float]] = {}
            while self.ended:
                method, rule, status, seconds = self.ended.popleft()
                found.setdefault((method, rule, status), []).append(seconds)
            for (method, rule, status), values in found.items():
                method = method if method in METHODS else OTHER
                observe_all(self.seconds.labels(method, rule, f"{status}xx"), values)
            flying = sum(list(self.flying.values()))
            if flying != self.flew:  # a child that serves nothing leaves no file behind
                self.flew = flying
                self.in_flight.set(flying)
        return True

    def collect(self) -> Iterable[Metric]:
        self.flush()
        if self.folder:
            forget_dead(self.folder)
        found: Iterable[Metric] = self.source.collect()
        return found


def wake_writer(series: Series) -> Callable[[], object]:
    register(series)
    return lambda: series.flush() if has_ended() else wake(series)


def observe_all(histogram: Any, values: list[float]) -> None:
    """What observe() does with each, in a few steps; it has no public way to do so."""
    histogram._sum.inc(sum(values))
    for place, number in Counts(bisect_left(BUCKETS, value) for value in values).items():
        histogram._buckets[place].inc(number)


def open_series() -> Series:
    """:raises ValueError: if PROMETHEUS_MULTIPROC_DIR is not a folder to write to."""
    folder = os.environ.get(FOLDER)
    if folder == "":  # prometheus-client would take it for the working directory
        del os.environ[FOLDER]
    if folder and not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        refuse(FOLDER, folder, "is not a folder that can be written to", "what mktemp -d makes")
    return _of_all_processes(folder) if folder else Series(None)


@lru_cache(1)
def _of_all_processes(folder: str) -> Series:
    """One for all applications: two that wrote to one place of a file would undo each other."""
    return Series(folder)


def forget_dead(folder: str) -> None:
    """Forget what processes had in flight that have ended, on whichever server and however."""
    from prometheus_client.multiprocess import mark_process_dead

    for path in Path(folder).glob("gauge_live*_[0-9]*.db"):  # gunicorn.conf.py names others
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
    try:
        encode, content_type = choose_encoder(accept)
    except Exception:  # version=x is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type
