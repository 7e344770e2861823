"""A client of Redis, Valkey, Sentinel or Cluster that never makes a request wait for long.

Short time-outs, no retries, and nothing to say before the first question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from limits.storage import storage_from_string

from .counters import MemoryStore
from .redis_counters import SharedStore

SCHEMES = ("redis", "rediss", "redis+unix", "redis+sentinel", "redis+cluster")


def open_store(
    uri: str,
    own: Mapping[str, Any],
    seconds: float,
    memory: MemoryStore,
    prefix: str,
    processes: Callable[[], tuple[int, int | None]],
) -> SharedStore:
    """The store that a URI names; memory, prefix and processes as SharedStore takes them.

    :raises ValueError: if the URI is unknown or wrong, or its client library is missing; the
        message shows no password.
    :raises TypeError: if an option is unknown, or is not a number where it has to be one.
    """
    scheme = uri.partition("://")[0].replace("valkey", "redis", 1)  # the same protocol
    if scheme not in SCHEMES:
        known = ", ".join(f"{one}://" for one in ("memory", *SCHEMES))
        raise ValueError(f"the scheme {scheme!r} is not supported; it may be {known}, or valkey")
    place = uri.partition("?")[0].partition("://")[2].rpartition("@")[2]
    host, _, path = place.partition("/")
    if scheme in ("redis", "rediss") and not re.fullmatch("[0-9]*/?", path):
        raise ValueError("what follows the host is not the number of a database")
    if "+" in scheme and not (place if scheme == "redis+unix" else host):
        raise ValueError("names no server")
    try:
        options = brief_options(scheme, seconds, own)
        make_client = partial(connect, scheme + uri[uri.index("://") :], options)
        return SharedStore(make_client, memory, prefix, processes)
    except ImportError:
        problem = f"{scheme}:// needs its client library (pip install redis)"
        raise ValueError(problem) from None
    except TypeError:
        raise
    except Exception as error:  # without its text: it may show the password
        raise ValueError(f"cannot be read ({type(error).__name__})") from None


def brief_options(scheme: str, seconds: float, own: Mapping[str, Any]) -> dict[str, Any]:
    """The client's arguments.

    :param seconds: the longest wait for a reply, connecting included.
    :param own: what the owner wants: it wins.
    :raises ImportError: if the client library is missing.
    :raises TypeError: if what has to be a number is not one.
    """
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        from redis.driver_info import DriverInfo  # noqa: F401 - redis-py 7.1 and later have it

        options: dict[str, Any] = {"driver_info": None, "protocol": 2}
    except ImportError:
        options = {"lib_name": None, "lib_version": None, "protocol": 2}
    options |= {"socket_connect_timeout": seconds * 0.4, "socket_timeout": seconds * 0.6}
    options["retry"] = Retry(NoBackoff(), 0)
    if scheme == "rediss" or own.get("ssl"):
        options["redis_connect_func"] = _greet
    if scheme == "redis+sentinel":
        own = {**own, "sentinel_kwargs": {**options, **own.get("sentinel_kwargs", {})}}
    return {**options, **own, **_numbers(own)}


def _numbers(own: Mapping[str, Any]) -> dict[str, float]:
    """Those of the owner's that are numbers; as text, which the client would take to connect."""
    from redis.connection import URL_QUERY_ARGUMENT_PARSERS as KINDS

    numbers = {}
    for name, value in own.items():
        kind: Any = KINDS.get(name)
        if kind in (int, float) and value is not None:
            try:
                numbers[name] = kind(str(value))
            except ValueError:
                raise TypeError(f"{name} is not a number") from None
    return numbers


def _greet(connection: Any) -> None:
    """Read the session tickets that a TLS server sends unasked: the pool would take them for a
    reply that nobody read, and give the connection up."""
    connection.on_connect()
    connection.send_command("PING")
    connection.read_response()


def connect(uri: str, options: Mapping[str, Any]) -> Any:
    """Make a client of the store: of its master of now, or with its cluster's slots of now.

    With Sentinel and Cluster this can take several time-outs: not for the way of a request.
    """
    storage: Any = storage_from_string(uri, **options)
    client = storage.get_connection()
    if hasattr(storage, "sentinel"):
        host, port = storage.sentinel.discover_master(storage.service_name)
        client = type(client)(host=host, port=port, **storage.sentinel.connection_kwargs)
    if hasattr(client, "connection_pool"):
        client.connection_pool.make_connection()  # connects nothing, but knows its options
    return client
