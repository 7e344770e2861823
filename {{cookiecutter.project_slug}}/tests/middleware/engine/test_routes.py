"""What engine/routes.py promises: a route is known until the end, and is never a client's text."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask

from app.middleware.engine.pipeline import pipeline_of
from app.middleware.engine.routes import hide_paths, note_route, rule_of


@pytest.mark.parametrize("is_kept", [False, True])
def test_the_route_is_known_when_the_response_has_been_sent(is_kept: bool) -> None:
    app, seen = Flask("service"), []
    note_route(app)
    app.add_url_rule("/items/<int:number>", view_func=lambda number: str(1 / number))
    pipeline_of(app).on_end(lambda exchange: seen.append(rule_of(exchange.environ)))
    client: Any = app.test_client()
    if is_kept:
        client.__enter__()  # a test's client keeps the context
    for path in ("/items/1", "/items/0", "/items/secret", "/nothing"):
        client.get(path, buffered=True)
    client.post("/items/1", buffered=True)
    if is_kept:
        client.__exit__(None, None, None)
    assert seen == ["/items/<int:number>"] * 2 + ["(no route)"] * 3


def test_the_record_of_an_exception_names_the_route_where_paths_are_hidden(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Flask("service")
    app.add_url_rule("/reset/<token>", view_func=lambda token: str(1 / 0), endpoint="reset")
    hide_paths(app)
    with caplog.at_level(logging.ERROR):
        assert app.test_client().get("/reset/secret").status_code == 500
    (record,) = caplog.records
    assert record.getMessage() == "Exception on /reset/<token> [GET]" and record.exc_info
