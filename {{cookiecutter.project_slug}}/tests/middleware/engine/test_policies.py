"""What app/middleware/engine/policies.py promises."""

from __future__ import annotations

import pytest

from app.middleware.engine.policies import names_a_host, parse_policy, write_policy


def test_a_policy_is_read_and_written_as_it_was() -> None:
    text = "default-src 'none'; img-src 'self' https://a.example; upgrade-insecure-requests"
    assert write_policy(parse_policy("KEY", text)) == text
    assert write_policy({"img-src": None, "sandbox": ""}) == "sandbox"
    assert parse_policy("KEY", None) == parse_policy("KEY", " ; ") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (7, "is not text"),
        ("img-scr *", "did you mean img-src"),
        ("img-src self", "put it in quotes; for example 'self'"),
        ("script-src 'nonce-abc'", "serves once"),
        ("img-src *; img-src *", "the first alone"),
        ("img-src *, script-src *", "without ; and ,"),
        ("img-src *\nx", "is not one line"),
    ],
)
def test_what_a_browser_would_not_use_is_refused(text: object, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        parse_policy("KEY", text)
    assert str(refused.value).startswith("KEY: ")


@pytest.mark.parametrize(
    ("policy", "does"),
    [
        ({"img-src": "'self' data:"}, False),
        ({"img-src": "https://a.example"}, True),
        ({"img-src": "*"}, True),
        ({"frame-ancestors": "https://a.example"}, False),
        ({"img-src": None}, False),
    ],
)
def test_whether_pages_may_fetch_from_others(policy: dict[str, str | None], does: bool) -> None:
    assert names_a_host(policy) == does
