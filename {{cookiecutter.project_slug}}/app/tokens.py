"""Signed tokens (JWT) of an identity provider are credentials as well; off until JWT_JWKS is set.

Needs:  pip install "flask>=3.1,<4" "PyJWT[crypto]>=2.12,<3"
Copy:   middleware/engine/ (credentials, key_sets, settings)
Add:    configure_authentication(app, verify_token=token_verifier(app))

Key                  Default          Meaning (unit)
-------------------  ---------------  ----------------------------------------------------------
JWT_JWKS             none             the provider's public keys: an https URL, or the path of a
                                      file; off without it
JWT_ISSUER           none, required   what `iss` has to be, exactly; a list: one of these
JWT_AUDIENCE         none, required   what `aud` has to be or contain: the name of this service;
                                      a list: one of these
JWT_REQUIRED_CLAIMS  {}               what else has to be in a token: {"token_use": "access"}; of
                                      a list, one. With client_id, azp, appid or cid, JWT_AUDIENCE
                                      may be left out: for providers that send no `aud`
JWT_SCOPE_CLAIMS     "scope,scp"      where the scopes are: text with blanks, or a list; a dot
                                      leads inside, as in realm_access.roles
JWT_TIER_CLAIM       none             where the name of a caller's limits is, a key of
                                      RATELIMIT_TIERS
JWT_ALGORITHMS       "RS256,ES256"    asymmetric ones only
JWT_LEEWAY           30               how far clocks may differ (seconds, at most 300)
JWT_JWKS_MAX_AGE     300              how long the keys are kept before they are read again
                                      (seconds, at most 86400)

A token needs a signature by one of these keys, `exp`, and a name: `sub`, or else `client_id` or
`azp`. `nbf` and `iat` are heeded. The provider is trusted with the names, so g.client may also be
that of an API key. The log says why a token with a valid signature was refused (token_refused).

Nothing but JWT_JWKS is ever read or fetched, whatever a token says (jku, x5u, kid), redirects not
followed. A key id that is not known has the keys read again, at most every 10 s. While
the provider is away, the keys that we have serve for a day; before the first, 503.

Standards: RFC 7519 (JWT), RFC 8725 (best practices), RFC 9068 (access tokens), RFC 7517 (JWKS)
Version: 2.0.0
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.exceptions import ServiceUnavailable

from app.middleware.engine.credentials import Caller, NotAuthenticated
from app.middleware.engine.key_sets import ALGORITHMS, KeySet
from app.middleware.engine.settings import (
    Config,
    as_items,
    is_missing,
    read_list,
    read_mapping,
    read_seconds,
    read_text,
    refuse,
    refuse_secret,
)

EXAMPLES = {
    "JWT_JWKS": "https://login.example.com/jwks.json, or the path of a file",
    "JWT_ISSUER": "https://login.example.com",
    "JWT_AUDIENCE": "https://api.example.com",
}
OPTIONAL = ["JWT_REQUIRED_CLAIMS", "JWT_SCOPE_CLAIMS", "JWT_TIER_CLAIM", "JWT_ALGORITHMS"]
OPTIONAL += ["JWT_LEEWAY", "JWT_JWKS_MAX_AGE"]
CLIENT_CLAIMS = ("client_id", "azp", "appid", "cid")  # to which client a token was given
TOKEN_TYPES = ("jwt", "at+jwt", "application/at+jwt")  # no logout or security event tokens
LONGEST_TOKEN = 8192  # characters

logger = logging.getLogger(__name__)

Claims = Mapping[str, Any]


def token_verifier(app: Flask) -> TokenVerifier | None:
    """What judges tokens as JWT_* says; None while none of these keys is set.

    :raises ValueError: if a key is wrong or missing; the message says what to write.
    """
    config = app.config
    given = [key for key in (*EXAMPLES, *OPTIONAL) if not is_missing(config.get(key))]
    if not given:
        return None
    required = _read_required_claims(config, "JWT_REQUIRED_CLAIMS")
    for key, example in EXAMPLES.items():
        if key == "JWT_AUDIENCE" and required.keys() & set(CLIENT_CLAIMS):
            continue
        if key not in given:
            refuse(key, config.get(key), f"is missing although {given[0]} is set", example)
    try:
        import jwt  # noqa: F401
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: F401
    except ImportError:
        problem = "needs PyJWT (the extra jwt)"
        refuse("JWT_JWKS", config["JWT_JWKS"], problem, 'pip install "PyJWT[crypto]>=2.12,<3"')
    for claim, key in (("aud", "JWT_AUDIENCE"), ("iss", "JWT_ISSUER")):
        if key in given:
            required = {claim: (key, _read_names(config, key)), **required}
    return TokenVerifier(
        _read_key_set(config),
        required,
        scope_claims=read_list(config, "JWT_SCOPE_CLAIMS", ["scope", "scp"]),
        tier_claim=read_text(config, "JWT_TIER_CLAIM", "", example="tier"),
        leeway=read_seconds(config, "JWT_LEEWAY", 30, least=0, most=300),
    )


Required = dict[str, tuple[str, list[str]]]  # by claim: the key that says so, and what it may be


def _read_required_claims(config: Config, key: str) -> Required:
    example = '{"token_use": "access"}'
    required = {}
    for claim, value in read_mapping(config, key, example).items():
        allowed = [value] if isinstance(value, str) else as_items(value)
        if claim in ("iss", "aud", "exp"):
            refuse(key, claim, "is not for this key: JWT_ISSUER and JWT_AUDIENCE say it", example)
        if not allowed or not all(isinstance(item, str) and item for item in allowed):
            refuse(key, value, f"is not text, or a list of text, for {claim}", example)
        required[claim] = (key, allowed)
    return required


def _read_names(config: Config, key: str) -> list[str]:
    names = read_list(config, key, example=EXAMPLES[key])
    if not names:
        refuse(key, config[key], "is empty", EXAMPLES[key])
    return names


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
    try:
        url = urlsplit(text)
        is_usable = url.port != 0 and url.username is None and re.fullmatch(r"[!-~]+", text)
    except ValueError:
        is_usable = False
    if not is_usable:  # without the text: it may have a password
        problem = "is not a URL in ASCII without blanks, without user info, with a port up to 65535"
        refuse_secret(key, problem, EXAMPLES[key])
    if url.scheme == "https" and url.hostname:
        return text
    if url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1", "::1"):
        return text
    refuse(key, text, "is not https, so keys could be exchanged on the way", EXAMPLES[key])


class TokenVerifier:
    """Says whose token this is and what it may do; None if the signature is not the provider's.

    :param required: what certain claims have to be.
    :param leeway: seconds by which clocks may differ.
    """

    checks_signatures = True

    def __init__(
        self,
        keys: KeySet,
        required: Required,
        scope_claims: list[str],
        tier_claim: str,
        leeway: float,
    ) -> None:
        self.keys, self.required, self.leeway = keys, required, leeway
        self.scope_claims, self.tier_claim = scope_claims, tier_claim

    def __call__(self, token: str) -> Caller | None:
        """:raises NotAuthenticated: if it is genuine and not for here, or not for now."""
        try:
            claims = self.claims_of(token)
            return self.caller_of(claims)
        except (NotAuthenticated, ServiceUnavailable):
            raise
        except Exception as error:  # whatever a stranger's text breaks, it is not a valid token
            logger.info("token_refused: %s", type(error).__name__)
            return None

    def claims_of(self, token: str) -> Claims:
        """The claims of a token that was signed by the provider and is valid here and now.

        :raises NotAuthenticated: if only the latter is not so.
        :raises Exception: of many kinds, for any other text.
        """
        import jwt

        if len(token) > LONGEST_TOKEN or token.count(".") != 2 or "=" in token:
            raise jwt.DecodeError("too long, or not a signed token")
        header = jwt.get_unverified_header(token)
        if "crit" in header or str(header.get("typ", "JWT")).lower() not in TOKEN_TYPES:
            raise jwt.InvalidTokenError("an extension or a type that is not known here")
        key = self.keys.find(header.get("kid"), header.get("alg"))
        if key is None:
            raise jwt.InvalidKeyError("no such key")
        options: Any = {"require": ["exp"], "verify_aud": False}
        try:  # the signature first: what follows is about claims that the provider wrote
            claims: Claims = jwt.decode(
                token, key, [key.algorithm_name], options=options, leeway=self.leeway
            )
        except jwt.ExpiredSignatureError:
            _refuse("expired_token", "The token has expired.", "exp is past")
        except jwt.ImmatureSignatureError:
            _refuse("early_token", "The token is not valid yet.", "nbf or iat is to come")
        for name in ("exp", "nbf", "iat"):  # PyJWT takes text for a number, too
            if type(claims.get(name, 0)) not in (int, float):
                raise jwt.InvalidTokenError(f"{name} is not a number (RFC 7519 section 2)")
        for claim, (setting, allowed) in self.required.items():
            if not _is_one_of(claims.get(claim), allowed, is_list_allowed=claim != "iss"):
                sentence = f"The token is not for this service: {claim} is another one."
                reason = f"{claim} is {claims.get(claim)!a:.80}, {setting} says {allowed}"
                _refuse("foreign_token", sentence, reason)
        return claims

    def caller_of(self, claims: Claims) -> Caller:
        name = claims.get("sub") or claims.get("client_id") or claims.get("azp")
        if not isinstance(name, str) or not 1 <= len(name) <= 255 or not name.isprintable():
            raise ValueError("the token names nobody")
        scopes = [
            scope for claim in self.scope_claims for scope in _scopes(_look_up(claims, claim))
        ]
        tier = _look_up(claims, self.tier_claim) if self.tier_claim else None
        return Caller(name, frozenset(scopes), tier=tier if isinstance(tier, str) else None)


def _refuse(reason: str, sentence: str, detail: str) -> NoReturn:
    logger.info("token_refused: %s", detail)
    raise NotAuthenticated(reason, sentence, error="invalid_token")


def _is_one_of(value: object, allowed: list[str], is_list_allowed: bool) -> bool:
    values = value if isinstance(value, list) and is_list_allowed else [value]
    return any(isinstance(item, str) and item in allowed for item in values)


def _look_up(claims: Claims, path: str) -> object:
    """A claim by its name, which may have dots in it, or inside another claim."""
    if path in claims or "." not in path:
        return claims.get(path)
    name, _, rest = path.partition(".")
    inner = claims.get(name)
    return _look_up(inner, rest) if isinstance(inner, Mapping) else None


def _scopes(value: object) -> list[str]:
    scopes = value.split() if isinstance(value, str) else value or []
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise ValueError("the token's scopes are neither text nor a list of texts")
    return scopes
