"""What engine/attempts.py promises: places are counted, handed back, and come free with time."""

from __future__ import annotations

import time

import pytest
from flask import Flask

from app.middleware.engine import attempts
from app.middleware.engine.attempts import Attempts
from app.middleware.engine.credentials import Caller


def test_places_are_counted_per_address_and_can_be_handed_back() -> None:
    tries = Attempts(2, 60)
    with Flask(__name__).app_context():
        assert tries.take("192.0.2.1")[0] == 0.0
        _, hand_back = tries.take("192.0.2.1")
        wait, no_op = tries.take("192.0.2.1")
        assert 59 < wait <= 60
        no_op()
        assert tries.take("192.0.2.2")[0] == 0.0
        hand_back()
        assert [tries.take("192.0.2.1")[0] > 0 for _ in range(2)] == [False, True]


def test_a_place_is_free_again_after_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tries = Attempts(1, 60)
    with Flask(__name__).app_context():
        assert tries.take("192.0.2.1")[0] == 0.0
        now += 30
        assert tries.take("192.0.2.1")[0] == 30.0
        now += 30
        assert tries.take("192.0.2.1")[0] == 0.0


def test_what_was_right_is_known_for_a_day_after_its_last_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tries = Attempts(1, 60)
    caller = Caller("mobile", frozenset())
    with Flask(__name__).app_context():
        assert tries.recall(b"proof") == (False, None)
        tries.remember_right(b"proof", caller)
        tries.remember_right(b"token", None)
        for _ in range(3):
            now += attempts.DAY - 1
            assert tries.recall(b"proof") == (True, caller)
        assert tries.recall(b"token") == (False, None)
        now += attempts.DAY
        assert tries.recall(b"proof") == (False, None)
        assert not tries.was_right_elsewhere(b"proof")


def test_a_mark_in_the_store_holds_for_today_and_yesterday(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 20_000 * attempts.DAY - 60.0  # a minute before midnight
    monkeypatch.setattr(time, "time", lambda: now)
    marks: set[str] = set()

    class Store:
        state = "shared"

        def acquire(self, scope: str, policy: str, key: str, record: bool = True) -> float:
            if not record:
                return 1.0 if key in marks else 0.0
            marks.add(key)
            return 0.0

    app, store = Flask(__name__), Store()
    app.extensions["rate_limiting"] = store
    with app.app_context():
        Attempts(1, 60).remember_right(b"proof", None)
        other = Attempts(1, 60)
        for later in (0, 60, attempts.DAY - 61):
            now += later
            assert other.was_right_elsewhere(b"proof")
            assert not other.was_right_elsewhere(b"another")
        for store.state in ("fallback", "memory"):
            assert not other.was_right_elsewhere(b"proof")
        store.state = "shared"
        now += 62
        assert not other.was_right_elsewhere(b"proof")


def test_one_process_leaves_no_marks_among_its_limits() -> None:
    class Memory:
        state = "memory"

    app = Flask(__name__)
    app.extensions["rate_limiting"] = Memory()  # which cannot be asked for anything
    tries = Attempts(1, 60)
    with app.app_context():
        tries.remember_right(b"proof", None)
        assert tries.recall(b"proof") == (True, None)
        assert not tries.was_right_elsewhere(b"proof")


def test_what_was_wrong_is_known_for_one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tries = Attempts(1, 60)
    tries.remember_wrong(b"proof")
    assert tries.was_wrong(b"proof") and not tries.was_wrong(b"other")
    now += 60
    assert not tries.was_wrong(b"proof")


def test_memory_is_bounded_however_many_addresses_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "REMEMBERED", 100)
    tries = Attempts(1, 60)
    with Flask(__name__).app_context():
        for number in range(1000):
            tries.take(f"192.0.2.{number}")
            tries.remember_right(b"proof %d" % number, None)
            tries.remember_wrong(b"proof %d" % number)
    assert tries._here.counters == len(tries._right) == len(tries._wrong) == 100
