"""A credential as it comes with a request, and the responses to one that does not do.

Standards: RFC 9110 section 11 (401, 403, WWW-Authenticate), RFC 6750 (Bearer), RFC 6585 (429).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flask import request
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    HTTPException,
    TooManyRequests,
    Unauthorized,
)

REALM = "api"
SHORTEST, LONGEST = 32, 8192  # characters of a credential
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"

FORM = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1, b64token
SIGNED = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)  # a JWS: its header begins with {"


class Caller(NamedTuple):
    """Who presents a credential."""

    name: str
    scopes: frozenset[str]
    limits: str | None = None  # its own, in the grammar of rate limits
    tier: str | None = None  # the name of limits that configuration defines


class Credential(NamedTuple):
    text: str
    is_bearer: bool  # it came in Authorization, and so may be a token

    @property
    def is_possible(self) -> bool:
        """Whether any key or token can have this form."""
        return SHORTEST <= len(self.text) <= LONGEST and FORM.fullmatch(self.text) is not None

    @property
    def is_signed_token(self) -> bool:
        return self.is_bearer and SIGNED.fullmatch(self.text) is not None


def has_credential(environ: Mapping[str, Any]) -> bool:
    return bool(environ.get("HTTP_X_API_KEY") or environ.get("HTTP_AUTHORIZATION"))


def presented_credential(environ: Mapping[str, Any]) -> Credential:
    """The credential in X-API-Key or Authorization.

    An empty header is none, and so is one of another scheme beside a key: it is for somebody else,
    a proxy for example. Two header lines of one name reach us joined by a comma, which no
    credential contains.

    :raises NotAuthenticated: if there is none.
    :raises TwoCredentials: if the two headers do not agree (RFC 6750 section 2).
    """
    key, authorization = environ.get("HTTP_X_API_KEY"), environ.get("HTTP_AUTHORIZATION")
    if key and not authorization:
        return Credential(key, is_bearer=False)
    scheme, _, token = (authorization or "").partition(" ")
    is_bearer = scheme.lower() == "bearer"
    token = token.lstrip(" ") if is_bearer else ""  # RFC 9110 section 11.4: one blank or more
    if key and token and key != token:
        raise TwoCredentials
    if key or token:
        return Credential(key or token, is_bearer=bool(token))
    if scheme and not is_bearer:
        raise NotAuthenticated(
            "unknown_scheme", 'Use "Authorization: Bearer ..." or "X-API-Key: ...".'
        )
    raise NotAuthenticated("missing_credential", "This needs an API key or a token.")


def digest_of(credential: str) -> bytes:
    """The SHA-256 of a credential. Whatever a header contained has one."""
    return hashlib.sha256(credential.encode("latin-1", "replace")).digest()


def proof_of(credential: str, address: str) -> bytes:
    """Stands for a credential at an address, where what was right or wrong is remembered."""
    text = f"{address} {credential}".encode("latin-1", "replace")
    return hashlib.blake2b(text, digest_size=16).digest()


class Refusal(HTTPException):
    """A response that no cache may keep, and its challenge (RFC 9110 section 11.6.1)."""

    challenge: str

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        return [
            *super().get_headers(*args, **kwargs),
            ("WWW-Authenticate", self.challenge),
            ("Cache-Control", "no-store"),
        ]


class NotAuthenticated(Refusal, Unauthorized):
    """401; `error` is left out where no credential came (RFC 6750 section 3.1)."""

    def __init__(self, reason: str, description: str, error: str | None = None) -> None:
        super().__init__(description)
        self.challenge = _challenge(error=error)
        _report("authn_failed", reason)


class InsufficientScope(Refusal, Forbidden):
    """403 that names the scopes to ask for."""

    def __init__(self, scopes: Iterable[str]) -> None:
        names = " ".join(sorted(scopes))
        super().__init__(f"The credential lacks the scope that this needs: {names}.")
        self.challenge = _challenge(error="insufficient_scope", scope=names)
        _report("authz_denied", "insufficient_scope", scope=names)


class TwoCredentials(Refusal, BadRequest):
    """400 (RFC 6750 section 2)."""

    def __init__(self) -> None:
        super().__init__("Two different credentials came: send one of them.")
        self.challenge = _challenge(error="invalid_request")
        _report("authn_failed", "two_credentials")


class TooManyFailures(TooManyRequests):
    """429: nothing was compared.

    :param wait: seconds until another credential may be tried.
    """

    def __init__(self, wait: float) -> None:
        seconds = max(1, math.ceil(wait))
        super().__init__(
            "Too many credentials from this address were wrong, or are not yet known to be right: "
            f"try again in {seconds} s.",
            retry_after=seconds,
        )
        self.problem = {"type": QUOTA_EXCEEDED, "violated-policies": ["credential-failures"]}
        _report("rate_limited", "credential_failures")


def _challenge(**parameters: str | None) -> str:
    """Quoted by hand: Werkzeug quotes only where it must, and RFC 9110 section 11.5 wants the
    realm quoted always."""
    given = {"realm": REALM, **parameters}
    return "Bearer " + ", ".join(f'{name}="{text}"' for name, text in given.items() if text)


def _report(event: str, reason: str, **members: str) -> None:
    """Tell the security log; never a credential."""
    request.environ["security_event"] = {"event": event, "reason": reason, **members}
