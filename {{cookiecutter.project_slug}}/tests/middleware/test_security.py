"""What app/middleware/security.py promises. Copy both files to take it elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    redirect,
    render_template_string,
    request,
    session,
)
from jinja2 import DictLoader
from werkzeug.middleware.proxy_fix import ProxyFix

# the one line to change in another package
from app.middleware.security import configure_security_headers, content_security_policy

ON_EVERY_RESPONSE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-XSS-Protection": "0",
    "Cache-Control": "no-store",
}
API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
HTTPS = "https://localhost"
CSP, CSP_REPORT_ONLY = "Content-Security-Policy", "Content-Security-Policy-Report-Only"
CORP = "Cross-Origin-Resource-Policy"


def service(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a key for tests", **config)
    configure_security_headers(app)
    return app


def template(text: str) -> str:
    """A Jinja template without braces in this file, which is one part of a template itself."""
    return (
        text.replace("[%", "{" + "%")
        .replace("[[", "{" * 2)
        .replace("%]", "%}")
        .replace("]]", "}" * 2)
    )


def policy_of(response: Any) -> dict[str, str]:
    parts = response.headers["Content-Security-Policy"].split("; ")
    return {name: value for name, _, value in (part.partition(" ") for part in parts)}


@pytest.mark.parametrize("path", ["/json", "/missing", "/forbidden", "/breaks", "/moved", "/empty"])
def test_every_response_carries_every_header(path: str) -> None:
    app = service()
    app.add_url_rule("/json", "json", lambda: {"a": 1})
    app.add_url_rule("/forbidden", "forbidden", lambda: abort(403))
    app.add_url_rule("/breaks", "breaks", lambda: str(1 // 0))
    app.add_url_rule("/moved", "moved", lambda: redirect("/json"))
    app.add_url_rule("/empty", "empty", lambda: ("", 204))
    for method in ("GET", "HEAD", "OPTIONS", "POST"):
        response = app.test_client().open(path, method=method)
        assert ON_EVERY_RESPONSE.items() <= dict(response.headers).items()
        assert "camera=()" in response.headers["Permissions-Policy"]
        assert policy_of(response)["default-src"] == "'none'"


def test_an_after_request_function_that_raises_takes_no_header_away() -> None:
    app = service()
    app.add_url_rule("/", "index", lambda: "fine")

    @app.after_request
    def somebody_elses(response: Response) -> Response:
        raise RuntimeError("a bug")

    response = app.test_client().get("/")
    assert response.status_code == 500
    assert ON_EVERY_RESPONSE.items() <= dict(response.headers).items()


def test_no_header_is_sent_twice() -> None:
    app = service()
    app.add_url_rule("/", "index", lambda: ("", {"X-Frame-Options": "DENY", "Server": "x"}))
    names = [name.lower() for name, _ in app.test_client().get("/").headers]
    assert len(names) == len(set(names))


def test_a_view_keeps_the_header_that_it_sets_whatever_its_case() -> None:
    app = service()
    own = {
        "x-frame-options": "SAMEORIGIN",
        "cache-control": "public, max-age=60",
        "CONTENT-SECURITY-POLICY": "sandbox",
    }
    app.add_url_rule("/", "index", lambda: ("", own))
    headers = app.test_client().get("/").headers
    assert headers.getlist("X-Frame-Options") == ["SAMEORIGIN"]
    assert headers.getlist("Cache-Control") == ["public, max-age=60"]
    assert headers.getlist("Content-Security-Policy") == ["sandbox"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_header_that_is_added_to_all_responses_is_the_views_own_where_it_sets_one() -> None:
    app = service(SECURITY_HEADERS={"retry-after": "60"})
    app.add_url_rule("/own", view_func=lambda: ("", {"Retry-After": "5"}))
    client = app.test_client()
    assert client.get("/own").headers.getlist("Retry-After") == ["5"]
    assert client.get("/none").headers.getlist("Retry-After") == ["60"]


def test_a_page_is_known_by_its_type_however_the_header_is_written() -> None:
    def page(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-TYPE", "Text/HTML"), ("content-length", "0")])
        return []

    app = service()
    app.wsgi_app = page  # type: ignore[method-assign]
    assert "script-src" in policy_of(app.test_client().get("/"))


def test_a_view_drops_a_header_by_setting_it_to_nothing() -> None:
    app = service()
    app.add_url_rule("/", "index", lambda: ("", {"X-Frame-Options": "", "X-Own": ""}))
    headers = app.test_client().get("/").headers
    assert "X-Frame-Options" not in headers
    assert headers["X-Own"] == ""  # not ours to drop


def test_what_a_view_says_on_caching_stands() -> None:
    app = service()
    app.add_url_rule("/", "index", lambda: ("", {"Expires": "Thu, 01 Jan 2026 00:00:00 GMT"}))
    assert "Cache-Control" not in app.test_client().get("/").headers


def test_the_application_does_not_tell_what_it_runs_on() -> None:
    app = service()
    app.add_url_rule("/", "index", lambda: ("", {"Server": "a/1", "x-powered-by": "b/2"}))
    headers = app.test_client().get("/").headers
    assert "Server" not in headers and "X-Powered-By" not in headers


def test_granian_which_would_sign_the_response_finds_that_place_taken() -> None:
    environ = {"SERVER_SOFTWARE": "Granian"}
    headers = service().test_client().get("/", environ_overrides=environ).headers
    assert headers.getlist("Server") == [""]


def test_strict_transport_security_goes_out_over_https_only() -> None:
    app = service()
    client = app.test_client()
    assert "Strict-Transport-Security" not in client.get("/").headers
    secure = client.get("/", base_url=HTTPS).headers["Strict-Transport-Security"]
    assert secure == "max-age=31536000; includeSubDomains"


def test_a_trusted_proxy_that_ends_tls_counts_as_https() -> None:
    app = Flask(__name__)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)  # type: ignore[method-assign]
    configure_security_headers(app)  # around ProxyFix, and so before it has spoken
    headers = app.test_client().get("/", headers={"X-Forwarded-Proto": "https"}).headers
    assert "Strict-Transport-Security" in headers


def test_a_page_runs_scripts_with_the_nonce_of_its_header() -> None:
    app = service()

    @app.get("/")
    def page() -> str:
        return render_template_string(template("<script nonce=[[ csp_nonce() ]]></script>") * 2)

    first, second = app.test_client().get("/"), app.test_client().get("/")
    nonces = set(re.findall("nonce=([A-Za-z0-9_-]{22})>", first.text))
    assert len(nonces) == 1
    assert policy_of(first)["script-src"] == f"'nonce-{nonces.pop()}'"
    assert policy_of(first) != policy_of(second)


def test_a_macro_without_context_has_the_nonce_too() -> None:
    app = service()
    macro = template("[% macro script() %]<script nonce=[[ csp_nonce() ]]>[% endmacro %]")
    app.jinja_loader = DictLoader({"macros.html": macro})
    page = template("[% from 'macros.html' import script %][[ script() ]]")
    with app.test_request_context():
        assert re.fullmatch("<script nonce=[A-Za-z0-9_-]{22}>", render_template_string(page))


def test_a_page_has_the_page_policy_and_json_the_stricter_one() -> None:
    app = service()
    app.add_url_rule("/page", "page", lambda: "<p>")
    app.add_url_rule("/xhtml", "xhtml", lambda: Response("", mimetype="application/xhtml+xml"))
    app.add_url_rule("/json", "json", lambda: {"a": 1})
    app.add_url_rule("/svg", "svg", lambda: Response("", mimetype="image/svg+xml"))
    client = app.test_client()
    assert client.get("/json").headers["Content-Security-Policy"] == API_POLICY
    assert client.get("/svg").headers["Content-Security-Policy"] == API_POLICY
    for path in ("/page", "/xhtml"):
        policy = policy_of(client.get(path))
        assert policy.pop("script-src").startswith("'nonce-")
        assert re.fullmatch("'self' 'nonce-.{22}'", policy.pop("style-src"))
        assert policy == {
            "default-src": "'none'",
            "img-src": "'self'",
            "font-src": "'self'",
            "connect-src": "'self'",
            "object-src": "'none'",
            "base-uri": "'none'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
        }
        assert "upgrade-insecure-requests" in policy_of(client.get(path, base_url=HTTPS))


def test_a_304_leaves_a_stored_page_its_policy_and_nonce() -> None:
    app = service()

    @app.get("/")
    def page() -> Response:
        response = Response("<p>")
        response.set_etag("1")
        response.cache_control.no_cache = True
        response.make_conditional(request)
        return response

    client = app.test_client()
    again = {"If-None-Match": '"1"', "Accept": "text/html,*/*;q=0.8"}
    assert client.get("/", headers=again).status_code == 304
    assert "Content-Security-Policy" not in client.get("/", headers=again).headers
    assert client.get("/", headers=again).headers["X-Frame-Options"] == "DENY"
    from_a_script = client.get("/", headers={**again, "Accept": "*/*"}).headers
    assert from_a_script["Content-Security-Policy"] == API_POLICY


def test_one_view_changes_a_part_of_the_page_policy() -> None:
    app = service()

    @app.get("/map/<int:zoom>")
    @content_security_policy(img_src="'self' data:", form_action=None)
    def map_page(zoom: int) -> str:
        return render_template_string(template("<style nonce=[[ csp_nonce() ]]>")) + str(zoom)

    app.add_url_rule("/", "index", lambda: "<p>")
    client = app.test_client()
    response = client.get("/map/3")
    nonce = response.text.removeprefix("<style nonce=").partition(">")[0]
    assert policy_of(response)["style-src"] == f"'self' 'nonce-{nonce}'"
    assert policy_of(response)["script-src"] == f"'nonce-{nonce}'"
    assert policy_of(response)["img-src"] == "'self' data:"
    assert "form-action" not in policy_of(response)
    assert policy_of(client.get("/"))["img-src"] == "'self'"


def test_a_changed_policy_holds_whatever_the_view_responds_with() -> None:
    app = service()

    @app.get("/")
    @content_security_policy(style_src="'unsafe-inline'", upgrade_insecure_requests=None)
    def picture() -> Response:
        return Response("<svg/>", mimetype="image/svg+xml")

    policy = policy_of(app.test_client().get("/", base_url=HTTPS))
    assert policy["style-src"] == "'unsafe-inline'"
    assert "upgrade-insecure-requests" not in policy


def test_a_page_that_shows_another_hosts_pictures_is_not_blocked_by_the_embedder_policy() -> None:
    app = service()
    relaxed = content_security_policy(img_src="'self' data: https://tiles.example.com")
    local = content_security_policy(img_src="'self' data:", frame_ancestors="https://a.example")
    app.add_url_rule("/relaxed", "relaxed", relaxed(lambda: "<img>"))
    app.add_url_rule("/local", "local", local(lambda: "<img>"))
    client = app.test_client()
    assert "Cross-Origin-Embedder-Policy" not in client.get("/relaxed").headers
    assert client.get("/local").headers["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_the_defaults_are_changed_and_dropped_by_configuration() -> None:
    app = service(
        SECURITY_HEADERS={"x-frame-options": "SAMEORIGIN", "Referrer-Policy": None, "NEL": "{}"},
        SECURITY_CSP_PAGE="default-src 'self'; script-src 'self' 'nonce'",
        SECURITY_CSP_API="",
    )
    app.add_url_rule("/page", "page", lambda: "<p>")
    app.add_url_rule("/json", "json", lambda: {"a": 1})
    headers = app.test_client().get("/json").headers
    assert headers.getlist("X-Frame-Options") == ["SAMEORIGIN"]
    assert headers["NEL"] == "{}"
    assert "Referrer-Policy" not in headers
    assert "Content-Security-Policy" not in headers
    policy = app.test_client().get("/page").headers["Content-Security-Policy"]
    assert re.fullmatch("default-src 'self'; script-src 'self' 'nonce-.{22}'", policy)


def test_none_is_the_default_policy_and_nothing_is_none() -> None:
    for key in ("SECURITY_CSP_PAGE", "SECURITY_CSP_API"):
        default, none, nothing = service(), service(**{key: None}), service(**{key: ""})
        policies = []
        for app in (default, none, nothing):
            app.add_url_rule("/page", "page", lambda: "<p>")
            app.add_url_rule("/json", "json", lambda: {"a": 1})
            path = "/page" if key.endswith("PAGE") else "/json"
            policy = app.test_client().get(path).headers.get("Content-Security-Policy", "")
            policies.append(re.sub("nonce-.{22}", "nonce", policy))
        assert policies[0] == policies[1] != policies[2] == ""


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("SECURITY_HEADERS", "X-Frame-Options: DENY", "is not a mapping"),
        ("SECURITY_HEADERS", ["X-Frame-Options"], "is not a mapping"),
        ("SECURITY_HEADERS", {"X-Frame-Options": "DENY\r\nSet-Cookie: a=b"}, "one line of ASCII"),
        ("SECURITY_HEADERS", {"X-Frame-Options": "D\u00c9NY"}, "one line of ASCII"),
        ("SECURITY_HEADERS", {"X-Frame-Options": True}, "is not text"),
        ("SECURITY_HEADERS", {"X Frame": "DENY"}, "is not a header name"),
        ("SECURITY_HEADERS", {3: "DENY"}, "is not text"),
        ("SECURITY_HEADERS", {"X-Frame-Option": None}, "did you mean X-Frame-Options?"),
        ("SECURITY_HEADERS", {"content-security-policy": "x"}, "SECURITY_CSP_PAGE"),
        ("SECURITY_HEADERS", {"Access-Control-Allow-Origin": "*"}, "for example CORS_ORIGINS"),
        (
            "SECURITY_HEADERS",
            {"access-control-allow-credentials": "true"},
            "for example CORS_ORIGINS",
        ),
        ("SECURITY_HEADERS", {"Vary": "Cookie"}, "in the view"),
        ("SECURITY_HEADERS", {"Content-Length": "0"}, "in the view"),
        ("SECURITY_HEADERS", {"transfer-encoding": "chunked"}, "in the view"),
        ("SECURITY_HEADERS", {"Set-Cookie": "a=b"}, "in the view"),
        ("SECURITY_HEADERS", {CSP_REPORT_ONLY: "script-scr"}, "did you mean script-src?"),
        ("SECURITY_PATHS", "/docs/", 'for example {"/docs/": {"X-Frame-Options": "SAMEORIGIN"}}'),
        ("SECURITY_PATHS", {"/docs/": "X-Frame-Options: DENY"}, "is not a mapping"),
        ("SECURITY_PATHS", {"/docs/*": {"X-Frame-Options": "DENY"}}, "is not a path"),
        ("SECURITY_PATHS", {"/docs/": {"X Frame": "DENY"}}, "is not a header name"),
        ("SECURITY_PATHS", {"docs": {CSP: "script-scr 'self'"}}, "did you mean script-src?"),
        ("SECURITY_COOKIES", "Secured", "is not one of Secure"),
        ("SECURITY_HTTPS", "perhaps", "is not true or false"),
        ("SECURITY_HTTPS_EXCEPT", "health", "is not a path"),
        ("SECURITY_HTTPS_EXCEPT", "/health,/", "is every path"),
        ("SECURITY_CSP_PAGE", ["default-src"], "is not text"),
        ("SECURITY_CSP_PAGE", "script-scr 'self'", "did you mean script-src?"),
        ("SECURITY_CSP_PAGE", "script-src self", "put it in quotes; for example 'self'"),
        ("SECURITY_CSP_PAGE", "script-src 'nonce-abc'", "serves once"),
        ("SECURITY_CSP_PAGE", "img-src 'self'; img-src *", "browsers use the first alone"),
        ("SECURITY_CSP_API", "default-src 'none'\nx", "one line of ASCII"),
        ("SECURITY_CSP_API", "default-src 'none', sandbox", "one line of ASCII"),
    ],
)
def test_a_wrong_setting_is_refused_at_start_and_says_what_to_write(
    key: str, value: object, says: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        service(**{key: value})
    assert str(error.value).startswith(key)


@pytest.mark.parametrize("wrong", [{"img": "*"}, {"img_src": "self"}, {"img_src": "*; x"}])
def test_a_wrong_policy_of_a_view_is_refused_at_import(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="@content_security_policy"):
        content_security_policy(**wrong)


def test_report_only_policies_have_the_nonce_and_are_for_pages_alone() -> None:
    app = service(SECURITY_HEADERS={CSP_REPORT_ONLY.lower(): "script-src 'nonce'; report-to csp"})
    app.add_url_rule("/page", "page", lambda: "<p>")
    app.add_url_rule("/json", "json", lambda: {"a": 1})
    client = app.test_client()
    page = client.get("/page")
    nonce = policy_of(page)["script-src"]
    assert page.headers[CSP_REPORT_ONLY] == f"script-src {nonce}; report-to csp"
    assert CSP_REPORT_ONLY not in client.get("/json").headers


def test_pages_below_a_path_have_a_policy_and_headers_of_their_own() -> None:
    relaxed = {CSP: "script-src 'self' 'unsafe-inline'", "X-Frame-Options": "SAMEORIGIN"}
    app = service(SECURITY_PATHS={"/docs/": relaxed, "/docs/old/": {"X-Frame-Options": None}})
    app.add_url_rule("/<path:path>", "page", lambda path: "<p>")
    app.add_url_rule("/docs/schema.json", "json", lambda: {"a": 1})
    client = app.test_client()
    for path in ("/docs", "/docs/", "/docs/index.html"):
        response = client.get(path)
        assert policy_of(response)["script-src"] == "'self' 'unsafe-inline'"
        assert policy_of(response)["object-src"] == "'none'"  # what it does not name stays
        assert response.headers.getlist("X-Frame-Options") == ["SAMEORIGIN"]
    assert client.get("/docs/schema.json").headers[CSP] == API_POLICY
    assert "X-Frame-Options" not in client.get("/docs/old/index.html").headers
    assert policy_of(client.get("/docsandmore"))["script-src"].startswith("'nonce-")


def test_pages_of_a_blueprint_have_a_policy_of_their_own() -> None:
    configured, decorated = Blueprint("swagger", __name__), Blueprint("decorated", __name__)
    content_security_policy(img_src="'self' data:")(decorated)
    for blueprint in (configured, decorated):
        blueprint.add_url_rule(f"/{blueprint.name}", "page", lambda: "<p>")
        blueprint.add_url_rule(f"/{blueprint.name}/json", "json", lambda: {"a": 1})
    own = content_security_policy(img_src="*")(lambda: "<p>")
    decorated.add_url_rule("/decorated/own", "own", own)
    app = service(SECURITY_PATHS={"swagger": {CSP: "img-src 'self' data:"}})
    app.register_blueprint(configured)
    app.register_blueprint(decorated)
    app.add_url_rule("/page", "page", lambda: "<p>")
    client = app.test_client()
    for name in ("swagger", "decorated"):
        assert policy_of(client.get(f"/{name}"))["img-src"] == "'self' data:"
        assert client.get(f"/{name}/json").headers[CSP] == API_POLICY
    assert policy_of(client.get("/decorated/own"))["img-src"] == "*"
    assert policy_of(client.get("/page"))["img-src"] == "'self'"


@pytest.mark.parametrize("kind", ["image/png", "text/css", "text/javascript", "font/woff2"])
def test_files_are_lent_to_other_sites_where_cors_lets_pages_in_and_nowhere_else(kind: str) -> None:
    app = service()
    app.add_url_rule("/file", "file", lambda: Response("x", mimetype=kind))
    app.add_url_rule("/json", "json", lambda: {"a": 1})
    own = Response("x", mimetype=kind, headers={CORP: "same-site"})
    app.add_url_rule("/own", "own", lambda: own)

    def resource_policy(path: str, **environ: Any) -> str:
        return app.test_client().get(path, environ_overrides=environ).headers[CORP]

    assert resource_policy("/file", cors="") == "cross-origin"  # as cors.py leaves it
    assert resource_policy("/file", cors="https://app.example.com") == "cross-origin"
    assert resource_policy("/file") == "same-origin"
    assert resource_policy("/file", cors=None) == "same-origin"
    assert resource_policy("/json", cors="") == "same-origin"
    assert resource_policy("/own", cors="") == "same-site"


def test_a_service_that_chooses_who_may_embed_its_files_is_obeyed() -> None:
    app = service(SECURITY_HEADERS={CORP: "same-origin"})
    app.add_url_rule("/file", "file", lambda: Response("x", mimetype="image/png"))
    headers = app.test_client().get("/file", environ_overrides={"cors": ""}).headers
    assert headers[CORP] == "same-origin"


def test_a_304_leaves_a_stored_picture_lent() -> None:
    app = service()
    app.add_url_rule("/file", "file", lambda: ("", 304))
    environ = {"cors": "", "HTTP_SEC_FETCH_DEST": "image"}
    assert CORP not in app.test_client().get("/file", environ_overrides=environ).headers


def test_a_session_cookie_that_no_browser_takes_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match=r"^SESSION_COOKIE_NAME: '__Host-session' is taken by no"):
        service(SESSION_COOKIE_NAME="__Host-session", SESSION_COOKIE_SECURE=False)


def test_a_session_cookie_is_what_the_configuration_says() -> None:
    app = service(SESSION_COOKIE_SAMESITE="Lax")
    app.add_url_rule("/", "index", lambda: session.update(a=1) or "in")
    cookie = app.test_client().get("/", base_url=HTTPS).headers["Set-Cookie"]
    assert {"session", "HttpOnly", "Path=/", "SameSite=Lax"} == {
        part.partition("=")[0] if part.startswith("session=") else part
        for part in cookie.split("; ")
    }


def set_cookies(app: Flask, url: str = HTTPS) -> list[str]:
    @app.get("/")
    def index() -> Response:
        session["a"] = 1
        response = Response("fine")
        response.set_cookie("plain", "1")
        response.set_cookie("chosen", "1", samesite="None", secure=True)
        response.set_cookie("remember_token", "1")
        return response

    cookies = app.test_client().get("/", base_url=url).headers.getlist("Set-Cookie")
    return [cookie.partition("; ")[2] for cookie in sorted(cookies)]


def test_every_cookie_is_as_safe_as_it_can_be_without_breaking_a_script() -> None:
    chosen, plain, remembered, session_cookie = set_cookies(service())
    assert plain == "Path=/; Secure; SameSite=Lax"
    assert chosen == "Secure; Path=/; SameSite=None"
    # these have settings of their own, which are obeyed
    assert (remembered, session_cookie) == ("Path=/", "HttpOnly; Path=/")


def test_over_http_no_cookie_is_lost() -> None:
    assert set_cookies(service(), "http://localhost")[1] == "Path=/; SameSite=Lax"


@pytest.mark.parametrize(
    ("value", "sent"),
    [("", "Path=/"), ("HttpOnly; SameSite=Strict", "Path=/; HttpOnly; SameSite=Strict")],
)
def test_the_attributes_of_cookies_are_chosen_by_configuration(value: str, sent: str) -> None:
    assert set_cookies(service(SECURITY_COOKIES=value))[1] == sent


def test_http_is_redirected_to_https_where_that_is_wanted() -> None:
    app = service(SECURITY_HTTPS=True)
    app.add_url_rule("/health", "health", lambda: "fine")
    client = app.test_client()
    response = client.post("/orders?a=1")
    assert (response.status_code, response.location) == (308, "https://localhost/orders?a=1")
    assert ON_EVERY_RESPONSE.items() <= dict(response.headers).items()
    assert client.get("/health").status_code == 200
    assert client.get("/", base_url=HTTPS).status_code == 404
    everywhere = service(SECURITY_HTTPS="true", SECURITY_HTTPS_EXCEPT="")
    assert everywhere.test_client().get("/health").status_code == 308
    assert service().test_client().get("/orders").status_code == 404


def test_two_applications_in_one_process_never_see_each_other() -> None:
    strict, relaxed = service(), service(SECURITY_HEADERS={"X-Frame-Options": "SAMEORIGIN"})
    assert strict.test_client().get("/").headers["X-Frame-Options"] == "DENY"
    assert relaxed.test_client().get("/").headers["X-Frame-Options"] == "SAMEORIGIN"
    assert strict.test_client().get("/").headers["X-Frame-Options"] == "DENY"
