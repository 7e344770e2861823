"""The counters of counters.py in one Redis or Valkey for all processes, and what happens while it
is away.

Nothing that the store does reaches a request: any fault is met from memory, with this process's
part of the limits. A thread that lives as long as the store asks it at the start, while nobody else
does and until a fault is over; by writing, since a store that is full or read-only still replies to
a PING. That thread alone asks who is the master or which node has a slot: a request waits for one
connection and one reply at most.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from .counters import Charge, Charges, MemoryStore, State, Verdict
from .redis_scripts import ACQUIRE, RELEASE, Script

logger = logging.getLogger(__name__)


class SharedStore:
    """The shared counters, and this process's part of the limits while they are away."""

    RETRY_SECONDS = 0.5

    def __init__(
        self,
        connect: Callable[[], Any],
        memory: MemoryStore,
        prefix: str,
        processes: Callable[[], tuple[int, int | None]],
    ) -> None:
        """:param connect: makes a client of the store of now; may take several time-outs.
        :param memory: counts while the store is away.
        :param prefix: of all keys.
        :param processes: how many share the store, and which of them this is, if it is known.
        """
        from redis import exceptions

        self._connect, self.memory, self._processes = connect, memory, processes
        self._prefix = prefix
        self._client: Any = None
        self._lock = threading.Lock()
        self._outages = self.replies = 0
        self._probe_key = prefix + "probe"
        self._watch: threading.Thread | None = None
        self._moved = exceptions.MovedError, exceptions.AskError, exceptions.TryAgainError
        self._no_script = exceptions.NoScriptError
        self.down = False
        try:
            self._client = connect()
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
            self.lost(error)
        self.watch()

    def acquire(self, charges: Charges, record: bool = True) -> Verdict:
        """As MemoryStore.acquire(): one step, in one round trip (in a cluster: one per bucket)."""
        outages = self._outages
        if not self.down:
            try:
                verdict = self._ask(self._client, charges, record)
                self.replies += 1
                return verdict
            except Exception as error:
                self.lost(error, charges[0][0], outages)
        else:
            self.watch()  # this process may have been forked meanwhile
        return self.memory.acquire([(b, self._parts(b, those)) for b, those in charges], record)

    def release(self, bucket: str, charges: Sequence[Charge], stamp: float | None = None) -> None:
        """Hand back what was counted, where it was counted."""
        outages, is_ours = self._outages, stamp is None or isinstance(stamp, int)
        if is_ours and not self.down:
            try:
                numbers = " ".join(f"{seconds} {cost}" for _, _, seconds, cost in charges)
                keys = [bucket + charge[0] for charge in charges]
                self._run(self._client, RELEASE, keys, stamp or 0, numbers)
                return
            except Exception as error:
                self.lost(error, bucket, outages)
        if stamp is None or not is_ours:
            self.memory.release(bucket, charges, stamp)

    def clear(self, bucket: str, start: str = "") -> None:
        """Forget the counters of a bucket whose names start so.

        :raises redis.exceptions.RedisError: if the store cannot.
        """
        self.memory.clear(bucket, start)
        self._delete(bucket + start)

    def reset(self) -> None:
        """Forget all counters with the prefix: in a store that others use this takes a while.

        :raises redis.exceptions.RedisError: if the store cannot.
        """
        self.memory.reset()
        self._delete(self._prefix)

    def _delete(self, start: str) -> None:
        pattern = "".join("\\" + sign if sign in "*?[]\\^" else sign for sign in start) + "*"
        for key in list(self._client.scan_iter(pattern, count=1000)):
            self._client.delete(key)

    def _parts(self, bucket: str, charges: Sequence[Charge]) -> list[Charge]:
        """This process's part of the limits: all parts together are the limit, not one more.

        What cannot be divided goes to some processes, to others for each bucket; to none if it is
        not known which process this is.
        """
        processes, this_one = self._processes()
        parts = []
        for name, amount, seconds, cost in charges:
            part, over = divmod(amount, processes)
            if over and this_one is not None:
                part += (crc32(bucket.encode()) + this_one) % processes < over
            parts.append((name, part, seconds, cost))
        return parts

    def _ask(self, client: Any, charges: Charges, record: bool) -> Verdict:
        if len(charges) > 1 and hasattr(client, "get_node_from_key"):
            return self._ask_each(client, charges, record)
        keys = [bucket + charge[0] for bucket, those in charges for charge in those]
        # one argument for all numbers: they are packed one by one otherwise
        numbers = " ".join([f"{c[1]} {c[2]} {c[3]}" for _, those in charges for c in those])
        reply = self._run(client, ACQUIRE, keys, "1" if record else "0", numbers)
        states = [(int(reply[n]), reply[n + 1] / 1e6) for n in range(2, len(reply), 2)]
        return reply[0] == 1, states, [reply[1]] * len(charges)

    def _ask_each(self, client: Any, charges: Charges, record: bool) -> Verdict:
        """Keys of several buckets are on several nodes: one after the other, and back if one
        refuses."""
        verdicts = [self._ask(client, [one], record) for one in charges]
        admitted = all(verdict[0] for verdict in verdicts)
        stamps = [verdict[2][0] for verdict in verdicts]
        states: list[State] = []
        for (bucket, those), verdict, stamp in zip(charges, verdicts, stamps, strict=True):
            is_to_return = record and verdict[0] and not admitted
            if is_to_return:
                self.release(bucket, those, stamp)
            for charge, (remaining, reset_in) in zip(those, verdict[1], strict=True):
                states.append((remaining + (charge[3] if is_to_return else 0), reset_in))
        return admitted, states, stamps

    def _run(self, client: Any, run: Script, keys: list[str], *arguments: Any) -> Any:
        try:
            return self._call(client, "EVALSHA", run.sha, len(keys), *keys, *arguments)
        except self._no_script:  # a store that was restarted has to be told again
            return self._call(client, "EVAL", run.text, len(keys), *keys, *arguments)

    def _call(self, client: Any, *command: Any) -> Any:
        if not hasattr(client, "get_node_from_key"):
            return self._exchange(client, command)
        try:  # the node itself: the cluster's client would look for the slots anew on any error
            node = client.get_redis_connection(client.get_node_from_key(command[3]))
            return self._exchange(node, command)
        except self._moved:
            return client.execute_command(*command)

    @staticmethod
    def _exchange(client: Any, command: tuple[Any, ...]) -> Any:
        """What execute_command() does, without retries and events."""
        connection = client.connection_pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response()  # on a time-out it closes the connection itself
        finally:
            client.connection_pool.release(connection)

    # what happens while the store is away

    def lost(self, error: Exception, bucket: str | None = None, outages: int | None = None) -> None:
        """Count in memory until the store is back.

        :param bucket: whose charge failed: the thread asks the same node of a cluster.
        :param outages: how many had been when it was asked.
        """
        with self._lock:
            if self.down or outages not in (None, self._outages):  # a late reply: that one is over
                return
            self.down = True
            self._outages += 1
            if bucket is not None:
                self._probe_key = bucket + ":probe"
        logger.error("rate_limit_store_lost, limits are held per process: %.200s", error)
        self.watch()

    def watch(self) -> None:
        """Start the thread that asks, if this process has none."""
        with self._lock:
            if self._watch is None or not self._watch.is_alive():
                arguments = weakref.ref(self), self.RETRY_SECONDS
                self._watch = threading.Thread(target=_keep_asking, args=arguments, daemon=True)
                self._watch.start()

    def probe(self) -> None:
        """Ask by writing; where the store was lost, with a new connection.

        :raises Exception: whatever is wrong.
        """
        client = self._connect() if self.down else self._client
        try:
            self._ask(client, [(self._probe_key, [("", 1_000_000, 1, 1)])], record=True)
        except Exception:
            if client is not self._client:
                client.close()
            raise
        self.replies += 1
        if self.down:
            self._client = client
            logger.warning("rate_limit_store_back, limits are shared again")
            self.down = False


def _keep_asking(store_of: weakref.ref[SharedStore], seconds: float) -> None:
    """Ask the store every so many seconds in which nobody else does."""
    seen = failed = 0
    while True:
        store = store_of()
        if store is None:
            return
        if store.down or store.replies == seen:
            try:
                store.probe()
                failed = 0
            except Exception as error:
                failed += 1
                if failed > 1 or not store.replies:  # a restart between two requests is no fault
                    store.lost(error)
        seen = store.replies
        del store
        time.sleep(seconds)
