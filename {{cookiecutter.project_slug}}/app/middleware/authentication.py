"""Only a caller with a configured API key, or a valid token, reaches a view that is not @public.

Needs:  pip install "flask>=3.1,<4"
Copy:   engine/ (api_keys, attempts, clients, counters, credentials, settings)
Add:    configure_authentication(app)

Key                  Default          Meaning (unit)
-------------------  ---------------  ----------------------------------------------------------
API_KEYS             {}               {"mobile": {"keys": ["<SHA-256 of a key, in hex>", ...],
                                      "scopes": ["orders:read"]}}; empty: off, every route is
                                      open. `flask api-key NAME` makes a key and prints the line
API_KEY_FAILURES     "20 per minute"  wrong credentials per address over all routes, then 429
                                      (a number per second, minute, hour or day)

A caller sends `X-API-Key: <key>` or `Authorization: Bearer <key>`; a key has 32 characters or
more of A-Z a-z 0-9 - . _ ~ + / =. Unknown paths, other methods and redirects respond 401 as well,
and a CORS preflight without a credential gets the same empty response on every path, so that nobody
learns without a key which routes exist. Open are @public views only; of the others none sees such a
preflight, flask_cors.cross_origin neither: list its origins in CORS_ORIGINS. Static files are
closed; to open them: public(app.view_functions["static"]).

    @api.get("/orders")
    @require_scope("orders:read")       # 403 for a caller without it
    def orders(): ...                   # g.client is the caller's name, g.scopes what it may do

Failures are counted in the store of app.extensions["rate_limiting"] where there is one, else in
this process; while that store is away, each process admits its part, at least one. A credential
that was right from the same address within the hour passes meanwhile.
Tokens of an identity provider: configure_authentication(app, verify_token=...), where
verify_token(text) returns (caller, scopes), or None if the token is not valid.

Standards: RFC 9110 (401, 403), RFC 6750 (Bearer), RFC 6585 (429), OWASP ASVS 5.0 6.3.1, 16.3
Version: 2.0.0
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import SecurityError

from .engine.api_keys import Caller, KeyRing, api_key_command, is_scope, read_callers
from .engine.attempts import Attempts
from .engine.clients import bucket_of, is_preflight
from .engine.credentials import (
    Credential,
    InsufficientScope,
    NotAuthenticated,
    TooManyFailures,
    digest_of,
    presented_credential,
)
from .engine.settings import Config, is_missing, refuse

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
LIMIT = re.compile(r"([1-9][0-9]{0,5}) ?(?:per|/) ?(second|minute|hour|day)")

View = TypeVar("View", bound=Callable[..., Any])
TokenVerifier = Callable[[str], Caller | None]


def configure_authentication(app: Flask, verify_token: TokenVerifier | None = None) -> None:
    """Ask every caller for a key or a token, as configured in API_KEYS; off while there are none.

    :param verify_token: judges bearer tokens that are not a key: (caller, scopes), or None.
    :raises ValueError: if a key is wrong; the message says what to write.
    """
    callers = read_callers("API_KEYS", app.config.get("API_KEYS"))
    attempts = Attempts(*_read_limit(app.config, "API_KEY_FAILURES", (20, 60)))
    app.cli.add_command(api_key_command("API_KEYS", callers))
    if not is_missing(app.config.get("JWT_JWKS")) and verify_token is None:
        problem = "is set, and nothing verifies tokens"
        refuse("JWT_JWKS", app.config["JWT_JWKS"], problem, "verify_token=token_verifier(app)")
    if callers or verify_token is not None:
        authentication = Authentication(KeyRing(callers), verify_token, attempts)
        app.extensions["authentication"] = authentication
        app.before_request(authentication.check_request)


def _read_limit(config: Config, key: str, default: tuple[int, int]) -> tuple[int, int]:
    """A number, and the seconds of its window."""
    value = config.get(key)
    if is_missing(value):
        return default
    match = LIMIT.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is None:
        refuse(key, value, "is not a limit", "20 per minute")
    return int(match[1]), SECONDS[match[2]]


# What a view says of itself


def public(view: View) -> View:
    """Open a view, a class of views or one of its methods to everybody. Decorators: any order."""
    cast(Any, view)._public = True
    return view


def require_scope(*scopes: str) -> Callable[[View], View]:
    """Let only callers with all these scopes in: 403 for others, 401 without a credential.

    It marks the view and wraps it, and so holds above and below @app.get(), on a class of views
    and on one of its methods. While authentication is off, everybody passes.

    :raises ValueError: if a scope is missing or has blanks or quotes in it.
    """
    if not scopes or not all(map(is_scope, scopes)):
        problem = "is not a list of names without blanks or quotes"
        refuse("require_scope", scopes, problem, 'require_scope("orders:read")')

    def mark(view: View) -> View:
        needed = frozenset(scopes) | getattr(view, "_scopes", frozenset())
        cast(Any, view)._scopes = needed
        if isinstance(view, type):
            return view

        @functools.wraps(view)
        def scoped(*args: Any, **kwargs: Any) -> Any:
            if "authentication" in current_app.extensions:
                _check_scopes(needed)
            return current_app.ensure_sync(view)(*args, **kwargs)

        return cast(View, scoped)

    return mark


def _check_scopes(needed: frozenset[str]) -> None:
    if g.get("client") is None:
        raise NotAuthenticated("missing_credential", "This needs an API key or a token.")
    if not needed <= g.scopes:
        raise InsufficientScope(needed)


def required_scopes(view: Callable[..., Any], method: str) -> frozenset[str] | None:
    """The scopes that a caller of this view needs, perhaps none; None where it is @public.

    A scope closes what @public opened; a subclass of a @public class is not public itself.
    """
    views: list[Any] = [view]
    is_public = getattr(view, "_public", False)
    if cls := getattr(view, "view_class", None):
        handler = getattr(cls, method.lower(), None)
        if handler is None and method == "HEAD":
            handler = getattr(cls, "get", None)
        views += [cls, handler]
        is_public = is_public or vars(cls).get("_public") or getattr(handler, "_public", False)
    scopes = frozenset().union(*(getattr(v, "_scopes", ()) for v in views))
    return None if is_public and not scopes else scopes


# The way of a request


class Authentication:
    """Who may come in to one application."""

    def __init__(
        self, keys: KeyRing, verify_token: TokenVerifier | None, attempts: Attempts
    ) -> None:
        self.keys = keys
        self.verify_token = verify_token
        self.attempts = attempts

    def check_request(self) -> Response | None:
        asked = request._get_current_object()  # type: ignore[attr-defined]  # looked up once
        environ = asked.environ
        if isinstance(asked.routing_exception, SecurityError):
            return None  # a host that is not trusted: 400, whoever asks
        view = current_app.view_functions.get(asked.endpoint or "")
        needed = required_scopes(view, asked.method) if view else frozenset()
        if needed is None:
            return None
        if is_preflight(environ) and not {"HTTP_X_API_KEY", "HTTP_AUTHORIZATION"} & environ.keys():
            return current_app.response_class()  # Allow, or a 404, would tell what there is
        credential = presented_credential(environ)
        client, scopes = self.identify(credential, bucket_of(environ.get("REMOTE_ADDR")))
        g.client, g.scopes = client, scopes
        environ["client"] = client
        if not needed <= scopes:
            raise InsufficientScope(needed)
        return None

    def identify(self, credential: Credential, address: str) -> Caller:
        """Who presents this credential.

        :raises NotAuthenticated: nobody we know.
        :raises TooManyFailures: its address was wrong too often; nothing was compared.
        """
        proof = digest_of(f"{address} {credential.text}").hex()
        if self.attempts.is_proven(proof) and (caller := self.verify(credential)):
            self.attempts.prove(proof)
            return caller
        wait, hand_back = self.attempts.take(address)
        if wait and not self.attempts.is_proven_elsewhere(proof):
            raise TooManyFailures(wait)
        is_wrong = False
        try:
            caller = self.verify(credential)
            is_wrong = caller is None
        finally:  # also where it could not be judged, because the identity provider is away
            if not is_wrong:
                hand_back()
        if caller is None:
            raise NotAuthenticated(
                "unknown_credential", "The credential is not valid.", error="invalid_token"
            )
        self.attempts.prove(proof)
        return caller

    def verify(self, credential: Credential) -> Caller | None:
        if not credential.is_possible:
            return None
        caller = self.keys.holder_of(credential.text)
        if caller is None and credential.is_bearer and self.verify_token is not None:
            return self.verify_token(credential.text)
        return caller
