"""How many credentials that nobody knows to be right an address may try in a window.

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

REMEMBERED = 10_000  # addresses, and right credentials, held in memory
PROVEN_SECONDS = 3600
PROVEN_POLICY = f"1 per {PROVEN_SECONDS} second"
MARK_SECONDS = 60  # the store hears of a right credential no oftener


class Attempts:
    """A place is taken before the comparison, so that threads and workers together never compare
    more. A right credential does not use its place up: it is handed back.

    :param limit: places per address.
    :param seconds: the window in which they are counted.
    """

    def __init__(self, limit: int, seconds: int) -> None:
        self.limit, self.seconds = limit, seconds
        self.policy = f"{limit} per {seconds} second"
        self._lock = threading.Lock()
        self._here = MemoryStore(REMEMBERED, clock=lambda: time.monotonic())
        self._proven: OrderedDict[str, tuple[float, float]] = OrderedDict()  # last used, marked

    def take(self, address: str) -> tuple[float, Callable[[], object]]:
        """The seconds to wait, 0.0 if a place was taken; and what hands that place back."""
        shared = current_app.extensions.get("rate_limiting")
        if shared is None:
            return self._take_here(address, self.limit)
        wait: float = shared.acquire("credential_failures", self.policy, address)
        if wait >= self.seconds and getattr(shared, "degraded", False):
            # the store is away, and this process's part of so small a limit is none: then it is one
            return self._take_here(address, 1)
        if wait:
            return wait, _no_op
        return 0.0, lambda: shared.release("credential_failures", self.policy, address)

    def _take_here(self, address: str, limit: int) -> tuple[float, Callable[[], object]]:
        charges = [("credential_failures", limit, self.seconds, 1)]
        is_taken, states, stamps = self._here.acquire([(address, charges)])
        if not is_taken:
            return states[0][1], _no_op
        return 0.0, partial(self._here.release, address, charges, stamps[0])

    def prove(self, proof: str) -> None:
        """Remember that a credential was right, here and, looking once a minute, in the store."""
        now = time.monotonic()
        with self._lock:
            _, marked = self._proven.pop(proof, (0.0, -math.inf))
            is_due = now - marked >= MARK_SECONDS
            self._proven[proof] = now, now if is_due else marked
            _shrink(self._proven)
        shared = current_app.extensions.get("rate_limiting") if is_due else None
        if shared is not None:
            shared.acquire("credential_proven", PROVEN_POLICY, proof)

    def is_proven(self, proof: str) -> bool:
        used, _ = self._proven.get(proof, (-math.inf, 0.0))
        return time.monotonic() - used < PROVEN_SECONDS

    def is_proven_elsewhere(self, proof: str) -> bool:
        """Whether another worker saw it right: its mark is there if one more is not admitted.

        While the store is away that proves nothing: this process's part of one place may be none.
        """
        shared = current_app.extensions.get("rate_limiting")
        if shared is None or not shared.peek("credential_proven", PROVEN_POLICY, proof):
            return False
        return not getattr(shared, "degraded", False)


def _no_op() -> None:
    """There is no place to hand back."""


def _shrink(table: OrderedDict[str, Any]) -> None:
    while len(table) > REMEMBERED:
        table.popitem(last=False)
