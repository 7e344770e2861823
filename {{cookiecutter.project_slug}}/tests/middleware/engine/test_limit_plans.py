"""What limit_plans.py promises; it travels with the file."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask_limiter import Limit

from app.middleware.engine.declared_limits import Limiter, expand
from app.middleware.engine.limit_plans import (  # the two lines to change in another package
    MOST_QUOTAS,
    Found,
    Keys,
    Plan,
    route_of,
)

limiter = Limiter(lambda: "")


def plan_of(view: Any, default: str = "9 per minute") -> Plan:
    app = Flask("service")
    app.add_url_rule("/x", "x", view)
    limits = expand(Limit(limit_provider=default), limiter.key_func)
    everywhere = [Found("default", one) for one in limits]
    route = route_of(limiter, app, "x", "GET", everywhere)
    return Plan(route, "x", "GET", limiter.key_func)


def test_limits_without_functions_are_put_together_once_by_ascending_window() -> None:
    plan = plan_of(lambda: "", "200 per hour;50 per minute")
    assert plan.fixed is not None
    assert plan.fixed.policies == '"default";q=50;w=60, "default-2";q=200;w=3600'
    assert [charge[1:] for charge in plan.fixed.charges] == [(50, 60, 1), (200, 3600, 1)]


def test_what_functions_say_is_remembered_and_bounded() -> None:
    cost = 0

    def next_cost() -> int:
        nonlocal cost
        cost += 1
        return cost

    plan = plan_of(limiter.limit("1000 per minute", cost=next_cost)(lambda: ""))
    assert plan.fixed is None
    for _ in range(3 * MOST_QUOTAS):
        plan.quota(plan.found)
    assert len(plan._quotas) <= MOST_QUOTAS


def test_a_limit_that_a_function_spares_is_left_out() -> None:
    plan = plan_of(limiter.limit("2 per minute", exempt_when=lambda: True)(lambda: ""))
    assert plan.quota(plan.found).rules == ()


@pytest.mark.parametrize("name", ["", "{", "}{", "a}:b", "x" * 10_000, "\u20ac", "\udc80", "\r\n"])
def test_no_name_from_a_request_tears_a_key_apart(name: str) -> None:
    keys = Keys("service")
    for bucket in (keys.bucket(name), keys.bucket(name + "2")):
        assert bucket.isascii()
        assert (bucket.count("{"), bucket.count("}"), bucket[-1]) == (1, 1, "}")
        assert len(bucket) < 300
    assert keys.bucket(name) != keys.bucket(name + "2")


def test_an_address_is_counted_by_its_bucket() -> None:
    keys = Keys("service")
    assert keys.of_address("::ffff:192.0.2.1") == keys.bucket("192.0.2.1")
    assert keys.of_address("2001:db8::1") == keys.of_address("2001:db8::2")
