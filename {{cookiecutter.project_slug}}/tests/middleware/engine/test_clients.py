"""What engine/clients.py promises of addresses and of preflights."""

from __future__ import annotations

import pytest
from flask import Flask, request

from app.middleware.engine.clients import (
    bucket_of,
    is_automatic_preflight,
    is_preflight,
    normal_address,
)

ASKED = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:8080", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:443", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("[2001:db8::1]:443", "2001:db8::/64"),
        ("2001:DB8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ("unix:", "unknown"),
        ("192.0.2.999", "unknown"),
        ("0300.0.2.1", "unknown"),
        ("é" * 100, "unknown"),
        ("1" * 100_000, "unknown"),
    ],
)
def test_one_customer_is_one_bucket_and_what_is_not_an_address_shares_one(
    address: str | None, bucket: str
) -> None:
    assert bucket_of(address) == bucket


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1:8080 ", "192.0.2.1"),
        ("[2001:db8:0::1]:443", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("unknown", None),
        ("_hidden", None),
        ("fe80::1%any", None),
        ("192.0.2.1, 192.0.2.2", None),
        ("", None),
        (None, None),
    ],
)
def test_an_entry_of_forwarded_for_is_an_address_in_its_shortest_form_or_nothing(
    entry: str | None, address: str | None
) -> None:
    assert normal_address(entry) == address


def test_a_preflight_is_what_a_browser_sends_before_a_request() -> None:
    app = Flask(__name__)
    app.add_url_rule("/own", "own", lambda: "own", methods=["GET", "OPTIONS"])
    app.add_url_rule("/flask", "flask", lambda: "flask")
    for path, method, headers, expected in (
        ("/flask", "OPTIONS", ASKED, (True, True)),
        ("/own", "OPTIONS", ASKED, (True, False)),  # the view's own code runs
        ("/nowhere", "OPTIONS", ASKED, (True, True)),
        ("/flask", "GET", ASKED, (False, False)),
        ("/flask", "OPTIONS", {"Origin": "https://app.example.com"}, (False, False)),
        ("/flask", "OPTIONS", {}, (False, False)),
    ):
        with app.test_request_context(path, method=method, headers=headers):
            assert (is_preflight(request.environ), is_automatic_preflight(request)) == expected
