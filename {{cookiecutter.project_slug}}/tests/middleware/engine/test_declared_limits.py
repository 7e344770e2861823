"""What declared_limits.py promises; it travels with the file."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from app.middleware.engine.declared_limits import (  # the one line to change in another package
    DECLARED,
    EXEMPTED,
    Limiter,
    check_cost,
    expand,
    parse_limits,
)

limiter = Limiter(lambda: "")


def view() -> str:
    return "view"


@pytest.mark.parametrize(
    "text",
    [
        *["", "often", "50/hour;", "-5/minute", "0 per minute", "5 per 0 minute"],
        *[f"{10**15} per day", "5 per 300000 years", f"5 per {'9' * 400} days"],
    ],
)
def test_a_text_that_says_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_limits(text)
    with pytest.raises(ValueError, match="is not a limit; for example 200 per hour"):
        limiter.limit(text)


def test_a_limit_that_is_written_twice_is_one() -> None:
    assert [str(item) for item in parse_limits("2/minute; 2 per minute")] == ["2 per 1 minute"]


@pytest.mark.parametrize("cost", [0, -1, 1.5, True, "1", None, 3])
def test_a_cost_that_cannot_be_meant_is_refused(cost: Any) -> None:
    with pytest.raises(ValueError, match="COST"):
        check_cost("COST", cost, "2 per minute;9 per hour")
    check_cost("COST", lambda: cost)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("methods", value) for value in ("POST", b"POST", [], [1], iter(["POST"]))],
        *[("key_func", value) for value in ("address", "", 5)],
        *[("exempt_when", value) for value in (True, False, "10.0.0.0/8")],
        *[("deduct_when", value) for value in (True, 401)],
        ("on_breach", "429.html"),
    ],
)
def test_an_option_that_would_do_nothing_or_fail_each_request_is_refused(
    option: str, value: Any
) -> None:
    for declare in (limiter.limit, partial(limiter.shared_limit, scope="all")):
        with pytest.raises(ValueError, match=rf"limit {option}: .* is not a .*; for example "):
            declare("2 per minute", **{option: value})
    for methods in (["POST"], ("post",), {"POST"}, None):
        limiter.limit("2 per minute", methods=methods, key_func=None, on_breach=None)


def test_a_text_from_a_function_is_asked_for_later() -> None:
    def text() -> str:
        raise AssertionError

    (one,) = expand(limiter.limit(text), limiter.key_func)
    assert one.limit is text  # type: ignore[comparison-overlap]


def test_what_is_declared_stands_on_the_function_and_on_what_is_returned() -> None:
    def mine() -> str:
        return "mine"

    declared = limiter.limit("2 per minute")
    limited = declared(mine)
    assert getattr(mine, DECLARED) == getattr(limited, DECLARED) == (declared,)
    assert not hasattr(view, DECLARED)
    assert limiter.exempt(view) is view
    assert hasattr(view, EXEMPTED)


def test_limits_of_bound_methods_stand_on_what_is_returned() -> None:
    class Shop:
        def page(self) -> str:
            return "page"

    limited = limiter.limit("2 per minute")(Shop().page)
    assert len(getattr(limited, DECLARED)) == 1
    assert not hasattr(Shop.page, DECLARED)
