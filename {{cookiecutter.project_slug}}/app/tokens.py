"""Signed tokens (JWT) of an identity provider are credentials as well; off until JWT_JWKS is set.

Needs:  pip install "flask>=3.1,<4" "PyJWT[crypto]>=2.12,<3"
Copy:   middleware/engine/ (key_sets, settings)
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
Version: 2.0.0
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.exceptions import ServiceUnavailable

from app.middleware.engine.key_sets import ALGORITHMS, KeySet
from app.middleware.engine.settings import (
    Config,
    is_missing,
    read_list,
    read_seconds,
    read_text,
    refuse,
)

EXAMPLES = {
    "JWT_JWKS": "https://login.example.com/jwks.json, or the path of a file",
    "JWT_ISSUER": "https://login.example.com",
    "JWT_AUDIENCE": "https://api.example.com",
}
TOKEN_TYPES = {None, "jwt", "at+jwt", "application/at+jwt"}  # no logout or security event tokens
LONGEST_TOKEN = 8192  # characters

logger = logging.getLogger(__name__)

Caller = tuple[str, frozenset[str]]  # a name and its scopes


def token_verifier(app: Flask) -> Callable[[str], Caller | None] | None:
    """The function that judges tokens as JWT_* says; None while JWT_JWKS is not set.

    :raises ValueError: if a key is wrong or missing; the message says what to write.
    """
    config = app.config
    given = {key for key in EXAMPLES if not is_missing(config.get(key))}
    if not given:
        return None
    for key in EXAMPLES:
        if key not in given:
            problem = f"is missing although {' and '.join(sorted(given))} is set"
            refuse(key, config.get(key), problem, EXAMPLES[key])
    try:
        import jwt  # noqa: F401
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: F401
    except ImportError:
        problem = "needs PyJWT (the extra jwt)"
        refuse("JWT_JWKS", config["JWT_JWKS"], problem, 'pip install "PyJWT[crypto]>=2.12,<3"')
    return TokenVerifier(
        _read_key_set(config),
        issuer=read_text(config, "JWT_ISSUER", "", example=EXAMPLES["JWT_ISSUER"]),
        audience=read_text(config, "JWT_AUDIENCE", "", example=EXAMPLES["JWT_AUDIENCE"]),
        leeway=read_seconds(config, "JWT_LEEWAY", 30, least=0, most=300),
    )


def _read_key_set(config: Config) -> KeySet:
    source = _read_source(config, "JWT_JWKS")
    algorithms = read_list(config, "JWT_ALGORITHMS", ["RS256", "ES256"])
    for name in algorithms:
        if name not in ALGORITHMS:
            refuse("JWT_ALGORITHMS", name, f"is not one of {', '.join(ALGORITHMS)}", "RS256, ES256")
    if not algorithms:
        refuse("JWT_ALGORITHMS", config["JWT_ALGORITHMS"], "is empty", "RS256, ES256")
    max_age = read_seconds(config, "JWT_JWKS_MAX_AGE", 300, least=1)
    try:
        return KeySet(source, list(dict.fromkeys(algorithms)), max_age)
    except ValueError as error:
        refuse("JWT_JWKS", str(source), str(error), EXAMPLES["JWT_JWKS"])


def _read_source(config: Config, key: str) -> str | Path:
    text = read_text(config, key, "", example=EXAMPLES[key])
    if "://" not in text:
        return Path(text)
    url = urlsplit(text)
    if url.scheme == "https" and url.hostname:
        return text
    if url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1", "::1"):
        return text
    refuse(key, text, "is not https, so keys could be exchanged on the way", EXAMPLES[key])


class TokenVerifier:
    """Says whose token this is and what it may do, or None.

    :param leeway: seconds by which clocks may differ.
    """

    def __init__(self, keys: KeySet, issuer: str, audience: str, leeway: float) -> None:
        self.keys, self.issuer, self.audience, self.leeway = keys, issuer, audience, leeway

    def __call__(self, token: str) -> Caller | None:
        try:
            return _caller_of(self.claims_of(token))
        except ServiceUnavailable:
            raise
        except Exception as error:  # whatever a stranger's text breaks, it is not a valid token
            logger.info("token_refused: %s", type(error).__name__)
            return None

    def claims_of(self, token: str) -> dict[str, Any]:
        """The claims of a valid token.

        :raises Exception: of many kinds, for any other text.
        """
        import jwt

        if len(token) > LONGEST_TOKEN or token.count(".") != 2 or "=" in token:
            raise jwt.DecodeError("too long, or not a signed token")
        header = jwt.get_unverified_header(token)
        if "crit" in header or not _is_access_token(header.get("typ")):
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


def _caller_of(claims: Mapping[str, Any]) -> Caller:
    name = claims.get("sub") or claims.get("client_id") or claims.get("azp")
    if not isinstance(name, str) or not 1 <= len(name) <= 255 or not name.isprintable():
        raise ValueError("the token names nobody")
    scopes = claims.get("scope", claims.get("scp", ""))
    if isinstance(scopes, str):
        scopes = scopes.split()
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise ValueError("the token's scopes are neither text nor a list of texts")
    return name, frozenset(scopes)


def _is_access_token(kind: object) -> bool:
    return kind is None or (isinstance(kind, str) and kind.lower() in TOKEN_TYPES)
