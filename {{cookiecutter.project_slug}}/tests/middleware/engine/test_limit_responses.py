"""What limit_responses.py promises beyond what test_rate_limiting.py tries; it travels with it."""

from __future__ import annotations

from typing import Any

import pytest

from app.middleware.engine.counted import OUTCOMES, Outcome
from app.middleware.engine.limit_responses import (  # the two lines to change in another package
    RETRY_AFTER,
    HeaderWriter,
)


def test_a_response_that_was_not_counted_is_left_as_it_is() -> None:
    headers: list[tuple[str, str]] = []
    HeaderWriter(True, ["X-RateLimit-Limit", "", ""]).add({}, "200 OK", headers)
    assert headers == []


@pytest.mark.parametrize(("status", "expected"), [("429 TOO MANY REQUESTS", 1), ("503 GONE", 0)])
def test_retry_after_is_written_once_and_for_429_only(status: str, expected: int) -> None:
    environ: dict[str, Any] = {OUTCOMES: [Outcome(True, [], [], "", [], [])], RETRY_AFTER: 30}
    headers: list[tuple[str, str]] = []
    for _ in range(2):
        HeaderWriter(False, ["", "", ""]).add(environ, status, headers)
    assert headers == [("Retry-After", "30")] * expected
