"""What engine/key_sets.py promises: only public keys that fit, and a wrong file at start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.middleware.engine.key_sets import KeySet, usable_keys

jwt = pytest.importorskip("jwt", reason='pip install "PyJWT[crypto]>=2.12,<3"')
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402


def jwk(kid: str) -> dict[str, Any]:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(public)), "kid": kid}


def write(path: Path, *keys: Any) -> Path:
    path.write_text(json.dumps({"keys": keys}), encoding="utf-8")
    return path


def test_a_key_is_found_by_its_id_and_algorithm(tmp_path: Path) -> None:
    keys = KeySet(write(tmp_path / "keys.json", jwk("a"), jwk("b")), ["ES256"], max_age=300)
    found = keys.find("a", "ES256")
    assert found is not None and found.key_id == "a"
    for key_id, algorithm in (("a", "RS256"), (None, "ES256"), ("c", "ES256"), (["a"], "ES256")):
        assert keys.find(key_id, algorithm) is None


def test_a_file_is_read_again_when_it_is_old(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.json", jwk("a"))
    keys = KeySet(path, ["ES256"], max_age=-1)
    write(path, jwk("b"))
    assert keys.find("b", "ES256") is not None
    assert keys.find("a", "ES256") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a JWK Set"),
        ("[]", 'is not a JWK Set: it has no list "keys"'),
        ("[" * 100_000, "nested too deeply"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "has no public key for ES256"),
    ],
)
def test_a_file_without_keys_is_refused_at_once(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=problem):
        KeySet(path, ["ES256"], max_age=300)
    with pytest.raises(ValueError, match="cannot be read: "):
        KeySet(tmp_path / "nowhere.json", ["ES256"], max_age=300)


def test_whatever_else_is_in_a_set_the_usable_keys_serve() -> None:
    document = json.dumps({"keys": [None, 7, {"kty": "EC"}, jwk("a"), {**jwk("b"), "use": "enc"}]})
    assert [key.key_id for key in usable_keys(document.encode(), ["RS256", "ES256"])] == ["a"]
