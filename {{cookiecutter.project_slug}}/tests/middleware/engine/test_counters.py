"""What counters.py promises; it travels with the file."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from app.middleware.engine.counters import (  # the one line to change in another package
    SLICES,
    Bucket,
    MemoryStore,
)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(store: MemoryStore, bucket: str, *charges: tuple[str, int, int, int]) -> bool:
    """Whether a request is admitted; by default on 3 per minute."""
    return store.acquire([(bucket, charges or [("", 3, 60, 1)])])[0]


def counters(store: MemoryStore) -> int:
    """How many counters it holds; what it keeps count of is right."""
    buckets: list[Bucket] = list(store._buckets.values())
    assert store.counters == sum(map(len, buckets))
    for counter in (counter for bucket in buckets for counter in bucket.values()):
        assert counter.total == sum(counter.slices[1::2])
        assert len(counter.slices) <= 2 * (SLICES + 1)
        assert all(count > 0 for count in counter.slices[1::2])
    return store.counters


def test_it_is_bounded_and_a_limited_bucket_cannot_free_itself_cheaply() -> None:
    store = MemoryStore(100)
    for _ in range(4):
        ask(store, "limited")
    for number in range(10_000):
        ask(store, f"other-{number}")
    assert counters(store) <= 100
    assert not ask(store, "limited")


def test_a_limited_bucket_does_not_free_itself_on_another_route() -> None:
    store = MemoryStore(100)
    limit, other = ("limit", 3, 60, 1), ("other", 500, 60, 1)
    for _ in range(4):
        ask(store, "limited", limit)
    assert ask(store, "limited", other)
    for number in range(10_000):
        ask(store, f"other-{number}", other)
    assert not ask(store, "limited", limit)


def test_many_refused_buckets_do_not_switch_limits_off_for_others() -> None:
    store = MemoryStore(100)
    for number in range(10_000):
        ask(store, f"refused-{number}", ("", 1, 60, 1))
        ask(store, f"refused-{number}", ("", 1, 60, 1))
    assert counters(store) <= 100
    assert [ask(store, "other") for _ in range(4)] == [True, True, True, False]


def test_a_bucket_weighs_the_same_whatever_its_limit_is() -> None:
    store = MemoryStore(100)
    for number in range(60):
        for _ in range(4):
            ask(store, f"limited-{number}")
    for number in range(11):
        ask(store, f"large-{number}", ("", 100_000, 86_400, 50_000))
        ask(store, f"large-{number}", ("", 100_000, 86_400, 50_000))
    assert not any(ask(store, f"limited-{number}") for number in range(60))


def test_it_forgets_who_has_left_every_window() -> None:
    clock = Clock()
    store = MemoryStore(100_000, clock)
    for number in range(1000):
        ask(store, f"bucket-{number}")
    for number in range(1001):
        clock.now += 61
        ask(store, f"one-{number}")
    assert counters(store) < 1000


def test_one_bucket_with_more_counters_than_the_memory_holds_is_bounded_and_limited() -> None:
    store = MemoryStore(10)
    for number in range(1000):
        ask(store, "one", (f"route-{number}", 2, 60, 1))
        assert counters(store) <= 10
    assert [ask(store, "one", ("route-999", 2, 60, 1)) for _ in range(2)] == [True, False]


def test_a_cost_above_the_limit_needs_no_memory_before_it_is_refused() -> None:
    store = MemoryStore(100)
    charges = [("one", [("a", 5, 60, 1), ("b", 5, 60, 10**15)])]
    assert store.acquire(charges)[:2] == (False, [(5, 0.0), (5, 60.0)])
    assert counters(store) == 0


def test_all_buckets_of_a_request_are_one_step() -> None:
    store = MemoryStore(100)
    charge = [("", 1, 60, 1)]
    assert ask(store, "full", *charge)
    assert store.acquire([("new", charge), ("full", charge)])[0] is False
    assert counters(store) == 1
    assert ask(store, "new", *charge)


@pytest.mark.parametrize("amount", [64, 65, 1000])
def test_a_refused_request_takes_no_time_either(amount: int) -> None:
    clock = Clock()
    store = MemoryStore(100, clock)
    charge, full = ("", amount, 86_400, 1), ("full", 1, 86_400, 1)
    clock.now = began = 86_400.0
    assert ask(store, "one", charge) and ask(store, "other", full)
    for _ in range(3):
        clock.now += 300
        assert store.acquire([("one", [charge]), ("other", [full])])[0] is False
    _, [(remaining, reset_in)], _ = store.acquire([("one", [charge])], record=False)
    assert (remaining, reset_in) == (amount - 1, began + 86_400 - clock.now)
    counters(store)


def test_a_full_counter_of_ten_thousand_a_day_takes_less_than_six_kilobytes() -> None:
    clock = Clock()
    store = MemoryStore(100, clock)
    while ask(store, "one", ("", 10_000, 86_400, 1)):
        clock.now += 8.6
    counter = store._buckets["one"][""]
    assert counter.total > 9_900
    parts: list[object] = [store._buckets["one"], counter, counter.slices, *counter.slices]
    assert sum(map(sys.getsizeof, parts)) < 6000


@pytest.mark.parametrize("amount", [7, 64, 65, 1000])
def test_what_was_counted_can_be_handed_back_whatever_came_in_between(amount: int) -> None:
    clock = Clock()
    store = MemoryStore(100, clock)
    charge = ("", amount, 3600, 1)
    _, _, (stamp,) = store.acquire([("one", [charge])])
    for _ in range(amount - 1):
        clock.now += 3600 / amount / 2
        assert ask(store, "one", charge)
    assert not ask(store, "one", charge)
    store.release("one", [charge], stamp)
    assert ask(store, "one", charge)
    assert not ask(store, "one", charge)
    counters(store)


def test_what_has_left_the_window_is_handed_back_to_nobody() -> None:
    clock = Clock()
    store = MemoryStore(100, clock)
    charge = ("", 2, 60, 1)
    _, _, (stamp,) = store.acquire([("one", [charge])])
    clock.now += 61
    assert ask(store, "one", charge)
    store.release("one", [charge], stamp)
    store.release("nobody", [charge], stamp)
    assert counters(store) == 1


def test_counters_are_cleared_by_the_start_of_their_name() -> None:
    store = MemoryStore(100)
    for name in ("a:1", "a:2", "b:1"):
        ask(store, "one", (name, 2, 60, 1))
    store.clear("one", "a:")
    assert counters(store) == 1
    store.clear("one")
    store.clear("nobody")
    assert counters(store) == 0


@pytest.mark.parametrize(
    ("amount", "seconds"), [(1000, 3600), (65, 60), (64, 60), (10_000, 86_400), (5, 1)]
)
def test_no_window_of_random_traffic_holds_more_than_the_limit_and_every_wait_is_enough(
    amount: int, seconds: int
) -> None:
    chance, clock = random.Random(amount), Clock()
    store = MemoryStore(100, clock)
    charge = ("", amount, seconds, 1)
    admitted: list[float] = []
    waits = 0
    while len(admitted) < 4 * amount:
        is_admitted, [(_, reset_in)], _ = store.acquire([("one", [charge])])
        if is_admitted:
            admitted.append(clock.now)
        elif chance.random() < 0.2:
            clock.now += math.ceil(reset_in)
            assert ask(store, "one", charge)
            admitted.append(clock.now)
            waits += 1
        clock.now += chance.expovariate(1.5 * amount / seconds)
    for early, late in zip(admitted, admitted[amount:], strict=False):
        assert late - early >= seconds * (1 - 1e-12)
    assert waits
    counters(store)


class Model:
    """What MemoryStore promises for small limits, as simply as it can be said."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.admitted: dict[tuple[str, str], list[float]] = {}

    def acquire(self, bucket: str, charges: Any, record: bool) -> tuple[bool, list[Any]]:
        now, states = self.clock(), []
        admitted = all(len(self.within(bucket, c, now)) + c[3] <= c[1] for c in charges)
        for name, amount, seconds, cost in charges:
            if admitted and record:
                self.admitted.setdefault((bucket, name), []).extend([now] * cost)
            times = self.within(bucket, (name, amount, seconds, cost), now)
            over = 0 if admitted and record else len(times) + cost - amount  # have to leave first
            if over > len(times):
                wait = float(seconds)
            else:
                wait = times[max(over, 1) - 1] + seconds - now if times else 0.0
            states.append((amount - len(times), wait))
        return admitted, states

    def within(self, bucket: str, charge: Any, now: float) -> list[float]:
        name, _, seconds, _ = charge
        return [at for at in self.admitted.get((bucket, name), ()) if at > now - seconds]

    def release(self, bucket: str, charge: Any) -> None:
        if self.within(bucket, charge, self.clock()):
            del self.admitted[bucket, charge[0]][-charge[3] :]


def test_it_counts_as_a_simple_model_does() -> None:
    chance = random.Random(20)
    for _ in range(60):
        clock = Clock()
        store, model = MemoryStore(10_000, clock), Model(clock)
        limits = {
            name: (name, chance.randint(1, 6), chance.choice([1, 7, 60]), chance.randint(1, 2))
            for name in "abcd"
        }
        for _ in range(150):
            clock.now += chance.choice([0, 0, 0.25, 1, 5])
            charges = [limits[n] for n in sorted(chance.sample("abcd", chance.randint(1, 3)))]
            bucket, record = chance.choice(["one", "two"]), chance.random() < 0.8
            seen = store.acquire([(bucket, charges)], record)[:2]
            assert seen == model.acquire(bucket, charges, record)
            if chance.random() < 0.1:
                store.acquire([(bucket, charges[:1])], record=False)  # it forgets what has left
                model.release(bucket, charges[0])
                store.release(bucket, charges[:1])
            counters(store)
