"""What limit_plans.py promises; it travels with the file."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask_limiter import Limit

from app.middleware.engine import limit_plans
from app.middleware.engine.declared_limits import Limiter, expand
from app.middleware.engine.limit_plans import (  # the three lines to change in another package
    MOST_COMPILED,
    Plan,
    SourcedLimit,
    StoreKeys,
    plan_of,
)

limiter = Limiter(lambda: "")


def make_plan(view: Any, default: str = "9 per minute", endpoint: str = "x") -> Plan:
    app = Flask("service")
    app.add_url_rule("/x", endpoint, view)
    limits = expand(Limit(limit_provider=default), limiter.key_func)
    configured = [SourcedLimit("default", one) for one in limits]
    return plan_of(limiter, app, endpoint, "GET", configured)


def test_limits_without_functions_are_put_together_once_by_ascending_window() -> None:
    plan = make_plan(lambda: "", "200 per hour;50 per minute")
    assert plan.fixed is not None
    assert plan.fixed.policy_header == '"default";q=50;w=60, "default-2";q=200;w=3600'
    assert [charge[1:] for charge in plan.fixed.charges] == [(50, 60, 1), (200, 3600, 1)]


def test_the_example_of_the_docstring_is_as_it_says() -> None:
    plan = make_plan(limiter.limit("20 per hour;5 per minute")(lambda: ""), "50 per minute", "tea")
    assert [one.source for one in plan.limits] == ["route", "route"]
    assert plan.fixed is not None
    header, charges = plan.fixed.policy_header, plan.fixed.charges
    bucket = StoreKeys("shop").of_address("192.0.2.7")
    for said in (f" {header}\n", f" {charges[0]},".replace("'", '"'), f" {bucket}\n"):
        assert said in (limit_plans.__doc__ or "")


def test_what_functions_say_is_remembered_and_bounded() -> None:
    cost = 0

    def next_cost() -> int:
        nonlocal cost
        cost += 1
        return cost

    plan = make_plan(limiter.limit("1000 per minute", cost=next_cost)(lambda: ""))
    assert plan.fixed is None
    for _ in range(3 * MOST_COMPILED):
        plan.compile(plan.limits)
    assert len(plan._compiled) <= MOST_COMPILED


def test_a_limit_that_a_function_spares_is_left_out() -> None:
    plan = make_plan(limiter.limit("2 per minute", exempt_when=lambda: True)(lambda: ""))
    assert plan.compile(plan.limits).limits == ()


@pytest.mark.parametrize("name", ["", "{", "}{", "a}:b", "x" * 10_000, "\u20ac", "\udc80", "\r\n"])
def test_no_name_from_a_request_tears_a_key_apart(name: str) -> None:
    keys = StoreKeys("service")
    for bucket in (keys.bucket(name), keys.bucket(name + "2")):
        assert bucket.isascii()
        assert (bucket.count("{"), bucket.count("}"), bucket[-1]) == (1, 1, "}")
        assert len(bucket) < 300
    assert keys.bucket(name) != keys.bucket(name + "2")


def test_an_address_is_counted_by_its_bucket() -> None:
    keys = StoreKeys("service")
    assert keys.of_address("::ffff:192.0.2.1") == keys.bucket("192.0.2.1")
    assert keys.of_address("2001:db8::1") == keys.of_address("2001:db8::2")
