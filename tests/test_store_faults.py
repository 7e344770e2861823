"""No fault of the store reaches a client: every response in time, limited, one log line each way.

Every fault is made on a real redis-server while eight threads ask, and mended again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from redis import Redis

from tests.limited import Metronome, in_process, log_lines, make_app, state
from tests.servers import Server, free_port, redis, until

LIMIT = 20
WORKERS = 4
BACK_SECONDS = 5.0
ADDED_SECONDS = 0.3
PAUSE = 0.005  # seconds between two requests of a thread


class Store:
    """A redis-server whose faults are made by its user admin."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.stack = ExitStack()

    def start(self) -> None:
        self.server: Server = self.stack.enter_context(redis(port=self.port, cwd=self.folder))
        with Redis(port=self.port) as client:
            client.execute_command("ACL", "SETUSER", "admin", "on", ">pw", "~*", "&*", "+@all")
        login: dict[str, Any] = {"username": "admin", "password": "pw"}
        self.admin: Any = self.stack.enter_context(Redis(port=self.port, **login))

    def kill(self) -> None:
        os.killpg(self.server.process.pid, signal.SIGKILL)
        self.server.process.wait()

    def send(self, number: signal.Signals) -> None:
        os.killpg(self.server.process.pid, number)

    def command(self, *words: str) -> None:
        self.admin.execute_command(*words)

    def change_password(self, password: str) -> None:
        self.command("CONFIG", "SET", "requirepass", password)
        self.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def write_other_types(self) -> None:
        for key in self.admin.scan_iter("service:*"):
            self.admin.set(key, "no list")


Step = Callable[[Store], Any]
FAULTS: dict[str, tuple[Step, Step]] = {
    "killed": (Store.kill, Store.start),
    "frozen": (lambda s: s.send(signal.SIGSTOP), lambda s: s.send(signal.SIGCONT)),
    "out of memory": (
        lambda s: s.command("CONFIG", "SET", "maxmemory", "1"),
        lambda s: s.command("CONFIG", "SET", "maxmemory", "0"),
    ),
    "read-only": (
        lambda s: s.command("REPLICAOF", "127.0.0.1", "1"),
        lambda s: s.command("REPLICAOF", "NO", "ONE"),
    ),
    "password changed": (lambda s: s.change_password("new"), lambda s: s.change_password("")),
    "scripts forbidden": (
        lambda s: s.command("ACL", "SETUSER", "default", "-evalsha", "-eval"),
        lambda s: s.command("ACL", "SETUSER", "default", "+@all"),
    ),
    "keys forbidden": (
        lambda s: s.command("ACL", "SETUSER", "default", "resetkeys", "~other:*"),
        lambda s: s.command("ACL", "SETUSER", "default", "allkeys"),
    ),
    "paused": (
        lambda s: s.command("CLIENT", "PAUSE", "60000", "WRITE"),
        lambda s: s.command("CLIENT", "UNPAUSE"),
    ),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    with made.stack:
        made.start()
        yield made


def check_outages(store: Store, fault: str, rounds: int, requests: int, added: float) -> str:
    """Make and mend a fault so many times under load, and say what was seen."""
    break_it, mend_it = FAULTS[fault]
    config = {"RATELIMIT_WORKERS": WORKERS, "RATELIMIT_WORKER": 0}
    app = make_app(f"redis://127.0.0.1:{store.port}", **config)
    slowest = longest = 0.0
    with log_lines() as lines:
        for number in range(rounds):
            assert in_process(app, 40, f"192.0.2.{number}").admitted == LIMIT
            breaking = Timer(0.02, break_it, [store])
            with Metronome() as machine:
                breaking.start()
                responses = in_process(app, requests, pause=PAUSE)
                breaking.join()
                until(lambda: in_process(app, 1) and state(app) == "fallback", 10)
                away = in_process(app, requests // 4, f"198.51.100.{number}")
            assert responses.failed == away.failed == 0
            assert away.admitted == LIMIT // WORKERS
            slowest = max(slowest, max(responses.slowest, away.slowest) - machine.late)
            mend_it(store)
            longest = max(longest, until(lambda: state(app) == "shared", BACK_SECONDS))
            assert lines.count("rate_limit_store_lost") == number + 1
            assert lines.count("rate_limit_store_back") == number + 1
            assert in_process(app, 40, f"203.0.113.{number}").admitted == LIMIT
    assert slowest < added
    assert not any("pw" in text or "new" in text for text in lines.texts)
    return f"{fault}: at most {slowest * 1000:.0f} ms added, in use again after {longest:.2f} s"


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_the_store_reaches_a_client(store: Store, fault: str) -> None:
    check_outages(store, fault, rounds=1, requests=200, added=1.0)  # exact at full size


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_the_store_reaches_a_client_at_full_size(store: Store, fault: str) -> None:
    print(check_outages(store, fault, rounds=10, requests=400, added=ADDED_SECONDS))


def test_a_store_that_is_down_at_the_start_is_used_when_it_comes(tmp_path: Path) -> None:
    port = free_port()
    with log_lines() as lines:
        app = make_app(f"redis://127.0.0.1:{port}")
        away = in_process(app, 40, "192.0.2.1")
        assert (away.failed, away.admitted, state(app)) == (0, LIMIT, "fallback")
        with redis(port=port, cwd=tmp_path):
            until(lambda: state(app) == "shared", BACK_SECONDS)
            assert in_process(app, 40, "192.0.2.1").admitted == LIMIT
    assert lines.count("rate_limit_store_lost") == lines.count("rate_limit_store_back") == 1


def test_a_store_that_restarts_between_requests_is_no_fault(store: Store) -> None:
    app = make_app(f"redis://127.0.0.1:{store.port}")
    with log_lines() as lines:
        assert in_process(app, 40, "192.0.2.1").admitted == LIMIT
        store.server.stop()
        store.start()  # it has forgotten the script, and closed the connections
        assert in_process(app, 40, "192.0.2.1").admitted == LIMIT
    assert lines.texts == []


def test_other_types_under_our_keys_are_replaced(store: Store) -> None:
    app = make_app(f"redis://127.0.0.1:{store.port}")
    with log_lines() as lines:
        for _ in range(3):
            assert in_process(app, 40, "192.0.2.1").admitted == LIMIT
            store.write_other_types()
    assert lines.texts == []


def test_a_slow_reply_of_an_outage_that_is_over_starts_no_new_one(store: Store) -> None:
    app = make_app(f"redis://127.0.0.1:{store.port}")
    limits = app.extensions["rate_limiting"].store
    with log_lines() as lines:
        outage = limits._outages
        limits.lost(TimeoutError("first"), "probe", outage)
        until(lambda: not limits.down, BACK_SECONDS)
        limits.lost(TimeoutError("late"), "probe", outage)
        assert not limits.down
    assert lines.count("rate_limit_store_lost") == 1


def test_the_parts_of_all_workers_add_up_to_the_limit_for_every_client() -> None:
    for limit in (1, 2, 3, 7, 20):
        admitted = 0
        for worker in range(WORKERS):
            config = {"RATELIMIT_WORKERS": WORKERS, "RATELIMIT_WORKER": worker}
            limits = {"RATELIMIT_DEFAULT": f"{limit} per minute"}
            app = make_app("redis://127.0.0.1:1", **config, **limits)
            admitted += in_process(app, 40, f"192.0.2.{limit}", threads=2).admitted
        assert admitted == limit


def test_without_a_number_of_its_own_a_worker_admits_the_part_that_all_may() -> None:
    app = make_app("redis://127.0.0.1:1", RATELIMIT_WORKERS=WORKERS, RATELIMIT_DEFAULT="7/minute")
    assert in_process(app, 40, "192.0.2.1").admitted == 7 // WORKERS
