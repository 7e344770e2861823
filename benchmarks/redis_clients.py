"""What a round trip costs by the client that makes it: `python -m benchmarks.redis_clients`.

A script as small as a limit's is called in turns: by redis-py's command, by its connection without
what surrounds it, and by hand over a kept socket; each by TCP and by a unix socket. coredis is not
among them: it is asyncio's, and a WSGI thread has no loop.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hiredis import Reader, pack_command
from redis import Redis

from benchmarks.in_process import Samples
from benchmarks.report import rows_of, table
from tests.servers import redis

SCRIPT = """
local clock = redis.call('TIME')
redis.call('LPUSH', KEYS[1], clock[1] * 1000000 + clock[2])
redis.call('LTRIM', KEYS[1], 0, 63)
redis.call('PEXPIRE', KEYS[1], 60000)
return {1, redis.call('LLEN', KEYS[1])}
"""
ROUNDS, CALLS = 30, 300
TIMEOUT = 0.25  # seconds
Ask = Callable[[], Any]


def by_command(client: Any, words: list[str]) -> Ask:
    return lambda: client.execute_command(*words)


def by_connection(client: Any, words: list[str]) -> Ask:
    """redis-py's connection, taken from the pool each time as a command does it."""
    pool = client.connection_pool

    def ask() -> Any:
        connection = pool.get_connection()
        try:
            connection.send_command(*words)
            return connection.read_response()
        finally:
            pool.release(connection)

    return ask


def by_hand(kept: socket.socket, words: list[str]) -> Ask:
    """hiredis packs and parses; one socket that is kept, and nothing that survives a fault."""
    reader = Reader()
    command: Any = tuple(words)

    def ask() -> Any:
        kept.sendall(pack_command(command))
        while (reply := reader.gets()) is False:
            reader.feed(kept.recv(65536))
        return reply

    return ask


@contextlib.contextmanager
def clients(port: int, path: Path, words: list[str]) -> Iterator[dict[str, Ask]]:
    """All with the same time-out, which a socket in Python pays for with one more system call."""
    connect: Any = Redis
    with (
        connect(port=port, socket_timeout=TIMEOUT) as tcp,
        connect(unix_socket_path=str(path), socket_timeout=TIMEOUT) as unix,
        socket.create_connection(("127.0.0.1", port), TIMEOUT) as by_tcp,
        socket.socket(socket.AF_UNIX) as by_unix,
    ):
        by_tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        by_unix.settimeout(TIMEOUT)
        by_unix.connect(str(path))
        yield {
            "redis-py, TCP": by_command(tcp, words),
            "redis-py's connection, TCP": by_connection(tcp, words),
            "by hand, TCP": by_hand(by_tcp, words),
            "redis-py, unix socket": by_command(unix, words),
            "redis-py's connection, unix socket": by_connection(unix, words),
            "by hand, unix socket": by_hand(by_unix, words),
        }


def block(ask: Ask) -> tuple[float, float]:
    """:returns: seconds of a call on the clock, and of this process's processor time."""
    wall, own = time.perf_counter(), time.process_time()
    for _ in range(CALLS):
        ask()
    return (time.perf_counter() - wall) / CALLS, (time.process_time() - own) / CALLS


def measure(asks: dict[str, Ask]) -> list[dict[str, Any]]:
    waits, own = Samples(), Samples()
    for number in range(ROUNDS):
        for name in asks if number % 2 else reversed(asks):
            seconds, processor = block(asks[name])
            waits.add(name, seconds)
            own.add(name, processor)
    first = next(iter(asks))
    return [
        {
            "client": name,
            "us": round(waits.median(name), 1),
            "cpu_us": round(own.median(name), 1),
            "to_first": round(waits.ratio(name, first), 3),
            "cpu_to_first": round(own.ratio(name, first), 3),
        }
        for name in asks
    ]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        path = Path(folder) / "redis.sock"
        with redis("--unixsocket", str(path)) as server, Redis(port=server.port) as client:
            words = ["EVALSHA", str(client.script_load(SCRIPT)), "1", "{192.0.2.1}"]
            with clients(server.port, path, words) as asks:
                for name, ask in asks.items():
                    assert ask()[0] == 1, name
                print(table(rows_of(measure(asks))))


if __name__ == "__main__":
    main()
