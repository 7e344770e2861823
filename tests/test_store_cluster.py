"""Sentinel and Cluster: the limits hold, and a fail-over is no more than a fault of the store."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, request

from tests.limited import Metronome, in_process, load, log_lines, make_app, state
from tests.servers import Group, Server, cluster, free_port, redis, sentinel, until

LIMIT = 20
BACK_SECONDS = 5.0
ADDED_SECONDS = 0.3
PAUSE = 0.005  # seconds between two requests of a thread


def freeze(server: Server) -> None:
    os.killpg(server.process.pid, signal.SIGSTOP)


def kill(server: Server) -> None:
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()


def check_failover(
    app: Flask, lose: Callable[[], object], is_over: Callable[[], object], added: float
) -> str:
    """Lose a master under load; `is_over` says when the replica has taken its place."""
    with log_lines() as lines:
        assert in_process(app, 40, "192.0.2.1").admitted == LIMIT
        lose()
        deadline, slowest, admitted = time.monotonic() + 30, 0.0, 0
        while not is_over() and time.monotonic() < deadline:
            with Metronome() as machine:
                responses = in_process(app, 400, pause=PAUSE)
            assert responses.failed == 0
            slowest = max(slowest, responses.slowest - machine.late)
            if state(app) == "fallback":
                by_fallback = in_process(app, 20, "198.51.100.1").admitted
                admitted += by_fallback if state(app) == "fallback" else 0  # else some were shared
        back = until(lambda: in_process(app, 20) and state(app) == "shared", BACK_SECONDS)
        responses = in_process(app, 400)
        assert responses.failed == 0
        assert in_process(app, 40, "203.0.113.1").admitted == LIMIT
    assert lines.count("rate_limit_store_lost") == lines.count("rate_limit_store_back") <= 1
    assert admitted <= LIMIT
    assert slowest < added
    return f"slowest response {slowest * 1000:.0f} ms, in use again after {back:.2f} s"


def address_of_master(group: Group) -> Callable[[], bytes]:
    from redis import Redis

    watcher: Any = Redis(port=group.members[2].port)
    service = group.uri.rpartition("/")[2]
    return lambda: watcher.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", service)[1]


@pytest.mark.parametrize("lose", [kill, pytest.param(freeze, marks=pytest.mark.soak)])
def test_sentinel_fails_over_and_dead_sentinels_are_not_waited_for(
    lose: Callable[[Server], None],
) -> None:
    with sentinel() as group:
        app = make_app(group.uri)
        master, replica, first, second, third = group.members
        now = address_of_master(group)
        is_over = lambda: int(now()) == replica.port  # noqa: E731
        print(check_failover(app, lambda: lose(master), is_over, ADDED_SECONDS * 3))

        kill(first)
        freeze(second)
        app = make_app(group.uri)
        assert in_process(app, 40, "192.0.2.2").admitted == LIMIT
        assert state(app) == "shared"
        freeze(third)
        start = time.monotonic()
        app = make_app(group.uri)  # nobody says who the master is
        assert time.monotonic() - start < BACK_SECONDS  # nor does its return take longer
        responses = in_process(app, 40, "192.0.2.3")
        assert (responses.failed, responses.admitted, state(app)) == (0, LIMIT, "fallback")
        assert responses.slowest < ADDED_SECONDS * 3
        for one in (second, third):
            kill(one)  # slow to stop once they were frozen


@pytest.mark.parametrize("lose", [kill, pytest.param(freeze, marks=pytest.mark.soak)])
def test_a_cluster_fails_over(lose: Callable[[Server], None]) -> None:
    from redis import Redis

    with cluster() as group:
        app = make_app(group.uri)
        replica: Any = Redis(port=group.members[3].port)
        for number in range(30):  # on all masters
            assert in_process(app, 40, f"192.0.3.{number}").admitted == LIMIT
        is_over = lambda: (  # noqa: E731
            replica.role()[0] == b"master"
            and replica.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
        )
        print(check_failover(app, lambda: lose(group.members[0]), is_over, ADDED_SECONDS * 3))


def test_moved_slots_of_a_cluster_are_followed() -> None:
    from redis import Redis

    with cluster() as group:
        app = make_app(group.uri)
        with log_lines() as lines:
            for number in range(10):
                assert in_process(app, 25, f"192.0.2.{number}").admitted == LIMIT
            replica: Any = Redis(port=group.members[3].port)
            replica.execute_command("CLUSTER FAILOVER")
            until(lambda: replica.role()[0] == b"master")
            for number in range(10, 20):
                assert in_process(app, 25, f"192.0.2.{number}").admitted == LIMIT
        assert lines.count("rate_limit_store_lost") <= 1

        # the limits of one request may have clients on several nodes
        app = make_app(group.uri)
        by_user = load().limiter.limit("3 per minute", key_func=lambda: request.args["user"])
        by_address = load().limiter.limit("9 per minute")
        app.add_url_rule("/both", "both", by_user(by_address(both)))
        with log_lines() as lines:
            for number, name in enumerate(("ann", "bob", "{", "}{", "{x}", "\u20ac" * 999)):
                ask = {
                    "query_string": {"user": name},
                    "environ_base": {"REMOTE_ADDR": f"192.0.3.{number}"},
                }
                seen = [app.test_client().get("/both", **ask).status_code for _ in range(4)]
                assert seen == [200, 200, 200, 429]
        assert lines.texts == []


def both() -> str:
    return "both"


def test_a_cluster_is_found_by_any_node_that_lives() -> None:
    with cluster() as group:
        nodes = group.uri.partition("://")[2]
        with redis() as frozen:
            freeze(frozen)
            dead = f"127.0.0.1:{free_port()},127.0.0.1:{frozen.port}"
            app = make_app(f"redis+cluster://{dead},{nodes}")
            assert in_process(app, 40, "192.0.2.1").admitted == LIMIT
            assert state(app) == "shared"
