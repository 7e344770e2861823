"""Every response carries the security headers of the OWASP Secure Headers Project, errors included.

Needs:  pip install "flask>=3.1,<4"
Copy:   engine/ (pipeline, exchange, settings, header_profiles, policies, paths, sessions, cookies,
        https_redirect)
Add:    configure_security_headers(app)

Key                    Default   Meaning (unit)
---------------------  --------  ------------------------------------------------------------
SECURITY_HEADERS       {}        mapping of header name to value: changes or adds one; None or
                                 "" stops sending it
SECURITY_CSP_PAGE      CSP_PAGE  Content-Security-Policy of an HTML response; 'nonce' stands
                                 for the nonce of the request; "" sends none
SECURITY_CSP_API       CSP_API   Content-Security-Policy of any other response; "" sends none
SECURITY_PATHS         {}        the same for a part of the service: mapping of "/docs/" (with
                                 all below it; the longest one counts) or of a blueprint's
                                 name to a mapping of headers; its Content-Security-Policy
                                 changes the directives that it names, on pages
SECURITY_COOKIES       COOKIES   attributes that a cookie gets which names none of its own,
                                 Secure over https only; "" adds none. Flask's session and
                                 Flask-Login's cookie have settings of their own
SECURITY_HTTPS         false     true: http is redirected to https (308)
SECURITY_HTTPS_EXCEPT  /health   paths that are not, with all below them (a list, or text with
                       /ready    commas)

A header that a view sets is kept, one that it sets to "" is left out. Server and X-Powered-By are
always left out. Content-Security-Policy-Report-Only goes to pages alone. In code, a view or a
blueprint changes a part of its policy:

    @app.get("/map")
    @content_security_policy(img_src="'self' https://tiles.example.com")
    def map_page(): ...

A script runs only with the nonce that csp_nonce() returns in a template, one of /static too:
<script nonce="..." src="...">; a page with a nonce must not be kept by a shared cache. A form that
sends the visitor on to another host (OAuth, payment) needs form_action="'self' https://...".
Where cors.py lets pages in, pictures, styles and scripts may be embedded by other sites. Sounds and
films need media-src 'self': of the page's policy, and in SECURITY_CSP_API to open one by itself.

Session cookies are set in the configuration (app/config.py). A service that has none of this
template writes there, for production over https: SESSION_COOKIE_SECURE = True,
SESSION_COOKIE_SAMESITE = "Lax" and SESSION_COOKIE_NAME = "__Host-session".

Standards: OWASP Secure Headers Project, OWASP ASVS 5.0 3.3.1-4 and 3.4.1-8, W3C CSP 3, RFC 6797.
Version: 2.0.0
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Blueprint, Flask, current_app, request

from .engine.cookies import cookie_name, read_attributes, with_attributes
from .engine.header_profiles import CSP, REPORT_ONLY, Headers, Profile, nonce_of
from .engine.https_redirect import HttpsRedirect
from .engine.paths import Paths, check_path, read_paths
from .engine.pipeline import pipeline_of
from .engine.policies import check_directive, read_policy
from .engine.sessions import check_session_cookie, spare_unused_sessions
from .engine.settings import Config, read_boolean, read_mapping, refuse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

CSP_API = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
CSP_PAGE = (
    "default-src 'none'; script-src 'nonce'; style-src 'self' 'nonce'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",  # over https only
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # no-referrer would make browsers send `Origin: null`, which every CSRF check refuses
    "Referrer-Policy": "strict-origin-when-cross-origin",
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
BANNERS = {"server", "x-powered-by"}  # they tell what runs here
COOKIES = "Secure; SameSite=Lax"
HTTPS_EXCEPT = ["/health", "/ready"]
EXAMPLE = '{"X-Frame-Options": "SAMEORIGIN"}'

Target = TypeVar("Target", bound="Callable[..., Any] | Blueprint")


def configure_security_headers(app: Flask) -> None:
    """Put the headers on every response, and offer csp_nonce() to templates.

    :raises ValueError: if a key cannot be used; the message says what to write.
    """
    check_session_cookie(app.config)
    page = read_policy(app.config, "SECURITY_CSP_PAGE", CSP_PAGE)
    api = read_policy(app.config, "SECURITY_CSP_API", CSP_API)
    changes = read_mapping(app.config, "SECURITY_HEADERS", EXAMPLE)
    profile = Profile(HEADERS, page, api).changed("SECURITY_HEADERS", changes)
    security = SecurityHeaders(profile, read_parts(app.config, profile), app.config)
    exempt = Paths(read_paths(app.config, "SECURITY_HTTPS_EXCEPT", HTTPS_EXCEPT))
    if exempt.cover("/"):
        refuse("SECURITY_HTTPS_EXCEPT", "/", "is every path: none would be redirected", "/health")
    if read_boolean(app.config, "SECURITY_HTTPS", False):
        redirect = HttpsRedirect(exempt, lambda: app.config.get("TRUSTED_HOSTS"))
        pipeline_of(app).on_respond(redirect.respond)
    if security.by_path:
        pipeline_of(app).on_begin(security.note_path)
    if security.by_blueprint:
        app.url_value_preprocessor(security.note_blueprint)
    pipeline_of(app).on_headers(security.complete)
    app.jinja_env.globals["csp_nonce"] = csp_nonce
    spare_unused_sessions(app)


def content_security_policy(**directives: str | None) -> Callable[[Target], Target]:
    """Change the page policy for one view, whatever it responds with, or for a blueprint's pages.

    :param directives: script_src="'self' 'nonce'" sets one, img_src=None leaves one out.
    :raises ValueError: for a directive or a source that CSP level 3 does not know.
    """
    changes = tuple((name.replace("_", "-"), value) for name, value in directives.items())
    for name, value in changes:
        check_directive("@content_security_policy", name, value or "")

    def change() -> None:
        request.environ["csp_changes"] = request.environ.get("csp_changes", ()) + changes

    def decorate(target: Target) -> Target:
        if isinstance(target, Blueprint):
            target.before_request(change)
            return target
        view: Callable[..., Any] = target

        @functools.wraps(view)
        def changed(*args: Any, **kwargs: Any) -> Any:
            change()
            request.environ["csp_page"] = True
            return current_app.ensure_sync(view)(*args, **kwargs)

        return cast("Target", changed)

    return decorate


def csp_nonce() -> str:
    """The nonce of this request, for <script nonce="...">: the same one at every call."""
    return nonce_of(request.environ)


class SecurityHeaders:
    """Chooses the headers of a response by its kind and by the part of the service it is of."""

    def __init__(self, profile: Profile, parts: dict[str, Profile], config: Config) -> None:
        self.profile = profile
        self.cookies = read_attributes(config, "SECURITY_COOKIES", COOKIES)
        remembered = config.get("REMEMBER_COOKIE_NAME", "remember_token")
        self.own_cookies = {config["SESSION_COOKIE_NAME"], remembered}
        paths = sorted((part for part in parts if part.startswith("/")), key=len, reverse=True)
        self.by_path = [(Paths([path]), parts[path]) for path in paths]
        self.by_blueprint = {part: parts[part] for part in parts if part not in paths}
        names = {name.lower() for one in (profile, *parts.values()) for name in one.headers}
        # Expires is a view's own word on caching, as Cache-Control is.
        self.watched = names | BANNERS | {CSP.lower(), REPORT_ONLY.lower(), "expires"}

    def note_path(self, environ: WSGIEnvironment) -> None:
        """Before Flask: what is mounted inside, by DispatcherMiddleware say, changes the path."""
        path = environ.get("PATH_INFO", "")
        profiles = (profile for paths, profile in self.by_path if paths.cover(path))
        environ["security_profile"] = next(profiles, self.profile)

    def note_blueprint(self, endpoint: str | None, values: dict[str, Any] | None) -> None:
        for name in request.blueprints:
            if name in self.by_blueprint:
                request.environ["security_profile"] = self.by_blueprint[name]
                return

    def complete(self, environ: WSGIEnvironment, status: str, headers: Headers) -> None:
        present = {name.lower(): value for name, value in headers}
        profile = environ.get("security_profile", self.profile)
        added = profile.headers_for(environ, status, present.get("content-type", ""))
        if not self.watched.isdisjoint(present):
            headers[:] = [pair for pair in headers if self.is_kept(*pair)]
            if "expires" in present:
                present["cache-control"] = ""
            added = [pair for pair in added if pair[0].lower() not in present]
        if "set-cookie" in present:
            headers[:] = [self.safer(environ, *pair) for pair in headers]
        headers += added
        if (environ.get("SERVER_SOFTWARE") or "").startswith("Granian"):
            headers.append(("Server", ""))  # or it adds its name; it has no switch for that

    def safer(self, environ: WSGIEnvironment, name: str, value: str) -> tuple[str, str]:
        if name.lower() != "set-cookie" or cookie_name(value) in self.own_cookies:
            return name, value
        is_https = environ["wsgi.url_scheme"] == "https"
        return name, with_attributes(value, self.cookies, is_https)

    def is_kept(self, name: str, value: str) -> bool:
        """What the view says is kept; what it sets to nothing, and Server, is left out."""
        name = name.lower()
        return name not in BANNERS and (bool(value) or name not in self.watched)


def read_parts(config: Config, profile: Profile) -> dict[str, Profile]:
    parts, example = {}, '{"/docs/": ' + EXAMPLE + "}"
    for part, changes in read_mapping(config, "SECURITY_PATHS", example).items():
        if part.startswith("/"):
            check_path("SECURITY_PATHS", part)
        if not isinstance(changes, Mapping):
            refuse("SECURITY_PATHS", changes, "is not a mapping of header names to values", example)
        parts[part] = profile.changed(f"SECURITY_PATHS: {part}", changes, may_set_policy=True)
    return parts
