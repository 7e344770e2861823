"""Only a caller with a configured API key, or a valid token, reaches a view that is not @public.

Needs:  pip install "flask>=3.1,<4" "python-dotenv>=1.1,<2"
Copy:   engine/ (api_keys, attempts, clients, counters, credentials, header_lists, identification,
        kept_headers, key_commands, marks, settings)
Add:    configure_authentication(app)

Key                  Default          Meaning (unit)
-------------------  ---------------  ----------------------------------------------------------
API_KEYS             {}               {"mobile": {"keys": ["<SHA-256 of a key, in hex>", ...],
                                      "scopes": ["orders:read"], "limits": "1000 per hour"}};
                                      "tier": "gold" in place of "limits": RATELIMIT_TIERS;
                                      empty: off, every route is open. `flask api-key NAME`
                                      makes a key, and with --write puts it into .env
API_KEY_FAILURES     "20 per minute"  wrong credentials of one kind per address, over all
                                      routes; then 429 (a number per second, minute, hour or day)

A caller sends `X-API-Key: <key>` or `Authorization: Bearer <key>`; a key has 32 characters or
more of A-Z a-z 0-9 - . _ ~ + / =. Unknown paths, other methods and redirects respond 401 as well,
and a CORS preflight without a credential gets the same empty response on every path, so that nobody
learns without a key which routes exist. Open are @public views only; of the others none sees such a
preflight, flask_cors.cross_origin neither: list its origins in CORS_ORIGINS. Static files are
closed; to open them: public(app.view_functions["static"]).

    @api.get("/orders")
    @require_scope("orders:read")       # 403 for a caller without it
    def orders(): ...                   # g.client is the caller's name, g.scopes what it may do

Only what may be right is compared, and at most API_KEY_FAILURES wrong keys per address: over all
workers in the store of app.extensions["rate_limiting"] where there is one, else in this process.
When they are used up, there still pass: a key that was right from that address within a day; a
key of `flask api-key`, which names its caller and so has API_KEY_FAILURES of its own; a signed
token, whose signature nobody can guess. Any other key waits (429). The same wrong key again, what
cannot be a key, and a token that has expired or is for others, take nothing away from anybody.

Tokens of an identity provider: configure_authentication(app, verify_token=...), where
verify_token(text) returns (caller, scopes), or None if the token is wrong. It may raise
NotAuthenticated for one that was not guessed, but has expired for example. If it verifies
signatures, it says so by an attribute, checks_signatures = True, and is asked without limit.

Standards: RFC 9110 (401, 403), RFC 6750 (Bearer), RFC 6585 (429), OWASP ASVS 5.0 6.3.1, 16.3
Version: 2.0.0
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from flask import Blueprint, Flask, Request, Response, current_app, g, request
from werkzeug.exceptions import SecurityError

from .engine.api_keys import KeyRing, is_scope, read_callers
from .engine.attempts import Attempts
from .engine.clients import bucket_of, is_preflight
from .engine.credentials import (
    Caller,
    InsufficientScope,
    NotAuthenticated,
    has_credential,
    presented_credential,
    proof_of,
)
from .engine.identification import Identification, TokenVerifier
from .engine.kept_headers import keep_headers
from .engine.key_commands import key_commands
from .engine.marks import handler_of, mark
from .engine.settings import Config, is_missing, refuse

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
LIMIT = re.compile(r"([1-9][0-9]{0,5}) ?(?:per|/) ?(second|minute|hour|day)")

FOUND = "_caller_found"  # of a request, a caller or what is to be raised; an environ is handed on

Target = TypeVar("Target", bound="Callable[..., Any] | Blueprint")


def configure_authentication(app: Flask, verify_token: TokenVerifier | None = None) -> None:
    """Ask every caller for a key or a token, as configured in API_KEYS; off while there are none.

    :param verify_token: judges bearer tokens that are not a key: (caller, scopes), or None.
    :raises ValueError: if a key is wrong; the message says what to write.
    """
    callers = read_callers("API_KEYS", app.config.get("API_KEYS"))
    attempts = Attempts(*_read_limit(app.config, "API_KEY_FAILURES", (20, 60)))
    app.cli.add_command(key_commands("API_KEYS", callers))
    if not is_missing(app.config.get("JWT_JWKS")) and verify_token is None:
        problem = "is set, and nothing verifies tokens"
        refuse("JWT_JWKS", app.config["JWT_JWKS"], problem, "verify_token=token_verifier(app)")
    if not callers and verify_token is None:
        return
    identification = Identification(KeyRing(callers), verify_token, attempts)
    authentication = Authentication(app.view_functions, identification)
    app.extensions["authentication"] = authentication
    keep_headers(app)  # WWW-Authenticate, whoever renders a 401

    @app.before_request
    def check_request() -> Response | None:
        return authentication.check(request._get_current_object())  # type: ignore[attr-defined]


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


def public(target: Target) -> Target:
    """Open a view, a class of views or one of its methods, or a blueprint, to everybody.

    Decorators: any order. Of a bound method only what is returned is open.
    """
    return cast(Target, mark(target, "_public", True))


def require_scope(*scopes: str) -> Callable[[Target], Target]:
    """Let only callers with all these scopes in: 403 for others, 401 without a credential.

    It marks the view and wraps it, and so holds above and below @app.get(), on a class of views
    and on one of its methods; and on a blueprint, for all its views. While authentication is off,
    everybody passes.

    :raises ValueError: if a scope is missing or has blanks or quotes in it.
    """
    if not scopes or not all(map(is_scope, scopes)):
        problem = "is not a list of names without blanks or quotes"
        refuse("require_scope", scopes, problem, 'require_scope("orders:read")')

    def close(target: Target) -> Target:
        needed = frozenset(scopes) | getattr(target, "_scopes", frozenset())
        view: Any = mark(target, "_scopes", needed)
        if isinstance(view, type | Blueprint):
            return cast(Target, view)

        @functools.wraps(view)
        def scoped(*args: Any, **kwargs: Any) -> Any:
            if "authentication" in current_app.extensions:
                _check_scopes(needed)
            return current_app.ensure_sync(view)(*args, **kwargs)

        return cast(Target, scoped)

    return close


def _check_scopes(needed: frozenset[str]) -> None:
    if g.get("client") is None:
        raise NotAuthenticated("missing_credential", "This needs an API key or a token.")
    if not needed <= g.scopes:
        raise InsufficientScope(needed)


def required_scopes(
    view: Callable[..., Any], method: str, blueprints: Iterable[object] = ()
) -> frozenset[str] | None:
    """The scopes that a caller of this view needs, perhaps none; None where it is @public.

    A scope closes what @public opened; a subclass of a @public class is not public itself.
    """
    views: list[Any] = [view, *blueprints]
    is_public = any(getattr(one, "_public", False) for one in views)
    if cls := getattr(view, "view_class", None):
        handler = handler_of(cls, method)
        views += [cls, handler]
        is_public = is_public or vars(cls).get("_public") or getattr(handler, "_public", False)
    scopes = frozenset().union(*(getattr(v, "_scopes", ()) for v in views))
    return None if is_public and not scopes else scopes


# The way of a request


class Authentication:
    """Who may come in to one application.

    What counts by caller asks caller_of_request(), before or after this has checked the request.
    """

    def __init__(
        self, views: Mapping[str, Callable[..., Any]], identification: Identification
    ) -> None:
        self.views = views
        self.identification = identification
        self.keys = identification.keys
        self.needed: dict[tuple[Any, ...], frozenset[str] | None] = {}

    def check(self, asked: Request) -> Response | None:
        environ = asked.environ
        needed = self.needed_by(asked)
        if needed is None:
            return None
        if is_preflight(environ) and not has_credential(environ):
            return current_app.response_class()  # Allow, or a 404, would tell what there is
        found = vars(asked).get(FOUND)
        if isinstance(found, Exception):
            raise found
        caller = found or self.identify(asked)
        if not needed <= caller.scopes:
            raise InsufficientScope(needed)
        return None

    def needed_by(self, asked: Request) -> frozenset[str] | None:
        """The scopes that this request needs; None if everybody may come in."""
        if isinstance(asked.routing_exception, SecurityError):
            return None  # a host that is not trusted: 400, whoever asks
        view, method = self.views.get(asked.endpoint or ""), asked.environ["REQUEST_METHOD"]
        if view is None:
            return frozenset()
        key = view, asked.endpoint, method
        if key not in self.needed:
            blueprints = [current_app.blueprints.get(name) for name in asked.blueprints]
            self.needed[key] = required_scopes(view, method, blueprints)
        return self.needed[key]

    def identify(self, asked: Request) -> Caller:
        environ = asked.environ
        credential = presented_credential(environ)
        caller = self.identification.caller(credential, bucket_of(environ.get("REMOTE_ADDR")))
        known = g._get_current_object()
        known.caller, known.client, known.scopes = caller, caller.name, caller.scopes
        environ["client"] = caller.name
        return caller

    def caller_of_request(self) -> Caller | None:
        """The caller, if one is known. It refuses nobody: check() raises later what was found.

        Where everybody may come in, nothing is compared: a caller is known there if its credential
        was right before or is signed.
        """
        asked = request._get_current_object()  # type: ignore[attr-defined]
        if FOUND not in vars(asked):
            vars(asked)[FOUND] = self.find(asked)
        found = vars(asked)[FOUND]
        return found if isinstance(found, Caller) else None

    def find(self, asked: Request) -> Caller | Exception | None:
        environ = asked.environ
        if not has_credential(environ):
            return None
        is_open = self.needed_by(asked) is None
        try:
            if not is_open:
                return self.identify(asked)
            credential = presented_credential(environ)
            address = bucket_of(environ.get("REMOTE_ADDR"))
            return self.identification.known(credential, proof_of(credential.text, address))
        except Exception as error:
            if is_open:  # then nobody is refused
                environ.pop("security_event", None)
            return error
