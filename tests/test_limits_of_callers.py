"""Each caller has a budget of its own, wherever it connects from, and addresses keep theirs."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Blueprint, Flask
from redis import Redis

from tests.limited import PACKAGE, load, over_http
from tests.servers import SERVICE, Server, gunicorn, redis

ANN, BOB, TIER = (f"{name}-{'0123456789' * 4}" for name in ("ann", "bob", "tier"))


def holder(key: str, **more: str) -> dict[str, Any]:
    return {"keys": [hashlib.sha256(key.encode()).hexdigest()], "scopes": [], **more}


CALLERS = {"ann": holder(ANN), "bob": holder(BOB)}


@pytest.fixture(scope="module")
def store() -> Iterator[Server]:
    with redis() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
def make(request: pytest.FixtureRequest) -> Callable[..., Flask]:
    def make(verify_token: Any = None, **config: Any) -> Flask:
        uri = "memory://"
        if request.param == "redis":
            server: Server = request.getfixturevalue("store")
            uri = f"redis://127.0.0.1:{server.port}"
            with Redis(port=server.port) as client:
                client.flushall()
        app = Flask("service")
        app.config.update(RATELIMIT_STORAGE_URI=uri, API_KEYS=CALLERS, RATELIMIT_KEY="caller")
        app.config.update(config)
        rate_limiting = load()
        authentication = importlib.import_module(f"{PACKAGE}.authentication")
        rate_limiting.configure_rate_limiting(app)
        authentication.configure_authentication(app, verify_token)
        app.add_url_rule("/a", "a", lambda: "a")
        app.add_url_rule("/b", "b", lambda: "b")
        app.add_url_rule("/open", "open", authentication.public(lambda: "open"))
        return app

    return make


def ask(app: Flask, path: str, times: int, key: str | None = None, address: str = "") -> list[int]:
    headers = {"X-API-Key": key} if key else {}
    base = {"REMOTE_ADDR": address or "192.0.2.1"}
    client = app.test_client()
    return [client.get(path, headers=headers, environ_base=base).status_code for _ in range(times)]


def limited_view(app: Flask, kind: str) -> str:
    """A path that admits two."""
    limiter, path = load().limiter, "/a"
    if kind == "view":
        path = "/view"
        app.add_url_rule(path, "view", limiter.limit("2 per minute")(lambda: "view"))
    if kind == "text":
        path = "/text"
        app.add_url_rule(path, "text", limiter.limit(lambda: "2 per minute")(lambda: "text"))
    if kind == "shared":
        path = "/shared"
        shared = limiter.shared_limit("2 per minute", scope="shared")
        app.add_url_rule(path, "shared", shared(lambda: "shared"))
    if kind == "blueprint":
        path = "/blue/x"
        blue = Blueprint("blue_of_callers", __name__, url_prefix="/blue")
        limiter.limit("2 per minute")(blue)
        blue.add_url_rule("/x", "x", lambda: "x")
        app.register_blueprint(blue)
    return path


KINDS = {
    "default": {"RATELIMIT_DEFAULT": "2 per minute"},
    "application": {"RATELIMIT_APPLICATION": "2 per minute"},
    "callers": {"RATELIMIT_CALLERS": "2 per minute", "RATELIMIT_DEFAULT": "2 per minute"},
    "view": {},
    "text": {},
    "shared": {},
    "blueprint": {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_two_callers_behind_one_address_have_separate_budgets_and_one_from_two_has_one(
    make: Callable[..., Flask], kind: str
) -> None:
    app = make(**KINDS[kind])
    path = limited_view(app, kind)
    assert ask(app, path, 1, ANN, "192.0.2.1") == [200]
    assert ask(app, path, 1, ANN, "192.0.2.2") == [200]
    assert ask(app, path, 1, ANN, "192.0.2.1") == [429]
    assert ask(app, path, 1, ANN, "192.0.2.3") == [429]
    assert ask(app, path, 3, BOB, "192.0.2.1") == [200, 200, 429]


@pytest.mark.parametrize("kind", ["default", "application"])
def test_whoever_is_not_authenticated_is_limited_by_address(
    make: Callable[..., Flask], kind: str
) -> None:
    app = make(**KINDS[kind])
    assert ask(app, "/a", 3) == [401, 401, 429]
    assert ask(app, "/a", 3, address="192.0.2.2") == [401, 401, 429]
    assert ask(app, "/a", 2, ANN) == [200, 200]  # the address is full, the caller is not
    assert ask(app, "/a", 3, "wrong-" + "x" * 40, "192.0.2.3") == [401, 401, 429]


def test_wrong_keys_are_held_by_address_as_before(make: Callable[..., Flask]) -> None:
    app = make()  # no limits at all but that one
    seen = [ask(app, "/a", 1, f"wrong-{n:040}")[0] for n in range(1000)]
    assert (seen.count(401), seen.count(429)) == (20, 980)


def test_a_callers_own_limits_are_its_budget_over_all_routes(make: Callable[..., Flask]) -> None:
    callers = {"ann": holder(ANN, limits="3 per minute"), "bob": holder(BOB)}
    app = make(API_KEYS=callers, RATELIMIT_DEFAULT="1 per minute", RATELIMIT_CALLERS="2 per minute")
    assert ask(app, "/a", 2, ANN) + ask(app, "/b", 2, ANN) == [200, 200, 200, 429]
    assert ask(app, "/a", 1, BOB) + ask(app, "/b", 2, BOB) == [200, 200, 429]
    assert ask(app, "/open", 2, address="192.0.2.9") == [200, 429]


def test_own_limits_hold_where_others_are_counted_by_address(make: Callable[..., Flask]) -> None:
    callers = {"ann": holder(ANN, limits="3 per minute"), "bob": holder(BOB)}
    app = make(API_KEYS=callers, RATELIMIT_KEY="address", RATELIMIT_DEFAULT="1 per minute")
    path = limited_view(app, "view")
    assert ask(app, "/a", 3, ANN, "192.0.2.1") == [200] * 3
    assert ask(app, "/a", 1, ANN, "192.0.2.2") == [429]
    assert ask(app, "/a", 2, BOB, "192.0.2.3") == [200, 429]
    assert ask(app, path, 3, BOB, "192.0.2.3") == [200, 200, 429]


def test_headers_tell_a_caller_its_own_budget(make: Callable[..., Flask]) -> None:
    callers = {"ann": holder(ANN, limits="3 per minute"), "bob": holder(BOB)}
    app = make(API_KEYS=callers, RATELIMIT_DEFAULT="7 per minute")
    headers = app.test_client().get("/a", headers={"X-API-Key": ANN}).headers
    assert headers["RateLimit-Policy"] == '"caller";q=3;w=60'
    assert headers["RateLimit"] == '"caller";r=2;t=60'
    headers = app.test_client().get("/a", headers={"X-API-Key": BOB}).headers
    assert headers["RateLimit-Policy"] == '"default";q=7;w=60'


def test_a_tier_of_the_configuration_sets_the_limits_and_an_unknown_one_is_named_once(
    make: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    def tier_of(text: str) -> Any:
        tier = text.rpartition(".")[2]
        return (tier, frozenset(), None, tier) if text.startswith("tier") else None

    tiers = {"gold": "3 per minute"}
    app = make(tier_of, RATELIMIT_TIERS=tiers, RATELIMIT_CALLERS="1 per minute")

    def bearer(kind: str, times: int) -> list[int]:
        headers = {"Authorization": f"Bearer {TIER}.{kind}"}
        client = app.test_client()
        return [client.get("/a", headers=headers).status_code for _ in range(times)]

    assert bearer("gold", 4) == [200, 200, 200, 429]
    assert bearer("lead", 2) == [200, 429]  # unknown: as a caller without one
    (said,) = (text for text in caplog.messages if "unknown_tier" in text)
    assert "'lead'" in said


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"RATELIMIT_KEY": "user"}, "RATELIMIT_KEY: 'user' is not one of address, caller"),
        ({"RATELIMIT_CALLERS": "lots"}, "RATELIMIT_CALLERS: 'lots' is not a limit"),
        ({"RATELIMIT_TIERS": {"gold": "lots"}}, "RATELIMIT_TIERS gold: 'lots' is not a limit"),
        ({"RATELIMIT_TIERS": "gold"}, "RATELIMIT_TIERS: 'gold' is not a mapping"),
        ({"RATELIMIT_ALLOW": "10.0.0.1/8"}, "RATELIMIT_ALLOW: '10.0.0.1/8' is not a network"),
        ({"RATELIMIT_KEY_FUNC": lambda: "x"}, "RATELIMIT_KEY: 'caller'"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_start(config: dict[str, Any], says: str) -> None:
    app = Flask("service")
    app.config.update(RATELIMIT_KEY="caller")
    app.config.update(config)
    with pytest.raises(ValueError, match=says):
        load().configure_rate_limiting(app)


def test_networks_on_the_allow_list_are_not_counted(make: Callable[..., Flask]) -> None:
    app = make(
        RATELIMIT_DEFAULT="1 per minute",
        RATELIMIT_ALLOW=["10.1.0.0/16", "192.0.2.7", "2001:db8::/64"],
        API_KEYS={},
    )
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "2001:db8::1"):
        assert ask(app, "/a", 3, address=address) == [200] * 3
    for address in ("10.2.0.1", "192.0.2.8", "2001:db8:0:1::1", "unknown"):
        assert ask(app, "/a", 2, address=address) == [200, 429]


def test_a_limit_by_who_was_authenticated_works_on_a_blueprint(make: Callable[..., Flask]) -> None:
    from flask import g

    app = make(RATELIMIT_KEY="address", RATELIMIT_DEFAULT="5 per minute")
    blue = Blueprint("by_client", __name__, url_prefix="/blue")
    load().limiter.limit("1 per minute", key_func=lambda: g.client)(blue)
    blue.add_url_rule("/x", "x", lambda: "x")
    app.register_blueprint(blue)
    assert ask(app, "/blue/x", 2, ANN) == [200, 429]
    assert ask(app, "/blue/x", 2, BOB) == [200, 429]


COMBINATIONS = [
    {"RATELIMIT_KEY": key, **limits, "API_KEYS": callers}
    for key in ("address", "caller")
    for limits in (
        {"RATELIMIT_DEFAULT": "90 per minute;900 per hour"},
        {"RATELIMIT_DEFAULT": "90 per minute", "RATELIMIT_APPLICATION": "99 per minute"},
        {"RATELIMIT_CALLERS": "90 per minute", "RATELIMIT_APPLICATION": "99 per minute"},
    )
    for callers in (CALLERS, {"ann": holder(ANN, limits="80 per minute")})
]


@pytest.mark.parametrize("config", COMBINATIONS)
@pytest.mark.parametrize("kind", ["default", "view", "text", "shared", "blueprint"])
def test_a_request_asks_the_store_once_in_every_combination(
    store: Server, config: dict[str, Any], kind: str
) -> None:
    with Redis(port=store.port) as client:
        client.flushall()
    app = Flask("service")
    app.config.update(config, RATELIMIT_STORAGE_URI=f"redis://127.0.0.1:{store.port}")
    load().configure_rate_limiting(app)
    importlib.import_module(f"{PACKAGE}.authentication").configure_authentication(app)
    app.add_url_rule("/a", "a", lambda: "a")
    path = limited_view(app, kind)
    counted: list[int] = []
    acquire = app.extensions["rate_limiting"].store._exchange

    def count(client: Any, command: Any) -> Any:
        if "probe" not in str(command):
            counted.append(1)
        return acquire(client, command)

    assert ask(app, path, 1, ANN) == [200]  # its key is known to be right now
    app.extensions["rate_limiting"].store._exchange = count
    assert ask(app, path, 1, ANN) == [200]
    assert len(counted) == 1


def check_workers(rounds: int) -> None:
    env = {
        "FLASK_RATELIMIT_KEY": "caller",
        "FLASK_RATELIMIT_DEFAULT": "17 per hour",
        "FLASK_API_KEYS": json.dumps(CALLERS),
        "FLASK_TRUSTED_PROXIES": "1",
    }
    with redis() as shared:
        env["FLASK_RATELIMIT_STORAGE_URI"] = f"redis://127.0.0.1:{shared.port}/0"
        with gunicorn(SERVICE, "--workers", "4", "--threads", "8", env=env) as server:
            for number in range(rounds):
                with Redis(port=shared.port) as client:
                    client.flushall()

                def headers(n: int, number: int = number) -> dict[str, str]:
                    address = f"192.0.2.{number}" if n % 3 else f"198.51.100.{number}"
                    return {"X-API-Key": ANN if n % 2 else BOB, "X-Forwarded-For": address}

                responses = over_http([server.port], 80, headers, threads=16)
                assert (responses.admitted, responses.failed) == (34, 0)


def test_four_workers_admit_each_caller_its_limit() -> None:
    check_workers(rounds=4)


@pytest.mark.soak
def test_four_workers_admit_each_caller_its_limit_at_full_size() -> None:
    check_workers(rounds=100)
