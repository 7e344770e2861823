"""What app/middleware/authentication.py promises; travels with that file."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, g, request
from flask.views import MethodView
from werkzeug.test import TestResponse

from app.middleware.authentication import (  # the one line to change in another package
    configure_authentication,
    public,
    require_scope,
)
from app.middleware.engine.api_keys import make_key
from app.middleware.engine.credentials import NotAuthenticated

READER, WRITER, STRANGER = "r" * 32, "w" * 43, "s" * 43


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


CLIENTS = {
    "reader": {"keys": [hashed(READER)], "scopes": ["orders:read"]},
    "writer": {"keys": [hashed("old" + WRITER), hashed(WRITER)], "scopes": ["orders:write"]},
}


def service(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update({"API_KEYS": CLIENTS, **config})
    configure_authentication(app)

    @app.get("/whoami")
    def whoami() -> dict[str, Any]:
        return {"client": g.get("client"), "scopes": sorted(g.get("scopes", ()))}

    @app.get("/open")
    @public
    def opened() -> str:
        return "open to everybody"

    @app.route("/orders", methods=["GET", "POST"])
    @require_scope("orders:write")
    def orders() -> str:
        return "ordered"

    return app


def get(
    app: Flask, path: str = "/whoami", address: str = "192.0.2.1", **headers: str
) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.test_client().get(path, headers=named, environ_base={"REMOTE_ADDR": address})


def watched(app: Flask) -> list[dict[str, Any]]:
    """The environ of each request, as a layer around the application finds it afterwards."""
    seen, inner = [], app.wsgi_app

    def layer(environ: dict[str, Any], start_response: Any) -> Any:
        seen.append(environ)
        return inner(environ, start_response)

    app.wsgi_app = layer  # type: ignore[method-assign]
    return seen


# -- credentials -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": READER},
        {"Authorization": f"Bearer {READER}"},
        {"Authorization": f"bEARER {READER}"},
        {"Authorization": f"Bearer   {READER}"},  # RFC 9110 section 11.4: one blank or more
        {"Authorization": f"Bearer {READER}", "X-API-Key": READER},
    ],
)
def test_a_key_is_accepted_in_either_header(headers: dict[str, str]) -> None:
    response = service().test_client().get("/whoami", headers=headers)
    assert response.get_json() == {"client": "reader", "scopes": ["orders:read"]}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": READER, "Authorization": "Basic eDp5"},  # a proxy's, for example
        {"X-API-Key": READER, "Authorization": 'Digest username="x"'},
        {"X-API-Key": READER, "Authorization": ""},
        {"X-API-Key": READER, "Authorization": "Bearer"},
        {"X-API-Key": READER, "Authorization": "Bearer "},
        {"X-API-Key": "", "Authorization": f"Bearer {READER}"},
        {"X-API-Key": READER, "Proxy-Authorization": f"Bearer {STRANGER}"},
    ],
)
def test_a_key_is_accepted_beside_what_is_for_somebody_else(headers: dict[str, str]) -> None:
    environ = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}
    response = service().test_client().get("/whoami", environ_overrides=environ)
    assert response.get_json()["client"] == "reader"


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, 'Bearer realm="api"'),
        ({"X-API-Key": "", "Authorization": ""}, 'Bearer realm="api"'),
        ({"Authorization": "Basic eDp5"}, 'Bearer realm="api"'),
        ({"Authorization": "Bearer"}, 'Bearer realm="api"'),
        ({"Authorization": "Bearer short"}, 'Bearer realm="api", error="invalid_token"'),
    ],
)
def test_an_error_is_named_only_where_a_credential_of_ours_came(
    headers: dict[str, str], challenge: str
) -> None:
    """RFC 6750 section 3.1."""
    environ = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}
    response = service().test_client().get("/whoami", environ_overrides=environ)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, challenge)


def test_a_client_may_have_several_keys_while_it_changes_them() -> None:
    app = service()
    for key in ("old" + WRITER, WRITER):
        assert get(app, X_API_Key=key).get_json()["client"] == "writer"


def test_the_name_is_left_for_layers_outside_flask() -> None:
    app = service()
    seen = watched(app)
    get(app, X_API_Key=READER)
    assert seen[0]["client"] == "reader"


def test_an_application_inside_another_asks_for_a_key_of_its_own() -> None:
    inner, outer = service(API_KEYS={"inner": {"keys": [hashed(WRITER)]}}), service()

    @outer.get("/in")
    def pass_on() -> Any:
        outer.extensions["authentication"].caller_of_request()  # as limits per caller ask
        return Response.from_app(inner, {**request.environ, "PATH_INFO": "/whoami"})

    assert get(outer, X_API_Key=READER).status_code == 200
    assert get(outer, "/in", X_API_Key=READER).status_code == 401
    assert get(outer, "/in", X_API_Key=WRITER).json == {"client": "inner", "scopes": []}


def test_without_a_credential_401_asks_for_one() -> None:
    response = get(service())
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert response.headers["Cache-Control"] == "no-store"


def test_a_wrong_key_is_an_invalid_token() -> None:
    response = get(service(), X_API_Key=STRANGER)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ""},
        {"X-API-Key": "short"},
        {"X-API-Key": READER[:31]},
        {"X-API-Key": f"{READER} "},
        {"X-API-Key": f"{READER},{READER}"},
        {"X-API-Key": f"{READER}, {STRANGER}"},
        {"X-API-Key": hashed(READER)},
        {"X-API-Key": "\xe9" * 40},
        {"X-API-Key": "x" * 100_000},
        {"X-API-Key": "\x00\x7f" * 20},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer   "},
        {"Authorization": f"Bearer {READER} "},
        {"Authorization": f"Bearer {READER} {READER}"},
        {"Authorization": f"Bearer {READER}, Bearer {READER}"},
        {"Authorization": f"Bearer\t{READER}"},
        {"Authorization": f"Basic {READER}"},
        {"Authorization": READER},
        {"Authorization": "Bearer " + "\xfc" * 40},
        {"Authorization": "\xff\xfe"},
    ],
)
def test_what_is_not_exactly_a_key_is_401_and_never_500(headers: dict[str, str]) -> None:
    app, environ = service(PROPAGATE_EXCEPTIONS=True), {}
    for name, value in headers.items():  # as a server hands it over: nothing stripped or refused
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    response = app.test_client().get("/whoami", environ_overrides=environ)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="api"')


@pytest.mark.parametrize("key", ["short", "k" * 31, "k" * 8193, "k" * 40 + "!", "\xe9" * 40])
def test_what_is_not_a_key_is_never_accepted_even_if_its_hash_is_configured(
    key: str,
) -> None:
    digest = hashlib.sha256(key.encode("latin-1")).hexdigest()
    app = service(API_KEYS={"lazy": {"keys": [digest]}})
    response = app.test_client().get("/whoami", environ_overrides={"HTTP_X_API_KEY": key})
    assert response.status_code == 401


def test_two_different_credentials_are_400() -> None:
    response = get(service(), X_API_Key=READER, Authorization=f"Bearer {WRITER}")
    assert response.status_code == 400
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_request"'


# -- what is closed, what is open ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("GET", "/static/app.css"),
        ("DELETE", "/whoami"),
        ("GET", "/orders"),
        ("OPTIONS", "/orders"),
        ("HEAD", "/whoami"),
        ("POST", "/open"),
    ],
)
def test_without_a_key_nobody_learns_which_routes_exist(method: str, path: str) -> None:
    response = service().test_client().open(path, method=method)
    assert (response.status_code, "Allow" in response.headers) == (401, False)


def test_a_redirect_to_a_route_is_not_given_away_either() -> None:
    app = service()
    app.add_url_rule("/folder/", "folder", lambda: "inside")
    assert get(app, "/folder").status_code == 401
    assert get(app, "/folder", X_API_Key=READER).status_code == 308


PREFLIGHT = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}


def test_a_preflight_is_open_because_a_browser_sends_no_key_with_it() -> None:
    client = service().test_client()
    assert client.options("/orders", headers=PREFLIGHT).status_code == 200
    for name in PREFLIGHT:
        assert client.options("/orders", headers={name: PREFLIGHT[name]}).status_code == 401


def test_preflights_do_not_tell_which_routes_exist_and_for_what() -> None:
    app = service()
    app.add_url_rule("/own", "own", lambda: "secret", methods=["GET", "OPTIONS"])
    app.add_url_rule("/folder/", "folder", lambda: "inside")
    paths = ("/whoami", "/orders", "/own", "/folder", "/static/app.css", "/nowhere")
    responses = [app.test_client().options(path, headers=PREFLIGHT) for path in paths]
    assert {(a.status_code, a.text, str(a.headers)) for a in responses} == {
        (200, "", str(responses[-1].headers))
    }
    assert "Allow" not in responses[0].headers


def test_the_headers_of_a_preflight_open_no_view() -> None:
    app = service()
    ran = []

    @app.route("/own", methods=["GET", "OPTIONS"])
    def own() -> str:
        ran.append(1)
        return "ran"

    assert app.test_client().options("/own", headers=PREFLIGHT).text == ""
    wrong = {**PREFLIGHT, "X-API-Key": STRANGER}
    assert app.test_client().options("/own", headers=wrong).status_code == 401
    assert app.test_client().get("/whoami", headers=PREFLIGHT).status_code == 401
    assert ran == []
    right = {**PREFLIGHT, "X-API-Key": READER}
    assert app.test_client().options("/own", headers=right).status_code == 200
    assert ran == [1]


def test_a_public_view_responds_to_its_preflights_itself() -> None:
    app = service()
    app.add_url_rule("/own", "own", public(lambda: "mine"), methods=["GET", "OPTIONS"])
    assert app.test_client().options("/own", headers=PREFLIGHT).text == "mine"


def test_a_preflight_for_a_host_that_is_not_trusted_is_refused_as_flask_does() -> None:
    app = service(TRUSTED_HOSTS=["localhost"])
    foreign = {**PREFLIGHT, "Host": "evil.example"}
    assert app.test_client().options("/whoami", headers=foreign).status_code == 400


@pytest.mark.parametrize("path", ["/whoami", "/open", "/nowhere"])
@pytest.mark.parametrize("key", [None, READER, STRANGER])
def test_a_host_that_is_not_trusted_is_refused_whoever_asks(path: str, key: str | None) -> None:
    app = service(TRUSTED_HOSTS=["api.example.com"], API_KEY_FAILURES="1 per minute")
    headers = {"X-API-Key": key} if key else {}
    for _ in range(3):  # and nobody tries keys there: none is compared, none is counted
        foreign = app.test_client().get(path, headers={**headers, "Host": "192.0.2.1"})
        assert foreign.status_code == 400
    own = app.test_client().get("/whoami", headers={"X-API-Key": READER, "Host": "api.example.com"})
    assert own.status_code == 200
    assert app.test_client().get("/whoami", base_url="http://api.example.com").status_code == 401


def test_public_opens_a_view_in_any_order_of_decorators() -> None:
    import functools

    def timed(view: Any) -> Any:
        @functools.wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return view(*args, **kwargs)

        return wrapper

    app = service()
    api = Blueprint("api", __name__, url_prefix="/api")
    api.get("/a")(public(lambda: "a"))
    public(api.get("/b", endpoint="b")(lambda: "b"))
    api.get("/c", endpoint="c")(timed(public(lambda: "c")))
    public(api.get("/d", endpoint="d")(timed(lambda: "d")))
    api.get("/e", endpoint="e")(public(timed(lambda: "e")))
    app.register_blueprint(api)
    for name in "abcde":
        assert get(app, f"/api/{name}").text == name


def test_a_public_view_does_not_look_at_credentials() -> None:
    assert get(service(), "/open", X_API_Key="wrong").text == "open to everybody"


def test_classes_of_views_and_their_methods_can_be_public() -> None:
    class Orders(MethodView):
        @public
        def get(self) -> str:
            return "read"

        def post(self) -> str:
            return "written"

    @public
    class Menu(MethodView):
        def get(self) -> str:
            return "menu"

    class SecretMenu(Menu):
        pass

    app = service()
    app.add_url_rule("/class", view_func=Orders.as_view("class"))
    app.add_url_rule("/menu", view_func=Menu.as_view("menu"))
    app.add_url_rule("/secret", view_func=SecretMenu.as_view("secret"))
    client = app.test_client()
    assert client.get("/class").text == "read"
    assert client.head("/class").status_code == 200
    assert client.post("/class").status_code == 401
    assert client.get("/menu").text == "menu"
    assert client.get("/secret").status_code == 401


def test_a_blueprint_can_be_public_but_for_what_needs_a_scope() -> None:
    docs, inner = public(Blueprint("docs", __name__, url_prefix="/docs")), Blueprint("in", __name__)
    inner.get("/in")(lambda: "in")
    docs.get("/closed", endpoint="closed")(require_scope("orders:write")(lambda: "closed"))
    docs.register_blueprint(inner)
    app, other = service(), service()
    app.register_blueprint(docs)
    other.register_blueprint(inner)
    assert get(app, "/docs/in").text == "in"
    assert get(app, "/docs/closed").status_code == 401
    assert get(other, "/in").status_code == 401
    app = service()
    app.add_url_rule("/dotted", "not.a.blueprint", lambda: "closed")
    assert get(app, "/dotted").status_code == 401


def test_a_blueprint_can_need_a_scope_for_all_its_views() -> None:
    admin = require_scope("orders:write")(Blueprint("admin", __name__, url_prefix="/admin"))
    admin.get("/users")(lambda: "users")
    admin.get("/open", endpoint="open")(public(lambda: "open"))
    app = service()
    app.register_blueprint(admin)
    for path in ("/admin/users", "/admin/open"):
        assert get(app, path).status_code == 401
        assert get(app, path, X_API_Key=READER).status_code == 403
        assert get(app, path, X_API_Key=WRITER).status_code == 200


def test_a_view_of_an_extension_may_be_a_bound_method_and_only_its_own_is_marked() -> None:
    class Docs:
        def page(self) -> str:
            return "docs"

    app, docs, others = service(), Docs(), Docs()
    app.add_url_rule("/docs", "docs", public(docs.page))
    app.add_url_rule("/closed", "closed", require_scope("orders:write")(docs.page))
    app.add_url_rule("/others", "others", others.page)
    assert get(app, "/docs").text == "docs"
    assert get(app, "/closed", X_API_Key=READER).status_code == 403
    assert get(app, "/closed", X_API_Key=WRITER).text == "docs"
    assert get(app, "/others").status_code == 401


# -- scopes ----------------------------------------------------------------------------------------


def test_a_missing_scope_is_403_and_named() -> None:
    app = service()
    response = get(app, "/orders", X_API_Key=READER)
    assert response.status_code == 403
    assert response.headers["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="orders:write"'
    )
    assert response.headers["Cache-Control"] == "no-store"
    assert get(app, "/orders", X_API_Key=WRITER).text == "ordered"


def test_a_scope_holds_in_any_order_of_decorators_and_where_a_decorator_forgets_it() -> None:
    def forgetful(view: Any) -> Any:
        return lambda: view()

    write = require_scope("orders:write")
    app = service()
    app.get("/a", endpoint="a")(write(lambda: "a"))
    write(app.get("/b", endpoint="b")(lambda: "b"))
    app.get("/c", endpoint="c")(forgetful(write(lambda: "c")))
    app.get("/d", endpoint="d")(require_scope("orders:read")(write(lambda: "d")))
    app.get("/e", endpoint="e")(public(write(lambda: "e")))
    for name in "abcde":
        assert get(app, f"/{name}", X_API_Key=READER).status_code == 403, name
        assert get(app, f"/{name}").status_code == 401, name
    assert get(app, "/c", X_API_Key=WRITER).text == "c"


def test_scopes_hold_on_classes_of_views_and_on_their_methods() -> None:
    @public
    class Orders(MethodView):
        def get(self) -> str:
            return "read"

        @require_scope("orders:write")
        def post(self) -> str:
            return "written"

    @require_scope("orders:write")
    class Ledger(MethodView):
        def get(self) -> str:
            return "ledger"

    app = service()
    app.add_url_rule("/class", view_func=Orders.as_view("class"))
    app.add_url_rule("/ledger", view_func=Ledger.as_view("ledger"))
    client = app.test_client()
    assert client.get("/class").status_code == 200
    assert client.post("/class").status_code == 401
    assert client.post("/class", headers={"X-API-Key": READER}).status_code == 403
    assert client.post("/class", headers={"X-API-Key": WRITER}).status_code == 200
    assert client.get("/ledger", headers={"X-API-Key": READER}).status_code == 403


@pytest.mark.parametrize("scopes", [(), ("",), ("two words",), ('qu"ote',), (None,)])
def test_a_scope_that_cannot_be_one_is_refused_where_it_is_written(scopes: Any) -> None:
    with pytest.raises(ValueError, match="require_scope"):
        require_scope(*scopes)


# -- wrong keys are limited ------------------------------------------------------------------------


def test_wrong_keys_are_limited_per_address_over_all_routes_unknown_ones_too() -> None:
    app = service(API_KEY_FAILURES="3 per hour")
    for path in ("/whoami", "/orders", "/nowhere"):
        assert get(app, path, X_API_Key=STRANGER).status_code == 401
    response = get(app, "/elsewhere", X_API_Key=STRANGER)
    assert response.status_code == 429
    assert "wrong, or are not yet known to be right" in response.text  # it was not compared
    assert 3590 <= int(response.headers["Retry-After"]) <= 3600
    assert get(app, address="192.0.2.2", X_API_Key=READER).status_code == 200
    assert get(app, "/open").status_code == 200


def guess(app: Flask, number: int, **headers: str) -> list[int]:
    """The statuses for so many different wrong keys."""
    return [get(app, X_API_Key=f"{n:040}", **headers).status_code for n in range(number)]


def test_one_guesser_does_not_lock_out_a_neighbour_whose_key_was_right() -> None:
    app = service(API_KEY_FAILURES="2 per hour")
    assert get(app, X_API_Key=READER).status_code == 200
    assert guess(app, 4) == [401, 401, 429, 429]
    assert get(app, X_API_Key=READER).status_code == 200
    assert get(app, X_API_Key=WRITER).status_code == 429  # nothing is compared any more


def test_a_right_key_stays_known_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    app = service(API_KEY_FAILURES="1 per hour")
    for hours in range(0, 96, 16):  # from evening to morning, and on
        now = hours * 3600.0
        assert get(app, X_API_Key=f"{hours:040}").status_code == 401
        assert get(app, X_API_Key=READER).status_code == (200 if hours else 429)
        now += 3600
        assert get(app, X_API_Key=READER).status_code == 200
    now += 25 * 3600
    assert [get(app, X_API_Key=k).status_code for k in (STRANGER, READER)] == [401, 429]


def test_a_wrong_key_that_comes_again_takes_nothing_away_from_others() -> None:
    app = service(API_KEY_FAILURES="2 per hour")
    assert [get(app, X_API_Key=STRANGER).status_code for _ in range(4)] == [401, 401, 429, 429]
    assert get(app, X_API_Key=WRITER).status_code == 200


@pytest.mark.parametrize("key", ["undefined", "k" * 31, "k" * 40 + "!", "k" * 8193])
def test_what_cannot_be_a_key_takes_nothing_away_from_others(key: str) -> None:
    app = service(API_KEY_FAILURES="2 per hour")
    assert [get(app, X_API_Key=key + "!" * n).status_code for n in range(4)] == [401, 401, 429, 429]
    assert get(app, X_API_Key=WRITER).status_code == 200


def office(number: int, **config: Any) -> tuple[Flask, list[str]]:
    """A service with so many callers, and a key that was made for each of them."""
    keys = [make_key(f"desk-{n}") for n in range(number)]
    callers = {f"desk-{n}": {"keys": [hashed(key)]} for n, key in enumerate(keys)}
    return service(API_KEYS={**callers, **CLIENTS}, **config), keys


def test_keys_of_the_command_pass_whoever_guesses_at_their_address() -> None:
    app, keys = office(200, API_KEY_FAILURES="20 per minute")
    assert set(guess(app, 1000)[20:]) == {429}
    assert {get(app, X_API_Key=key).status_code for key in keys} == {200}
    assert get(app, X_API_Key=WRITER).status_code == 429  # of another form, and new here


def test_guesses_in_the_name_of_a_caller_are_limited_and_hit_nobody_else() -> None:
    app, keys = office(3, API_KEY_FAILURES="2 per hour")
    as_desk_0 = [get(app, X_API_Key=make_key("desk-0")).status_code for _ in range(4)]
    assert as_desk_0 == [401, 401, 429, 429]
    assert [get(app, X_API_Key=key).status_code for key in keys] == [429, 200, 200]
    assert guess(app, 3) == [401, 401, 429]  # the address has its own guesses still
    assert get(app, address="192.0.2.2", X_API_Key=keys[0]).status_code == 200


def test_a_name_that_nobody_has_opens_no_room_for_guesses() -> None:
    app, _ = office(1, API_KEY_FAILURES="2 per hour")
    names = [get(app, X_API_Key=make_key(f"nobody-{n}")).status_code for n in range(4)]
    assert names == [401, 401, 429, 429]


def test_right_keys_use_up_nothing() -> None:
    clients = {f"c{n}": {"keys": [hashed(f"{n:040}")], "scopes": []} for n in range(50)}
    app = service(API_KEYS=clients, API_KEY_FAILURES="1 per hour")
    responses = [get(app, X_API_Key=f"{n:040}").status_code for n in range(50)]
    assert set(responses) == {200}
    assert get(app, X_API_Key=STRANGER).status_code == 401
    assert get(app, X_API_Key=STRANGER).status_code == 429


def test_an_address_is_an_ipv6_network_and_ipv4_inside_ipv6_is_ipv4() -> None:
    app = service(API_KEY_FAILURES="1 per hour")
    same = ["2001:db8::1", "2001:db8::ffff:1", "2001:db8::1%eth0"]
    assert [get(app, address=a, X_API_Key=STRANGER).status_code for a in same] == [401, 429, 429]
    assert get(app, address="2001:db8:0:1::1", X_API_Key=STRANGER).status_code == 401
    assert get(app, address="198.51.100.7", X_API_Key=STRANGER).status_code == 401
    assert get(app, address="::ffff:198.51.100.7", X_API_Key=STRANGER).status_code == 429
    assert get(app, address="", X_API_Key=STRANGER).status_code == 401
    assert get(app, address="unix:", X_API_Key=STRANGER).status_code == 429


def test_eight_threads_compare_no_more_wrong_keys_than_one() -> None:
    app = service(API_KEY_FAILURES="20 per hour")
    start = threading.Barrier(8)

    def guess(thread: int) -> list[int]:
        start.wait()
        return [get(app, X_API_Key=f"{thread}{n:040}").status_code for n in range(25)]

    with ThreadPoolExecutor(8) as threads:
        statuses = [status for found in threads.map(guess, range(8)) for status in found]
    assert (statuses.count(401), statuses.count(429)) == (20, 180)


class Store:
    """What app.extensions["rate_limiting"] offers; while it is away a process has its part."""

    def __init__(self, part: float = 1.0) -> None:
        self.hits: dict[tuple[str, str], int] = {}
        self.part = part
        self.state = "fallback" if part < 1 else "shared"

    def acquire(self, scope: str, limits: str, key: str, record: bool = True) -> float:
        amount, _, seconds, _ = limits.split()
        taken = self.hits.get((scope, key), 0)
        if taken < int(int(amount) * self.part):
            self.hits[scope, key] = taken + record
            return 0.0
        return 7.5 if taken else float(seconds)  # with a part of none not even the first fits

    def release(self, scope: str, limits: str, key: str) -> None:
        self.hits[scope, key] -= 1


def workers(number: int, store: Any, **config: Any) -> list[Flask]:
    apps = [service(**config) for _ in range(number)]
    for app in apps:
        app.extensions["rate_limiting"] = store
    return apps


def test_a_store_that_is_shared_counts_for_all_processes() -> None:
    one, two = workers(2, Store(), API_KEY_FAILURES="3 per minute")
    assert get(one, X_API_Key=READER).status_code == 200
    wrong = [get(app, X_API_Key=f"{n:040}").status_code for n, app in enumerate((one, two, one))]
    assert wrong == [401, 401, 401]
    response = get(two, X_API_Key=STRANGER)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "8")
    assert get(two, X_API_Key=READER).status_code == 200  # the other process saw it right
    assert get(two, X_API_Key=WRITER).status_code == 429


def test_a_wrong_key_that_comes_again_is_limited_over_all_processes() -> None:
    one, two = workers(2, Store(), API_KEY_FAILURES="3 per minute")
    tried = [get(app, X_API_Key=STRANGER).status_code for app in (one, one, two, one, two)]
    assert tried == [401, 401, 401, 429, 429]


def many_clients(number: int) -> tuple[list[str], dict[str, Any]]:
    keys = [f"{n:040}" for n in range(number)]
    return keys, {f"c{n}": {"keys": [hashed(key)]} for n, key in enumerate(keys)}


def test_right_keys_use_up_nothing_on_whichever_process_they_arrive() -> None:
    keys, clients = many_clients(24)
    apps = workers(24, Store(), API_KEYS=clients, API_KEY_FAILURES="2 per hour")
    responses = [get(app, X_API_Key=key) for app, key in zip(apps, keys, strict=True)]
    assert {response.status_code for response in responses} == {200}
    assert [get(app, X_API_Key=STRANGER).status_code for app in apps[:3]] == [401, 401, 429]


def test_wrong_keys_stay_limited_while_the_shared_store_is_away() -> None:
    (app,) = workers(1, Store(part=0.2), API_KEY_FAILURES="20 per minute")
    found = [get(app, X_API_Key=f"{n:040}").status_code for n in range(100)]
    assert (found.count(401), found.count(429)) == (4, 96)


def test_a_process_whose_part_of_the_limit_is_none_admits_right_keys_and_one_guess() -> None:
    (app,) = workers(1, Store(part=0.01), API_KEY_FAILURES="20 per minute")
    for address in ("192.0.2.1", "192.0.2.2"):
        for key in (READER, WRITER):
            assert get(app, address=address, X_API_Key=key).status_code == 200
    found = [get(app, X_API_Key=f"{n:040}").status_code for n in range(100)]
    assert (found.count(401), found.count(429)) == (1, 99)


def test_two_applications_do_not_see_each_other() -> None:
    one, two = service(API_KEY_FAILURES="1 per hour"), service(API_KEY_FAILURES="1 per hour")
    assert [get(one, X_API_Key=STRANGER).status_code for _ in range(2)] == [401, 429]
    assert get(two, X_API_Key=STRANGER).status_code == 401


# -- who asks, for what counts by caller -----------------------------------------------------------


def asked_first(**config: Any) -> tuple[Flask, list[Any]]:
    """A service in which something asks for the caller before authentication does."""
    app, found = Flask(__name__), []
    app.config.update({"API_KEYS": CLIENTS, **config})

    @app.before_request
    def ask() -> None:
        caller = app.extensions["authentication"].caller_of_request()
        found.append(caller and caller.name)

    configure_authentication(app)
    app.get("/whoami")(lambda: {"client": g.client, "scopes": sorted(g.scopes)})
    app.get("/open", endpoint="open")(public(lambda: str(g.get("client"))))
    return app, found


def test_a_caller_is_known_before_authentication_checks_and_refused_by_it_alone() -> None:
    app, found = asked_first(API_KEY_FAILURES="2 per hour", TRUSTED_HOSTS=["localhost"])
    statuses = [
        get(app, X_API_Key=READER).status_code,
        get(app).status_code,
        *guess(app, 3),
        get(app, X_API_Key=READER, Authorization=f"Bearer {WRITER}").status_code,
        get(app, Host="evil.example", X_API_Key=READER).status_code,
        app.test_client().options("/whoami", headers=PREFLIGHT).status_code,
    ]
    assert statuses == [200, 401, 401, 401, 429, 400, 400, 200]
    assert found == ["reader", None, None, None, None, None, "reader", None]


def test_a_credential_is_compared_once_however_often_the_caller_is_asked_for() -> None:
    app, _ = asked_first(API_KEY_FAILURES="2 per hour")
    assert guess(app, 3) == [401, 401, 429]


def test_on_a_public_view_nothing_is_compared_and_nobody_is_refused() -> None:
    app, found = asked_first(API_KEY_FAILURES="1 per hour")
    seen = watched(app)
    for key in (READER, STRANGER, "short", STRANGER):
        assert get(app, "/open", X_API_Key=key).text == "None"
    assert found == [None] * 4  # a key that is new here could be a guess
    assert [environ.get("security_event") for environ in seen] == [None] * 4
    assert get(app, X_API_Key=READER).status_code == 200
    assert get(app, "/open", X_API_Key=READER).status_code == 200
    assert found[-1] == "reader"


# -- tokens ----------------------------------------------------------------------------------------

GOOD = "good." + "t" * 40


def with_verifier(verify: Any, failures: str = "1 per hour") -> Flask:
    app = Flask(__name__)
    app.config["API_KEY_FAILURES"] = failures
    configure_authentication(app, verify_token=verify)
    app.get("/whoami")(lambda: {"client": g.client, "scopes": sorted(g.scopes)})
    return app


def test_a_verifier_judges_bearer_tokens_that_are_not_a_key() -> None:
    app = with_verifier(lambda text: ("ann", frozenset({"a", "b"})) if text == GOOD else None)
    response = get(app, Authorization=f"Bearer {GOOD}")
    assert response.get_json() == {"client": "ann", "scopes": ["a", "b"]}
    assert get(app, X_API_Key=GOOD).status_code == 401
    assert get(app, Authorization=f"Bearer {GOOD}x").status_code == 429


def test_a_verifier_of_any_kind_is_asked_no_oftener_than_configured() -> None:
    asked: list[str] = []
    app = with_verifier(asked.append, "5 per hour")
    tokens = [f"eyJ9.{n:030}.signature" for n in range(100)]
    statuses = [get(app, Authorization=f"Bearer {token}").status_code for token in tokens]
    assert (len(asked), statuses.count(401), statuses.count(429)) == (5, 5, 95)


def test_a_verifier_may_say_that_a_token_was_not_a_guess() -> None:
    def verify(text: str) -> Any:
        if text.startswith("expired"):
            raise NotAuthenticated("expired_token", "The token has expired.", "invalid_token")
        return ("ann", frozenset()) if text == GOOD else None

    app = with_verifier(verify)
    for _ in range(5):
        response = get(app, Authorization="Bearer expired" + "t" * 40)
        assert (response.status_code, "has expired" in response.text) == (401, True)
    assert get(app, Authorization=f"Bearer {GOOD}").status_code == 200


def test_a_token_that_was_wrong_may_become_valid() -> None:
    known: set[str] = set()
    app = with_verifier(lambda text: ("ann", frozenset()) if text in known else None, "3 per hour")
    assert get(app, Authorization=f"Bearer {GOOD}").status_code == 401
    known.add(GOOD)
    assert get(app, Authorization=f"Bearer {GOOD}").status_code == 200


def test_token_keys_without_a_verifier_refuse_to_start() -> None:
    app = Flask(__name__)
    app.config["JWT_JWKS"] = "https://login.example.com/jwks.json"
    with pytest.raises(ValueError, match="verify_token"):
        configure_authentication(app)


# -- the log ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "event"),
    [
        ({}, {"event": "authn_failed", "reason": "missing_credential"}),
        ({"X-API-Key": STRANGER}, {"event": "authn_failed", "reason": "unknown_credential"}),
        ({"Authorization": "Basic eDp5"}, {"event": "authn_failed", "reason": "unknown_scheme"}),
        (
            {"Authorization": f"Bearer {WRITER}", "X-API-Key": READER},
            {"event": "authn_failed", "reason": "two_credentials"},
        ),
        (
            {"X-API-Key": READER},
            {"event": "authz_denied", "reason": "insufficient_scope", "scope": "orders:write"},
        ),
    ],
)
def test_a_refusal_is_told_to_the_log_without_the_credential(
    headers: dict[str, str], event: dict[str, str]
) -> None:
    app, environ = service(), {}
    for name, value in headers.items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    seen = watched(app)
    app.test_client().get("/orders", environ_overrides=environ)
    assert seen[0]["security_event"] == event


def test_too_many_wrong_keys_are_told_to_the_log() -> None:
    app = service(API_KEY_FAILURES="1 per hour")
    seen = watched(app)
    get(app, X_API_Key=STRANGER)
    get(app, X_API_Key=STRANGER)
    assert seen[1]["security_event"] == {"event": "rate_limited", "reason": "credential_failures"}


# -- configuration ---------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [None, {}, "{}"])
def test_without_keys_it_is_off(nothing: object) -> None:
    app = service(API_KEYS=nothing)
    assert get(app).get_json() == {"client": None, "scopes": []}
    assert get(app, "/orders").text == "ordered"
    assert get(app, "/nowhere").status_code == 404


def test_keys_may_come_as_json_text() -> None:
    assert get(service(API_KEYS=json.dumps(CLIENTS)), X_API_Key=READER).status_code == 200


def test_hashes_may_be_written_in_capitals() -> None:
    app = service(API_KEYS={"reader": {"keys": [hashed(READER).upper()]}})
    assert get(app, X_API_Key=READER).status_code == 200


def one_client(**client: object) -> dict[str, object]:
    return {"mobile": {"keys": [hashed(READER)], "scopes": [], **client}}


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("", "not a mapping.*flask api-key NAME"),
        (READER, "not a mapping.*flask api-key NAME"),
        ("[1]", "not a mapping.*flask api-key NAME"),
        ([READER], "not a mapping.*flask api-key NAME"),
        ({READER}, "not a mapping.*flask api-key NAME"),
        (0, "not a mapping.*flask api-key NAME"),
        (False, "not a mapping.*flask api-key NAME"),
        ({"mobile": READER}, "'mobile'.*keys"),
        ({"mobile": [hashed(READER)]}, "'mobile'.*keys"),
        ({"mobile": {}}, "'mobile'.*keys"),
        ({"mobile": {"scopes": []}}, "'mobile'.*keys"),
        (
            one_client(key=hashed(READER)),
            "'mobile'.*'key' is not one of keys, scopes, limits, tier",
        ),
        (one_client(keys=[]), "'mobile'.*list of one or more"),
        (one_client(keys=hashed(READER)), "'mobile'.*list of one or more"),
        (one_client(keys=[READER]), "'mobile'.*32 characters.*flask api-key mobile"),
        (one_client(keys=["short"]), "'mobile'.*flask api-key mobile"),
        (one_client(keys=[""]), "'mobile'.*flask api-key mobile"),
        (one_client(keys=[7]), "'mobile'.*flask api-key mobile"),
        (one_client(keys=["\xe9" * 64]), "'mobile'.*flask api-key mobile"),
        (one_client(keys=["\u0661" * 64]), "'mobile'.*flask api-key mobile"),
        (one_client(keys=[hashed("")]), "'mobile'.*empty"),
        (one_client(keys=[hashed(READER), hashed(READER).upper()]), "same key"),
        ({**one_client(), "web": {"keys": [hashed(READER)]}}, "'mobile' and 'web'.*same key"),
        (one_client(scopes="orders:read"), "'mobile'.*list of names"),
        (one_client(scopes=["orders:read orders:write"]), "'mobile'.*list of names"),
        (one_client(scopes=[""]), "'mobile'.*list of names"),
        (one_client(scopes=[None]), "'mobile'.*list of names"),
        (one_client(limits="many"), "'mobile'.*limits"),
        (one_client(tier="two words"), "'mobile'.*tier"),
        (one_client(tier=["gold"]), "'mobile'.*tier"),
        (one_client(limits=5), "'mobile'.*limits"),
        (one_client(limits="0 per minute"), "'mobile'.*limits"),
        (one_client(limits="5 per 999999999 years"), "'mobile'.*limits"),
        ({"": {"keys": [hashed(READER)]}}, "name is not"),
        ({"two words": {"keys": [hashed(READER)]}}, "name is not"),
        ({"caf\xe9": {"keys": [hashed(READER)]}}, "name is not"),
        ({7: {"keys": [hashed(READER)]}}, "name is not"),
    ],
)
def test_keys_that_are_wrong_refuse_to_start_and_say_what_to_write(
    value: object, remedy: str
) -> None:
    with pytest.raises(ValueError, match=f"^API_KEYS: .*{remedy}") as error:
        service(API_KEYS=value)
    assert READER not in str(error.value)


@pytest.mark.parametrize(
    "value", ["many", "0 per minute", "-1 per minute", "5", "5 per fortnight", 5, True, "5;6"]
)
def test_a_limit_that_is_not_one_refuses_to_start(value: object) -> None:
    with pytest.raises(
        ValueError, match=r"^API_KEY_FAILURES: .* is not a limit; for example 20 per minute"
    ):
        service(API_KEY_FAILURES=value)


def test_an_error_handler_of_the_application_may_render_a_refusal() -> None:
    app = service()
    app.register_error_handler(401, lambda error: Response("own page", error.code))
    assert get(app).text == "own page"
