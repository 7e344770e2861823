"""What engine/attempts.py promises: places are counted, handed back, and come free with time."""

from __future__ import annotations

import time

import pytest
from flask import Flask

from app.middleware.engine import attempts
from app.middleware.engine.attempts import Attempts


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


def test_what_was_right_is_known_for_an_hour_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tries = Attempts(1, 60)
    with Flask(__name__).app_context():
        assert not tries.is_proven("proof")
        tries.prove("proof")
        now += attempts.PROVEN_SECONDS - 1
        assert tries.is_proven("proof")
        now += 2
        assert not tries.is_proven("proof")
        assert not tries.is_proven_elsewhere("proof")


def test_memory_is_bounded_however_many_addresses_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "REMEMBERED", 100)
    tries = Attempts(1, 60)
    with Flask(__name__).app_context():
        for number in range(1000):
            tries.take(f"192.0.2.{number}")
            tries.prove(f"proof {number}")
    assert tries._here.counters == len(tries._proven) == 100
