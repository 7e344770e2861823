"""What app/middleware/engine/header_lists.py promises."""

from __future__ import annotations

import pytest

from app.middleware.engine.header_lists import has_header, vary_by


def test_a_header_is_found_in_any_case() -> None:
    assert has_header([("RETRY-After", "1")], "retry-after")
    assert not has_header([("Retry-After-X", "1")], "retry-after")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [("Vary", "Origin")]),
        ([("vary", "Accept")], [("Vary", "Accept, Origin")]),
        ([("Vary", "accept,ORIGIN")], [("Vary", "accept,ORIGIN")]),
        ([("Vary", "*")], [("Vary", "*")]),
        ([("Vary", "A"), ("Vary", "B")], [("Vary", "A"), ("Vary", "B, Origin")]),
        ([("Vary", "X-Origin")], [("Vary", "X-Origin, Origin")]),
    ],
)
def test_vary_is_completed_and_not_repeated(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    vary_by(before, "Origin")
    assert before == after
