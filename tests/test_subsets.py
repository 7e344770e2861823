"""Any of the middlewares work together, in any order: all 1,023 non-empty subsets of the ten."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, abort
from werkzeug.test import TestResponse

from tests.middlewares import MIDDLEWARES, NAMES
from tests.servers import SERVICE

ORIGIN = "https://app.example.com"
KEY = "k" * 43
TOKEN = "m" * 43
CONFIG: dict[str, Any] = {
    "SECRET_KEY": "of this test alone, and long enough to be one",
    "CORS_ORIGINS": [ORIGIN],
    "METRICS_TOKEN": TOKEN,
    "CSRF_TRUSTED_ORIGINS": [ORIGIN],  # where cors.py, which names it too, is not there
    "RATELIMIT_DEFAULT": "4 per minute",
    "TRUSTED_PROXIES": 1,
    "BLOCKED_USER_AGENTS": ["badbot"],
    "MAX_CONTENT_LENGTH": 100,
    "API_KEYS": {"mobile": {"keys": [hashlib.sha256(KEY.encode()).hexdigest()], "scopes": []}},
}
SUBSETS = [subset for size in range(1, 11) for subset in itertools.combinations(NAMES, size)]


@pytest.fixture(scope="module")
def configure() -> Iterator[dict[str, Callable[[Flask], None]]]:
    """The ten functions, from the service that runs in place."""
    sys.path.insert(0, str(SERVICE))
    try:
        yield {
            one.name: getattr(importlib.import_module(f"app.middleware.{one.name}"), one.function)
            for one in MIDDLEWARES
        }
    finally:
        sys.path.remove(str(SERVICE))
        for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
            del sys.modules[name]


def make_app(functions: list[Callable[[Flask], None]]) -> Flask:
    app = Flask("subset")
    app.config.update(CONFIG)
    for function in functions:
        function(app)

    @app.route("/api/one", methods=["GET", "POST"])
    def one() -> dict[str, int]:
        return {"one": 1}

    @app.get("/api/two")
    def two() -> str:
        abort(404)

    @app.get("/three")
    def three() -> str:
        raise RuntimeError("of this test")

    return app


def headers(**more: str) -> dict[str, str]:
    return {"Origin": ORIGIN, "X-API-Key": KEY, "User-Agent": "test", **more}


def check(app: Flask, subset: tuple[str, ...]) -> None:
    client = app.test_client()
    answers: list[TestResponse] = [
        client.get("/api/one", headers=headers()),
        client.get("/api/two", headers=headers()),
        client.get("/three", headers=headers()),
        client.get("/nowhere", headers=headers()),
        client.options("/api/one", headers=headers(**{"Access-Control-Request-Method": "POST"})),
    ]
    codes = [answer.status_code for answer in answers]
    assert codes[:4] == [200, 404, 500, 404]
    assert codes[4] in (200, 204)
    for answer, path in zip(answers, ("/api/", "/api/", "/", "/", "/api/"), strict=True):
        named = answer.headers
        assert ("X-Request-ID" in named) == ("logging" in subset)
        assert ("Content-Security-Policy" in named) == ("security" in subset)
        is_shared = "cors" in subset and path == "/api/"
        assert named.get("Access-Control-Allow-Origin") == (ORIGIN if is_shared else None)
    if "authentication" in subset:
        assert client.get("/api/one", headers={"Origin": ORIGIN}).status_code == 401
    if "user_agents" in subset:
        agent = headers(**{"User-Agent": "a BadBot/1.0"})
        assert client.get("/api/two", headers=agent).status_code == 403
    if "validation" in subset:
        assert client.post("/api/one", data=b"x" * 101, headers=headers()).status_code == 413
    if "metrics" in subset:
        read = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert "http_requests_in_flight" in read.text
    if "csrf" in subset:
        foreign = headers(Origin="https://evil.example")
        assert client.post("/api/one", headers=foreign).status_code == 403
    if "rate_limiting" in subset:
        assert [client.get("/api/one", headers=headers()).status_code for _ in range(6)][-1] == 429
        elsewhere = headers(**{"X-Forwarded-For": "192.0.2.9"})
        is_other = client.get("/api/one", headers=elsewhere).status_code == 200
        assert is_other == ("proxy" in subset)


@pytest.mark.parametrize("size", range(1, 11))
def test_all_subsets_of_this_size_keep_their_promises_in_a_random_order(
    size: int,
    configure: dict[str, Callable[[Flask], None]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    shuffled = random.Random(size)
    tried = [subset for subset in SUBSETS if len(subset) == size]
    for subset in tried:
        order = list(subset)
        shuffled.shuffle(order)
        check(make_app([configure[name] for name in order]), subset)
    assert len(tried) == [0, 10, 45, 120, 210, 252, 210, 120, 45, 10, 1][size]


def test_there_are_1023_subsets() -> None:
    assert len(set(SUBSETS)) == 1023
