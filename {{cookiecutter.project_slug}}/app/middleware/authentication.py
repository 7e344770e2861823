"""Only a caller with a configured API key, or a valid token, reaches a view that is not @public.

Needs:  pip install "flask>=3.1,<4"
Add:    configure_authentication(app)

Key                  Default          Meaning (unit)
-------------------  ---------------  ----------------------------------------------------------
API_KEYS             {}               {"mobile": {"keys": ["<SHA-256 of a key, in hex>", ...],
                                      "scopes": ["orders:read"]}}; empty: off, every route is
                                      open. `flask api-key NAME` makes a key and prints the line
API_KEY_FAILURES     "20 per minute"  wrong credentials per address over all routes, then 429
                                      (a number per second, minute, hour or day)

A caller sends `X-API-Key: <key>` or `Authorization: Bearer <key>`; a key has 32 characters or
more of A-Z a-z 0-9 - . _ ~ + / =. Unknown paths, other methods and redirects answer 401 as well,
and a CORS preflight without a credential gets the same empty answer on every path, so that nobody
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
verify_token(text) returns (client, scopes), or None if the token is not valid.

Standards: RFC 9110 (401, 403), RFC 6750 (Bearer), RFC 6585 (429), OWASP ASVS 5.0 6.3.1, 16.3
Version: 1.0.0
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import ipaddress
import json
import math
import re
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

import click
from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    HTTPException,
    SecurityError,
    TooManyRequests,
    Unauthorized,
)

REALM = "api"
KEY_PREFIX = "apikey_"  # so that a scanner, or a person, recognises a key that leaked
MINIMUM, MAXIMUM = 32, 8192  # characters of a credential
REMEMBERED = 10_000  # addresses, and right credentials, held in memory
PROVEN_SECONDS = 3600
PROVEN_POLICY = f"1 per {PROVEN_SECONDS} second"
MARK_SECONDS = 60
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

CREDENTIAL = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1, b64token
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SCOPE = re.compile(r"[!#-&(-\[\]-~]+")  # RFC 6749 section 3.3, without the apostrophe
HASH = re.compile(r"[0-9a-f]{64}")
LIMIT = re.compile(r"([1-9]\d{0,5}) ?(?:per|/) ?(second|minute|hour|day)")

Caller = tuple[str, frozenset[str]]  # a name and its scopes
View = TypeVar("View", bound=Callable[..., Any])


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
    if not scopes or not all(isinstance(s, str) and SCOPE.fullmatch(s) for s in scopes):
        raise ValueError(
            f'require_scope{scopes!r}: name scopes, as in require_scope("orders:read")'
        )

    def mark(view: View) -> View:
        needed = frozenset(scopes) | getattr(view, "_scopes", frozenset())
        cast(Any, view)._scopes = needed
        if isinstance(view, type):
            return view

        @functools.wraps(view)
        def scoped(*args: Any, **kwargs: Any) -> Any:
            check_scopes(needed)
            return current_app.ensure_sync(view)(*args, **kwargs)

        return cast(View, scoped)

    return mark


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


class Refusal(HTTPException):
    """An answer that no cache may keep, and its challenge (RFC 9110 section 11.6.1)."""

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
        self.challenge = challenge(error=error)
        report("authn_failed", reason)


class InsufficientScope(Refusal, Forbidden):
    """403 that names the scopes to ask for."""

    def __init__(self, scopes: Iterable[str]) -> None:
        names = " ".join(sorted(scopes))
        super().__init__(f"The credential lacks the scope that this needs: {names}.")
        self.challenge = challenge(error="insufficient_scope", scope=names)
        report("authz_denied", "insufficient_scope", scope=names)


class TwoCredentials(Refusal, BadRequest):
    """400, as RFC 6750 section 2 has it."""

    def __init__(self) -> None:
        super().__init__("Two different credentials came: send one of them.")
        self.challenge = challenge(error="invalid_request")
        report("authn_failed", "two_credentials")


class TooManyFailures(TooManyRequests):
    """429: nothing was compared."""

    def __init__(self, wait: float) -> None:
        seconds = max(1, math.ceil(wait))
        super().__init__(
            "Too many credentials from this address were wrong, or are not yet known to be right: "
            f"try again in {seconds} s.",
            retry_after=seconds,
        )
        self.problem = {"type": QUOTA_EXCEEDED, "violated-policies": ["credential-failures"]}
        report("rate_limited", "credential_failures")


def challenge(**parameters: str | None) -> str:
    """A value of WWW-Authenticate, quoted by hand: Werkzeug quotes only where it must, and
    RFC 9110 section 11.5 wants the realm quoted always."""
    given = {"realm": REALM, **parameters}
    return "Bearer " + ", ".join(f'{name}="{text}"' for name, text in given.items() if text)


def report(event: str, reason: str, **members: str) -> None:
    """Tell the security log; never a credential."""
    request.environ["security_event"] = {"event": event, "reason": reason, **members}


def check_scopes(needed: frozenset[str]) -> None:
    if "authentication" not in current_app.extensions:
        return
    if g.get("client") is None:
        raise NotAuthenticated("missing_credential", "This needs an API key or a token.")
    if not needed <= g.scopes:
        raise InsufficientScope(needed)


class Attempts:
    """How many credentials not yet proven an address may try in a window.

    A place is taken before the comparison, so that threads and workers together never compare
    more. A right credential does not use its place up: it is handed back.
    """

    def __init__(self, limit: int, seconds: int) -> None:
        self.limit, self.seconds = limit, seconds
        self.policy = f"{limit} per {seconds} second"
        self._lock = threading.Lock()
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()  # for want of a shared store
        self._proven: OrderedDict[str, tuple[float, float]] = OrderedDict()  # last used, marked

    def take(self, address: str) -> tuple[float, Callable[[], object]]:
        """The seconds to wait, 0.0 if none; and what hands the place back that was taken."""
        shared = current_app.extensions.get("rate_limiting")
        if shared is None:
            return self._take_here(address, self.limit)
        wait = shared.acquire("credential_failures", self.policy, address)
        if wait >= self.seconds and getattr(shared, "degraded", False):
            # the store is away, and this process's part of so small a limit is none: then it is one
            return self._take_here(address, 1)
        release = None if wait else getattr(shared, "release", None)  # whoever's store it is
        if release is None:
            return wait, nothing
        return wait, lambda: release("credential_failures", self.policy, address)

    def _take_here(self, address: str, limit: int) -> tuple[float, Callable[[], object]]:
        now = time.monotonic()
        with self._lock:
            taken = self._taken.setdefault(address, deque())
            self._taken.move_to_end(address)
            shrink(self._taken)
            while taken and taken[0] <= now - self.seconds:
                taken.popleft()
            if len(taken) >= limit:
                return taken[0] + self.seconds - now, nothing
            taken.append(now)

        def hand_back() -> None:
            with self._lock, contextlib.suppress(ValueError):
                taken.remove(now)

        return 0.0, hand_back

    def prove(self, proof: str) -> None:
        """Remember that a credential was right, here and, looking once a minute, in the store."""
        now = time.monotonic()
        with self._lock:
            _, marked = self._proven.pop(proof, (0.0, -math.inf))
            is_due = now - marked >= MARK_SECONDS
            self._proven[proof] = now, now if is_due else marked
            shrink(self._proven)
        shared = current_app.extensions.get("rate_limiting") if is_due else None
        if shared is not None:
            shared.acquire("credential_proven", PROVEN_POLICY, proof)

    def is_proven(self, proof: str) -> bool:
        used, _ = self._proven.get(proof, (-math.inf, 0.0))
        return time.monotonic() - used < PROVEN_SECONDS

    def is_proven_elsewhere(self, proof: str) -> bool:
        """Whether another worker saw it right: its mark is there if one more is not admitted.

        While the store is away that proves nothing: this process's part of one place may be none.
        """
        shared = current_app.extensions.get("rate_limiting")
        if shared is None or not shared.peek("credential_proven", PROVEN_POLICY, proof):
            return False
        return not getattr(shared, "degraded", False)


def nothing() -> None:
    """There is no place to hand back."""


def shrink(table: OrderedDict[str, Any]) -> None:
    while len(table) > REMEMBERED:
        table.popitem(last=False)


class Authentication:
    """The before_request function of one application, and what it knows."""

    def __init__(
        self,
        clients: Mapping[str, Mapping[str, list[str]]],
        verify_token: Callable[[str], Caller | None] | None,
        attempts: Attempts,
    ) -> None:
        self.verify_token = verify_token
        self.attempts = attempts
        self.callers: list[tuple[bytes, Caller]] = [
            (bytes.fromhex(digest), (name, frozenset(client["scopes"])))
            for name, client in clients.items()
            for digest in client["keys"]
        ]

    def __call__(self) -> Response | None:
        asked = request._get_current_object()  # type: ignore[attr-defined]  # each look-up: 0.5 us
        environ = asked.environ
        if isinstance(asked.routing_exception, SecurityError):
            return None  # a host that is not trusted: 400, whoever asks
        view = current_app.view_functions.get(asked.endpoint or "")
        needed = required_scopes(view, asked.method) if view else frozenset()
        if needed is None:
            return None
        key, authorization = environ.get("HTTP_X_API_KEY"), environ.get("HTTP_AUTHORIZATION")
        if key is None and authorization is None and is_preflight(environ):
            return current_app.response_class()  # Allow, or a 404, would tell what there is
        credential, is_bearer = presented_credential(key, authorization)
        address = network(environ.get("REMOTE_ADDR"))
        client, scopes = self.identify(credential, is_bearer, address)
        g.client, g.scopes = client, scopes
        environ["client"] = client
        if not needed <= scopes:
            raise InsufficientScope(needed)
        return None

    def identify(self, credential: str, is_bearer: bool, address: str) -> Caller:
        """Who presents this credential.

        :raises NotAuthenticated: nobody we know.
        :raises TooManyFailures: its address was wrong too often; nothing was compared.
        """
        proof = sha256(f"{address} {credential}").hex()
        if self.attempts.is_proven(proof) and (caller := self.verify(credential, is_bearer)):
            self.attempts.prove(proof)
            return caller
        wait, hand_back = self.attempts.take(address)
        if wait and not self.attempts.is_proven_elsewhere(proof):
            raise TooManyFailures(wait)
        is_wrong = False
        try:
            caller = self.verify(credential, is_bearer)
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

    def verify(self, credential: str, is_bearer: bool) -> Caller | None:
        if not MINIMUM <= len(credential) <= MAXIMUM or not CREDENTIAL.fullmatch(credential):
            return None
        digest = sha256(credential)
        found = None
        for known, caller in self.callers:  # all of them: the time tells nothing
            if hmac.compare_digest(known, digest):
                found = caller
        if found is None and is_bearer and self.verify_token is not None:
            return self.verify_token(credential)
        return found


def is_preflight(environ: Mapping[str, Any]) -> bool:
    """A browser's question before a request (Fetch standard); it never carries a credential."""
    return (
        environ["REQUEST_METHOD"] == "OPTIONS"
        and "HTTP_ORIGIN" in environ
        and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    )


def presented_credential(key: str | None, authorization: str | None) -> tuple[str, bool]:
    """The credential in X-API-Key or Authorization, and whether it came as a bearer token.

    Two header lines of one name reach us joined by a comma, which no credential contains.
    """
    scheme, _, bearer = (authorization or "").partition(" ")
    bearer = bearer.lstrip(" ")  # RFC 9110 section 11.4: one blank or more
    if authorization is not None and scheme.lower() != "bearer":
        raise NotAuthenticated(
            "unknown_scheme", 'Use "Authorization: Bearer ..." or "X-API-Key: ...".'
        )
    if key is None and authorization is None:
        raise NotAuthenticated("missing_credential", "This needs an API key or a token.")
    if key is not None and authorization is not None and key != bearer:
        raise TwoCredentials
    return (bearer, True) if key is None else (key, False)


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("latin-1", "replace")).digest()


@functools.lru_cache(maxsize=8192)
def network(address: str | None) -> str:
    """The customer behind an address: IPv4 as it is, also inside IPv6; IPv6 by its /64."""
    try:
        ip = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))


def parse_failures(value: object) -> tuple[int, int]:
    match = LIMIT.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'API_KEY_FAILURES: {value!r} is not a limit; write "20 per minute"')
    return int(match[1]), SECONDS[match[2]]


def parse_clients(value: object) -> dict[str, dict[str, list[str]]]:
    """Check API_KEYS, given as a mapping or as its JSON text.

    :raises ValueError: naming the client and the remedy; of a key at most the first characters.
    """
    if value is None:
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, Mapping):
        raise ValueError(
            "API_KEYS: not a mapping of clients; write the line that `flask api-key NAME` prints, "
            "or {} to leave authentication off"
        )
    clients = {name: parse_client(name, client) for name, client in value.items()}
    owners: dict[str, str] = {}
    for name, client in clients.items():
        for digest in client["keys"]:
            if digest in owners:
                raise ValueError(
                    f"API_KEYS: {owners[digest]!r} and {name!r} hold the same key "
                    f"({digest[:8]}...); give each its own: `flask api-key {name}`"
                )
            owners[digest] = name
    return clients


def parse_client(name: object, client: object) -> dict[str, list[str]]:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"API_KEYS: client {name!r}: a name has 1 to 64 of A-Z a-z 0-9 . _ -")
    if not isinstance(client, Mapping) or set(client) - {"keys", "scopes"} or "keys" not in client:
        raise ValueError(
            f'API_KEYS: client {name!r}: its value has "keys" and "scopes" and nothing else, as in '
            '{"keys": ["<SHA-256 in hex>"], "scopes": ["orders:read"]}'
        )
    keys, scopes = client["keys"], client.get("scopes", [])
    if not isinstance(keys, list | tuple) or not keys:
        raise ValueError(f'API_KEYS: client {name!r}: "keys" is a list of one or more hashes')
    if not isinstance(scopes, list | tuple) or not all(
        isinstance(s, str) and SCOPE.fullmatch(s) for s in scopes
    ):
        raise ValueError(
            f'API_KEYS: client {name!r}: "scopes" is a list of names without blanks or quotes, '
            f'as in ["orders:read"], not {scopes!r}'
        )
    return {"keys": [parse_hash(name, key) for key in keys], "scopes": list(scopes)}


def parse_hash(name: str, key: object) -> str:
    text = key.lower() if isinstance(key, str) else ""
    if text == sha256("").hex():
        raise ValueError(f"API_KEYS: client {name!r}: this is the hash of an empty key")
    if not HASH.fullmatch(text):
        shown = f"{key[:4]!r}... ({len(key)} characters)" if isinstance(key, str) else type(key)
        raise ValueError(
            f"API_KEYS: client {name!r}: {shown} is not the SHA-256 of a key (64 hex digits); "
            f"it looks like a plain key: make a new one with `flask api-key {name}`"
        )
    return text


def configure_authentication(
    app: Flask, verify_token: Callable[[str], Caller | None] | None = None
) -> None:
    """Ask every caller for a key or a token, as configured in API_KEYS; off while there are none.

    :param verify_token: judges bearer tokens that are no key: (client, scopes), or None.
    :raises ValueError: if a key is wrong; the message says what to write.
    """
    clients = parse_clients(app.config.get("API_KEYS"))
    attempts = Attempts(*parse_failures(app.config.get("API_KEY_FAILURES", "20 per minute")))
    app.cli.add_command(api_key_command(clients))
    if app.config.get("JWT_JWKS") and verify_token is None:
        raise ValueError(
            "JWT_JWKS is set and nothing verifies tokens; "
            "write configure_authentication(app, verify_token=...)"
        )
    if clients or verify_token is not None:
        authentication = Authentication(clients, verify_token, attempts)
        app.extensions["authentication"] = authentication
        app.before_request(authentication)


def api_key_command(clients: Mapping[str, Mapping[str, list[str]]]) -> click.Command:
    @click.command("api-key")
    @click.argument("name")
    @click.option("--scope", "scopes", multiple=True, help="What it may do; repeat it for more.")
    def api_key(name: str, scopes: tuple[str, ...]) -> None:
        """Make a key for a new client, or one more for a client that changes its key."""
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        client = clients.get(name, {"keys": [], "scopes": []})
        keys = [*client["keys"], sha256(key).hex()]
        merged = {"keys": keys, "scopes": list(dict.fromkeys([*client["scopes"], *scopes]))}
        try:
            line = json.dumps(parse_clients({**clients, name: merged}))
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        click.echo(f"The key of {name}, shown this once:", err=True)
        click.echo(key)
        click.echo("The line for .env, in place of the old one (it holds hashes only):", err=True)
        click.echo(f"FLASK_API_KEYS='{line}'")
        if len(keys) > 1:
            click.echo(
                f"{name} has {len(keys)} keys now; drop the first when it is unused.", err=True
            )

    return api_key
