"""The security headers of one part of a service, ready for each kind of response.

Standards: W3C CSP 3 (nonces), the Fetch standard (Cross-Origin-Resource-Policy).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from .exchange import is_header_name
from .policies import check_line, names_a_host, parse_policy, write_policy
from .settings import did_you_mean, refuse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

CSP, REPORT_ONLY = "Content-Security-Policy", "Content-Security-Policy-Report-Only"
HSTS = "Strict-Transport-Security"
CORP, COEP = "Cross-Origin-Resource-Policy", "Cross-Origin-Embedder-Policy"
PAGES = ("text/html", "application/xhtml+xml")
# what pages of other sites embed without CORS, in <img>, <link>, <script>: by type and by request
SCRIPTS = ("text/javascript", "application/javascript")
LENT = ("image/", "audio/", "video/", "font/", "text/css", *SCRIPTS)
LENT_TO = {"image", "audio", "video", "track", "font", "style", "script"}
# what says something of one response, or of one connection, and so is nobody's constant
OF_ONE_RESPONSE = {"content-encoding", "content-length", "content-type", "date", "location", "vary"}
OF_ONE_RESPONSE |= {"connection", "keep-alive", "set-cookie", "transfer-encoding", "upgrade"}

Headers = list[tuple[str, str]]
Changes = tuple[tuple[str, "str | None"], ...]  # directives of a page's policy


class Profile:
    """Lists of headers by scheme ("http", "https"), made once: a response only picks one."""

    def __init__(
        self,
        headers: Mapping[str, str],
        page: Mapping[str, str | None],
        api: Mapping[str, str | None],
        reported: Mapping[str, str | None] = MappingProxyType({}),
        lends_files: bool = True,
    ) -> None:
        """:param lends_files: where CORS applies, pictures and the like say that other sites may
        embed them, for whom they were named; False where the service has chosen a CORP header."""
        self.headers, self.page, self.api, self.reported = headers, page, api, reported
        self.lends_files = lends_files
        lent = {**headers, CORP: "cross-origin"} if lends_files else headers
        unsaid = {name: value for name, value in headers.items() if name != CORP}
        self.of_api = by_scheme(headers, api)
        self.of_lent_files = by_scheme(lent, api)
        self.of_lent_files_unchanged = by_scheme(unsaid if lends_files else headers, api)
        self.of_pages_unchanged = by_scheme(headers, {})
        self.of_pages: dict[tuple[str, Changes], tuple[Headers, Headers]] = {}

    def headers_for(self, environ: WSGIEnvironment, status: str, content_type: str) -> Headers:
        """A 304 changes headers of what the browser has stored, so it says nothing on policies
        that it cannot know: neither a page's nonce, nor whether others may embed a picture."""
        scheme = "https" if environ["wsgi.url_scheme"] == "https" else "http"
        content_type = content_type.lower()
        if content_type.startswith(PAGES) or "csp_page" in environ:
            headers, policies = self.page_headers(scheme, environ.get("csp_changes", ()))
            return headers + [(name, with_nonce(policy, environ)) for name, policy in policies]
        is_unchanged = status.startswith("304")
        if is_unchanged and "text/html" in environ.get("HTTP_ACCEPT", ""):
            return self.of_pages_unchanged[scheme]
        if environ.get("cors") is None:  # cors.py lets no other site in here
            return self.of_api[scheme]
        if is_unchanged and environ.get("HTTP_SEC_FETCH_DEST") in LENT_TO:
            return self.of_lent_files_unchanged[scheme]
        return (self.of_lent_files if content_type.startswith(LENT) else self.of_api)[scheme]

    def page_headers(self, scheme: str, changes: Changes) -> tuple[Headers, Headers]:
        """The headers and the policies of a page, made once for each view that changes its own.

        Where the policy lets another host in, Cross-Origin-Embedder-Policy is left out: it would
        block everything that this host serves without a word on CORS or CORP.
        """
        if (scheme, changes) not in self.of_pages:
            secure = {"upgrade-insecure-requests": ""} if self.page and scheme == "https" else {}
            policy = {**self.page, **secure, **dict(changes)}
            headers = by_scheme(self.headers, {})[scheme]
            if names_a_host(policy):
                headers = [pair for pair in headers if pair[0] != COEP]
            policies = [(CSP, write_policy(policy)), (REPORT_ONLY, write_policy(self.reported))]
            self.of_pages[scheme, changes] = headers, [pair for pair in policies if pair[1]]
        return self.of_pages[scheme, changes]

    def changed(
        self, key: str, changes: Mapping[str, Any], may_set_policy: bool = False
    ) -> Profile:
        """A profile like this one but for some headers.

        :param key: the setting that has the changes: header name to value, None or "" for none.
        :param may_set_policy: a CSP then changes single directives of the policy of pages.
        :raises ValueError: for what is not a header, or not one for all responses.
        """
        headers, page, reported = dict(self.headers), dict(self.page), dict(self.reported)
        lends_files = self.lends_files
        for given, value in changes.items():
            known = [*headers, CSP, REPORT_ONLY]
            name = next((name for name in known if name.lower() == given.lower()), given)
            check_header(key, name, value)
            if name == REPORT_ONLY:
                reported = dict(parse_policy(f"{key}: {name}", value))
            elif name == CSP and may_set_policy:
                page = {**page, **parse_policy(f"{key}: {name}", value)} if value else {}
            elif name == CSP:
                problem = f"has {CSP}, which differs for pages: set SECURITY_CSP_PAGE for HTML and"
                refuse(key, changes, problem, "SECURITY_CSP_API for the rest")
            elif value:
                headers[name] = value
            elif not headers.pop(name, None):
                refuse(key, name, f"is not sent{did_you_mean(name, headers)}", '{"NEL": "..."}')
            lends_files = lends_files and name != CORP
        return Profile(headers, page, self.api, reported, lends_files)


def nonce_of(environ: WSGIEnvironment) -> str:
    """The same one for the whole request."""
    if "csp_nonce" not in environ:
        environ["csp_nonce"] = secrets.token_urlsafe(16)
    return cast("str", environ["csp_nonce"])


def with_nonce(policy: str, environ: WSGIEnvironment) -> str:
    if "'nonce'" not in policy:
        return policy
    return policy.replace("'nonce'", f"'nonce-{nonce_of(environ)}'")


def by_scheme(headers: Mapping[str, str], policy: Mapping[str, str | None]) -> dict[str, Headers]:
    https = list(headers.items())
    if policy:
        https.append((CSP, write_policy(policy)))
    return {"https": https, "http": [pair for pair in https if pair[0] != HSTS]}


def check_header(key: str, name: str, value: object) -> None:
    if not is_header_name(name):
        refuse(key, name, "is not a header name", "X-Frame-Options")
    if name.lower().startswith("access-control-"):
        refuse(key, name, "would let any page read any response", "CORS_ORIGINS for your pages")
    if name.lower() in OF_ONE_RESPONSE:
        refuse(key, name, "belongs to one response and not to all", "response.headers in the view")
    if value is not None:
        check_line(f"{key}: {name}", value)
