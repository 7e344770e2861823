"""How many credentials that nobody knows to be right may be tried in a window.

Counted in the store of app.extensions["rate_limiting"] where there is one, over all workers; else
in this process.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import current_app

from .counters import MemoryStore
from .credentials import Caller

REMEMBERED = 10_000  # buckets, and right and wrong credentials, held in memory
DAY = 86400  # seconds
MARK_SECONDS = 600  # the store hears of a right credential no oftener
MARK_POLICY = f"1 per {2 * DAY} second"  # today's or yesterday's


NEVER = (-math.inf, None)


class Attempts:
    """A place is taken before the comparison, so that threads and workers together never compare
    more. A right credential does not use its place up: it is handed back.

    :param limit: places in each bucket: an address, or what tries there.
    :param seconds: the window in which they are counted.
    """

    def __init__(self, limit: int, seconds: int) -> None:
        self.limit, self.seconds = limit, seconds
        self.policy = f"{limit} per {seconds} second"
        self._lock = threading.Lock()
        self._here = MemoryStore(REMEMBERED, clock=lambda: time.monotonic())
        self._right: OrderedDict[bytes, tuple[float, Caller | None]] = OrderedDict()
        self._wrong: OrderedDict[bytes, float] = OrderedDict()  # when it was compared

    def take(self, bucket: str) -> tuple[float, Callable[[], object]]:
        """The seconds to wait, 0.0 if a place was taken; and what hands that place back."""
        shared = current_app.extensions.get("rate_limiting")
        if shared is None:
            return self._take_here(bucket, self.limit)
        wait: float = shared.acquire("credential_failures", self.policy, bucket)
        if wait >= self.seconds and shared.state == "fallback":
            # the store is away, and this process's part of so small a limit is none: then it is one
            return self._take_here(bucket, 1)
        if wait:
            return wait, _no_op
        return 0.0, lambda: shared.release("credential_failures", self.policy, bucket)

    def _take_here(self, bucket: str, limit: int) -> tuple[float, Callable[[], object]]:
        charges = [("credential_failures", limit, self.seconds, 1)]
        is_taken, states, stamps = self._here.acquire([(bucket, charges)])
        if not is_taken:
            return states[0][1], _no_op
        return 0.0, partial(self._here.release, bucket, charges, stamps[0])

    def remember_right(self, proof: bytes, caller: Caller | None) -> None:
        """For a day, here and in the store.

        :param proof: stands for the credential and the address that it came from.
        :param caller: None if the credential has to be judged again the next time.
        """
        with self._lock:
            self._right[proof] = time.monotonic(), caller
            self._right.move_to_end(proof)
            _shrink(self._right)
        store = _store_of_all_workers()
        if store is not None:
            store.acquire("credential_right", MARK_POLICY, _mark(proof, time.time()))

    def recall(self, proof: bytes) -> tuple[bool, Caller | None]:
        """Whether a credential was right within a day, as far as this process knows."""
        at, caller = self._right.get(proof, NEVER)
        age = time.monotonic() - at
        if age >= DAY:
            return False, None
        if age >= MARK_SECONDS:
            self.remember_right(proof, caller)
        return True, caller

    def was_right_elsewhere(self, proof: bytes) -> bool:
        """Whether another worker saw it right: its mark is there if one more is not admitted.

        While the store is away that proves nothing: this process's part of one place may be none.
        """
        store = _store_of_all_workers()
        if store is None:
            return False
        marks = (_mark(proof, time.time() - age) for age in (0, DAY))
        waits = (store.acquire("credential_right", MARK_POLICY, m, record=False) for m in marks)
        return any(waits) and _store_of_all_workers() is not None

    def remember_wrong(self, proof: bytes) -> None:
        """Whoever sends it again learns nothing new, so it takes no further place."""
        with self._lock:
            self._wrong[proof] = time.monotonic()
            _shrink(self._wrong)

    def was_wrong(self, proof: bytes) -> bool:
        return time.monotonic() - self._wrong.get(proof, -math.inf) < self.seconds


def _store_of_all_workers() -> Any:
    """None where marks would be for this process only, which knows without them."""
    store = current_app.extensions.get("rate_limiting")
    return None if store is None or store.state in ("memory", "fallback") else store


def _mark(proof: bytes, at: float) -> str:
    return f"{proof.hex()} {at // DAY:.0f}"


def _no_op() -> None:
    """There is no place to hand back."""


def _shrink(table: OrderedDict[bytes, Any]) -> None:
    while len(table) > REMEMBERED:
        table.popitem(last=False)
