"""Signed tokens (JWT) of an identity provider are credentials as well; off until JWT_JWKS is set.

Needs:  pip install "flask>=3.1,<4" "PyJWT[crypto]>=2.12,<3"
Add:    configure_authentication(app, verify_token=token_verifier(app))

Key                  Default          Meaning (unit)
-------------------  ---------------  ----------------------------------------------------------
JWT_JWKS             none             the provider's public keys: an https URL, or the path of a
                                      file; off without it
JWT_ISSUER           none, required   what `iss` has to be, exactly
JWT_AUDIENCE         none, required   what `aud` has to be or contain: the name of this service
JWT_ALGORITHMS       "RS256,ES256"    asymmetric ones only
JWT_LEEWAY           30               how far clocks may differ (seconds, at most 300)
JWT_JWKS_MAX_AGE     300              how long the keys are kept before they are read again
                                      (seconds, at most 86400)

A token needs a signature by one of these keys, `iss`, `aud`, `exp` and a name: `sub`, or else
`client_id` or `azp`. `nbf` and `iat` are heeded. Its scopes are `scope` (text) or `scp` (text or
a list). The provider is trusted with the names, so g.client may also be that of an API key.

Nothing but JWT_JWKS is ever read or fetched, whatever a token says (jku, x5u, kid), redirects not
followed. A key id that is not known has the keys read again, at most every 10 s. While
the provider is away, the keys that we have serve for a day; before the first, 503.

Standards: RFC 7519 (JWT), RFC 8725 (best practices), RFC 9068 (access tokens), RFC 7517 (JWKS)
Version: 1.0.0
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.exceptions import ServiceUnavailable

if TYPE_CHECKING:
    from jwt import PyJWK

FAMILIES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", *CURVES]
PUBLIC_MEMBERS = ("kty", "n", "e", "crv", "x", "y")
TOKEN_TYPES = {None, "jwt", "at+jwt", "application/at+jwt"}  # no logout or security event tokens
LARGEST_TOKEN = 8192  # characters
LARGEST_JWKS = 1024 * 1024  # bytes
FETCH_SECONDS = 2.0
RETRY_SECONDS = 10.0  # at least, between two attempts to read the keys
STALE_SECONDS = 86400.0

logger = logging.getLogger(__name__)

Caller = tuple[str, frozenset[str]]  # a name and its scopes


def token_verifier(app: Flask) -> Callable[[str], Caller | None] | None:
    """The function that judges tokens as JWT_* says; None while JWT_JWKS is not set.

    :raises ValueError: if a key is wrong or missing; the message says what to write.
    """
    config = app.config
    source = config.get("JWT_JWKS")
    if source in (None, ""):
        for name in ("JWT_ISSUER", "JWT_AUDIENCE"):
            if config.get(name):
                raise ValueError(f"{name} is set without JWT_JWKS; write the URL of the keys, too")
        return None
    try:
        import jwt  # noqa: F401
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: F401
    except ImportError:
        raise ValueError(
            'JWT_JWKS needs PyJWT: pip install "PyJWT[crypto]>=2.12,<3" (the extra "jwt")'
        ) from None
    algorithms = parse_algorithms(config.get("JWT_ALGORITHMS", "RS256,ES256"))
    max_age = config.get("JWT_JWKS_MAX_AGE", 300)
    return TokenVerifier(
        KeySet(
            parse_source(source),
            algorithms,
            parse_seconds("JWT_JWKS_MAX_AGE", max_age, least=1, most=86400),
        ),
        issuer=parse_text("JWT_ISSUER", config.get("JWT_ISSUER")),
        audience=parse_text("JWT_AUDIENCE", config.get("JWT_AUDIENCE")),
        leeway=parse_seconds("JWT_LEEWAY", config.get("JWT_LEEWAY", 30), least=0, most=300),
    )


class TokenVerifier:
    """Says whose token this is and what it may do, or None."""

    def __init__(self, keys: KeySet, issuer: str, audience: str, leeway: int) -> None:
        self.keys, self.issuer, self.audience, self.leeway = keys, issuer, audience, leeway

    def __call__(self, token: str) -> Caller | None:
        try:
            return self.caller(self.claims(token))
        except ServiceUnavailable:
            raise
        except Exception as error:  # whatever a stranger's text breaks, it is not a valid token
            logger.info("token_refused: %s", type(error).__name__)
            return None

    def claims(self, token: str) -> dict[str, Any]:
        import jwt

        if len(token) > LARGEST_TOKEN or token.count(".") != 2 or "=" in token:
            raise jwt.DecodeError("too long, or no signed token")
        header = jwt.get_unverified_header(token)
        if "crit" in header or not is_access_token(header.get("typ")):
            raise jwt.InvalidTokenError("an extension or a type that is not known here")
        key = self.keys.find(header.get("kid"), header.get("alg"))
        if key is None:
            raise jwt.InvalidKeyError("no such key")
        claims = jwt.decode(
            token,
            key=key,
            algorithms=[key.algorithm_name],
            issuer=self.issuer,
            audience=self.audience,
            leeway=self.leeway,
            options={"require": ["exp", "iss", "aud"]},
        )
        for name in ("exp", "nbf", "iat"):  # PyJWT takes text for a number, too
            if type(claims.get(name, 0)) not in (int, float):
                raise jwt.InvalidTokenError(f"{name} is not a number (RFC 7519 section 2)")
        return claims

    @staticmethod
    def caller(claims: Mapping[str, Any]) -> Caller:
        name = claims.get("sub") or claims.get("client_id") or claims.get("azp")
        if not isinstance(name, str) or not 1 <= len(name) <= 255 or not name.isprintable():
            raise ValueError("the token names nobody")
        scopes = claims.get("scope", claims.get("scp", ""))
        if isinstance(scopes, str):
            scopes = scopes.split()
        if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
            raise ValueError("the token's scopes are neither text nor a list of texts")
        return name, frozenset(scopes)


class KeySet:
    """The public keys of a file or a URL, read again when old or when a key id is not among them.

    One thread reads at a time; those who have a key do not wait for it.
    """

    def __init__(self, source: str | Path, algorithms: Sequence[str], max_age: int) -> None:
        self.source, self.algorithms, self.max_age = source, algorithms, max_age
        self._keys: list[PyJWK] = []
        self._read_at: float | None = None
        self._next_attempt = 0.0
        self._lock = threading.Lock()
        self._answer: Future[bytes] | None = None
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
        if self._answer is not None and not self._answer.done():
            raise TimeoutError("the attempt before this one has not ended")
        # In a thread of its own: a time-out ends a silence, but not headers that drip.
        answer = self._answer = Future()
        threading.Thread(target=fetch_into, args=(answer, self.source), daemon=True).start()
        return answer.result(FETCH_SECONDS)

    def _read_file_at_start(self, path: Path) -> None:
        try:
            self._keys = usable_keys(path.read_bytes(), self.algorithms)
        except (OSError, ValueError) as error:
            raise ValueError(f"JWT_JWKS: {str(path)!r} cannot be read: {error}") from None
        if not self._keys:
            raise ValueError(
                f"JWT_JWKS: {str(path)!r} has no public key for {', '.join(self.algorithms)}"
            )
        self._read_at = time.monotonic()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None  # urllib then raises HTTPError


def fetch_into(answer: Future[bytes], url: str) -> None:
    try:
        answer.set_result(fetch(url))
    except urllib.error.HTTPError as error:  # it is the answer, too, and holds the connection
        error.close()
        answer.set_exception(error)
    except Exception as error:
        answer.set_exception(error)


def fetch(url: str) -> bytes:
    """GET the configured URL: no redirects, no other scheme, 1 MiB at most."""
    opener = urllib.request.build_opener(NoRedirect)
    deadline = time.monotonic() + FETCH_SECONDS
    body = b""
    with opener.open(url, timeout=FETCH_SECONDS) as response:
        while chunk := response.read1(65536):
            body += chunk
            if len(body) > LARGEST_JWKS or time.monotonic() > deadline:
                raise ValueError("too long, or too slow")
    return body


def usable_keys(document: bytes, algorithms: Sequence[str]) -> list[PyJWK]:
    """Each public key that serves a configured algorithm; others are normal in a JWKS, and left.

    :raises ValueError: if this is no JWKS.
    """
    try:
        keys = json.loads(document)
    except RecursionError:
        raise ValueError("not a JWKS: it is nested too deeply") from None
    keys = keys.get("keys") if isinstance(keys, dict) else None
    if not isinstance(keys, list):
        raise ValueError('not a JWKS: there is no list "keys"')
    return [
        key
        for jwk in keys
        if isinstance(jwk, dict)
        for algorithm in algorithms
        if (key := usable_key(jwk, algorithm)) is not None
    ]


def usable_key(jwk: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    try:
        return public_key(jwk, algorithm)
    except Exception as error:  # however odd one of them is, the others go on serving
        logger.info("jwk_left: %s", type(error).__name__)
        return None


def public_key(jwk: Mapping[str, Any], algorithm: str) -> PyJWK | None:
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
        return None  # RFC 7518 section 3.3
    return key


def is_access_token(kind: object) -> bool:
    return kind is None or (isinstance(kind, str) and kind.lower() in TOKEN_TYPES)


def parse_source(value: object) -> str | Path:
    text = parse_text("JWT_JWKS", value)
    if "://" not in text:
        return Path(text)
    url = urlsplit(text)
    if url.scheme == "https" and url.hostname:
        return text
    if url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1", "::1"):
        return text
    raise ValueError(
        f"JWT_JWKS: {text!r}: over anything but https the keys could be exchanged on the way; "
        "write https://login.example.com/jwks.json, or the path of a file"
    )


def parse_algorithms(value: object) -> list[str]:
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(
            f"JWT_ALGORITHMS: {value!r}: write a list of algorithms, as in RS256,ES256"
        )
    for name in value:
        if name not in ALGORITHMS:
            raise ValueError(f"JWT_ALGORITHMS: {name!r} is none of {', '.join(ALGORITHMS)}")
    return list(dict.fromkeys(value))


def parse_seconds(name: str, value: object, least: int, most: int) -> int:
    text = "" if isinstance(value, bool) else str(value)
    if re.fullmatch("[0-9]{1,9}", text) and least <= int(text) <= most:
        return int(text)
    raise ValueError(f"{name}: {value!r:.80}: write a number of seconds from {least} to {most}")


def parse_text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: {value!r}: JWT_JWKS, JWT_ISSUER and JWT_AUDIENCE go together")
    return value.strip()
