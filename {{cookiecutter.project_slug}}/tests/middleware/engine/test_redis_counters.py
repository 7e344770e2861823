"""What the parts for a shared store promise without one; they travel with their files.

Whether the scripts count right is tried on real servers, by the template's own tests.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from app.middleware.engine.counters import MemoryStore
from app.middleware.engine.redis_client import brief_options, open_store
from app.middleware.engine.redis_counters import SharedStore
from app.middleware.engine.redis_scripts import ACQUIRE, RELEASE  # lines to change elsewhere

pytest.importorskip("redis", reason="the client library is missing", exc_type=ImportError)

CHARGES = [("bucket", [("name", 7, 60, 1)])]


def nobody_there() -> Any:
    raise ConnectionError("refused")


def store_of(process: int | None, processes: int = 4, connect: Any = nobody_there) -> SharedStore:
    return SharedStore(connect, MemoryStore(100), "prefix:", lambda: (processes, process))


def test_the_parts_of_all_processes_add_up_to_the_limit() -> None:
    stores = [store_of(process) for process in range(4)]
    assert sum(store.acquire(CHARGES)[0] for store in stores for _ in range(9)) == 7


def test_a_process_that_does_not_know_its_place_admits_what_all_may() -> None:
    store = store_of(None)
    assert [store.acquire(CHARGES)[0] for _ in range(3)] == [True, False, False]


def test_what_was_counted_in_memory_is_handed_back_there() -> None:
    store = store_of(None)
    _, _, (stamp,) = store.acquire(CHARGES)
    store.release("bucket", CHARGES[0][1], stamp)
    assert store.acquire(CHARGES)[0]


class Client:
    """Knows the script or not, and says so as redis-py does."""

    def __init__(self) -> None:
        self.connection_pool: Any = self
        self.said: list[tuple[Any, ...]] = []

    def get_connection(self) -> Any:
        return self

    def release(self, connection: Any) -> None:
        """It has one connection."""

    def send_command(self, *command: Any) -> None:
        self.said.append(command)

    def read_response(self) -> Any:
        from redis.exceptions import NoScriptError

        if [word for word, *_ in self.said] == ["EVALSHA"]:
            raise NoScriptError
        return [1, 1_800_000_000_000_000, 6, 60_000_000]


def test_a_store_that_does_not_know_the_script_is_told_it() -> None:
    client = Client()
    store = store_of(0, connect=lambda: client)
    assert store.acquire(CHARGES) == (True, [(6, 60.0)], [1_800_000_000_000_000])
    assert {word for word, *_ in client.said} == {"EVALSHA", "EVAL"}
    assert (store.down, store.replies > 0) == (False, True)


def test_a_script_is_named_by_its_hash() -> None:
    for script in (ACQUIRE, RELEASE):
        assert script.sha == hashlib.sha1(script.text.encode(), usedforsecurity=False).hexdigest()


def test_a_client_waits_briefly_and_the_owners_options_win() -> None:
    options = brief_options("redis", 0.5, {"socket_timeout": 9, "username": "limits"})
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (9, 0.2)
    assert options["username"] == "limits"
    assert "redis_connect_func" in brief_options("rediss", 0.5, {})


@pytest.mark.parametrize("uri", ["memcached://h", "redis://:secret@host:port", "redis://:p/w@host"])
def test_a_uri_that_cannot_be_meant_is_refused_without_its_password(uri: str) -> None:
    with pytest.raises(ValueError) as refusal:
        open_store(uri, {}, 0.25, MemoryStore(100), "prefix:", lambda: (1, None))
    assert "secret" not in str(refusal.value)


def test_a_number_among_the_clients_arguments_may_be_text() -> None:
    assert brief_options("redis", 0.25, {"socket_timeout": "0.1"})["socket_timeout"] == 0.1
    with pytest.raises(TypeError, match="max_connections is not a number"):
        brief_options("redis", 0.25, {"max_connections": "many"})
