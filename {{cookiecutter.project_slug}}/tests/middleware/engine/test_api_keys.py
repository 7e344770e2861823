"""What engine/api_keys.py promises: hashes are read strictly, and a key finds its holder."""

from __future__ import annotations

import hashlib
import json

import pytest

from app.middleware.engine.api_keys import KeyRing, is_scope, make_key, read_callers
from app.middleware.engine.credentials import Caller

OLD, NEW = "old-" + "k" * 40, "new-" + "k" * 40


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_every_key_of_a_caller_names_it_its_scopes_and_its_limits() -> None:
    keys = [hashed(OLD), hashed(NEW).upper()]
    mobile = {"keys": keys, "scopes": ["orders:read"], "limits": "9 per hour", "tier": "gold"}
    ring = KeyRing(read_callers("API_KEYS", {"mobile": mobile, "web": {"keys": [hashed("w")]}}))
    caller = Caller("mobile", frozenset({"orders:read"}), "9 per hour", "gold")
    assert ring.holder_of(OLD) == ring.holder_of(NEW) == caller
    assert ring.holder_of(NEW + "x") is ring.holder_of("") is ring.holder_of(hashed(NEW)) is None
    assert ring.limits == {"mobile": "9 per hour"}


@pytest.mark.parametrize("name", ["mobile", "a_b", "x" * 64])
def test_a_key_that_is_made_names_its_caller(name: str) -> None:
    made = make_key(name)
    ring = KeyRing(read_callers("API_KEYS", {name: {"keys": [hashed(made)]}}))
    assert ring.claimed_by(made) == ring.claimed_by(make_key(name)) == name
    assert ring.claimed_by(made + "x") is ring.claimed_by(make_key("nobody")) is None


@pytest.mark.parametrize("quote", ["", "'"])
def test_text_from_the_environment_is_read_with_and_without_quotes(quote: str) -> None:
    text = json.dumps({"mobile": {"keys": [hashed(NEW)]}})
    assert read_callers("API_KEYS", f"{quote}{text}{quote}") == {
        "mobile": {"keys": [hashed(NEW)], "scopes": []}
    }


@pytest.mark.parametrize("value", ["", " ", NEW, {"mobile": {"keys": [NEW]}}, {"mobile": NEW}])
def test_a_message_never_holds_a_key(value: object) -> None:
    with pytest.raises(ValueError, match=r"^API_KEYS: .*; for example ") as error:
        read_callers("API_KEYS", value)
    assert NEW not in str(error.value)


def test_a_scope_is_one_word() -> None:
    assert is_scope("orders:read")
    assert not any(map(is_scope, ("", "two words", 'a"b', "it's", "caf\xe9", None)))
