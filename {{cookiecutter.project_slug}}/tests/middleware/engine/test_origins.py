"""What app/middleware/engine/origins.py promises."""

from __future__ import annotations

import re

import pytest

from app.middleware.engine.origins import Origins, as_pattern, read_origin

ALLOWED = ["https://app.example.com", "https://*.example.org", "http://[::1]:3000"]


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://app.example.com", True),
        ("https://a.example.org", True),
        ("http://[::1]:3000", True),
        ("https://example.org", False),
        ("https://a.b.example.org", False),
        ("https://*.example.org", False),
        ("https://app.example.com.evil.net", False),
        ("https://appXexample.com", False),
        ("http://app.example.com", False),
        ("https://app.example.com/", False),
        ("null", False),
        ("", False),
    ],
)
def test_an_origin_is_allowed_by_its_exact_text_or_one_label(origin: str, is_allowed: bool) -> None:
    assert Origins(ALLOWED).allow(origin) == is_allowed
    patterns = map(as_pattern, ALLOWED)
    matches = [
        p.match(origin) is not None if isinstance(p, re.Pattern) else p == origin for p in patterns
    ]
    assert any(matches) == is_allowed


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("HTTPS://App.Example.COM:443/", "https://app.example.com"),
        ("https://*.EXAMPLE.com:8443", "https://*.example.com:8443"),
        ("http://[0:0::1]:3000", "http://[::1]:3000"),
        ("tauri://localhost", "tauri://localhost"),
    ],
)
def test_an_origin_is_brought_into_the_browsers_form(written: str, read: str) -> None:
    assert read_origin("KEY", written) == read
    assert read_origin("KEY", read) == read


@pytest.mark.parametrize(
    "written", ["*", "null", "app.example.com", "https://*.com", "https://a/b"]
)
def test_what_no_browser_sends_is_refused_with_key_text_and_example(written: str) -> None:
    with pytest.raises(ValueError, match=r"^KEY: .*; for example https://") as refused:
        read_origin("KEY", written)
    assert ascii(written) in str(refused.value)
