"""What engine/credentials.py promises: one credential per request, and challenges as RFCs have
them."""

from __future__ import annotations

import pytest
from flask import Flask, request

from app.middleware.engine.credentials import (
    Credential,
    InsufficientScope,
    NotAuthenticated,
    TooManyFailures,
    TwoCredentials,
    digest_of,
    presented_credential,
)

KEY = "k" * 40


def presented(**headers: str) -> Credential:
    environ = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    with Flask(__name__).test_request_context(environ_overrides=environ):
        return presented_credential(request.environ)


def test_a_credential_comes_in_either_header() -> None:
    assert presented(x_api_key=KEY) == (KEY, False)
    assert presented(authorization=f"bearer  {KEY}") == (KEY, True)
    assert presented(authorization=f"Bearer {KEY}", x_api_key=KEY) == (KEY, True)


def test_what_is_for_somebody_else_is_passed_over() -> None:
    assert presented(authorization="Basic eDp5", x_api_key=KEY) == (KEY, False)
    assert presented(authorization="", x_api_key=KEY) == (KEY, False)
    assert presented(authorization=f"Bearer {KEY}", x_api_key="") == (KEY, True)
    for authorization in ("", "Basic eDp5", "Bearer", "Bearer  "):
        with pytest.raises(NotAuthenticated):
            presented(authorization=authorization)


@pytest.mark.parametrize(
    ("text", "is_signed"),
    [
        ("eyJhbGciOiJub25lIn0.e30.c2ln", True),
        ("eyJhbGciOiJub25lIn0.e30.", False),
        ("eyJhbGciOiJub25lIn0.e30.c2ln.c2ln", False),
        ("AeyJhbGciOiJub25lIn0.e30.c2ln", False),
        (KEY, False),
    ],
)
def test_a_signed_token_is_known_by_its_form(text: str, is_signed: bool) -> None:
    assert Credential(text, is_bearer=True).is_signed_token is is_signed
    assert not Credential(text, is_bearer=False).is_signed_token


def test_no_credential_and_two_are_refused() -> None:
    with pytest.raises(NotAuthenticated):
        presented()
    with pytest.raises(TwoCredentials):
        presented(authorization=f"Bearer {KEY}", x_api_key=KEY[1:] + "x")


@pytest.mark.parametrize("text", ["", KEY[:31], "k" * 8193, KEY + " ", KEY + "\xe9", "=" * 40])
def test_what_cannot_be_a_key_is_known_without_a_comparison(text: str) -> None:
    assert not Credential(text, is_bearer=False).is_possible
    assert Credential(KEY + "==", is_bearer=False).is_possible


def test_whatever_a_header_held_has_a_digest() -> None:
    assert len(digest_of("\u0431\xff\x00")) == 32


def test_refusals_say_what_to_do_and_are_told_to_the_log() -> None:
    with Flask(__name__).test_request_context():
        headers = dict(InsufficientScope({"b", "a"}).get_headers())
        assert headers["WWW-Authenticate"] == (
            'Bearer realm="api", error="insufficient_scope", scope="a b"'
        )
        assert request.environ["security_event"] == {
            "event": "authz_denied",
            "reason": "insufficient_scope",
            "scope": "a b",
        }
        assert dict(TooManyFailures(0.2).get_headers())["Retry-After"] == "1"
