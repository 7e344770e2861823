"""What is declared holds on memory:// and on Redis alike: public complaints, each tried on both."""

from __future__ import annotations

import importlib
import random
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, abort, g, request
from flask.views import MethodView
from redis import Redis

from tests.limited import PACKAGE, in_process, load, log_lines, state
from tests.servers import TEMPLATE, Server, free_port, redis, until

CLOCK = "local clock = redis.call('TIME')\nlocal now = clock[1] * 1000000 + clock[2]"


@pytest.fixture(scope="module")
def store() -> Iterator[Server]:
    with redis() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
def app(request: pytest.FixtureRequest) -> Flask:
    return make(request)


def make(request: pytest.FixtureRequest, **config: Any) -> Flask:
    uri = "memory://"
    if request.param == "redis":
        server: Server = request.getfixturevalue("store")
        uri = f"redis://127.0.0.1:{server.port}"
        with Redis(port=server.port) as client:
            client.flushall()
    made = Flask("service")
    # a machine that is busy is not a store that is away
    made.config.update(RATELIMIT_STORAGE_URI=uri, RATELIMIT_STORAGE_TIMEOUT=10, **config)
    load().configure_rate_limiting(made)
    made.logger.disabled = True
    return made


def limit(text: Any, **options: Any) -> Any:
    return load().limiter.limit(text, **options)


def factory(name: str) -> Callable[[], str]:
    """Views of one qualified name."""

    def view() -> str:
        return name

    return view


def statuses(app: Flask, path: str, times: int, **options: Any) -> list[int]:
    client = app.test_client()
    return [client.open(path, **options).status_code for _ in range(times)]


def test_a_limit_belongs_to_the_function_that_was_decorated(app: Flask) -> None:
    limited, free = limit("2 per minute")(factory("one")), factory("two")
    app.add_url_rule("/limited", "limited", limited)
    app.add_url_rule("/free", "free", free)
    app.add_url_rule("/first", "first", limit("1 per minute")(lambda: "first"))
    app.add_url_rule("/second", "second", lambda: "second")
    assert statuses(app, "/limited", 3) == [200, 200, 429]
    assert statuses(app, "/free", 5) == [200] * 5
    assert statuses(app, "/first", 2) == [200, 429]
    assert statuses(app, "/second", 3) == [200] * 3


def test_an_exemption_belongs_to_the_function_that_was_decorated(app: Flask) -> None:
    app.add_url_rule("/health", "health", load().limiter.exempt(factory("health")))
    app.add_url_rule("/login", "login", limit("2 per minute")(factory("login")))
    assert statuses(app, "/login", 6) == [200, 200, 429, 429, 429, 429]
    assert statuses(app, "/health", 6) == [200] * 6


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("2 per minute", {}),
        (lambda: "2 per minute", {}),
        ("2 per minute", {"key_func": lambda: request.args["key"]}),
        ("4 per minute", {"cost": lambda: 2}),
        ("2 per minute", {"deduct_when": lambda response: True}),
        ("2 per minute", {"exempt_when": lambda: False}),
    ],
    ids=["static", "text", "key", "cost", "deduct", "exempt"],
)
def test_a_limit_above_the_route_decorator_applies(
    app: Flask, text: Any, options: dict[str, Any]
) -> None:
    above = factory("above")
    limit(text, **options)(app.get("/above")(above))
    limit(text, **options)(app.view_functions["static"])  # with its result thrown away
    assert statuses(app, "/above?key=ann", 3) == [200, 200, 429]
    assert statuses(app, "/static/none?key=bob", 3) == [404, 404, 429]


def test_what_decorators_between_have_found_out_is_known_to_a_key_function(app: Flask) -> None:
    def log_in(view: Any) -> Any:
        def logged_in() -> Any:
            g.user = request.args["user"]
            return view()

        return logged_in

    by_user = limit("1 per minute", key_func=lambda: g.user)
    app.add_url_rule("/mine", "mine", log_in(by_user(factory("mine"))))
    assert statuses(app, "/mine?user=ann", 2) == [200, 429]
    assert statuses(app, "/mine?user=bob", 2) == [200, 429]


def test_what_later_hooks_have_found_out_is_known_to_a_key_function(app: Flask) -> None:
    @app.before_request
    def log_in() -> None:
        g.user = request.args.get("user") or abort(401)

    by_user = limit("1 per minute", key_func=lambda: g.user)
    app.add_url_rule("/mine", "mine", by_user(factory("mine")))
    assert statuses(app, "/mine?user=ann", 2) == [200, 429]
    assert statuses(app, "/mine?user=bob", 2) == [200, 429]
    assert statuses(app, "/mine", 2) == [401, 401]


@pytest.fixture(params=["memory", "redis"])
def with_application_limit(request: pytest.FixtureRequest) -> Flask:
    return make(request, RATELIMIT_APPLICATION="3 per minute")


def test_requests_that_never_reach_their_view_count_on_the_other_limits(
    with_application_limit: Flask,
) -> None:
    app = with_application_limit
    app.before_request(lambda: abort(401))
    app.add_url_rule("/mine", "mine", limit("1 per minute", key_func=lambda: g.user)(factory("")))
    assert statuses(app, "/mine", 4) == [401, 401, 401, 429]
    response = app.test_client().get("/mine")
    assert int(response.headers["Retry-After"]) > 50
    assert response.headers["RateLimit"].startswith('"application";r=0;t=')


def test_all_limits_of_a_request_are_one_step_whatever_they_are_made_of(
    with_application_limit: Flask,
) -> None:
    app = with_application_limit
    by_user = limit("1 per minute", key_func=lambda: request.args["user"])
    app.add_url_rule("/mine", "mine", by_user(factory("mine")))
    assert statuses(app, "/mine?user=ann", 5) == [200, 429, 429, 429, 429]
    assert statuses(app, "/mine?user=bob", 1) == [200]  # what is refused takes nothing
    assert statuses(app, "/mine?user=cy", 1) == [200]
    assert statuses(app, "/mine?user=dee", 1) == [429]


def test_what_is_counted_for_some_responses_is_counted_first(app: Flask) -> None:
    inside = threading.Semaphore(0)

    def log_in() -> tuple[str, int]:
        inside.release()
        finish.wait(10)
        return "", int(request.args["status"])

    failed = limit("5 per minute", deduct_when=lambda response: response.status_code == 401)
    app.add_url_rule("/login", "login", failed(log_in))
    finish = threading.Event()
    seen: list[int] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(statuses(app, "/login?status=401", 1)))
        for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for _ in range(5):
        assert inside.acquire(timeout=10)
    finish.set()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [401] * 5 + [429] * 35


def test_what_is_not_due_is_handed_back(app: Flask) -> None:
    failed = limit(
        "2 per minute;90 per hour", deduct_when=lambda response: response.status_code == 401
    )
    app.add_url_rule("/login", "login", failed(lambda: ("", int(request.args["status"]))))
    assert statuses(app, "/login?status=200", 9) == [200] * 9
    response = app.test_client().get("/login?status=200")
    assert response.headers["RateLimit"].startswith('"route";r=2;')
    assert statuses(app, "/login?status=401", 3) == [401, 401, 429]
    assert load().limiter.enabled


@pytest.mark.parametrize("text", ["1000 per hour", "20 per minute", f"2 per {9 * 10**12} seconds"])
def test_a_limit_admits_its_amount_and_not_one_more(app: Flask, text: str) -> None:
    amount = int(text.partition(" ")[0])
    app.add_url_rule("/a", "a", limit(text)(factory("a")))
    assert in_process(app, amount + 40, "192.0.2.1").admitted == amount


@pytest.mark.parametrize("cost", [-1, 1.5, None])
def test_a_wrong_cost_from_a_function_is_an_error_and_takes_nothing(
    app: Flask, cost: object
) -> None:
    prices = {"wrong": cost, "all": 10, "more": 11}
    price = limit("10 per minute", cost=lambda: prices[request.args["cost"]])
    app.add_url_rule("/x", "x", price(factory("x")))
    assert statuses(app, "/x?cost=wrong", 2) == [500, 500]
    assert "Retry-After" not in app.test_client().get("/x?cost=more").headers
    assert statuses(app, "/x?cost=more", 2) == [429, 429]
    assert statuses(app, "/x?cost=all", 2) == [200, 429]


def test_a_function_that_returns_nonsense_is_logged_and_one_that_raises_is_an_error(
    app: Flask,
) -> None:
    texts: dict[str, Any] = {"good": "1 per minute", "bad": "often", "none": None}
    texts |= {"list": ["1 per minute"], "mapping": {}, "window": "1 per 300000 years"}
    app.add_url_rule("/x", "x", limit(lambda: texts[request.args["text"]])(factory("x")))
    with log_lines() as lines:
        assert statuses(app, "/x?text=bad", 2) == [200, 200]
    assert lines.count("a limit is left out: its function returned 'often'") >= 1
    for text in ("none", "list", "mapping", "window"):
        assert statuses(app, f"/x?text={text}", 2) == [200, 200]
    assert statuses(app, "/x?text=raises", 2) == [500, 500]
    assert statuses(app, "/x?text=good", 2) == [200, 429]


def test_limits_can_be_switched_off_and_reset_between_tests(app: Flask) -> None:
    limiter = load().limiter
    app.add_url_rule("/a", "a", limit("1 per minute")(factory("a")))
    assert statuses(app, "/a", 2) == [200, 429]
    with app.app_context():
        limiter.reset()
    assert statuses(app, "/a", 2) == [200, 429]
    limiter.enabled = False
    try:
        assert statuses(app, "/a", 3) == [200] * 3
    finally:
        limiter.enabled = True
    app.config["RATELIMIT_ENABLED"] = False
    assert statuses(app, "/a", 3) == [200] * 3
    app.config["RATELIMIT_ENABLED"] = True
    assert statuses(app, "/a", 1) == [429]


def test_a_reset_leaves_other_services_alone(request: pytest.FixtureRequest, store: Server) -> None:
    uri = f"redis://127.0.0.1:{store.port}"
    apps = []
    for prefix in ("one", "one[*]", "onetwo"):
        app = Flask("service")
        app.config.update(RATELIMIT_STORAGE_URI=uri, RATELIMIT_KEY_PREFIX=prefix)
        app.config["RATELIMIT_DEFAULT"] = "1 per minute"
        load().configure_rate_limiting(app)
        assert statuses(app, "/none", 2) == [404, 429]
        apps.append(app)
    with apps[1].app_context():
        load().limiter.reset()
    assert [statuses(app, "/none", 1) for app in apps] == [[429], [404], [429]]


class Shelf(MethodView):
    init_every_request = False

    def get(self) -> str:
        return "got"

    def post(self) -> str:
        return "put"

    post = limit("1 per minute")(post)


def test_a_method_of_a_view_class_has_limits_of_its_own(with_application_limit: Flask) -> None:
    app = with_application_limit
    app.add_url_rule("/shelf", view_func=Shelf.as_view("shelf"))
    assert statuses(app, "/shelf", 2, method="POST") == [200, 429]
    assert statuses(app, "/shelf", 3, method="GET") == [200, 200, 429]


def test_functions_and_blocks_inside_a_view_are_limited_on_top(app: Flask) -> None:
    costly = limit("3 per minute")(factory("costly"))

    def block() -> str:
        with limit("1 per minute"):
            return "block"

    app.add_url_rule("/twice", "twice", lambda: costly() + costly())
    app.add_url_rule("/block", "block", block)
    assert statuses(app, "/twice", 2) == [200, 429]
    assert statuses(app, "/block", 2) == [200, 429]


def test_a_blueprint_below_a_limited_one_inherits_and_an_exempt_one_does_not(app: Flask) -> None:
    outer, inner = Blueprint("outer", __name__), Blueprint("inner", __name__)
    limit("1 per minute")(outer)
    inner.add_url_rule("/in", "in", factory("in"))
    outer.register_blueprint(inner, url_prefix="/inner")
    app.register_blueprint(outer)
    assert statuses(app, "/inner/in", 2) == [200, 429]


def test_the_owner_hears_of_a_refusal_and_may_send_a_response(app: Flask) -> None:
    heard: list[Any] = []

    def answer_so(refused: Any) -> Response:
        heard.append((refused.limit, refused.breached, refused.remaining))
        return Response("later", 429)

    app.add_url_rule("/a", "a", limit("1 per minute", on_breach=answer_so)(factory("a")))
    assert statuses(app, "/a", 1) == [200]
    response = app.test_client().get("/a")
    assert (response.status_code, response.text) == (429, "later")
    assert int(response.headers["Retry-After"]) > 50
    assert [(str(one), *rest) for one, *rest in heard] == [("1 per 1 minute", True, 0)]


def test_a_handler_of_the_owners_keeps_retry_after(app: Flask) -> None:
    app.register_error_handler(429, lambda error: ("slow down", 429))
    app.add_url_rule("/a", "a", limit("1 per minute")(factory("a")))
    assert statuses(app, "/a", 1) == [200]
    response = app.test_client().get("/a")
    assert (response.text, int(response.headers["Retry-After"]) > 50) == ("slow down", True)


def test_a_full_counter_takes_little_of_the_store(store: Server) -> None:
    script = load_script("ACQUIRE").replace(CLOCK, "local now = tonumber(ARGV[3])")
    with Redis(port=store.port) as client:
        for amount, seconds, most in ((10_000, 86_400, 4096), (50, 60, 1024)):
            key, step = f"key-{amount}", seconds * 999_000 // amount
            for n in range(amount + 5):
                numbers = f"{amount} {seconds} 1"
                client.eval(script, 1, key, "1", numbers, 1_800_000_000_000_000 + n * step)
            assert int(client.lindex(key, 0)) >= amount * 0.98
            used = client.memory_usage(key, samples=0)
            print(f"{amount} in {seconds} s: {used} bytes")
            assert used <= most


def load_script(name: str) -> str:
    load()
    text: str = getattr(importlib.import_module(f"{PACKAGE}.engine.redis_scripts"), name).text
    return text


def test_a_window_that_has_passed_is_cut_at_once(store: Server) -> None:
    with Redis(port=store.port) as client:
        script = load_script("ACQUIRE").replace(CLOCK, "local now = tonumber(ARGV[3])")
        first = 1_800_000_000_000_000
        for n in range(64):
            client.eval(script, 1, "cut", "1", "64 60 1", first + n * 100_000)
        client.eval(script, 1, "cut", "1", "64 60 1", first + 60_000_000 + 62 * 100_000)
        assert client.llen("cut") == 1 + 2 * 2  # the total, the 64th and the new one
        client.eval(script, 1, "cut", "1", "64 60 1", first + 200_000_000)
        assert client.llen("cut") == 1 + 2


@pytest.mark.parametrize("amount", [3, 100])
def test_nobody_waits_longer_because_another_node_s_clock_is_behind(
    store: Server, amount: int
) -> None:
    script = load_script("ACQUIRE").replace(CLOCK, "local now = tonumber(ARGV[3])")
    first, second = 1_800_000_000_000_000, 1_000_000
    with Redis(port=store.port) as client:

        def ask(now: int) -> tuple[bool, float]:
            reply = client.eval(script, 1, f"behind-{amount}", "1", f"{amount} 60 1", now)
            return reply[0] == 1, reply[3] / second

        assert all(ask(first + n * second)[0] for n in range(3))
        for _ in range(amount - 3):
            assert ask(first + 2 * second)[0]
        behind = first - 3600 * second
        assert ask(behind) == (False, 58)
        assert ask(behind + 57 * second) == (False, 1)
        assert ask(behind + 58 * second)[0]


def test_the_state_of_a_store_is_known_before_the_first_request(store: Server) -> None:
    app = Flask("service")
    app.config["RATELIMIT_STORAGE_URI"] = f"redis://127.0.0.1:{store.port}"
    load().configure_rate_limiting(app)
    until(lambda: state(app) == "shared", 5)
    app = Flask("service")
    app.config["RATELIMIT_STORAGE_URI"] = f"redis://127.0.0.1:{free_port()}"
    load().configure_rate_limiting(app)
    until(lambda: state(app) == "fallback", 5)


def test_a_store_that_is_lost_while_nobody_asks_is_noticed() -> None:
    app = Flask("service")
    with redis() as server:
        app.config["RATELIMIT_STORAGE_URI"] = f"redis://127.0.0.1:{server.port}"
        load().configure_rate_limiting(app)
        until(lambda: state(app) == "shared", 5)
    until(lambda: state(app) == "fallback", 5)


def test_the_store_and_the_memory_count_the_same(store: Server) -> None:
    """Random charges by the same clock: one model, two stores."""
    load()
    counters = importlib.import_module(f"{PACKAGE}.engine.counters")
    acquire = load_script("ACQUIRE").replace(CLOCK, "local now = tonumber(ARGV[3])")
    release = load_script("RELEASE").replace(CLOCK, "local now = tonumber(ARGV[3])")
    chance = random.Random(7)
    with Redis(port=store.port) as client:
        for number in range(20):
            now = 1_800_000_000_000_000
            memory = counters.MemoryStore(1000, lambda: now / 1e6)  # noqa: B023
            charge = ("", chance.choice([1, 3, 64, 65, 100, 300]), chance.choice([1, 64, 640]), 1)
            stamps: list[tuple[float, int]] = []
            for _ in range(400):
                now += chance.choice([0, 15_625, 100_000, 1_000_000]) * chance.randint(0, 2)
                cost = chance.randint(1, min(charge[1], 9))
                charge = (*charge[:3], cost)
                record = chance.random() < 0.9
                numbers = f"{charge[1]} {charge[2]} {cost}"
                arguments = ("1" if record else "0", numbers, now)
                reply = client.eval(acquire, 1, f"same-{number}", *arguments)
                admitted, [(remaining, reset_in)], (stamp,) = memory.acquire(
                    [("one", [charge])], record
                )
                assert (reply[0] == 1, reply[2]) == (admitted, remaining)
                assert abs(reply[3] / 1e6 - reset_in) < 1e-3
                if admitted and record:
                    stamps.append((stamp, reply[1]))
                if stamps and chance.random() < 0.1:
                    ours, theirs = stamps.pop(chance.randrange(len(stamps)))
                    back = ("", charge[1], charge[2], 1)
                    memory.release("one", [back], ours)
                    numbers = f"{charge[2]} 1"
                    client.eval(release, 1, f"same-{number}", theirs, numbers, now)


def test_the_rights_that_are_documented_are_enough(store: Server) -> None:
    text = (TEMPLATE / "docs" / "scaling.md").read_text(encoding="utf-8")
    rights = re.findall(r"\+[a-z]+", text.partition("ACL SETUSER limits")[2].partition("`")[0])
    failed = limit("20 per minute", deduct_when=lambda response: response.status_code == 401)
    with Redis(port=store.port) as admin, log_lines() as lines:
        admin.flushall()  # another test counts this address on this limit
        admin.execute_command("ACL", "SETUSER", "limits", "on", ">pw", "~service:*", *rights)
        app = Flask("service")
        app.config["RATELIMIT_STORAGE_TIMEOUT"] = 10
        app.config["RATELIMIT_STORAGE_URI"] = f"redis://limits:pw@127.0.0.1:{store.port}"
        load().configure_rate_limiting(app)
        app.add_url_rule("/a", "a", limit("20 per minute;900 per hour")(factory("a")))
        app.add_url_rule("/b", "b", failed(factory("b")))
        assert in_process(app, 40, "192.0.2.1").admitted == 20
        assert statuses(app, "/b", 30) == [200] * 30
        assert state(app) == "shared"
        assert lines.texts == []
