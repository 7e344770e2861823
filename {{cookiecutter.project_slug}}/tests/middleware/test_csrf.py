"""What app/middleware/csrf.py promises. Travels with it: any package, one import to change."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Blueprint, Flask, g
from flask.views import MethodView

from app.middleware.csrf import configure_csrf_protection, csrf_exempt  # the one line to change

OWN, ALLOWED, SIBLING, STRANGER = (
    "https://api.example.com",
    "https://app.example.org",
    "https://blog.example.com",
    "https://evil.example.net",
)
WRITES = ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"]


def service(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping({"CSRF_TRUSTED_ORIGINS": [ALLOWED], **config})
    configure_csrf_protection(app)
    app.add_url_rule("/", "index", lambda: "done", methods=["GET", "OPTIONS", *WRITES])
    return app


def status(app: Flask, method: str = "POST", path: str = "/", **headers: str | None) -> int:
    """As a browser or a program sends it to https://api.example.com."""
    named = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    client = app.test_client()
    return client.open(path, base_url=OWN, method=method, headers=named).status_code


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("site", ["cross-site", "same-site", "something-new"])
@pytest.mark.parametrize("origin", [SIBLING, STRANGER, "null", None])
def test_a_foreign_page_changes_nothing(method: str, site: str, origin: str | None) -> None:
    app = service()
    assert status(app, method, Sec_Fetch_Site=site, Origin=origin) == 403


@pytest.mark.parametrize("origin", [SIBLING, STRANGER, "null", "http://api.example.com", OWN + "."])
def test_a_foreign_page_in_an_older_browser_changes_nothing_either(origin: str) -> None:
    assert status(service(), Origin=origin) == 403


@pytest.mark.parametrize("method", WRITES)
def test_a_program_passes_whatever_it_sends_else(method: str) -> None:
    app = service()
    assert status(app, method) == 200
    assert status(app, method, Cookie="session=x", Referer=STRANGER) == 200


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("origin", [OWN, None])
def test_the_services_own_pages_pass(method: str, origin: str | None) -> None:
    app = service()
    assert status(app, method, Sec_Fetch_Site="same-origin", Origin=origin) == 200
    assert status(app, method, Sec_Fetch_Site="none") == 200
    assert status(app, method, Origin=origin) == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", None])
def test_a_trusted_origin_passes(site: str | None) -> None:
    app = service(CSRF_TRUSTED_ORIGINS="https://app.example.org, https://*.example.com")
    for origin in (ALLOWED, SIBLING):
        assert status(app, Sec_Fetch_Site=site, Origin=origin) == 200
    assert status(app, Sec_Fetch_Site=site, Origin=STRANGER) == 403


def test_the_origins_that_cors_allows_pass_whoever_is_configured_first() -> None:
    class Cors:
        class allowed:
            allow = staticmethod(lambda origin: origin == SIBLING)

    app = service()
    assert status(app, Sec_Fetch_Site="same-site", Origin=SIBLING) == 403
    app.extensions["cors"] = Cors  # as cors.py leaves it
    assert status(app, Sec_Fetch_Site="same-site", Origin=SIBLING) == 200
    assert status(app, Sec_Fetch_Site="cross-site", Origin=STRANGER) == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_safe_methods_pass_from_everywhere(method: str) -> None:
    assert status(service(), method, Sec_Fetch_Site="cross-site", Origin=STRANGER) == 200


def test_a_websocket_is_not_opened_by_a_foreign_page() -> None:
    app = service()
    assert status(app, "GET", Upgrade="websocket", Origin=STRANGER) == 403
    for origin in (OWN, ALLOWED, None):
        assert status(app, "GET", Upgrade="websocket", Origin=origin) == 200


@pytest.mark.parametrize(
    ("host", "origin", "scheme"),
    [
        ("api.example.com:443", OWN, "https"),
        ("API.example.com", OWN, "https"),
        ("api.example.com:8443", OWN + ":8443", "https"),
        ("localhost:5000", "http://localhost:5000", "http"),
        ("[::1]:5000", "http://[::1]:5000", "http"),
        ("api.example.com", OWN, "http"),  # a proxy ended TLS and did not say so
    ],
)
def test_the_services_own_origin_is_known_by_its_host(host: str, origin: str, scheme: str) -> None:
    environ = {"HTTP_HOST": host, "HTTP_ORIGIN": origin, "wsgi.url_scheme": scheme}
    assert service().test_client().post("/", environ_overrides=environ).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("api.example.com:8443", OWN),
        ("api.example.com", OWN + ":8443"),
        ("api.example.com:80", OWN),
        ("localhost", "tauri://localhost"),
        ("", "https://"),
        ("evil.example.net@api.example.com", OWN),
    ],
)
def test_what_only_looks_like_the_host_is_foreign(host: str, origin: str) -> None:
    environ = {"HTTP_HOST": host, "HTTP_ORIGIN": origin}
    assert service().test_client().post("/", environ_overrides=environ).status_code in (400, 403)


def exempt_services() -> dict[str, Flask]:
    above, below, blueprint, whole, one = (service() for _ in range(5))
    csrf_exempt(above.post("/hook")(lambda: "done"))
    below.post("/hook")(csrf_exempt(lambda: "done"))
    routes = csrf_exempt(Blueprint("hooks", __name__))
    routes.add_url_rule("/hook", "hook", lambda: "done", methods=["POST"])
    blueprint.register_blueprint(routes)

    @csrf_exempt
    class Whole(MethodView):
        def post(self) -> str:
            return "done"

    class Subclass(Whole):
        pass

    class One(MethodView):
        @csrf_exempt
        def post(self) -> str:
            return "done"

        def put(self) -> str:
            return "done"

    whole.add_url_rule("/hook", view_func=Whole.as_view("hook"))
    whole.add_url_rule("/subclass", view_func=Subclass.as_view("subclass"))
    one.add_url_rule("/hook", view_func=One.as_view("hook"))
    path = service(CSRF_EXEMPT_PATHS="/hook")
    path.add_url_rule("/hook", "hook", lambda: "done", methods=["POST"])
    names = {"above": above, "below": below, "blueprint": blueprint, "class": whole, "method": one}
    return {**names, "path": path}


@pytest.mark.parametrize("way", ["above", "below", "blueprint", "class", "method", "path"])
def test_a_view_may_be_opened_to_all_pages_and_only_that_one(way: str) -> None:
    app = exempt_services()[way]
    foreign = {"Sec_Fetch_Site": "cross-site", "Origin": STRANGER}
    assert status(app, path="/hook", **foreign) == 200
    assert status(app, path="/", **foreign) == 403
    if way == "class":
        assert status(app, path="/subclass", **foreign) == 403
    if way == "method":
        assert status(app, "PUT", path="/hook", **foreign) == 403


def test_a_refusal_is_an_event_and_says_who_once(caplog: pytest.LogCaptureFixture) -> None:
    app = service()
    events: list[Any] = []
    app.extensions["pipeline"].on_headers(
        lambda environ, status, headers: events.append(environ.get("security_event"))
    )
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            status(app, Origin=STRANGER)
        status(app, Origin="https://other.example")
    assert events[0] == {"event": "cross_origin_write", "origin": f"'{STRANGER}'"}
    assert len(caplog.records) == 2
    for part in (STRANGER, "POST '/'", "CORS_ORIGINS", "CSRF_TRUSTED_ORIGINS", "@csrf_exempt"):
        assert part in caplog.records[0].getMessage()


def test_invented_origins_neither_fill_nor_split_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = service()
    with caplog.at_level(logging.WARNING):
        for number in range(300):
            environ = {"HTTP_ORIGIN": f"https://{number}\r\nforged" + "x" * 5000}
            app.test_client().post("/", environ_overrides=environ)
    assert len(caplog.records) == 100
    assert all("\n" not in r.getMessage() and len(r.getMessage()) < 500 for r in caplog.records)


def test_the_services_error_handler_renders_the_refusal() -> None:
    app = service()
    app.register_error_handler(403, lambda error: (f"<p>{error.description}", 403, {"X-Own": "1"}))
    response = app.test_client().post("/", headers={"Origin": STRANGER})
    assert (response.status_code, response.headers["X-Own"]) == (403, "1")
    assert response.text == f"<p>A page of '{STRANGER}' may not change anything here."
    response = app.test_client().post("/", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.text == "<p>A page of another site may not change anything here."


def test_what_is_mounted_around_flask_is_protected_too() -> None:
    def mounted(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"changed"]

    app = service()
    app.wsgi_app = mounted  # type: ignore[method-assign]
    assert status(app, Origin=STRANGER) == 403
    assert status(app, Origin=OWN) == 200


def test_a_refused_write_runs_nothing_of_the_service() -> None:
    app = service()
    ran: list[str] = []
    app.before_request(lambda: ran.append("before_request"))
    status(app, Origin=STRANGER)
    assert ran == []


def test_a_teardown_function_of_a_hook_closes_no_exempt_view() -> None:
    app = service()
    app.add_url_rule("/paid", view_func=csrf_exempt(lambda: g.db), methods=["POST"])

    @app.before_request
    def open_it() -> None:
        g.db = "opened"

    @app.teardown_request
    def close_it(error: BaseException | None) -> None:
        assert g.pop("db") == "opened"

    assert status(app, path="/paid", Origin=STRANGER) == 200


def test_a_teardown_function_that_misses_its_hook_does_not_turn_the_refusal_into_an_error() -> None:
    app = service()

    @app.teardown_request
    def close(error: BaseException | None) -> None:
        g.database.close()

    assert status(app, sec_fetch_site="cross-site") == 403


def test_it_can_be_switched_off() -> None:
    app = service(CSRF_PROTECTION="false")
    assert status(app, Sec_Fetch_Site="cross-site", Origin=STRANGER) == 200


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CSRF_PROTECTION", "perhaps"),
        ("CSRF_TRUSTED_ORIGINS", "*"),
        ("CSRF_TRUSTED_ORIGINS", ["app.example.com"]),
        ("CSRF_EXEMPT_PATHS", "hooks/"),
        ("CSRF_EXEMPT_PATHS", ["/hooks/*"]),
    ],
)
def test_a_wrong_setting_stops_the_start_and_says_what_to_write(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{key}: .*; for example "):
        service(**{key: value})
