"""What rate_limiting.py promises, on memory://; it travels with the file."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import flask_limiter
import pytest
from flask import Blueprint, Flask, Response, request
from flask.testing import FlaskClient
from flask.views import MethodView
from flask_limiter.util import get_remote_address
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from app.middleware.rate_limiting import (  # the one line to change in another package
    configure_rate_limiting,
    limiter,
)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make_app(clock: Callable[[], float] | None = None, **config: Any) -> Flask:
    app = Flask("service")
    app.config.update(config)
    configure_rate_limiting(app)
    if clock is not None:
        app.extensions["rate_limiting"].store.clock = clock

    @app.get("/a")
    def a() -> str:
        return "a"

    @app.get("/b")
    def b() -> str:
        return "b"

    return app


def statuses(client: FlaskClient, path: str, times: int, **options: Any) -> list[int]:
    return [client.get(path, **options).status_code for _ in range(times)]


def test_a_client_gets_its_limit_and_not_one_request_more() -> None:
    client = make_app(RATELIMIT_DEFAULT="5 per minute").test_client()
    assert statuses(client, "/a", 7) == [200] * 5 + [429] * 2


def test_limits_are_per_route_and_per_client() -> None:
    client = make_app(RATELIMIT_DEFAULT="2 per minute").test_client()
    assert statuses(client, "/a", 3) == [200, 200, 429]
    assert statuses(client, "/b", 1) == [200]
    assert statuses(client, "/a", 1, environ_base={"REMOTE_ADDR": "192.0.2.1"}) == [200]


def test_application_limits_hold_over_all_routes() -> None:
    client = make_app(RATELIMIT_APPLICATION="3 per minute").test_client()
    assert statuses(client, "/a", 2) + statuses(client, "/b", 2) == [200, 200, 200, 429]


def test_unknown_paths_405_and_redirects_are_limited() -> None:
    app = make_app(RATELIMIT_DEFAULT="3 per minute")
    app.add_url_rule("/folder/", "folder", lambda: "folder")
    assert statuses(app.test_client(), "/none", 4) == [404, 404, 404, 429]
    app = make_app(RATELIMIT_DEFAULT="3 per minute")
    assert [app.test_client().post("/a").status_code for _ in range(4)] == [405, 405, 405, 429]
    app = make_app(RATELIMIT_DEFAULT="3 per minute")
    app.add_url_rule("/folder/", "folder", lambda: "folder")
    assert statuses(app.test_client(), "/folder", 4) == [308, 308, 308, 429]


def test_an_endpoint_called_static_is_limited() -> None:
    app = make_app(RATELIMIT_DEFAULT="2 per minute")
    app.add_url_rule("/files", "my.static", lambda: "file")
    assert statuses(app.test_client(), "/files", 3) == [200, 200, 429]


@pytest.mark.parametrize("is_exempt", [False, True])
def test_static_files_are_one_route_until_one_line_exempts_them(
    tmp_path: Path, is_exempt: bool
) -> None:
    for name in ("a.css", "b.css", "c.css"):
        (tmp_path / name).write_text("a {}")
    app = make_app(RATELIMIT_DEFAULT="2 per minute")
    app.static_folder = str(tmp_path)
    if is_exempt:
        limiter.exempt(app.view_functions["static"])
    found = []
    for name in ("a.css", "b.css", "c.css"):
        with app.test_client().get(f"/static/{name}") as response:  # it has a file open
            found.append(response.status_code)
    assert found == [200, 200, 200 if is_exempt else 429]
    assert statuses(app.test_client(), "/a", 3) == [200, 200, 429]


def test_preflights_spend_nothing() -> None:
    client = make_app(RATELIMIT_DEFAULT="1 per minute").test_client()
    headers = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
    for _ in range(5):
        assert client.options("/a", headers=headers).status_code == 200
    assert statuses(client, "/a", 1) == [200]
    assert [client.options("/b").status_code for _ in range(2)] == [200, 429]


def test_a_view_that_answers_options_itself_is_limited_whatever_is_sent_with_it() -> None:
    app = make_app(RATELIMIT_DEFAULT="2 per minute")
    app.add_url_rule("/own", "own", lambda: "ran", methods=["GET", "OPTIONS"])
    headers = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
    responses = [app.test_client().options("/own", headers=headers) for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 429]


def test_a_429_says_when_to_come_back_and_why() -> None:
    clock = Clock()
    client = make_app(clock, RATELIMIT_DEFAULT="100 per hour;1 per minute").test_client()
    client.get("/a")
    clock.now += 10.5
    response = client.get("/a")
    assert response.status_code == 429
    assert response.content_type == "application/problem+json"
    assert response.headers["Retry-After"] == "50"
    assert response.headers["RateLimit"] == '"default";r=0;t=50'
    assert response.headers["RateLimit-Policy"] == '"default";q=1;w=60, "default-2";q=100;w=3600'
    problem = response.get_json(force=True)
    assert problem["violated-policies"] == ["default"]
    assert problem["status"] == 429


def test_what_is_left_is_told_of_the_limit_that_takes_longest() -> None:
    client = make_app(Clock(), RATELIMIT_DEFAULT="2 per hour;2 per minute").test_client()
    client.get("/a")
    assert client.get("/a").headers["RateLimit"] == '"default-2";r=0;t=3600'
    response = client.get("/a")
    assert response.headers["Retry-After"] == "3600"
    assert response.headers["RateLimit"] == '"default-2";r=0;t=3600'


def test_ratelimit_is_of_a_limit_that_refuses_whatever_the_others_have_left() -> None:
    config = {"RATELIMIT_DEFAULT": "5 per minute", "RATELIMIT_DEFAULTS_COST": 3}
    app = make_app(Clock(), RATELIMIT_APPLICATION="2 per day", **config)
    app.test_client().get("/a")
    response = app.test_client().get("/a")
    assert response.headers["Retry-After"] == "60"
    assert response.headers["RateLimit"] == '"default";r=2;t=60'


def test_every_answer_says_what_is_left() -> None:
    clock = Clock()
    client = make_app(clock, RATELIMIT_DEFAULT="50 per minute").test_client()
    client.get("/a")
    clock.now += 48
    response = client.get("/a")
    assert response.headers["RateLimit"] == '"default";r=48;t=12'
    assert response.headers["RateLimit-Policy"] == '"default";q=50;w=60'


def test_retry_after_is_a_promise_to_a_lone_client() -> None:
    clock = Clock()
    client = make_app(clock, RATELIMIT_DEFAULT="20 per hour;3 per 10 second").test_client()
    waits = 0
    for step in range(400):
        response = client.get("/a")
        if response.status_code == 429:
            wait = int(response.headers["Retry-After"])
            assert wait >= 1
            clock.now += wait
            assert client.get("/a").status_code == 200
            waits += 1
        clock.now += (step * 7919 % 1000) / 700
    assert waits > 40


def test_no_burst_at_the_edge_of_a_window_exceeds_the_limit() -> None:
    clock = Clock()
    client = make_app(clock, RATELIMIT_DEFAULT="10 per minute").test_client()
    admitted: list[float] = []
    for step in range(2000):
        clock.now += (step * 7919 % 100) / 40
        if client.get("/a").status_code == 200:
            admitted.append(clock.now)
    assert len(admitted) > 200
    for index in range(len(admitted) - 10):
        assert admitted[index + 10] - admitted[index] >= 60


def test_a_refused_request_spends_nothing_of_any_limit() -> None:
    clock = Clock()
    client = make_app(clock, RATELIMIT_DEFAULT="4 per hour;1 per second").test_client()
    assert statuses(client, "/a", 20) == [200] + [429] * 19
    for _ in range(3):
        clock.now += 1
        assert statuses(client, "/a", 1) == [200]
    clock.now += 1
    assert statuses(client, "/a", 1) == [429]


@pytest.mark.parametrize("rounds", [20])
def test_threads_together_are_admitted_the_limit(rounds: int) -> None:
    app = make_app(RATELIMIT_DEFAULT="37 per minute")
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(rounds):
            address = {"REMOTE_ADDR": f"192.0.2.{number}"}
            seen: list[int] = []

            def call(address: dict[str, str] = address, seen: list[int] = seen) -> None:
                seen.extend(statuses(app.test_client(), "/a", 5, environ_base=address))

            threads = [threading.Thread(target=call) for _ in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert seen.count(200) == 37
    finally:
        sys.setswitchinterval(switch)


def test_addresses_of_one_network_share_a_limit() -> None:
    client = make_app(RATELIMIT_DEFAULT="3 per minute").test_client()
    seen = [
        client.get("/a", environ_base={"REMOTE_ADDR": f"2001:db8::{n:x}"}).status_code
        for n in range(1, 6)
    ]
    assert seen == [200, 200, 200, 429, 429]


@pytest.mark.parametrize("path", ["/a", "/own"])
def test_addresses_that_a_key_function_returns_share_it_too(path: str) -> None:
    app = make_app(RATELIMIT_DEFAULT="2 per minute", RATELIMIT_KEY_FUNC=get_remote_address)
    own = limiter.limit("2 per minute", key_func=get_remote_address)
    app.add_url_rule("/own", view_func=own(lambda: "own"), endpoint="own")

    def seen(*addresses: str) -> list[int]:
        bases = [{"REMOTE_ADDR": address} for address in addresses]
        return [app.test_client().get(path, environ_base=base).status_code for base in bases]

    assert seen("2001:db8::1", "2001:db8::2:1", "2001:db8::3") == [200, 200, 429]
    assert seen("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1") == [200, 200, 429]
    app.extensions["rate_limiting"].clear("2001:db8::4")
    assert seen("2001:db8::5", "192.0.2.1") == [200, 429]


def test_an_application_inside_another_has_one_header_with_the_policies_of_both() -> None:
    outer, inner = (
        make_app(RATELIMIT_DEFAULT="5 per minute"),
        make_app(RATELIMIT_DEFAULT="7 per hour"),
    )

    @outer.get("/a/a")
    def a_of_inner() -> Any:
        return Response.from_app(inner, {**request.environ, "PATH_INFO": "/a"})

    response = outer.test_client().get("/a/a")
    policies = '"default";q=5;w=60, "default";q=7;w=3600'
    assert response.headers.getlist("RateLimit-Policy") == [policies]
    assert response.headers.getlist("RateLimit") == ['"default";r=4;t=60']

    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/in": inner})  # type: ignore[method-assign]
    response = outer.test_client().get("/in/a")
    assert response.headers.getlist("RateLimit-Policy") == ['"default";q=7;w=3600']


def test_two_applications_do_not_see_each_other() -> None:
    one, two = (
        make_app(RATELIMIT_DEFAULT="1 per minute"),
        make_app(RATELIMIT_DEFAULT="3 per minute"),
    )
    assert statuses(one.test_client(), "/a", 2) == [200, 429]
    assert statuses(two.test_client(), "/a", 4) == [200, 200, 200, 429]
    off = make_app(RATELIMIT_ENABLED=False, RATELIMIT_DEFAULT="1 per minute")
    assert statuses(off.test_client(), "/a", 3) == [200] * 3


def test_an_exempt_view_of_a_limited_blueprint_is_not_counted() -> None:
    app = make_app(RATELIMIT_DEFAULT=None)
    blueprint = Blueprint("limited", __name__)
    limiter.limit("1 per hour")(blueprint)
    blueprint.get("/health")(limiter.exempt(lambda: "fine"))
    blueprint.get("/other", endpoint="other")(lambda: "fine")
    app.register_blueprint(blueprint)
    assert statuses(app.test_client(), "/health", 3) == [200] * 3
    assert statuses(app.test_client(), "/other", 2) == [200, 429]


def blueprint(name: str, *inner: Blueprint) -> Blueprint:
    """With a view at /<name>, and other blueprints below it."""
    made = Blueprint(name, __name__, url_prefix=f"/{name}")
    made.get("/x")(named("x"))
    for one in inner:
        made.register_blueprint(one)
    return made


def test_what_is_said_of_a_blueprint_is_not_said_of_its_namesakes() -> None:
    limited, exempted = blueprint("api"), blueprint("open")
    limiter.limit("1 per hour")(limited)
    limiter.exempt(exempted)
    one, two = (make_app(RATELIMIT_DEFAULT="2 per hour") for _ in range(2))
    one.register_blueprint(limited)
    one.register_blueprint(exempted)
    one.register_blueprint(blueprint("admin", blueprint("api")))  # "admin.api"
    assert statuses(one.test_client(), "/api/x", 3) == [200, 429, 429]
    assert statuses(one.test_client(), "/open/x", 3) == [200, 200, 200]
    assert statuses(one.test_client(), "/admin/api/x", 3) == [200, 200, 429]
    two.register_blueprint(blueprint("api"))
    two.register_blueprint(blueprint("open"))
    assert statuses(two.test_client(), "/api/x", 3) == [200, 200, 429]
    assert statuses(two.test_client(), "/open/x", 3) == [200, 200, 429]


def test_a_blueprint_is_limited_under_every_name_and_so_are_those_below_it() -> None:
    app = make_app()
    outer = blueprint("outer", blueprint("inner"))
    limiter.limit("1 per hour")(outer)
    app.register_blueprint(outer, name="v2", url_prefix="/v2")
    assert statuses(app.test_client(), "/v2/x", 2) == [200, 429]
    assert statuses(app.test_client(), "/v2/inner/x", 2) == [200, 429]


def test_a_head_does_not_go_round_the_limit_of_gets() -> None:
    app = make_app(RATELIMIT_DEFAULT=None)
    app.add_url_rule("/x", "x", limiter.limit("2 per hour", methods=["GET"])(lambda: "x"))
    client = app.test_client()
    assert [client.head("/x").status_code for _ in range(2)] == [200, 200]
    assert [client.head("/x").status_code, client.get("/x").status_code] == [429, 429]


def test_of_equal_limits_the_one_without_a_condition_holds() -> None:
    app = make_app(RATELIMIT_DEFAULT="2 per hour")
    failures = limiter.limit(
        "2 per hour", override_defaults=False, deduct_when=lambda made: made.status_code == 401
    )
    app.add_url_rule("/x", "x", failures(lambda: "x"))
    assert statuses(app.test_client(), "/x", 3) == [200, 200, 429]


def test_a_view_has_its_own_limit_and_an_exempt_view_none() -> None:
    app = make_app(RATELIMIT_DEFAULT="5 per minute")

    @app.get("/own")
    @limiter.limit("2 per minute")
    def own() -> str:
        return "own"

    @app.get("/free")
    @limiter.exempt
    def free() -> str:
        return "free"

    assert statuses(app.test_client(), "/own", 3) == [200, 200, 429]
    assert statuses(app.test_client(), "/free", 9) == [200] * 9


def test_a_view_without_limits_has_no_ratelimit_headers() -> None:
    response = make_app().test_client().get("/a")
    assert "RateLimit" not in response.headers
    assert "RateLimit-Policy" not in response.headers


def test_shared_and_blueprint_limits_work_as_in_flask_limiter() -> None:
    app = make_app(RATELIMIT_DEFAULT="9 per minute")
    shared = limiter.shared_limit("3 per minute", scope="search")
    app.add_url_rule("/s1", "s1", shared(named("s1")))
    app.add_url_rule("/s2", "s2", shared(named("s2")))
    shop = Blueprint("shop", __name__, url_prefix="/shop")
    limiter.limit("2 per minute")(shop)
    shop.add_url_rule("/x", "x", named("x"))
    app.register_blueprint(shop)
    client = app.test_client()
    assert statuses(client, "/s1", 2) + statuses(client, "/s2", 2) == [200, 200, 200, 429]
    assert statuses(client, "/shop/x", 3) == [200, 200, 429]


def named(name: str) -> Callable[[], str]:
    def view() -> str:
        return name

    view.__name__ = view.__qualname__ = name
    return view


def test_limits_that_depend_on_the_request_work_as_in_flask_limiter() -> None:
    app = make_app(RATELIMIT_DEFAULT="9 per minute", RATELIMIT_APPLICATION="5 per minute")

    def amount() -> str:
        return f"{request.args['n']} per minute"

    app.add_url_rule("/dynamic", "dynamic", limiter.limit(amount)(named("dynamic")))
    app.add_url_rule(
        "/costly", "costly", limiter.limit("4 per minute", cost=lambda: 2)(named("costly"))
    )
    client = app.test_client()
    assert statuses(client, "/dynamic?n=2", 3) == [200, 200, 429]
    # the refused one spent one of the application's five: it is drawn on before the view is known
    assert statuses(client, "/costly", 3) == [200, 200, 429]
    response = client.get("/dynamic?n=2")
    assert int(response.headers["Retry-After"]) >= 1


def test_a_limit_that_deducts_afterwards_works_as_in_flask_limiter() -> None:
    app = make_app()

    def failed(response: Response) -> bool:
        return response.status_code == 401

    @app.get("/login")
    @limiter.limit("2 per minute", deduct_when=failed)
    def login() -> tuple[str, int]:
        return "", int(request.args["status"])

    client = app.test_client()
    assert statuses(client, "/login?status=200", 5) == [200] * 5
    assert statuses(client, "/login?status=401", 3) == [401, 401, 429]


def test_a_limit_around_a_block_of_code_works_as_in_flask_limiter() -> None:
    app = make_app()

    @app.get("/block")
    def block() -> str:
        with limiter.limit("2 per minute"):
            return "done"

    assert statuses(app.test_client(), "/block", 3) == [200, 200, 429]


def test_limits_inside_a_view_count_apart_from_equal_ones_of_the_view_and_of_each_other() -> None:
    app = make_app(RATELIMIT_DEFAULT="3 per minute", RATELIMIT_APPLICATION="30 per minute")
    upload, resize = (limiter.limit("3 per minute")(named(name)) for name in ("upload", "resize"))

    @app.get("/inside")
    def inside() -> str:
        with limiter.limit("3 per minute"):
            return f"{upload()}{resize()}"

    app.add_url_rule("/own", "own", limiter.limit("3 per minute")(lambda: upload()))
    assert statuses(app.test_client(), "/inside", 4) == [200, 200, 200, 429]
    assert statuses(app.test_client(), "/own", 4) == [200, 200, 200, 429]


def test_the_current_limit_can_be_read_in_a_view() -> None:
    app = make_app(RATELIMIT_DEFAULT="9 per hour;3 per minute")

    @app.get("/now")
    def now() -> dict[str, Any]:
        limit = limiter.current_limit
        assert limit is not None
        return {"left": limit.remaining, "all": len(limiter.current_limits), "key": limit.key}

    response = app.test_client().get("/now").get_json()
    assert (response["left"], response["all"]) == (2, 2)
    assert "127.0.0.1" in response["key"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"RATELIMIT_DEFAULT": "fifty per hour"}, "RATELIMIT_DEFAULT: 'fifty per hour'"),
        ({"RATELIMIT_DEFAULT": "50/hour;"}, "RATELIMIT_DEFAULT: '50/hour;'"),
        ({"RATELIMIT_DEFAULT": "-5/minute"}, "RATELIMIT_DEFAULT: '-5/minute'"),
        ({"RATELIMIT_DEFAULT": "0 per minute"}, "RATELIMIT_DEFAULT: '0 per minute'"),
        ({"RATELIMIT_DEFAULT": "5 per 0 minute"}, "RATELIMIT_DEFAULT: '5 per 0 minute'"),
        ({"RATELIMIT_DEFAULT": ""}, "RATELIMIT_DEFAULT: ''"),
        ({"RATELIMIT_DEFAULT": 50}, "RATELIMIT_DEFAULT: 50"),
        ({"RATELIMIT_APPLICATION": "lots"}, "RATELIMIT_APPLICATION: 'lots'"),
        ({"RATELIMIT_STRATEGY": "fixed-window"}, "RATELIMIT_STRATEGY: 'fixed-window'"),
        ({"RATELIMIT_STORAGE_URI": "memcached://h"}, "RATELIMIT_STORAGE_URI: the scheme"),
        *[
            (
                {"RATELIMIT_STORAGE_URI": uri},
                "RATELIMIT_STORAGE_URI: .* not the number of a database",
            )
            for uri in (
                "redis://h/limits",
                "rediss://:pw@h:1/0/x",
                "valkey://h/-1",
                "redis://h/1/2?a=0",
            )
        ],
        *[
            ({"RATELIMIT_STORAGE_URI": uri}, "RATELIMIT_STORAGE_URI: names no server")
            for uri in ("redis+cluster://", "redis+sentinel:///service", "redis+unix://")
        ],
        ({"RATELIMIT_STORAGE_URI": "valky://h"}, "RATELIMIT_STORAGE_URI: .* or valkey"),
        *[
            (
                {"RATELIMIT_STORAGE_URI": "redis://h", "RATELIMIT_STORAGE_OPTIONS": {name: value}},
                f"RATELIMIT_STORAGE_OPTIONS: {name} is not a number",
            )
            for name, value in {"socket_timeout": "x", "max_connections": True}.items()
        ],
        ({"RATELIMIT_WORKERS": 2, "RATELIMIT_WORKER": 2}, "RATELIMIT_WORKER: 2 .* 2 processes"),
        ({"RATELIMIT_WORKERS": 4}, "RATELIMIT_STORAGE_URI: 'memory://' with 4 workers"),
        ({"RATELIMIT_WORKERS": "many"}, "RATELIMIT_WORKERS: 'many'"),
        ({"RATELIMIT_MEMORY_COUNTERS": 0}, "RATELIMIT_MEMORY_COUNTERS: 0"),
        ({"RATELIMIT_ENABLED": "no"}, "RATELIMIT_ENABLED: 'no'"),
        ({"RATELIMIT_WORKER": -1}, "RATELIMIT_WORKER: -1 is not .* for example 0$"),
        ({"RATELIMIT_CALLERS": 5}, "RATELIMIT_CALLERS: 5 is not text; for example 100 per hour"),
        # what these are for is not in use
        ({"RATELIMIT_DEFAULTS_COST": "x"}, "RATELIMIT_DEFAULTS_COST: 'x'"),
        ({"RATELIMIT_DEFAULTS_EXEMPT_WHEN": True}, "RATELIMIT_DEFAULTS_EXEMPT_WHEN: True"),
        ({"RATELIMIT_APPLICATION_COST": 0}, "RATELIMIT_APPLICATION_COST: 0"),
        ({"RATELIMIT_APPLICATION_PER_METHOD": "x"}, "RATELIMIT_APPLICATION_PER_METHOD: 'x'"),
        ({"RATELIMIT_APPLICATION_DEDUCT_WHEN": "x"}, "RATELIMIT_APPLICATION_DEDUCT_WHEN: 'x'"),
        ({"RATELIMIT_STORAGE_TIMEOUT": "x"}, "RATELIMIT_STORAGE_TIMEOUT: 'x'"),
        ({"RATELIMIT_STORAGE_OPTIONS": "x"}, "RATELIMIT_STORAGE_OPTIONS: 'x'"),
    ],
)
def test_a_wrong_configuration_is_refused_at_start(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        make_app(**config)


def test_a_wrong_limit_on_a_view_is_refused_where_it_stands() -> None:
    with pytest.raises(ValueError, match="'often' is not a limit"):
        limiter.limit("often")


@pytest.mark.parametrize("decorate", [limiter.limit("2 per minute"), limiter.exempt])
def test_a_class_of_views_is_decorated_by_its_attribute_and_refused_otherwise(
    decorate: Any,
) -> None:
    class Page(MethodView):
        decorators: ClassVar = [decorate]

        def get(self) -> str:
            return "page"

    with pytest.raises(ValueError, match=r"'Page' is a class; for example decorators = \[limiter"):
        decorate(Page)
    app = make_app(RATELIMIT_DEFAULT="1 per minute")
    app.add_url_rule("/page", view_func=Page.as_view("page"))
    expected = [200] * 3 if decorate == limiter.exempt else [200, 200, 429]
    assert statuses(app.test_client(), "/page", 3) == expected


def test_no_thread_is_started_by_a_request() -> None:
    app = make_app(RATELIMIT_DEFAULT="5 per minute")
    before = threading.active_count()
    statuses(app.test_client(), "/a", 5)
    assert threading.active_count() == before


def test_other_code_can_draw_on_limits_of_its_own() -> None:
    limits = make_app().extensions["rate_limiting"]
    assert limits.acquire("keys", "2 per minute", "192.0.2.1", record=False) == 0.0
    assert limits.acquire("keys", "2 per minute", "192.0.2.1") == 0.0
    assert limits.acquire("keys", "2 per minute", "192.0.2.1") == 0.0
    assert 59 < limits.acquire("keys", "2 per minute", "192.0.2.1") <= 60
    assert limits.acquire("keys", "2 per minute", "192.0.2.2") == 0.0
    assert limits.state == "memory"


def test_what_was_counted_can_be_handed_back() -> None:
    app = make_app()
    limits = app.extensions["rate_limiting"]
    two = "keys", "2 per minute;3 per hour", "192.0.2.1"
    limits.release(*two)  # nothing yet: nothing happens
    assert [limits.acquire(*two) > 0 for _ in range(3)] == [False, False, True]
    limits.release(*two)
    assert [limits.acquire(*two) > 0 for _ in range(2)] == [False, True]
    limits.release(*two)
    limits.release(*two)
    assert limits.store.counters == 0


def test_a_clients_limits_are_cleared_by_the_librarys_command() -> None:
    pytest.importorskip("rich", reason="pip install 'Flask-Limiter[cli]'")
    app = make_app(RATELIMIT_DEFAULT="2 per minute")
    assert statuses(app.test_client(), "/a", 3) == [200, 200, 429]
    flask_limiter_clear = importlib.import_module("flask_limiter.commands").clear
    command = ["--key", "127.0.0.1", "-y"]
    assert app.test_cli_runner().invoke(flask_limiter_clear, command).exit_code == 0
    assert statuses(app.test_client(), "/a", 1) == [200]
    assert app.extensions["rate_limiting"].store.counters == 1


@pytest.mark.parametrize("cost", [3, 0, -1, 1.5, True, "two"])
def test_a_cost_that_cannot_be_meant_is_refused_where_it_stands(cost: Any) -> None:
    with pytest.raises(ValueError, match="cost"):
        limiter.limit("2 per minute", cost=cost)
    with pytest.raises(ValueError, match="RATELIMIT_DEFAULTS_COST"):
        make_app(RATELIMIT_DEFAULT="2 per minute", RATELIMIT_DEFAULTS_COST=cost)


def test_a_request_that_costs_more_than_the_limit_is_refused_without_a_time_to_wait() -> None:
    app = make_app()
    price = limiter.limit("10 per minute", cost=lambda: int(request.args["cost"]))
    app.add_url_rule("/x", "x", price(named("x")))
    client = app.test_client()
    response = client.get("/x?cost=11")
    assert response.status_code == 429
    assert "Retry-After" not in response.headers
    assert "costs more" in response.get_json(force=True)["detail"]
    assert statuses(client, "/x?cost=10", 2) == [200, 429]
    assert statuses(client, "/x?cost=0", 2) == [200, 200]  # it takes nothing


@pytest.mark.parametrize("cost", [-1, 1.5, "1", None])
def test_a_wrong_cost_from_a_function_is_an_error_and_not_a_free_pass(
    cost: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(PROPAGATE_EXCEPTIONS=False)
    monkeypatch.setattr(app.logger, "disabled", True)  # others have a logger of that name
    price = limiter.limit("10 per minute", cost=lambda: cost)
    app.add_url_rule("/x", "x", price(named("x")))
    assert statuses(app.test_client(), "/x", 2) == [500, 500]


def test_the_same_limit_by_address_and_by_user_are_two_limits() -> None:
    app = make_app()
    by_user = limiter.limit("2 per minute", key_func=lambda: request.args["user"])
    app.add_url_rule("/x", "x", by_user(limiter.limit("2 per minute")(named("x"))))
    client = app.test_client()
    assert statuses(client, "/x?user=ann", 1, environ_base={"REMOTE_ADDR": "192.0.2.1"}) == [200]
    assert statuses(client, "/x?user=ann", 1, environ_base={"REMOTE_ADDR": "192.0.2.2"}) == [200]
    assert statuses(client, "/x?user=ann", 1, environ_base={"REMOTE_ADDR": "192.0.2.3"}) == [429]
    assert statuses(client, "/x?user=bob", 2, environ_base={"REMOTE_ADDR": "192.0.2.1"})[1] == 429


@pytest.mark.parametrize("name", ["", "{", "}{", "a}:b", "x" * 10_000, "\u20ac", "\udc80", "\r\n"])
def test_a_key_from_a_request_limits_whatever_it_is(name: str) -> None:
    limits = make_app().extensions["rate_limiting"]
    assert limits.acquire(name, "1 per minute", name) == 0.0
    assert limits.acquire(name, "1 per minute", name) > 59
    assert limits.acquire(name, "1 per minute", name + "2") == 0.0
    for bucket in limits.store._buckets:
        assert bucket.isascii()
        assert (bucket.count("{"), bucket.count("}"), bucket[-1]) == (1, 1, "}")
        assert len(bucket) < 300


def test_a_limit_that_is_written_twice_counts_once() -> None:
    limits = make_app().extensions["rate_limiting"]
    assert [limits.acquire("x", "2/minute;2/minute", "ann") > 0 for _ in range(3)] == [0, 0, 1]


@pytest.mark.parametrize(
    "key",
    [
        "RATELIMIT_FAIL_ON_FIRST_BREACH",
        "RATELIMIT_HEADER_RETRY_AFTER",
        "RATELIMIT_HEADER_RETRY_AFTER_VALUE",
        "RATELIMIT_IN_MEMORY_FALLBACK",
        "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED",
        "RATELIMIT_META",
        "RATELIMIT_ON_META_BREACH_CALLBACK",
        "RATELIMIT_REQUEST_IDENTIFIER",
        "RATELIMIT_SWALLOW_ERRORS",
    ],
)
def test_a_key_of_flask_limiter_that_is_not_obeyed_is_refused_by_name(key: str) -> None:
    with pytest.raises(ValueError, match=f"{key}: .*remove the key"):
        make_app(None, **{key: True})


def test_what_would_never_be_checked_is_refused_where_it_stands() -> None:
    with pytest.raises(ValueError, match="meta_limits"):
        limiter.limit("2 per minute", meta_limits=["1 per hour"])
    with pytest.raises(ValueError, match="RouteLimit"):
        flask_limiter.RouteLimit(limit_provider="2 per minute", limiter=limiter)(named("x"))
    with pytest.raises(NotImplementedError, match="configure_rate_limiting"):
        limiter.init_app(Flask("service"))
    with pytest.raises(NotImplementedError):
        limiter.check()


def test_default_and_application_limits_have_flask_limiters_options() -> None:
    app = make_app(
        RATELIMIT_DEFAULT="2 per minute",
        RATELIMIT_DEFAULTS_PER_METHOD=True,
        RATELIMIT_DEFAULTS_EXEMPT_WHEN=lambda: "free" in request.args,
        RATELIMIT_APPLICATION="10 per minute",
        RATELIMIT_APPLICATION_COST=2,
        RATELIMIT_APPLICATION_DEDUCT_WHEN=lambda response: response.status_code != 404,
    )
    app.add_url_rule("/both", "both", lambda: "both", methods=["GET", "POST"])
    client = app.test_client()
    assert statuses(client, "/both", 3) == [200, 200, 429]
    assert client.post("/both").status_code == 200
    assert statuses(client, "/none?free", 9) == [404] * 9  # the application's limit hands back
    assert statuses(client, "/a?free", 3) == [200, 200, 429]


PER_METHOD: list[dict[str, Any]] = [
    {"RATELIMIT_DEFAULT": "2 per minute", "RATELIMIT_DEFAULTS_PER_METHOD": True},
    {"RATELIMIT_APPLICATION": "2 per minute", "RATELIMIT_APPLICATION_PER_METHOD": True},
]


@pytest.mark.parametrize("settings", PER_METHOD)
def test_limits_per_method_hold_for_paths_that_no_route_matches(settings: dict[str, Any]) -> None:
    client = make_app(**settings).test_client()
    for methods in (["GET", "HEAD", "GET"], ["POST"] * 3, ["BREW", "WHIP", "STIR"]):
        found = [client.open("/none", method=method).status_code for method in methods]
        assert found == [404, 404, 429], methods


def test_who_is_counted_may_be_said_by_a_function() -> None:
    app = make_app(
        RATELIMIT_DEFAULT="1 per minute", RATELIMIT_KEY_FUNC=lambda: request.args.get("user")
    )
    client = app.test_client()
    assert statuses(client, "/a?user=ann", 2) == [200, 429]
    assert statuses(client, "/a?user=bob", 2) == [200, 429]
    assert statuses(client, "/a", 2) == [200, 429]  # nobody: the address


def test_older_headers_are_sent_to_callers_that_want_them() -> None:
    app = make_app(
        RATELIMIT_DEFAULT="2 per minute",
        RATELIMIT_HEADERS_ENABLED=False,
        RATELIMIT_HEADER_LIMIT="X-RateLimit-Limit",
        RATELIMIT_HEADER_REMAINING="X-RateLimit-Remaining",
        RATELIMIT_HEADER_RESET="X-RateLimit-Reset",
    )
    headers = app.test_client().get("/a").headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("2", "1")
    assert 55 < int(headers["X-RateLimit-Reset"]) - time.time() <= 61
    assert "RateLimit" not in headers


def test_what_a_route_is_limited_by_can_be_asked_without_a_request() -> None:
    app = make_app(RATELIMIT_DEFAULT="9 per hour;3 per minute")
    app.add_url_rule("/free", "free", limiter.exempt(named("free")))
    app.add_url_rule("/own", "own", limiter.limit("2/minute", methods=["POST"])(named("own")))
    app.add_url_rule("/text", "text", limiter.limit(lambda: "2/minute")(named("text")))
    limits = app.extensions["rate_limiting"]
    asked = {rule.endpoint: limits.limits_of(rule, "GET") for rule in app.url_map.iter_rules()}
    default = ("3 per 1 minute", "9 per 1 hour")
    assert asked == {"static": default, "a": default, "b": default} | {
        "free": (),
        "own": default,
        "text": None,
    }


def test_a_request_filter_spares_whom_it_names() -> None:
    app = make_app(RATELIMIT_DEFAULT="1 per minute")
    limiter.request_filter(lambda: request.remote_addr == "192.0.2.9")
    try:
        client = app.test_client()
        spared = {"REMOTE_ADDR": "192.0.2.9"}
        assert statuses(client, "/a", 3, environ_base=spared) == [200] * 3
        assert statuses(client, "/a", 2) == [200, 429]
    finally:
        limiter.filters.clear()


def test_several_processes_that_count_for_themselves_are_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = make_app(RATELIMIT_DEFAULT="9 per minute").test_client()
    for _ in range(3):
        client.get("/a", environ_overrides={"wsgi.multiprocess": True})
    assert caplog.text.count("rate_limits_multiplied") == 1
