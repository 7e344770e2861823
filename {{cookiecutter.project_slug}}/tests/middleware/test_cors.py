"""What app/middleware/cors.py promises. Travels with it: any package, one import to change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, abort, redirect
from flask.typing import ResponseReturnValue
from flask_cors import cross_origin
from werkzeug.datastructures import Headers

from app.middleware.cors import configure_cors  # the one line to change in another package

PAGE = "https://app.example.com"
FOREIGN = "https://evil.example.net"
ALLOWED_HEADERS = (
    "Authorization, Content-Type, If-Match, If-None-Match, X-API-Key, X-CSRF-Token, X-CSRFToken, "
    "X-Request-ID, baggage, traceparent, tracestate"
)
EXPOSED = (
    "Content-Disposition, ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, "
    "X-Request-ID"
)


def service(**config: Any) -> Flask:
    """A service with one route, allowed for PAGE unless told otherwise."""
    app = Flask(__name__)
    app.config.from_mapping({"CORS_ORIGINS": [PAGE], **config})

    @app.get("/api/thing")
    def thing() -> ResponseReturnValue:
        return {"a": "thing"}

    return app


def cors_headers(headers: Headers) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.startswith("Access-Control-")}


def get(app: Flask, path: str = "/api/thing", origin: str | None = PAGE, **more: str) -> Headers:
    headers = {"Origin": origin, **more} if origin is not None else more
    return app.test_client().get(path, headers=headers).headers


def preflight(app: Flask, path: str = "/api/thing", origin: str = PAGE) -> Any:
    asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    return app.test_client().options(path, headers=asked)


def test_an_allowed_page_reads_the_response_with_its_credentials_and_the_useful_headers() -> None:
    app = service()
    configure_cors(app)
    headers = get(app)
    assert cors_headers(headers) == {
        "Access-Control-Allow-Origin": PAGE,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": EXPOSED,
    }
    assert headers.getlist("Vary") == ["Origin"]


@pytest.mark.parametrize("origin", [FOREIGN, "null", "", PAGE + "/", "HTTPS://app.example.com"])
def test_a_foreign_page_reads_nothing_and_caches_are_told(origin: str) -> None:
    app = service()
    configure_cors(app)
    headers = get(app, origin=origin)
    assert cors_headers(headers) == {}
    assert headers.getlist("Vary") == ["Origin"]


def test_a_request_without_origin_gets_nothing_but_vary() -> None:
    app = service()
    configure_cors(app)
    headers = get(app, origin=None)
    assert cors_headers(headers) == {}
    assert headers.getlist("Vary") == ["Origin"]


@pytest.mark.parametrize("path", ["/", "/apikeys", "/API/thing", "/x/api/thing"])
def test_outside_the_path_nothing_is_added(path: str) -> None:
    app = service()
    app.add_url_rule(path, view_func=lambda: "out", endpoint="out")
    configure_cors(app)
    headers = get(app, path)
    assert cors_headers(headers) == {}
    assert "Vary" not in headers


@pytest.mark.parametrize("written", ["/api/orders/", "/api/orders", ["/static/", "/api/orders/"]])
def test_a_path_covers_itself_and_what_is_below_it(written: Any) -> None:
    app = service(CORS_PATH=written)
    configure_cors(app)
    for path in ("/api/orders", "/api/orders/", "/api/orders/7"):
        assert get(app, path)["Access-Control-Allow-Origin"] == PAGE
    assert cors_headers(get(app, "/api/ordersandmore")) == {}


@pytest.mark.parametrize("written", ["/api/,/static/", ["/api/", "/static/"], '["/api","/static"]'])
def test_several_paths_may_be_named(written: Any) -> None:
    app = service(CORS_PATH=written)
    configure_cors(app)
    for path in ("/api/thing", "/static/style.css"):
        assert get(app, path)["Access-Control-Allow-Origin"] == PAGE
        assert preflight(app, path).headers["Access-Control-Allow-Origin"] == PAGE
    assert cors_headers(get(app, "/other")) == {}


def test_what_another_application_inside_does_to_the_path_changes_nothing() -> None:
    def mounted(environ: Any, start_response: Any) -> Iterable[bytes]:
        environ["PATH_INFO"], environ["SCRIPT_NAME"] = "/thing", "/api"
        start_response("200 OK", [])
        return [b"mounted"]

    app = service()
    configure_cors(app)
    app.wsgi_app = mounted  # type: ignore[method-assign]
    assert get(app)["Access-Control-Allow-Origin"] == PAGE


def test_the_path_can_be_the_whole_service() -> None:
    app = service(CORS_PATH="/")
    configure_cors(app)
    assert get(app, "/no/such/page")["Access-Control-Allow-Origin"] == PAGE


@pytest.mark.parametrize("status", [304, 308, 400, 401, 403, 404, 405, 413, 415, 429, 500, 503])
def test_every_status_can_be_read_by_the_browser(status: int) -> None:
    app = service()

    @app.get("/api/status")
    def respond() -> ResponseReturnValue:
        if status == 304:
            return "", 304
        return redirect("/api/thing", 308) if status == 308 else abort(status)

    configure_cors(app)
    response = app.test_client().get("/api/status", headers={"Origin": PAGE})
    assert response.status_code == status
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    assert response.headers.getlist("Vary") == ["Origin"]


def test_an_unexpected_exception_can_be_read_by_the_browser() -> None:
    app = service()
    app.add_url_rule("/api/boom", view_func=lambda: str(1 // 0), endpoint="boom")
    configure_cors(app)
    response = app.test_client().get("/api/boom", headers={"Origin": PAGE})
    assert response.status_code == 500
    assert response.headers["Access-Control-Allow-Origin"] == PAGE


def test_a_broken_hook_takes_no_header_with_it() -> None:
    app = service()
    configure_cors(app)

    @app.after_request
    def broken(response: Response) -> Response:
        raise RuntimeError("somebody else's hook")

    response = app.test_client().get("/api/thing", headers={"Origin": PAGE})
    assert response.status_code == 500
    assert response.headers["Access-Control-Allow-Origin"] == PAGE


def test_a_stream_has_the_headers_even_if_it_breaks() -> None:
    app = service()

    @app.get("/api/stream")
    def stream() -> ResponseReturnValue:
        def body() -> Iterator[str]:
            yield "half"
            raise RuntimeError("the other half is lost")

        return Response(body())

    configure_cors(app)
    response = app.test_client().get("/api/stream", headers={"Origin": PAGE}, buffered=False)
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    with pytest.raises(RuntimeError, match="other half"):
        response.get_data()


@pytest.mark.parametrize("first", [True, False])
def test_the_response_of_a_layer_around_flask_is_readable_whoever_was_first(first: bool) -> None:
    def refuses(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("429 Too Many Requests", [("Retry-After", "7")])
        return [b"slow down"]

    app = service()
    if first:
        configure_cors(app)
    app.wsgi_app = refuses  # type: ignore[method-assign]
    if not first:
        configure_cors(app)
    headers = get(app)
    assert headers["Retry-After"] == "7"
    assert headers["Access-Control-Allow-Origin"] == PAGE


def test_a_preflight_never_enters_the_service() -> None:
    app = service()
    configure_cors(app)

    @app.before_request
    def nobody_comes_here() -> None:
        raise AssertionError("a preflight entered the service")

    response = preflight(app, "/api/any/path")
    assert (response.status_code, response.data) == (204, b"")
    assert dict(response.headers) == {
        "Access-Control-Allow-Origin": PAGE,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
        "Access-Control-Allow-Methods": "DELETE, GET, OPTIONS, PATCH, POST, PUT",
        "Access-Control-Max-Age": "600",
        "Access-Control-Expose-Headers": EXPOSED,
        "Vary": "Origin",
    }


def test_a_preflight_passes_the_other_phases_of_the_pipeline() -> None:
    app = service()
    configure_cors(app)
    seen: list[str] = []
    app.extensions["pipeline"].on_headers(lambda environ, status, headers: seen.append(status))
    assert preflight(app).status_code == 204
    assert seen == ["204 No Content"]


def test_a_preflight_from_a_foreign_page_gets_no_permission() -> None:
    app = service()
    configure_cors(app)
    response = preflight(app, origin=FOREIGN)
    assert cors_headers(response.headers) == {}
    assert response.headers["Vary"] == "Origin"


def test_a_preflight_outside_the_path_is_the_view_s_own_affair() -> None:
    app = service()
    configure_cors(app)
    response = preflight(app, "/apikeys")
    assert response.status_code == 404
    assert cors_headers(response.headers) == {}


@pytest.mark.parametrize("missing", ["Origin", "Access-Control-Request-Method"])
def test_an_options_request_that_is_not_a_preflight_reaches_the_view(missing: str) -> None:
    app = service()
    configure_cors(app)
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "PUT"}
    del asked[missing]
    response = app.test_client().options("/api/thing", headers=asked)
    assert response.status_code == 200
    assert "GET" in response.headers["Allow"]


def test_a_request_that_only_looks_like_a_preflight_reaches_the_view() -> None:
    app = service()
    configure_cors(app)
    assert app.test_client().get(
        "/api/thing", headers={"Origin": PAGE, "Access-Control-Request-Method": "GET"}
    ).get_json() == {"a": "thing"}


def test_access_to_private_networks_is_never_granted() -> None:
    app = service()
    configure_cors(app)
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Private-Network": "true",
    }
    headers = app.test_client().options("/api/thing", headers=asked).headers
    assert "Access-Control-Allow-Private-Network" not in headers


@pytest.mark.parametrize("origin", ["https://a.example.com", "https://a-1.example.com"])
def test_a_wildcard_lets_one_label_in(origin: str) -> None:
    app = service(CORS_ORIGINS=["https://*.example.com"])
    configure_cors(app)
    assert get(app, origin=origin)["Access-Control-Allow-Origin"] == origin
    assert preflight(app, origin=origin).headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com",
        "https://.example.com",
        "https://*.example.com",
        "https://a.b.example.com",
        "https://xexample.com",
        "https://a.example.com.evil.net",
        "https://a.example.com:8443",
        "http://a.example.com",
        "https://evil.net/.example.com",
        "https://evil.net?.example.com",
        "https://a\n.example.com",
    ],
)
def test_a_wildcard_lets_nobody_else_in(origin: str) -> None:
    app = service(CORS_ORIGINS=["https://*.example.com"])
    configure_cors(app)
    environ = {"HTTP_ORIGIN": origin}  # as it is: the test client would refuse some of these
    response = app.test_client().get("/api/thing", environ_overrides=environ)
    assert cors_headers(response.headers) == {}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("HTTPS://App.Example.COM/", "https://app.example.com"),
        ("  https://app.example.com:443 ", "https://app.example.com"),
        ("http://app.example.com:0080", "http://app.example.com"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("https://XN--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
        ("http://127.0.0.1:5173", "http://127.0.0.1:5173"),
        ("http://[::ffff:192.0.2.1]", "http://[::ffff:c000:201]"),
        ("https://my_app.example.com", "https://my_app.example.com"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_origin_may_be_written_as_people_write_it(written: str, sent: str) -> None:
    app = service(CORS_ORIGINS=[written])
    configure_cors(app)
    assert get(app, origin=sent)["Access-Control-Allow-Origin"] == sent


@pytest.mark.parametrize(
    "written",
    [
        "*",
        "null",
        "app.example.com",
        "//app.example.com",
        "https:/app.example.com",
        "htps://app.example.com",
        "file:///index.html",
        "https://",
        "https://app.example.com/login",
        "https://app.example.com//",
        "https://app.example.com?x=1",
        "https://app.example.com#x",
        "https://user@app.example.com",
        "https://app.example.com:0",
        "https://app.example.com:65536",
        "https://app.example.com:http",
        "https://app.example.com:*",
        "https://*",
        "https://*.com",
        "https://a.*.example.com",
        "https://*.*.example.com",
        "https://*app.example.com",
        "http://*.example.com",
        "https://*.168.1.1",
        "https://*.10.0.0.1",
        "https://" + "a." * 126 + "com",
        "https://*.[::1]",
        r"https://.*\.example\.com",
        "https://(app|www).example.com",
        "https://app.example.com$",
        "https://app.example.com.",
        "https://app..example.com",
        "https://app example.com",
        "https://app.example.com\thttps://b.example.com",
        "https://b\u00fccher.example",
        "http://127.1",
        "http://[::1",
        "http://[fe80::1%25eth0]",
    ],
)
def test_an_origin_that_no_browser_sends_stops_the_start(written: str) -> None:
    app = service(CORS_ORIGINS=[PAGE, written])
    with pytest.raises(ValueError, match=r"^CORS_ORIGINS: .*; for example ") as refused:
        configure_cors(app)
    assert ascii(written)[:80].rstrip("'") in str(refused.value)
    assert str(refused.value).isascii()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("*", "pages that nobody chose"),
        ("null", "pages that nobody chose"),
        ("app.example.com", "no scheme"),
        ("ftp://app.example.com", r"a scheme of pages \(http, https, capacitor"),
        ("https://me@app.example.com", "user info"),
        ("https://app.example.com?x=1", "a query"),
        ("https://app.example.com#x", "a fragment"),
        ("https://app.example.com/login", "a path"),
        (
            "https://app*.example.com",
            r"not the whole first label; for example https://\*.example.com",
        ),
        ("https://app.example.com:http", "a port that is not a number"),
        ("https://app.example.com:65536", "from 1 to 65535"),
        ("https://b\u00fccher.example", "not ASCII: copy location.origin from the browser"),
        ("https://(app|www).example.com", "nor a regular expression"),
        ("https://*.com", r"one name's subdomains over https; for example https://\*.example.com"),
    ],
)
def test_a_refused_origin_is_told_why(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        configure_cors(service(CORS_ORIGINS=[written]))


@pytest.mark.parametrize(
    "written",
    [
        ["https://a.example.com", "https://b.example.com"],
        ("https://a.example.com", "https://b.example.com"),
        "https://a.example.com,https://b.example.com",
        " https://a.example.com , ,https://b.example.com, ",
        '["https://a.example.com", "https://b.example.com"]',
    ],
)
def test_a_list_may_be_text_as_the_environment_has_it(written: Any) -> None:
    app = service(CORS_ORIGINS=written)
    configure_cors(app)
    for origin in ("https://a.example.com", "https://b.example.com"):
        assert get(app, origin=origin)["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize("written", [None, [], "", " , "])
def test_no_origin_configured_means_none_allowed(written: Any) -> None:
    app = service(CORS_ORIGINS=written)
    configure_cors(app)
    assert cors_headers(get(app)) == {}


@pytest.mark.parametrize(
    ("key", "value", "header", "sent"),
    [
        ("CORS_METHODS", "get, post", "Access-Control-Allow-Methods", "GET, POST"),
        ("CORS_ALLOW_HEADERS", ["X-One"], "Access-Control-Allow-Headers", "X-One"),
        ("CORS_EXPOSE_HEADERS", '["X-One"]', "Access-Control-Expose-Headers", "X-One"),
        (
            "CORS_EXTRA_ALLOW_HEADERS",
            "X-Tenant",
            "Access-Control-Allow-Headers",
            ALLOWED_HEADERS.replace("X-Request-ID", "X-Request-ID, X-Tenant"),
        ),
        (
            "CORS_EXTRA_EXPOSE_HEADERS",
            ["X-Total-Count"],
            "Access-Control-Expose-Headers",
            EXPOSED + ", X-Total-Count",
        ),
        ("CORS_MAX_AGE", "5", "Access-Control-Max-Age", "5"),
        ("CORS_MAX_AGE", 0, "Access-Control-Max-Age", "0"),
        ("CORS_SUPPORTS_CREDENTIALS", True, "Access-Control-Allow-Credentials", "true"),
        ("CORS_SUPPORTS_CREDENTIALS", "False", "Access-Control-Allow-Credentials", None),
        ("CORS_EXPOSE_HEADERS", [], "Access-Control-Expose-Headers", None),
    ],
)
def test_every_key_has_its_effect(key: str, value: Any, header: str, sent: str | None) -> None:
    app = service(**{key: value})
    configure_cors(app)
    assert preflight(app).headers.get(header) == sent


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CORS_ORIGINS", 7),
        ("CORS_ORIGINS", {"https://a.example.com": True}),
        ("CORS_ORIGINS", [7]),
        ("CORS_ORIGINS", '["https://a.example.com"'),
        ("CORS_PATH", "/api/*"),
        ("CORS_PATH", ["/api/", "static/"]),
        ("CORS_PATH", [7]),
        ("CORS_PATH", "api/"),
        ("CORS_PATH", "^/api/"),
        ("CORS_METHODS", "*"),
        ("CORS_METHODS", "GET POST"),
        ("CORS_ALLOW_HEADERS", ["*"]),
        ("CORS_ALLOW_HEADERS", "X-A\r\nSet-Cookie"),
        ("CORS_EXPOSE_HEADERS", "X-.*"),
        ("CORS_EXTRA_ALLOW_HEADERS", "*"),
        ("CORS_EXTRA_EXPOSE_HEADERS", {"X-One": 1}),
        ("CORS_MAX_AGE", "ten"),
        ("CORS_MAX_AGE", -1),
        ("CORS_MAX_AGE", True),
        ("CORS_SUPPORTS_CREDENTIALS", "yes"),
        ("CORS_RESOURCES", r"/api/*"),
        ("CORS_SEND_WILDCARD", True),
        ("CORS_ALLOW_PRIVATE_NETWORK", True),
    ],
)
def test_a_wrong_setting_stops_the_start_and_says_what_to_write(key: str, value: Any) -> None:
    app = service(**{key: value})
    with pytest.raises(ValueError, match=rf"^{key}: .*; for example "):
        configure_cors(app)


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        ("Accept-Encoding", "Accept-Encoding, Origin"),
        ("accept, origin", "accept, origin"),
        ("*", "*"),
    ],
)
def test_vary_is_completed_and_not_repeated(own: str, sent: str) -> None:
    app = service()
    app.add_url_rule("/api/own", view_func=lambda: ("", {"vary": own}), endpoint="own")
    configure_cors(app)
    assert get(app, "/api/own").getlist("Vary") == [sent]


def test_a_view_that_decides_for_itself_keeps_its_headers() -> None:
    app = service()
    configure_cors(app)

    @app.route("/api/public", methods=["GET", "PUT"])
    @cross_origin(origins="*", supports_credentials=False)
    def public() -> ResponseReturnValue:
        return {"for": "all"}

    for origin in (PAGE, FOREIGN):
        headers = get(app, "/api/public", origin)
        assert headers.getlist("Access-Control-Allow-Origin") == [origin]
        assert "Access-Control-Allow-Credentials" not in headers
        assert headers.getlist("Vary") == ["Origin"]
    assert "PUT" in preflight(app, "/api/public", FOREIGN).headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize("path", ["//api/thing", "api/thing"])  # the second: /shopapi/thing
def test_a_page_that_writes_a_slash_too_many_or_too_few_reads_what_flask_responds(
    path: str,
) -> None:
    app = service()
    configure_cors(app)
    slashes = {"PATH_INFO": path}  # below a prefix, servers take it off where it stands
    response = app.test_client().get("/", headers={"Origin": PAGE}, environ_overrides=slashes)
    assert response.json == {"a": "thing"}
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Origin" in response.vary


@pytest.mark.parametrize("given", [{}, {"CORS_SUPPORTS_CREDENTIALS": True}])
def test_a_view_for_every_page_reads_no_visitor_s_cookies_unless_it_says_so(
    given: dict[str, bool],
) -> None:
    app = service(**given)
    configure_cors(app)
    decorators = {
        "open": cross_origin(origins="*"),
        "trusting": cross_origin(origins="*", supports_credentials=True),
    }
    for name, decorate in decorators.items():
        app.add_url_rule(f"/{name}", view_func=decorate(lambda: "for all"), endpoint=name)
    key = "Access-Control-Allow-Credentials"
    assert get(app, "/open", FOREIGN)["Access-Control-Allow-Origin"] == FOREIGN
    assert key not in get(app, "/open", FOREIGN)
    assert key not in preflight(app, "/open", FOREIGN).headers
    assert get(app, "/trusting", FOREIGN)[key] == "true"
    assert get(app, "/api/thing", PAGE)[key] == "true"


@pytest.mark.parametrize("origin", ["https://xexample.com.evil.net", "https:/xexample.com"])
def test_flask_cors_own_decorator_never_takes_an_origin_for_a_regex(origin: str) -> None:
    app = service(CORS_ORIGINS="https://*.example.com, http://[::1]:3000")
    configure_cors(app)
    app.add_url_rule("/open", view_func=cross_origin()(lambda: "open"), endpoint="open")
    assert cors_headers(get(app, "/open", origin)) == {}
    for allowed in ("https://a.example.com", "http://[::1]:3000"):
        assert get(app, "/open", allowed)["Access-Control-Allow-Origin"] == allowed


def test_two_applications_do_not_see_each_other() -> None:
    one, two = service(), service(CORS_ORIGINS="https://b.example.com", CORS_MAX_AGE=5)
    configure_cors(one)
    configure_cors(two)
    assert cors_headers(get(two)) == {}
    assert get(one)["Access-Control-Allow-Origin"] == PAGE
    assert preflight(one).headers["Access-Control-Max-Age"] == "600"


def test_the_configuration_s_own_list_is_left_alone() -> None:
    written = ["https://*.example.com/"]
    for _ in range(2):  # as two tests do that build the same application
        app = service(CORS_ORIGINS=written)
        configure_cors(app)
    assert written == ["https://*.example.com/"]


def test_the_body_is_untouched() -> None:
    app = service()
    configure_cors(app)
    response = app.test_client().get("/api/thing", headers={"Origin": PAGE})
    assert json.loads(response.data) == {"a": "thing"}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_a_mistyped_origin_is_named_once_with_what_was_asked_and_the_nearest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = service(CORS_ORIGINS="http://localhost:3000, https://app.example.com")
    configure_cors(app)
    for _ in range(3):
        preflight(app, origin="http://127.0.0.1:3000")
        get(app, origin="http://127.0.0.1:3000")
    (said,) = warnings(caplog)
    for part in ("'http://127.0.0.1:3000'", "PUT", "'/api/thing'", "CORS_ORIGINS"):
        assert part in said
    assert said.endswith("did you mean http://localhost:3000?")
    get(app, origin=FOREIGN)
    assert len(warnings(caplog)) == 2


@pytest.mark.parametrize(
    ("path", "asked", "says"),
    [
        ("/other", {}, r"CORS_PATH \(/api/\) does not cover '/other'"),
        ("/api/thing", {"Method": "PURGE"}, "CORS_METHODS does not have 'PURGE'"),
        (
            "/api/thing",
            {"Headers": "content-type,x-one,x-two"},
            "CORS_ALLOW_HEADERS does not have 'x-one, x-two': add it to CORS_EXTRA_ALLOW_HEADERS",
        ),
    ],
)
def test_what_an_allowed_page_may_not_ask_is_named_with_the_key_to_change(
    caplog: pytest.LogCaptureFixture, path: str, asked: dict[str, str], says: str
) -> None:
    app = service()
    configure_cors(app)
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "PUT"}
    headers |= {f"Access-Control-Request-{name}": value for name, value in asked.items()}
    for _ in range(2):
        app.test_client().options(path, headers=headers)
    (said,) = warnings(caplog)
    assert re.search(says, said)


def test_nothing_is_said_where_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    app = service(CORS_METHODS="get, put")
    configure_cors(app)
    app.add_url_rule("/api/open", view_func=cross_origin(origins="*")(lambda: "open"))
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}  # safelisted
    asked["Access-Control-Request-Headers"] = "authorization,content-type"
    app.test_client().options("/api/thing", headers=asked)
    preflight(app)
    get(app)
    get(app, origin=None)
    get(app, origin="http://localhost")  # the service's own page: browsers send it with a POST
    get(app, "/other", origin=FOREIGN)  # nobody promised it anything
    get(app, "/api/open", origin=FOREIGN)  # the view lets it in
    assert warnings(caplog) == []


def test_invented_origins_neither_fill_nor_split_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = service()
    configure_cors(app)
    for number in range(300):
        environ = {"HTTP_ORIGIN": f"https://{number}\r\nforged" + "x" * 5000}
        app.test_client().get("/api/thing", environ_overrides=environ)
    assert len(warnings(caplog)) == 100
    assert all("\n" not in said and len(said) < 500 for said in warnings(caplog))


@pytest.mark.parametrize("is_debugged", [True, False])
def test_a_person_sees_the_reason_in_the_browsers_network_tab(is_debugged: bool) -> None:
    app = service(CORS_DEBUG=is_debugged)
    configure_cors(app)
    reasons = [
        get(app, origin=FOREIGN).get("CORS-Refused"),
        get(app, "/other").get("CORS-Refused"),
        preflight(app, origin=FOREIGN).headers.get("CORS-Refused"),
    ]
    if is_debugged:
        assert [reason.partition(" ")[0] for reason in reasons if reason] == [
            "CORS_ORIGINS",
            "CORS_PATH",
            "CORS_ORIGINS",
        ]
    else:
        assert reasons == [None, None, None]
    assert "CORS-Refused" not in get(app)
