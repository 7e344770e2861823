"""The example in app/api/orders.py: every layer at work on one resource.

It goes with the example.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.errors import configure_errors
from tests.promises import CONFIGURE, PRESENT, needs

orders = pytest.importorskip("app.api.orders", reason="the service has replaced its example")

READER, WRITER, OTHER = ({"X-API-Key": letter * 43} for letter in "rwo")
SCOPES = {"r": ["orders:read"], "w": ["orders:read", "orders:write"], "o": ["orders:read"]}
SETTINGS = {
    "API_KEYS": {
        f"client-{letter}": {
            "keys": [hashlib.sha256(letter.encode() * 43).hexdigest()],
            "scopes": scopes,
        }
        for letter, scopes in SCOPES.items()
    },
    "RATELIMIT_DEFAULT": "1000 per hour",
    "MAX_CONTENT_LENGTH": 1024 * 1024,
}


def application(**settings: Any) -> FlaskClient:
    """The example with all middlewares that are here, as this test configures them."""
    app = Flask("of_this_test")
    app.config.update(SETTINGS, TESTING=True, **settings)
    for name in PRESENT:
        CONFIGURE[name](app)
    configure_errors(app)
    app.register_blueprint(orders.orders_blueprint)
    return app.test_client()


@pytest.fixture
def client() -> FlaskClient:
    return application()


TEA = {"item": "tea", "quantity": 2}


def test_an_order_is_created_found_and_listed(client: FlaskClient) -> None:
    created = client.post("/api/orders", json=TEA, headers=WRITER)
    assert created.status_code == 201
    assert created.get_json() == {"id": 1, **TEA}
    assert created.headers["Location"] == "/api/orders/1"
    assert client.get("/api/orders/1", headers=WRITER).get_json() == {"id": 1, **TEA}
    assert client.get("/api/orders", headers=WRITER).get_json() == {"orders": [{"id": 1, **TEA}]}


@needs("authentication")
def test_orders_need_a_key_and_the_scope(client: FlaskClient) -> None:
    assert client.get("/api/orders").status_code == 401
    assert client.get("/api/orders", headers=READER).status_code == 200
    refused = client.post("/api/orders", json=TEA, headers=READER)
    assert refused.status_code == 403
    assert refused.mimetype == "application/problem+json"
    assert 'scope="orders:write"' in refused.headers["WWW-Authenticate"]
    assert refused.headers.get_all("Cache-Control") == ["no-store"]
    assert len(refused.headers.get_all("WWW-Authenticate")) == 1


@needs("authentication")
def test_a_client_sees_no_orders_of_another(client: FlaskClient) -> None:
    client.post("/api/orders", json=TEA, headers=WRITER)
    assert client.get("/api/orders", headers=OTHER).get_json() == {"orders": []}
    assert client.get("/api/orders/1", headers=OTHER).status_code == 404


@needs("authentication", "rate_limiting")
def test_a_caller_without_a_key_is_limited_before_it_is_asked_for_one() -> None:
    client = application(RATELIMIT_DEFAULT="2 per minute")
    statuses = [client.get("/api/orders").status_code for _ in range(3)]
    assert statuses == [401, 401, 429]


@needs("rate_limiting")
def test_vouchers_have_a_stricter_limit_than_the_rest(client: FlaskClient) -> None:
    client.post("/api/orders", json=TEA, headers=WRITER)
    responses = [client.post("/api/orders/1/voucher", headers=WRITER) for _ in range(6)]
    assert [response.status_code for response in responses] == [201] * 5 + [429]
    assert len({response.get_json()["voucher"] for response in responses[:5]}) == 5
    assert client.get("/api/orders/1", headers=WRITER).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ([], [""]),
        ({}, ["/item", "/quantity"]),
        ({"item": "", "quantity": 0}, ["/item", "/quantity"]),
        ({"item": " ", "quantity": "2"}, ["/item", "/quantity"]),
        ({"item": "x" * 101, "quantity": 1001}, ["/item", "/quantity"]),
        ({**TEA, "quantity": True}, ["/quantity"]),
        ({**TEA, "quantity": 1.5}, ["/quantity"]),
        ({**TEA, "price/~": 0}, ["/price~1~0"]),
        ({**TEA, "x" * 900_000: 0}, ["/" + "x" * 100]),
        ({**TEA, **{f"{n:03}": n for n in range(500)}}, [f"/{n:03}" for n in range(10)]),
    ],
)
def test_an_invalid_order_is_400_and_says_where_it_is_wrong(
    client: FlaskClient, body: object, pointers: list[str]
) -> None:
    response = client.post("/api/orders", json=body, headers=WRITER)
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")
    assert [error["pointer"] for error in response.get_json()["errors"]] == pointers


def test_what_is_no_json_is_refused_before_the_view(client: FlaskClient) -> None:
    broken = client.post(
        "/api/orders", data=b"{", headers={**WRITER, "Content-Type": "application/json"}
    )
    assert broken.status_code == 400
    assert client.post("/api/orders", data=b"item=tea", headers=WRITER).status_code == 415


def test_memory_is_bounded(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.orders.MOST_ORDERS", 2)
    for _ in range(3):
        client.post("/api/orders", json=TEA, headers=WRITER)
    orders = client.get("/api/orders", headers=WRITER).get_json()["orders"]
    assert [order["id"] for order in orders] == [2, 3]


def test_while_authentication_is_off_everybody_may_try_it() -> None:
    client = application(API_KEYS={})
    assert client.post("/api/orders", json=TEA).status_code == 201
    assert client.get("/api/orders").get_json() == {"orders": [{"id": 1, **TEA}]}


def test_the_orders_are_made_with_the_application_and_not_by_requests(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("app.api.orders.Orders")
    assert client.post("/api/orders", json=TEA, headers=WRITER).status_code == 201
    assert client.get("/api/orders/1", headers=WRITER).status_code == 200


def test_two_applications_have_orders_of_their_own() -> None:
    one, two = application(API_KEYS={}), application(API_KEYS={})
    one.post("/api/orders", json=TEA)
    assert two.get("/api/orders").get_json() == {"orders": []}
