"""What app/middleware/engine/cookies.py promises."""

from __future__ import annotations

import pytest

from app.middleware.engine.cookies import cookie_name, read_attributes, with_attributes

ATTRIBUTES = ["Secure", "HttpOnly", "SameSite=Lax"]


@pytest.mark.parametrize(
    ("cookie", "is_https", "sent"),
    [
        ("a=b; Path=/", True, "a=b; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ("a=b; Path=/", False, "a=b; Path=/; HttpOnly; SameSite=Lax"),
        ("a=b; SECURE; httponly; samesite=None", True, "a=b; SECURE; httponly; samesite=None"),
        ("secure=httponly", True, "secure=httponly; Secure; HttpOnly; SameSite=Lax"),
    ],
)
def test_a_cookie_gets_what_it_does_not_say_itself(cookie: str, is_https: bool, sent: str) -> None:
    assert with_attributes(cookie, ATTRIBUTES, is_https) == sent


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("Secure; HttpOnly; SameSite=Lax", ATTRIBUTES),
        ("samesite=strict;secure", ["SameSite=Strict", "Secure"]),
        ("", []),
        (None, ["Secure"]),
    ],
)
def test_attributes_are_read_in_any_case(value: object, read: list[str]) -> None:
    assert read_attributes({"KEY": value}, "KEY", "Secure") == read


@pytest.mark.parametrize("value", ["Secured", "Path=/", "SameSite", 7, ["Secure"]])
def test_what_does_not_make_a_cookie_safer_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^KEY: .*; for example Secure; HttpOnly"):
        read_attributes({"KEY": value}, "KEY", "Secure")


def test_a_cookie_is_known_by_its_name() -> None:
    assert cookie_name(" a =b=c; Path=/") == "a"
