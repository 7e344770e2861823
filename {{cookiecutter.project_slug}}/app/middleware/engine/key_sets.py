"""The public keys of an identity provider: read from a file or a URL, and kept.

Standards: RFC 7517 (JWK Set), RFC 7518 section 3.3 (no RSA key under 2048 bits).
"""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import ServiceUnavailable

if TYPE_CHECKING:
    from jwt import PyJWK

FAMILIES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", *CURVES]  # asymmetric ones
PUBLIC_MEMBERS = ("kty", "n", "e", "crv", "x", "y")
LARGEST_SET = 1024 * 1024  # bytes
FETCH_SECONDS = 2.0
RETRY_SECONDS = 10.0  # at least, between two attempts to read the keys
STALE_SECONDS = 86400.0

logger = logging.getLogger(__name__)


class KeySet:
    """The keys, read again when they are old or when a key id is not among them.

    One thread reads at a time; those who have a key do not wait for it. While the provider is away
    the keys that we have serve for a day.

    :param source: a file, which is read now, or a URL.
    :param algorithms: of ALGORITHMS, those that are accepted.
    :param max_age: seconds until the keys are read again.
    :raises ValueError: if the file cannot be read, or has no usable key.
    """

    def __init__(self, source: str | Path, algorithms: Sequence[str], max_age: float) -> None:
        self.source, self.algorithms, self.max_age = source, algorithms, max_age
        self._keys: list[PyJWK] = []
        self._read_at: float | None = None
        self._next_attempt = 0.0
        self._lock = threading.Lock()
        self._response: Future[bytes] | None = None
        if isinstance(source, Path):
            self._read_file_at_start(source)

    def find(self, key_id: object, algorithm: object) -> PyJWK | None:
        """The key with this id that serves this algorithm; without an id, the only one that does.

        :raises ServiceUnavailable: if no keys could be read, or not for a day.
        """
        if algorithm not in self.algorithms:
            return None
        key = self._select(key_id, algorithm)
        if key is None or self._age() > self.max_age:
            self._refresh(wait=key is None)
            key = self._select(key_id, algorithm)
        if self._age() > max(STALE_SECONDS, self.max_age):
            raise ServiceUnavailable(
                "The keys of the identity provider cannot be read.", retry_after=int(RETRY_SECONDS)
            )
        return key

    def _select(self, key_id: object, algorithm: object) -> PyJWK | None:
        found = [
            key
            for key in self._keys
            if key.algorithm_name == algorithm and key_id in (None, key.key_id)
        ]
        return found[0] if len(found) == 1 else None

    def _age(self) -> float:
        return float("inf") if self._read_at is None else time.monotonic() - self._read_at

    def _refresh(self, wait: bool) -> None:
        if not self._lock.acquire(wait, 2 * FETCH_SECONDS if wait else -1):
            return
        try:
            if time.monotonic() < self._next_attempt:  # another thread has just done it
                return
            self._keys = usable_keys(self._read(), self.algorithms)
            self._read_at = time.monotonic()
        except Exception as error:  # the keys that we have go on serving
            logger.warning("jwks_not_read: %s: %s", type(error).__name__, error)
        finally:
            self._next_attempt = max(self._next_attempt, time.monotonic() + RETRY_SECONDS)
            self._lock.release()

    def _read(self) -> bytes:
        if isinstance(self.source, Path):
            return self.source.read_bytes()
        if self._response is not None and not self._response.done():
            raise TimeoutError("the attempt before this one has not ended")
        # In a thread of its own: a time-out ends a silence, but not headers that drip.
        response = self._response = Future()
        threading.Thread(target=_fetch_into, args=(response, self.source), daemon=True).start()
        return response.result(FETCH_SECONDS)

    def _read_file_at_start(self, path: Path) -> None:
        try:
            self._keys = usable_keys(path.read_bytes(), self.algorithms)
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None
        if not self._keys:
            raise ValueError(f"has no public key for {', '.join(self.algorithms)}")
        self._read_at = time.monotonic()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None  # urllib then raises HTTPError


def _fetch_into(response: Future[bytes], url: str) -> None:
    try:
        response.set_result(_fetch(url))
    except urllib.error.HTTPError as error:  # it is the response, too, and holds the connection
        error.close()
        response.set_exception(error)
    except Exception as error:
        response.set_exception(error)


def _fetch(url: str) -> bytes:
    """GET the configured URL: no redirects, no other scheme, 1 MiB at most."""
    opener = urllib.request.build_opener(NoRedirect)
    deadline = time.monotonic() + FETCH_SECONDS
    body = b""
    with opener.open(url, timeout=FETCH_SECONDS) as response:
        while chunk := response.read1(65536):
            body += chunk
            if len(body) > LARGEST_SET or time.monotonic() > deadline:
                raise ValueError("too long, or too slow")
    return body


def usable_keys(document: bytes, algorithms: Sequence[str]) -> list[PyJWK]:
    """Each public key that serves a configured algorithm; others are normal in a set, and left.

    :raises ValueError: if this is not a JWK Set.
    """
    try:
        keys = json.loads(document)
    except RecursionError:
        raise ValueError("is not a JWK Set: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not a JWK Set: {error}") from None
    keys = keys.get("keys") if isinstance(keys, dict) else None
    if not isinstance(keys, list):
        raise ValueError('is not a JWK Set: it has no list "keys"')
    return [
        key
        for jwk in keys
        if isinstance(jwk, dict)
        for algorithm in algorithms
        if (key := _usable_key(jwk, algorithm)) is not None
    ]


def _usable_key(jwk: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    try:
        return _public_key(jwk, algorithm)
    except Exception as error:  # however odd one of them is, the others go on serving
        logger.info("jwk_left: %s", type(error).__name__)
        return None


def _public_key(jwk: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    import jwt

    if (
        jwk.get("kty") != FAMILIES[algorithm[:2]]
        or jwk.get("alg", algorithm) != algorithm
        or jwk.get("use", "sig") != "sig"
        or "verify" not in jwk.get("key_ops", ["verify"])
        or jwk.get("crv") != CURVES.get(algorithm)
    ):
        return None
    members = {name: jwk[name] for name in (*PUBLIC_MEMBERS, "kid") if name in jwk}
    key = jwt.PyJWK(members, algorithm)
    if getattr(key.key, "key_size", 2048) < 2048 and jwk["kty"] == "RSA":
        return None
    return key
