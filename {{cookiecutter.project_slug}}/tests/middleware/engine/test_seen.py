"""What app/middleware/engine/seen.py promises."""

from __future__ import annotations

from app.middleware.engine.seen import Seen


def test_a_text_is_new_once() -> None:
    seen = Seen()
    assert [seen.is_new(text) for text in ("a", "b", "a", "b", "c")] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_it_is_bounded_and_then_nothing_is_new() -> None:
    seen = Seen(most=2)
    assert [seen.is_new(text) for text in "abcd"] == [True, True, False, False]
    assert len(seen.texts) == 2
