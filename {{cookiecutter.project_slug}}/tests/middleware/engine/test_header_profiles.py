"""What app/middleware/engine/header_profiles.py promises."""

from __future__ import annotations

from typing import Any

import pytest

from app.middleware.engine.header_profiles import Profile

HEADERS = {
    "X-Frame-Options": "DENY",
    "Strict-Transport-Security": "max-age=1",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PROFILE = Profile(HEADERS, page={"img-src": "'self'"}, api={"sandbox": ""})


def test_http_has_no_strict_transport_security() -> None:
    assert dict(PROFILE.of_api["https"]) == {**HEADERS, "Content-Security-Policy": "sandbox"}
    assert "Strict-Transport-Security" not in dict(PROFILE.of_api["http"])


def test_a_page_that_fetches_from_a_host_is_not_stopped_by_the_embedder_policy() -> None:
    headers, policies = PROFILE.page_headers("http", (("img-src", "https://a.example"),))
    assert "Cross-Origin-Embedder-Policy" not in dict(headers)
    assert policies == [("Content-Security-Policy", "img-src https://a.example")]
    headers, _ = PROFILE.page_headers("http", ())
    assert "Cross-Origin-Embedder-Policy" in dict(headers)


def test_https_pages_fetch_over_https() -> None:
    _, policies = PROFILE.page_headers("https", ())
    wanted = "img-src 'self'; upgrade-insecure-requests"
    assert policies == [("Content-Security-Policy", wanted)]


def test_a_changed_profile_leaves_the_first_as_it_was() -> None:
    changes = {"x-frame-options": "", "NEL": "{}", "Cross-Origin-Resource-Policy": "same-site"}
    changed = PROFILE.changed("KEY", changes)
    assert "X-Frame-Options" not in changed.headers
    assert changed.headers["NEL"] == "{}"
    assert dict(changed.of_lent_files["http"])["Cross-Origin-Resource-Policy"] == "same-site"
    assert PROFILE.headers == HEADERS


@pytest.mark.parametrize("value", ["", None])
def test_a_part_may_do_without_a_policy_for_pages(value: str | None) -> None:
    changed = PROFILE.changed("KEY", {"Content-Security-Policy": value}, may_set_policy=True)
    assert changed.page_headers("https", ())[1] == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"X-Frame-Option": None}, "did you mean X-Frame-Options?"),
        ({"X Frame": "DENY"}, "is not a header name"),
        ({"X-Frame-Options": 1}, "is not text"),
        ({"X-Frame-Options": "DENY\r\nA: b"}, "is not one line"),
        ({"Content-Security-Policy": "sandbox"}, "SECURITY_CSP_PAGE for HTML"),
        ({"Set-Cookie": "a=b"}, "belongs to one response"),
        ({"Access-Control-Allow-Origin": "*"}, "any page"),
    ],
)
def test_what_is_not_a_header_of_all_responses_is_refused(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        PROFILE.changed("KEY", changes)
    assert str(refused.value).startswith("KEY")
