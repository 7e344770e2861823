"""What rate_limiting.py promises, on memory://; it travels with the file."""

from __future__ import annotations

import importlib
import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, request
from flask.testing import FlaskClient

from app.middleware.rate_limiting import (  # the one line to change in another package
    MemoryStore,
    client_of,
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


@pytest.fixture(autouse=True)
def declarations_of_this_test_only() -> Iterator[None]:
    """Decorators write into the module's limiter; put back what was there."""
    manager = limiter.limit_manager
    tables: list[Any] = [
        manager._decorated_limits,
        manager._blueprint_limits,
        manager._route_exemptions,
        manager._endpoint_hints,
        limiter._marked_for_limiting,
    ]
    before = [table.copy() for table in tables]
    yield
    for table, copy in zip(tables, before, strict=True):
        table.clear()
        table.update(copy)


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
    answers = [app.test_client().options("/own", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


def test_a_429_says_when_to_come_back_and_why() -> None:
    clock = Clock()
    client = make_app(clock, RATELIMIT_DEFAULT="100 per hour;1 per minute").test_client()
    client.get("/a")
    clock.now += 10.5
    answer = client.get("/a")
    assert answer.status_code == 429
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Retry-After"] == "50"
    assert answer.headers["RateLimit"] == '"default";r=0;t=50'
    assert answer.headers["RateLimit-Policy"] == '"default";q=1;w=60, "default-2";q=100;w=3600'
    problem = answer.get_json(force=True)
    assert problem["violated-policies"] == ["default"]
    assert problem["status"] == 429


def test_every_answer_says_what_is_left() -> None:
    clock = Clock()
    client = make_app(clock, RATELIMIT_DEFAULT="50 per minute").test_client()
    client.get("/a")
    clock.now += 48
    answer = client.get("/a")
    assert answer.headers["RateLimit"] == '"default";r=48;t=12'
    assert answer.headers["RateLimit-Policy"] == '"default";q=50;w=60'


def test_retry_after_is_a_promise_to_a_lone_client() -> None:
    clock = Clock()
    client = make_app(clock, RATELIMIT_DEFAULT="20 per hour;3 per 10 second").test_client()
    waits = 0
    for step in range(400):
        answer = client.get("/a")
        if answer.status_code == 429:
            wait = int(answer.headers["Retry-After"])
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


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("", "unknown"),
        ("garbage", "unknown"),
        ("x" * 10_000, "unknown"),
    ],
)
def test_who_one_client_is(address: str, client: str) -> None:
    assert client_of(address) == client


def test_addresses_of_one_network_share_a_limit() -> None:
    client = make_app(RATELIMIT_DEFAULT="3 per minute").test_client()
    seen = [
        client.get("/a", environ_base={"REMOTE_ADDR": f"2001:db8::{n:x}"}).status_code
        for n in range(1, 6)
    ]
    assert seen == [200, 200, 200, 429, 429]


def test_two_applications_do_not_see_each_other() -> None:
    one, two = (
        make_app(RATELIMIT_DEFAULT="1 per minute"),
        make_app(RATELIMIT_DEFAULT="3 per minute"),
    )
    assert statuses(one.test_client(), "/a", 2) == [200, 429]
    assert statuses(two.test_client(), "/a", 4) == [200, 200, 200, 429]
    off = make_app(RATELIMIT_ENABLED=False, RATELIMIT_DEFAULT="1 per minute")
    assert statuses(off.test_client(), "/a", 3) == [200] * 3


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
    answer = make_app().test_client().get("/a")
    assert "RateLimit" not in answer.headers
    assert "RateLimit-Policy" not in answer.headers


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
    answer = client.get("/dynamic?n=2")
    assert int(answer.headers["Retry-After"]) >= 1


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


def test_the_current_limit_can_be_read_in_a_view() -> None:
    app = make_app(RATELIMIT_DEFAULT="9 per hour;3 per minute")

    @app.get("/now")
    def now() -> dict[str, Any]:
        limit = limiter.current_limit
        assert limit is not None
        return {"left": limit.remaining, "all": len(limiter.current_limits), "key": limit.key}

    answer = app.test_client().get("/now").get_json()
    assert (answer["left"], answer["all"]) == (2, 2)
    assert "127.0.0.1" in answer["key"]


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
        ({"RATELIMIT_WORKERS": 4}, "RATELIMIT_STORAGE_URI: 'memory://' with 4 workers"),
        ({"RATELIMIT_WORKERS": "many"}, "RATELIMIT_WORKERS: 'many'"),
        ({"RATELIMIT_MEMORY_COUNTERS": 0}, "RATELIMIT_MEMORY_COUNTERS: 0"),
        ({"RATELIMIT_ENABLED": "False"}, "RATELIMIT_ENABLED: 'False'"),
    ],
)
def test_a_wrong_configuration_is_refused_at_start(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        make_app(**config)


def test_a_wrong_limit_on_a_view_is_refused_where_it_stands() -> None:
    with pytest.raises(ValueError, match="'often' is no limit"):
        limiter.limit("often")


def test_memory_is_bounded_and_a_limited_client_cannot_free_itself_cheaply() -> None:
    store = MemoryStore(100)
    limit = [("", 3, 60, 1)]
    for _ in range(4):
        store.acquire("limited", limit)
    for number in range(10_000):
        store.acquire(f"other-{number}", limit)
    assert counters(store) <= 100
    assert store.acquire("limited", limit)[0] is False


def test_a_limited_client_does_not_free_itself_on_another_route() -> None:
    store = MemoryStore(100)
    limit, other = [("limit", 3, 60, 1)], [("other", 500, 60, 1)]
    for _ in range(4):
        store.acquire("limited", limit)
    assert store.acquire("limited", other)[0] is True
    for number in range(10_000):
        store.acquire(f"other-{number}", other)
    assert store.acquire("limited", limit)[0] is False


def test_memory_forgets_clients_whose_windows_have_passed() -> None:
    clock = Clock()
    store = MemoryStore(100_000, clock)
    for number in range(1000):
        store.acquire(f"client-{number}", [("", 3, 60, 1)])
    for _ in range(1001):
        clock.now += 61
        store.acquire("one", [("", 3, 60, 1)])
    assert counters(store) == 1


def test_no_thread_is_started_by_a_request() -> None:
    app = make_app(RATELIMIT_DEFAULT="5 per minute")
    before = threading.active_count()
    statuses(app.test_client(), "/a", 5)
    assert threading.active_count() == before


def test_other_code_can_draw_on_limits_of_its_own() -> None:
    limits = make_app().extensions["rate_limiting"]
    assert limits.peek("keys", "2 per minute", "192.0.2.1") == 0.0
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
    assert limits.store._times == 0
    assert counters(limits.store) == 0


def test_a_clients_limits_are_cleared_by_the_librarys_command() -> None:
    app = make_app(RATELIMIT_DEFAULT="2 per minute")
    assert statuses(app.test_client(), "/a", 3) == [200, 200, 429]
    flask_limiter_clear = importlib.import_module("flask_limiter.commands").clear
    command = ["--key", "127.0.0.1", "-y"]
    assert app.test_cli_runner().invoke(flask_limiter_clear, command).exit_code == 0
    assert statuses(app.test_client(), "/a", 1) == [200]
    assert counters(app.extensions["rate_limiting"].store) == 1


def test_a_cost_above_the_limit_is_refused_and_not_an_error() -> None:
    app = make_app()
    app.add_url_rule("/x", "x", limiter.limit("2 per minute", cost=3)(named("x")))
    assert statuses(app.test_client(), "/x", 3) == [429] * 3
    assert statuses(app.test_client(), "/a", 3) == [200] * 3


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
    start = limits._window.start_of_key(name)
    assert start.isascii()
    assert (start.count("{"), start.count("}"), start[-1]) == (1, 1, "}")
    assert len(start) < 300


def test_a_limit_that_is_written_twice_counts_once() -> None:
    limits = make_app().extensions["rate_limiting"]
    assert [limits.acquire("x", "2/minute;2/minute", "ann") > 0 for _ in range(3)] == [0, 0, 1]


def test_many_refused_clients_do_not_switch_limits_off_for_others() -> None:
    store = MemoryStore(100)
    for number in range(10_000):
        store.acquire(f"refused-{number}", [("", 1, 60, 1)])
        store.acquire(f"refused-{number}", [("", 1, 60, 1)])
    seen = [store.acquire("other", [("", 3, 60, 1)])[0] for _ in range(4)]
    assert seen == [True, True, True, False]


def test_a_memory_full_of_busy_clients_is_bounded_too() -> None:
    store = MemoryStore(100)
    for number in range(5000):
        store.acquire(f"client-{number % 90}", [("", 1000, 60, 1)])
    assert counters(store) <= 100
    assert store._times <= 100 * store.TIMES_PER_COUNTER


def test_one_client_on_more_routes_than_the_memory_holds_is_bounded_and_limited() -> None:
    store = MemoryStore(10)
    for number in range(1000):
        store.acquire("one", [(f"route-{number}", 2, 60, 1)])
        assert counters(store) <= 10
    assert [store.acquire("one", [("route-999", 2, 60, 1)])[0] for _ in range(2)] == [True, False]


def test_a_cost_from_a_request_needs_no_memory_before_it_is_refused() -> None:
    store = MemoryStore(100)
    assert store.acquire("one", [("a", 5, 60, 1), ("b", 5, 60, 10**15)]) == (
        False,
        [(5, 0.0), (5, -60.0)],
    )
    assert counters(store) == 0


def counters(store: MemoryStore) -> int:
    """How many counters it holds; what it keeps count of is right."""
    tables = store._clients, store._refused
    for table in tables:
        assert table.counters == sum(map(len, table.values()))
    logs = [log for table in tables for client in table.values() for log in client.values()]
    assert store._times == sum(map(len, logs))
    return len(logs)


class Model:
    """What MemoryStore promises, as simply as it can be said: nothing is ever forgotten."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.admitted: dict[tuple[str, str], list[float]] = {}

    def acquire(self, start: str, draws: Any, record: bool = True) -> tuple[bool, list[Any]]:
        now, states = self.clock(), []
        admitted = all(
            len(self.within(start, draw, now)) + draw[3] <= draw[1]  # amount and cost
            for draw in draws
        )
        for rest, amount, seconds, cost in draws:
            if admitted and record:
                self.admitted.setdefault((start, rest), []).extend([now] * cost)
            times = self.within(start, (rest, amount, seconds, cost), now)
            late = 0 if admitted and record else len(times) + cost - amount  # have to leave first
            if late > len(times):
                wait = float(seconds)
            else:
                wait = times[max(late, 1) - 1] + seconds - now if times else 0.0
            states.append((amount - len(times), -wait))
        return admitted, states

    def within(self, start: str, draw: Any, now: float) -> list[float]:
        rest, _, seconds, _ = draw
        return [at for at in self.admitted.get((start, rest), ()) if at > now - seconds]

    def release(self, start: str, rest: str, seconds: int) -> None:
        if self.within(start, (rest, 0, seconds, 0), self.clock()):
            self.admitted[start, rest].pop()


def test_the_memory_answers_as_a_simple_model_does() -> None:
    chance = random.Random(20)
    for _ in range(60):
        clock = Clock()
        store, model = MemoryStore(10_000, clock), Model(clock)
        limits = {
            rest: (rest, chance.randint(1, 6), chance.choice([1, 7, 60]), chance.randint(1, 2))
            for rest in "abcd"
        }
        for _ in range(150):
            clock.now += chance.choice([0, 0, 0.25, 1, 5])
            draws = [limits[rest] for rest in sorted(chance.sample("abcd", chance.randint(1, 3)))]
            start, record = chance.choice(["one", "two"]), chance.random() < 0.8
            assert store.acquire(start, draws, record) == model.acquire(start, draws, record)
            if chance.random() < 0.1:
                model.release(start, draws[0][0], draws[0][2])
                store.acquire(start, draws[:1], record=False)  # so that it forgets what has left
                store.release(start, draws[0][0])
            counters(store)
