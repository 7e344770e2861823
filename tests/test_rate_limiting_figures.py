"""The figures of rate limiting: edges of windows, waits, memory and cost with many clients."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder

from tests.limited import make_app
from tests.servers import redis

ENVIRON = EnvironBuilder(path="/a").get_environ()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(app: Flask, client: int = 0) -> tuple[int, dict[str, str]]:
    """One request as cheaply as can be: status, headers."""
    seen: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        seen.update(status=int(status[:3]), headers=dict(headers))

    address = f"10.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255}"
    b"".join(app.wsgi_app({**ENVIRON, "REMOTE_ADDR": address}, start))
    return seen["status"], seen["headers"]


def check_edges(app: Flask, limit: int, window: float, seconds: float) -> int:
    """Ask without a pause for so long: no window of any place holds more than the limit."""
    admitted, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        before = time.monotonic()
        if ask(app)[0] == 200:
            admitted.append((before, time.monotonic()))
        time.sleep(0.002)
    for (_, first), (last, _) in zip(admitted, islice(admitted, limit + 1, None), strict=False):
        assert last - first > window - 0.005  # limit + 2 of them: not within one window's length
    return len(admitted)


def test_no_burst_passes_at_the_edge_of_a_real_window() -> None:
    app = make_app("memory://", RATELIMIT_DEFAULT="10 per second")
    assert 20 <= check_edges(app, 10, 1.0, 2.5) <= 31
    with redis() as store:
        app = make_app(f"redis://127.0.0.1:{store.port}", RATELIMIT_DEFAULT="10 per second")
        assert 20 <= check_edges(app, 10, 1.0, 2.5) <= 31


@pytest.mark.soak
def test_no_burst_passes_at_the_edge_of_a_real_window_at_full_size() -> None:
    with redis() as store:
        for uri in ("memory://", f"redis://127.0.0.1:{store.port}"):
            app = make_app(uri, RATELIMIT_DEFAULT="10 per second")
            print(uri.partition(":")[0], check_edges(app, 10, 1.0, 30.0), "admitted in 30 s")


def check_waits(app: Flask, waits: int, wait_for: Any, client: int = 0) -> None:
    """Wait exactly Retry-After, so many times: the next request is admitted."""
    while waits:
        status, headers = ask(app, client)
        if status == 429:
            seconds = int(headers["Retry-After"])
            assert seconds >= 1
            wait_for(seconds)
            assert ask(app, client)[0] == 200
            waits -= 1
        wait_for(((waits * 7919) % 1000) / 2500)


def test_500_waits_of_exactly_retry_after_are_enough() -> None:
    app = make_app("memory://", RATELIMIT_DEFAULT="40 per minute;5 per 7 second;2 per second")
    clock = Clock()
    app.extensions["rate_limiting"].store.clock = clock

    def pass_time(seconds: float) -> None:
        clock.now += seconds

    check_waits(app, 500, pass_time)


@pytest.mark.soak
def test_500_waits_of_exactly_retry_after_are_enough_on_redis() -> None:
    def sleep(seconds: float) -> None:
        if seconds >= 1:  # the waits; the pauses between are left out
            time.sleep(seconds)

    with redis() as store, ThreadPoolExecutor(10) as pool:
        app = make_app(f"redis://127.0.0.1:{store.port}", RATELIMIT_DEFAULT="2 per second")
        list(pool.map(lambda client: check_waits(app, 50, sleep, client), range(10)))


def resident() -> int:
    """Bytes of this process in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def check_many_clients(clients: int, requests: int, counters: int) -> None:
    """Resident memory once the store is full; what a request costs is in docs/performance.md."""
    limits = {"RATELIMIT_DEFAULT": "900000 per hour;90000 per minute"}
    app = make_app("memory://", RATELIMIT_MEMORY_COUNTERS=counters, **limits)
    sizes, part = [], requests // 20
    for number in range(20):
        for n in range(part):
            ask(app, (number * part + n) % clients)
        if number >= 10:  # full, and its tables have found their size
            sizes.append(resident())
    assert app.extensions["rate_limiting"].store.counters <= counters
    assert max(sizes) < min(sizes) * 1.05


def test_memory_is_flat_however_many_clients_come() -> None:
    check_many_clients(clients=6000, requests=20_000, counters=2000)


@pytest.mark.soak
def test_memory_is_flat_at_full_size() -> None:
    check_many_clients(clients=300_000, requests=1_000_000, counters=100_000)
