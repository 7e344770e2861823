"""What engine/identification.py promises: who is known, what is compared, and how often."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from flask import Flask

from app.middleware.engine.api_keys import KeyRing, make_key, read_callers
from app.middleware.engine.attempts import Attempts
from app.middleware.engine.credentials import (
    Caller,
    Credential,
    NotAuthenticated,
    TooManyFailures,
    proof_of,
)
from app.middleware.engine.identification import Identification

KEY, TOKEN = make_key("mobile"), "eyJhbGciOiJub25lIn0.e30." + "s" * 20


class Signatures:
    """A verifier of signed tokens; who has signed this one?"""

    checks_signatures = True

    def __init__(self) -> None:
        self.answer: Any = None

    def __call__(self, token: str) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def who() -> Any:
    callers = {"mobile": {"keys": [hashlib.sha256(KEY.encode()).hexdigest()]}}
    ring = KeyRing(read_callers("API_KEYS", callers))
    with Flask(__name__).test_request_context():
        yield Identification(ring, Signatures(), Attempts(2, 60))


def key(text: str) -> Credential:
    return Credential(text, is_bearer=False)


def outcomes(who: Identification, *texts: str) -> list[str]:
    found = []
    for text in texts:
        try:
            found.append(who.caller(key(text), "192.0.2.1").name)
        except (NotAuthenticated, TooManyFailures) as error:
            found.append(str(error.code))
    return found


def test_wrong_keys_are_compared_twice_and_a_named_one_passes_all_the_same(who: Any) -> None:
    wrong = [f"{number:040}" for number in range(4)]
    assert outcomes(who, *wrong, KEY) == ["401", "401", "429", "429", "mobile"]


def test_one_wrong_key_many_times_is_one_guess(who: Any) -> None:
    assert outcomes(who, *["w" * 40] * 3, "v" * 40) == ["401", "401", "429", "401"]


def test_what_is_known_needs_no_comparison(who: Any) -> None:
    proof = proof_of(KEY, "192.0.2.1")
    assert who.known(key(KEY), proof) is None
    assert outcomes(who, KEY) == ["mobile"]
    assert who.known(key(KEY), proof) == Caller("mobile", frozenset())
    assert who.known(key(KEY), proof_of(KEY, "192.0.2.2")) is None


def test_signed_tokens_are_always_judged(who: Any) -> None:
    token = Credential(TOKEN, is_bearer=True)
    refused = []
    for _ in range(3):
        with pytest.raises((NotAuthenticated, TooManyFailures)) as error:
            who.caller(token, "192.0.2.1")
        refused.append(error.value.code)
    who.verify_token.answer = NotAuthenticated("expired_token", "The token has expired.")
    with pytest.raises(NotAuthenticated, match="expired"):
        who.caller(token, "192.0.2.1")
    who.verify_token.answer = ("ann", frozenset({"a"}))
    assert who.caller(token, "192.0.2.1") == Caller("ann", frozenset({"a"}))
    assert refused == [401, 401, 429]
