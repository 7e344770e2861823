"""What engine/refusals.py promises: what was refused is known, whoever refused it."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from app.middleware.engine.refusals import refusal_of


def environ(host: str = "localhost", **members: Any) -> dict[str, Any]:
    return EnvironBuilder(base_url=f"http://{host}/").get_environ() | members


@pytest.mark.parametrize(
    ("status", "event"),
    [(401, "authn_failed"), (403, "authz_denied"), (413, "body_refused"), (429, "rate_limited")],
)
def test_a_status_tells_of_a_refusal(status: int, event: str) -> None:
    assert refusal_of(environ(), status, None) == {"event": event}


@pytest.mark.parametrize("status", [200, 304, 400, 404, 405, 500])
def test_other_statuses_are_none(status: int) -> None:
    assert refusal_of(environ(), status, ["localhost"]) is None


def test_who_refused_says_more() -> None:
    event = {"event": "user_agent_blocked", "limit": 5}
    found = refusal_of(environ(security_event=event), 403, None)
    assert found == {"event": "user_agent_blocked", "limit": "5"}


def test_what_succeeds_in_the_end_was_not_refused() -> None:
    """A view may do without a body that was refused; a route may stand where metrics are."""
    assert refusal_of(environ(security_event={"event": "body_refused"}), 200, None) is None


@pytest.mark.parametrize("trusted", [["localhost"], "localhost,.example.com"])
def test_a_refused_host_is_told_from_another_400(trusted: object) -> None:
    assert refusal_of(environ("evil.example"), 400, trusted) == {"event": "host_refused"}
    assert refusal_of(environ(), 400, trusted) is None
