"""What engine/context.py promises: it is known which request is served here, and no other one."""

from __future__ import annotations

import contextvars
import sys
from types import ModuleType
from typing import Any

import pytest
from flask import Flask, g

from app.middleware.engine.context import CURRENT, Current, current, current_ids, tell_g
from app.middleware.engine.output import Output

NO_OUTPUT: Any = Output.__new__(Output)


def begun(**environ: str) -> Current:
    return Current({**environ}, NO_OUTPUT)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    while now := current():  # of other tests: it goes on until its response is read or closed
        now.end()
    yield
    assert current() is None


def test_a_request_is_the_current_one_from_its_beginning_to_its_end() -> None:
    now = begun(HTTP_X_REQUEST_ID="client-id-1")
    assert current() is now
    assert current_ids() == {"request_id": "client-id-1", "trace_id": now.trace_id, "span_id": None}
    now.end()
    assert current_ids() == dict.fromkeys(("request_id", "trace_id", "span_id"))


@pytest.mark.parametrize("name", ["opentelemetry.trace", "sentry_sdk"])
def test_a_library_that_another_thread_is_importing_harms_nobody(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    app = Flask("importing")
    tell_g(app)
    now = begun()
    with app.app_context():
        assert g.request_id == current_ids()["request_id"] == now.request_id
    now.end()


def test_a_request_within_a_request_gives_way_to_the_outer_one() -> None:
    outer = begun()
    inner = begun()
    assert inner.request_id != outer.request_id
    inner.end()
    assert current() is outer
    outer.end()


def test_an_application_within_another_one_has_the_same_ids_and_leaves_the_environ() -> None:
    outer = begun(HTTP_X_REQUEST_ID="client-id-1")
    environ = outer.environ
    inner = Current(environ, NO_OUTPUT)
    assert (inner.request_id, inner.trace_id) == (outer.request_id, outer.trace_id)
    inner.end()
    assert environ[CURRENT] is outer
    outer.end()


def test_requests_that_end_in_another_order_leave_none_behind() -> None:
    first, second = begun(), begun()
    first.end()
    second.end()
    assert current() is None


def test_another_context_knows_of_no_request() -> None:
    now = begun()
    assert contextvars.Context().run(current) is None
    assert contextvars.copy_context().run(current) is now
    now.end()


def test_g_knows_the_id_and_can_have_one_of_its_own() -> None:
    app = Flask("service")
    tell_g(app)
    now = begun(HTTP_X_REQUEST_ID="client-id-1")
    with app.app_context():
        assert g.request_id == g.get("request_id") == "client-id-1"
        g.client = "ann"
    assert now.in_g == {"client": "ann"}
    now.end()
    with app.app_context():
        assert g.get("request_id", "none") == "none"
        g.request_id = "job-1"
        assert current_ids()["request_id"] == "job-1"
