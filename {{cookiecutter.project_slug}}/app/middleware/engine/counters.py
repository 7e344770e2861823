"""How often each one asked, for one process: exact in any window, and bounded.

A counter holds the times of the requests that were admitted in a moving window. One of at most 64
requests keeps each time; a larger one keeps slices of a 64th of its window, as (the last time in
it, how many), and a slice leaves when its last time has left the window. So no window ever holds
more than the limit, whoever waits `reset_in` is admitted, and 10,000 a day cost what 64 a day cost.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from itertools import islice

SLICES = 64  # of a window, and most requests of which each time is kept
SPARED = 16  # most counters at the limit that are passed over when one has to go

# One limit and what a request costs there: the counter's name, the amount, the window in seconds,
# the cost.
Charge = tuple[str, int, int, int]
Charges = Sequence[tuple[str, Sequence[Charge]]]  # by bucket: who is counted
# What remains of a limit, and the seconds until more does (or, if it refused, until it admits).
State = tuple[int, float]
# Whether all admitted, their states in the order of the charges, and a stamp for each bucket, with
# which a charge can be handed back.
Verdict = tuple[bool, list[State], Sequence[float]]


class Counter:
    """The slices, oldest first: the last time in each, and how many it stands for."""

    __slots__ = ("before", "end", "slices", "total", "width")

    def __init__(self, amount: int, seconds: int) -> None:
        self.slices: list[float] = []  # time, count, time, count, ...
        self.total = 0
        self.width = seconds / SLICES if amount > SLICES else 0.0
        self.end = 0.0  # of the newest slice
        self.before = 0.0  # its last time before the request that is counted now

    def add(self, now: float, cost: int) -> None:
        """Start a slice, or a time of its own."""
        self.slices += (now, cost)
        self.total += cost
        if self.width:
            self.end = (now // self.width + 1) * self.width

    def forget(self, until: float) -> None:
        """Cut off at once what is not younger than this."""
        gone = bisect_right(self.slices[::2], until) * 2
        if gone:
            self.total -= int(sum(self.slices[1:gone:2]))
            del self.slices[:gone]

    def hand_back(self, cost: int, at: float | None = None) -> None:
        """:param at: when it was counted; None: last."""
        place = len(self.slices) - 2 if at is None else bisect_left(self.slices[::2], at) * 2
        if not 0 <= place < len(self.slices):
            return
        cost = min(cost, int(self.slices[place + 1]))
        self.total -= cost
        self.slices[place + 1] -= cost
        if not self.slices[place + 1]:
            del self.slices[place : place + 2]
            self.end = 0.0

    def take_back(self, cost: int) -> None:
        """What was counted just now, and the time that it gave to its slice."""
        is_shared = self.slices[-1] > cost
        self.hand_back(cost)
        if is_shared:
            self.slices[-2] = self.before

    def seconds_until(self, less: int, seconds: int, now: float) -> float:
        """:param less: so many have to leave the window first."""
        for place in range(0, len(self.slices), 2):
            less -= int(self.slices[place + 1])
            if less <= 0:
                return self.slices[place] + seconds - now
        return float(seconds)


class Bucket(dict[str, Counter]):
    """Who is counted: its counters by name, and by the clock when it came and is refused until."""

    __slots__ = ("refused_until", "used")

    def __init__(self) -> None:
        self.used = self.refused_until = 0.0


NOBODY, UNUSED = Bucket(), Counter(0, 0)  # what an unknown bucket has: nothing


class MemoryStore:
    """The counters of one process. When it is full, the bucket that came longest ago goes.

    Buckets that are at a limit are passed over, a few of them: it takes many others at theirs to
    free one. A bucket's weight is the number of its counters, whatever their limits are.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """:param most: counters."""
        self.clock = clock
        self.most = most
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._buckets: OrderedDict[str, Bucket] = OrderedDict()  # in order of last use
            self.counters = 0
            self.longest = 0  # window so far, in seconds

    def acquire(self, charges: Charges, record: bool = True) -> Verdict:
        """Count a request on all limits, or on none if one of them refuses.

        :param record: False: only look.
        """
        with self._lock:
            now = self.clock()
            if not record:
                return self._look(charges, now)
            states: list[State] = []
            has_new = False
            for bucket, those in charges:
                counters = self._buckets.get(bucket)
                if counters is None:
                    counters = self._buckets[bucket] = Bucket()
                else:
                    self._buckets.move_to_end(bucket)
                counters.used = now
                for name, amount, seconds, cost in those:
                    counter = counters.get(name)
                    if counter is None:
                        counter = counters[name] = self._new_counter(amount, seconds)
                        has_new = True
                    slices = counter.slices
                    if slices and slices[0] <= now - seconds:
                        counter.forget(now - seconds)
                    remaining = amount - counter.total - cost
                    if remaining < 0:
                        self._take_back(charges, len(states))
                        return self._look(charges, now)
                    if now < counter.end:
                        counter.before = slices[-2]
                        slices[-2] = now
                        slices[-1] += cost
                        counter.total += cost
                    else:
                        counter.add(now, cost)
                    states.append((remaining, slices[0] + seconds - now))
            if has_new:
                self._evict(charges, now)
            return True, states, [now] * len(charges)

    def _new_counter(self, amount: int, seconds: int) -> Counter:
        self.counters += 1
        self.longest = max(self.longest, seconds)
        return Counter(amount, seconds)

    def _take_back(self, charges: Charges, counted: int) -> None:
        """:param counted: on so many of the charges."""
        for bucket, those in charges:
            for name, _, _, cost in those:
                counter = self._buckets.get(bucket, NOBODY).get(name)
                if counter is not None:
                    if counted > 0:
                        counter.take_back(cost)
                    self._drop_if_empty(bucket, name)
                counted -= 1

    def _look(self, charges: Charges, now: float) -> Verdict:
        states: list[State] = []
        admitted = True
        for bucket, those in charges:
            counters = self._buckets.get(bucket, NOBODY)
            for name, amount, seconds, cost in those:
                counter = counters.get(name, UNUSED)
                counter.forget(now - seconds)
                over = counter.total + cost - amount  # so many have to leave first
                wait = counter.seconds_until(max(over, 1), seconds, now) if counter.total else 0.0
                if over > 0:
                    admitted, wait = False, wait or float(seconds)
                    if counters is not NOBODY:
                        counters.refused_until = max(counters.refused_until, now + wait)
                states.append((amount - counter.total, wait))
        return admitted, states, [now] * len(charges)

    def _evict(self, charges: Charges, now: float) -> None:
        """A little each time; there is no thread that sweeps."""
        for _ in range(2):
            oldest = next(iter(self._buckets))
            if self._buckets[oldest].used > now - self.longest:
                break
            self._drop(oldest)
        asking = [bucket for bucket, _ in charges]
        while self.counters > self.most:
            victim = self._victim(asking, now)
            if victim is None:  # nobody else is left: what is charged now stays
                self._keep_only(charges)
                return
            self._drop(victim)

    def _victim(self, asking: Collection[str], now: float) -> str | None:
        """The bucket that came longest ago, of those at a limit if there are many of them."""
        first = None
        for bucket in islice(self._buckets, SPARED):
            if bucket in asking:
                continue
            if self._buckets[bucket].refused_until <= now:
                return bucket
            first = first or bucket
        return first

    def _keep_only(self, charges: Charges) -> None:
        for bucket, those in charges:
            for name in self._buckets[bucket].keys() - {charge[0] for charge in those}:
                del self._buckets[bucket][name]
                self.counters -= 1

    def _drop(self, bucket: str) -> None:
        self.counters -= len(self._buckets.pop(bucket))

    def _drop_if_empty(self, bucket: str, name: str) -> None:
        counters = self._buckets[bucket]
        if not counters[name].total:
            del counters[name]
            self.counters -= 1
        if not counters:
            del self._buckets[bucket]

    def release(self, bucket: str, charges: Sequence[Charge], stamp: float | None = None) -> None:
        """Hand back what was counted.

        :param stamp: from the verdict; None: what was counted last.
        """
        with self._lock:
            now = self.clock()
            for name, _, seconds, cost in charges:
                counter = self._buckets.get(bucket, NOBODY).get(name)
                if counter is not None and (stamp is None or stamp > now - seconds):
                    counter.hand_back(cost, stamp)
                    self._drop_if_empty(bucket, name)

    def clear(self, bucket: str, start: str = "") -> None:
        """Forget the counters of a bucket whose names start so."""
        with self._lock:
            for name in [n for n in self._buckets.get(bucket, ()) if n.startswith(start)]:
                del self._buckets[bucket][name]
                self.counters -= 1
            if bucket in self._buckets and not self._buckets[bucket]:
                del self._buckets[bucket]
