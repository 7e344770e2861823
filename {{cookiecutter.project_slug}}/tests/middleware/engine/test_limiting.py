"""What limiting.py promises beyond what test_rate_limiting.py tries; it travels with the file."""

from __future__ import annotations

import pytest
from flask import Flask

from app.middleware.engine.counters import MemoryStore
from app.middleware.engine.declared_limits import Limiter
from app.middleware.engine.limit_plans import StoreKeys
from app.middleware.engine.limiting import (  # the lines to change in another package
    Limits,
    LimitSettings,
)


def refusal_of_nobody(*_: object) -> Exception:
    return AssertionError()


def make() -> Limits:
    app = Flask("service")
    settings = LimitSettings([], refusal_of_nobody)
    made = Limits(app, Limiter(lambda: ""), MemoryStore(100), StoreKeys("service"), settings)
    app.extensions["rate_limiting"] = made
    return made


def test_other_code_counts_on_limits_of_its_own() -> None:
    limits = make()
    assert [limits.acquire("x", "2/minute;2/minute", "ann") > 0 for _ in range(3)] == [0, 0, 1]
    assert limits.acquire("x", "2/minute", "bob") == 0.0
    assert 59 < limits.acquire("x", "2/minute", "ann", record=False) <= 60
    limits.release("x", "2/minute", "ann")
    assert limits.acquire("x", "2/minute", "ann", record=False) == 0.0
    limits.clear("bob", "x")
    limits.reset()
    assert limits.acquire("x", "2/minute", "ann") == 0.0
    assert limits.state == "memory"


def test_other_code_is_told_of_a_wrong_limit() -> None:
    with pytest.raises(ValueError):
        make().acquire("x", "often", "ann")
