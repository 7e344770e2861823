"""What engine/shown_paths.py promises: a path in a message harms nobody, and can be kept out."""

from __future__ import annotations

import logging

import pytest
from flask import Flask

from app.middleware.engine.shown_paths import IS_HIDDEN, hide_paths, shown_path


def test_a_path_neither_splits_a_line_nor_fills_one() -> None:
    shown = shown_path({"PATH_INFO": "/a\nb" + "x" * 1000})
    assert shown.startswith(r"'/a\nb") and len(shown) == 80


def test_a_hidden_path_is_in_no_message(caplog: pytest.LogCaptureFixture) -> None:
    assert shown_path({"PATH_INFO": "/reset/secret", IS_HIDDEN: True}) == "(hidden)"
    app = Flask("service")
    app.add_url_rule("/reset/<token>", view_func=lambda token: str(1 / 0), endpoint="reset")
    hide_paths(app)
    with caplog.at_level(logging.ERROR):
        assert app.test_client().get("/reset/secret").status_code == 500
    (record,) = caplog.records
    assert record.getMessage() == "Exception on /reset/<token> [GET]" and record.exc_info
