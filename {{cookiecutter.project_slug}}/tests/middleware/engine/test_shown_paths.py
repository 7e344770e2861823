"""What engine/shown_paths.py promises: what a client wrote harms no message, or is kept out."""

from __future__ import annotations

from app.middleware.engine.shown_paths import IS_HIDDEN, shown, shown_path


def test_a_clients_text_neither_splits_a_line_nor_fills_one() -> None:
    for said in (shown("/a\nb" + "x" * 1000), shown_path({"PATH_INFO": "/a\nb" + "x" * 1000})):
        assert said.startswith(r"'/a\nb") and len(said) == 80


def test_a_hidden_path_is_not_shown() -> None:
    assert shown_path({"PATH_INFO": "/reset/secret", IS_HIDDEN: True}) == "(hidden)"
