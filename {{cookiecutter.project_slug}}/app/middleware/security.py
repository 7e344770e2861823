"""Every answer carries the security headers of the OWASP Secure Headers Project, errors included.

Needs:  pip install "flask>=3.1,<4"
Add:    configure_security_headers(app)

Key                  Default     Meaning (unit)
-------------------  ----------  ------------------------------------------------------------
SECURITY_HEADERS     {}          mapping of header name to value: changes or adds one; None or
                                 "" stops sending it
SECURITY_CSP_PAGE    CSP_PAGE    Content-Security-Policy of an HTML answer; 'nonce' stands for
                                 the nonce of the request; "" sends none
SECURITY_CSP_API     CSP_API     Content-Security-Policy of any other answer; "" sends none
SESSION_COOKIE_NAME  "session"   left at that: renamed __Host-session (__Secure-session with a
                                 domain or path), Secure, HttpOnly, SameSite=Lax; a service
                                 that chose another name keeps its settings

A header that a view sets is kept, one that it sets to "" is left out. Server and X-Powered-By are
always left out. One view changes a part of its policy:

    @app.get("/map")
    @content_security_policy(img_src="'self' https://tiles.example.com")
    def map_page(): ...

An inline script runs only with the nonce that csp_nonce() returns in a template, so such a page
must not be kept by a shared cache.

Standards: OWASP Secure Headers Project, OWASP ASVS 5.0 3.3.1-4 and 3.4.1-8, W3C CSP 3, RFC 6797.
Version: 1.0.0
"""

from __future__ import annotations

import difflib
import functools
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Flask, Request, Response, current_app, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CSP_API = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
CSP_PAGE = (
    "default-src 'none'; script-src 'nonce'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",  # over https only
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": (
        "accelerometer=(), autoplay=(), camera=(), cross-origin-isolated=(), display-capture=(), "
        "encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), keyboard-map=(), "
        "magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), "
        "publickey-credentials-get=(), screen-wake-lock=(), sync-xhr=(self), usb=(), "
        "web-share=(), xr-spatial-tracking=(), clipboard-read=(), clipboard-write=(), "
        "gamepad=(), hid=(), idle-detection=(), interest-cohort=(), serial=(), unload=()"
    ),
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-XSS-Protection": "0",  # the filter that 1 switched on could be turned against the page
    "Cache-Control": "no-store",
}
CSP = "Content-Security-Policy"
DIRECTIVES = (
    "base-uri child-src connect-src default-src fenced-frame-src font-src form-action "
    "frame-ancestors frame-src img-src manifest-src media-src object-src report-to report-uri "
    "require-trusted-types-for sandbox script-src script-src-attr script-src-elem style-src "
    "style-src-attr style-src-elem trusted-types upgrade-insecure-requests worker-src"
)
# what says something of one answer, or of one connection, and so is nobody's constant
OF_ONE_ANSWER = {"content-encoding", "content-length", "content-type", "date", "location"}
OF_ONE_ANSWER |= {"connection", "keep-alive", "set-cookie", "transfer-encoding", "upgrade", "vary"}
UNQUOTED = re.compile(
    r"(?i)(self|none|nonce|strict-dynamic|report-sample|(wasm-)?unsafe-.*|(nonce|sha(256|384|512))-.*)"
)
PAGES = ("text/html", "application/xhtml+xml")
BANNERS = frozenset({"server", "x-powered-by"})  # they tell what runs here
# as Werkzeug and the other middlewares write what is on most answers: nothing that this file sends
USUAL = frozenset({"Content-Type", "Content-Length", "Vary", "X-Request-ID", "RateLimit"})
USUAL |= {"RateLimit-Policy", "Retry-After", "Allow", "Location", "Access-Control-Allow-Origin"}
USUAL |= {"Access-Control-Allow-Credentials", "Access-Control-Expose-Headers", "WWW-Authenticate"}
SIGNING = "Granian"  # it puts its name where no Server header is, and has no switch for that

Headers = list[tuple[str, str]]
Changes = tuple[tuple[str, "str | None"], ...]
View = TypeVar("View", bound=Callable[..., Any])


def configure_security_headers(app: Flask) -> None:
    """Put the headers on every answer, harden the session cookie, offer csp_nonce() to templates.

    :raises ValueError: if a SECURITY_ key cannot be used; the message says what to write.
    """
    layer = SecurityHeaders(
        app.wsgi_app,
        headers=read_headers(app.config.get("SECURITY_HEADERS")),
        page=read_policy("SECURITY_CSP_PAGE", app.config.get("SECURITY_CSP_PAGE", CSP_PAGE)),
        api=read_policy("SECURITY_CSP_API", app.config.get("SECURITY_CSP_API", CSP_API)),
    )
    app.wsgi_app = layer  # type: ignore[method-assign]
    app.jinja_env.globals["csp_nonce"] = csp_nonce
    harden_session_cookie(app.config)
    if type(app.session_interface) is SecureCookieSessionInterface:  # nobody's own
        app.session_interface = SparingSessions()


def content_security_policy(**directives: str | None) -> Callable[[View], View]:
    """Change the page policy for one view, whatever it answers with.

    :param directives: script_src="'self' 'nonce'" sets one, img_src=None leaves one out.
    :raises ValueError: for a directive or a source that CSP level 3 does not know.
    """
    changes = tuple((name.replace("_", "-"), value) for name, value in directives.items())
    for name, value in changes:
        check_directive("@content_security_policy", name, value or "")

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def changed(*args: Any, **kwargs: Any) -> Any:
            request.environ["csp_changes"] = changes
            return current_app.ensure_sync(view)(*args, **kwargs)

        return cast("View", changed)

    return decorate


def csp_nonce() -> str:
    """The nonce of this request, for <script nonce="...">: the same one at every call."""
    return nonce_of(request.environ)


def nonce_of(environ: WSGIEnvironment) -> str:
    if "csp_nonce" not in environ:
        environ["csp_nonce"] = secrets.token_urlsafe(16)
    return cast("str", environ["csp_nonce"])


class SecurityHeaders:
    """A WSGI layer and not an after_request function: one of those is skipped when another raises,
    and takes 9 us for six headers, where this takes 2 for twelve.
    """

    def __init__(
        self,
        wsgi_app: WSGIApplication,
        headers: dict[str, str],
        page: dict[str, str],
        api: dict[str, str],
    ) -> None:
        self.wsgi_app = wsgi_app
        https = list(headers.items())
        http = [header for header in https if header[0] != "Strict-Transport-Security"]
        self.plain = {"https": https, "http": http}
        api_policy = [(CSP, write_policy(api))] if api else []
        self.api = {scheme: plain + api_policy for scheme, plain in self.plain.items()}
        self.page = page
        self.pages: dict[tuple[str, Changes], tuple[Headers, str]] = {}
        # Expires is a view's own word on caching, as Cache-Control is.
        self.watched = {name.lower() for name in headers} | BANNERS | {CSP.lower(), "expires"}
        self.usual = frozenset(name for name in USUAL if name.lower() not in self.watched)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def secured(
            status: str, headers: Headers, exc_info: Any = None
        ) -> Callable[[bytes], object]:
            present = dict(headers)
            is_usual = self.usual.issuperset(present)  # saves 1 us
            if not is_usual:
                present = {name.lower(): value for name, value in headers}
            content_type = present.get("Content-Type" if is_usual else "content-type", "")
            is_page = content_type.lower().startswith(PAGES) or "csp_changes" in environ
            added = self.choose(environ, status, is_page)
            if is_usual or self.watched.isdisjoint(present):
                headers.extend(added)
            else:
                headers[:] = self.merge(headers, added, {*present})
            if (environ.get("SERVER_SOFTWARE") or "").startswith(SIGNING):
                headers.append(("Server", ""))
            return start_response(status, headers, exc_info)

        return self.wsgi_app(environ, secured)

    def choose(self, environ: WSGIEnvironment, status: str, is_page: bool) -> Headers:
        """The scheme is read here and not earlier: ProxyFix may have changed it meanwhile."""
        scheme = "https" if environ["wsgi.url_scheme"] == "https" else "http"
        if is_page:
            headers, policy = self.plan_page(scheme, environ.get("csp_changes", ()))
            if "'nonce'" in policy:
                policy = policy.replace("'nonce'", f"'nonce-{nonce_of(environ)}'")
            return [*headers, (CSP, policy)] if policy else headers
        if status.startswith("304") and "text/html" in environ.get("HTTP_ACCEPT", ""):
            return self.plain[scheme]  # the stored page keeps the policy that has its nonce
        return self.api[scheme]

    def plan_page(self, scheme: str, changes: Changes) -> tuple[Headers, str]:
        """A page's headers and policy, made once for each view that asks for other ones.

        Where the policy lets another host in, Cross-Origin-Embedder-Policy is left out: it would
        block everything that this host serves without a word on CORS or CORP.
        """
        if (scheme, changes) not in self.pages:
            secure = {"upgrade-insecure-requests": ""} if self.page and scheme == "https" else {}
            policy: dict[str, str | None] = {**self.page, **secure, **dict(changes)}
            headers = self.plain[scheme]
            if names_a_host(policy):
                headers = [pair for pair in headers if pair[0] != "Cross-Origin-Embedder-Policy"]
            self.pages[scheme, changes] = headers, write_policy(policy)
        return self.pages[scheme, changes]

    def merge(self, headers: Headers, added: Headers, names: set[str]) -> Headers:
        """What the view says is kept; what it sets to nothing, and Server, is left out."""
        kept = [
            (name, value)
            for name, value in headers
            if name.lower() not in BANNERS and (value or name.lower() not in self.watched)
        ]
        if "expires" in names:
            names.add("cache-control")
        return kept + [header for header in added if header[0].lower() not in names]


def write_policy(policy: Mapping[str, str | None]) -> str:
    parts = (f"{name} {value}" for name, value in policy.items() if value is not None)
    return "; ".join(part.rstrip() for part in parts)


def names_a_host(policy: Mapping[str, str | None]) -> bool:
    fetched = " ".join(value or "" for name, value in policy.items() if name.endswith("-src"))
    return any(not source.startswith(("'", "data:", "blob:")) for source in fetched.split())


def harden_session_cookie(config: dict[str, Any]) -> None:
    if config["SESSION_COOKIE_NAME"] != "session":
        return
    path = config["SESSION_COOKIE_PATH"] or config["APPLICATION_ROOT"]
    whole_host = not config["SESSION_COOKIE_DOMAIN"] and path == "/"
    config["SESSION_COOKIE_NAME"] = "__Host-session" if whole_host else "__Secure-session"
    config["SESSION_COOKIE_SECURE"] = True
    config["SESSION_COOKIE_HTTPONLY"] = True
    config["SESSION_COOKIE_SAMESITE"] = config["SESSION_COOKIE_SAMESITE"] or "Lax"


class SparingSessions(SecureCookieSessionInterface):
    """Flask's signed cookie sessions, touched only where there is one, with the same answers.

    Flask prepares the signature on every request: 17 us beside the 43 of a small request.
    """

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if app.secret_key and "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session.accessed or session.modified or session:
            super().save_session(app, session, response)


def read_headers(changes: object) -> dict[str, str]:
    """Apply SECURITY_HEADERS to the defaults."""
    if changes is not None and not isinstance(changes, Mapping):
        raise ValueError(
            f"SECURITY_HEADERS: {changes!r} is not a mapping of header names to values; "
            'write {"X-Frame-Options": "SAMEORIGIN"}'
        )
    headers = dict(HEADERS)
    for given, value in (changes or {}).items():
        check_header(given, value)
        name = next((known for known in HEADERS if known.lower() == given.lower()), given)
        if value:
            headers[name] = value
        elif not headers.pop(name, None):
            raise ValueError(f"SECURITY_HEADERS: {name} is not sent{did_you_mean(name, HEADERS)}")
    return headers


def check_header(name: object, value: object) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError(f"SECURITY_HEADERS: {name!r} is no header name; write X-Frame-Options")
    if name.lower() == CSP.lower():
        raise ValueError(
            f"SECURITY_HEADERS: {CSP} differs for pages; set SECURITY_CSP_PAGE for HTML and "
            "SECURITY_CSP_API for the rest"
        )
    if name.lower().startswith("access-control-"):
        raise ValueError(
            f"SECURITY_HEADERS: {name} would let any page read any answer; set CORS_ORIGINS"
        )
    if name.lower() in OF_ONE_ANSWER:
        raise ValueError(
            f"SECURITY_HEADERS: {name} belongs to one answer and not to all; set it in the view"
        )
    if value is not None and not isinstance(value, str):
        raise ValueError(f"SECURITY_HEADERS: {name}: {value!r} is not text; put it in quotes")
    check_line(f"SECURITY_HEADERS: {name}", value or "")


def read_policy(key: str, text: object) -> dict[str, str]:
    """Parse a policy: a mistake is found at start, and one view can change a part of it."""
    if text is not None and not isinstance(text, str):
        raise ValueError(f"{key}: {text!r} is not text; write \"default-src 'self'\"")
    policy: dict[str, str] = {}
    for part in filter(None, map(str.strip, (text or "").split(";"))):
        name, _, value = part.partition(" ")
        check_directive(key, name, value)
        if name in policy:
            raise ValueError(f"{key}: browsers use only the first {name}; write it once")
        policy[name] = value.strip()
    return policy


def check_directive(key: str, name: str, value: str) -> None:
    known = DIRECTIVES.split()
    if name not in known:
        raise ValueError(f"{key}: {name!r} is not a directive{did_you_mean(name, known)}")
    check_line(f"{key}: {name}", value, banned=";,")
    for source in value.split():
        if UNQUOTED.fullmatch(source):
            raise ValueError(f"{key}: {name}: {source} would be a host; write '{source}' in quotes")
        if source.lower().startswith("'nonce-"):
            raise ValueError(f"{key}: {name}: a nonce serves once; write 'nonce' for a fresh one")


def check_line(place: str, value: str, banned: str = "") -> None:
    if any(not " " <= character <= "~" or character in banned for character in value):
        raise ValueError(
            f"{place}: {value!r} must be one line of ASCII{banned and ' without ; and ,'}"
        )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; those are {', '.join(known)}"
