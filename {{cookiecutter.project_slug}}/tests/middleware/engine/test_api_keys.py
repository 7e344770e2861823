"""What engine/api_keys.py promises: hashes are read strictly, and a key finds its holder."""

from __future__ import annotations

import hashlib
import json

import pytest

from app.middleware.engine.api_keys import KeyRing, is_scope, read_callers

OLD, NEW = "old-" + "k" * 40, "new-" + "k" * 40


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_every_key_of_a_caller_names_it_and_its_scopes() -> None:
    callers = {"mobile": {"keys": [hashed(OLD), hashed(NEW).upper()], "scopes": ["orders:read"]}}
    ring = KeyRing(read_callers("API_KEYS", callers))
    assert ring.holder_of(OLD) == ring.holder_of(NEW) == ("mobile", frozenset({"orders:read"}))
    assert ring.holder_of(NEW + "x") is ring.holder_of("") is ring.holder_of(hashed(NEW)) is None


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
