"""What docs/observability.md promises of the tools that people put around the log."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g

from tests.servers import SERVICE, TEMPLATE

trace = pytest.importorskip("opentelemetry.trace")
sentry_sdk = pytest.importorskip("sentry_sdk")

from opentelemetry.instrumentation.flask import FlaskInstrumentor  # noqa: E402
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: E402
    InMemorySpanExporter,
)

PAGE = TEMPLATE / "docs" / "observability.md"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SERVICE)
    monkeypatch.setattr(logging.root, "handlers", [])
    return importlib.import_module("app.middleware.logging").configure_request_logging


@pytest.fixture
def app(configure: Any, tmp_path: Path) -> Flask:
    app = Flask("recipes")
    app.config.update(LOG_FILE=str(tmp_path / "log"), LOG_AT_ONCE=True)
    configure(app)

    @app.get("/")
    def view() -> str:
        app.logger.warning("in the view")
        return str(g.request_id)

    app.add_url_rule("/broken", "broken", lambda: str(1 / 0))
    return app


def lines(app: Flask) -> list[dict[str, Any]]:
    written = Path(app.config["LOG_FILE"]).read_text(encoding="utf-8")
    return [json.loads(line) for line in written.splitlines()]


@contextlib.contextmanager
def instrumented(app: Flask, how: str, provider: TracerProvider) -> Iterator[None]:
    if how == "FlaskInstrumentor":
        instrumentor = FlaskInstrumentor()
        instrumentor.instrument_app(app, tracer_provider=provider)
        yield
        instrumentor.uninstrument_app(app)
    else:
        app.wsgi_app = OpenTelemetryMiddleware(app.wsgi_app, tracer_provider=provider)  # type: ignore[method-assign]
        yield


@pytest.mark.parametrize("how", ["FlaskInstrumentor", "OpenTelemetryMiddleware"])
@pytest.mark.parametrize("parent", [None, PARENT])
@pytest.mark.parametrize("path", ["/", "/broken"])
def test_lines_and_records_name_the_span_of_opentelemetry(
    app: Flask, how: str, parent: str | None, path: str
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with instrumented(app, how, provider):
        app.test_client().get(
            path, buffered=True, headers={"traceparent": parent} if parent else {}
        )
    (span,) = exporter.get_finished_spans()
    ids = [(line["trace_id"], line["span_id"]) for line in lines(app)]
    expected = f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"
    assert ids == [expected] * 2
    assert (parent is None) or (expected[0] == PARENT.split("-")[1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_handler_of_opentelemetry_silences_nothing(configure: Any, tmp_path: Path) -> None:
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

    exporter, provider = InMemoryLogRecordExporter(), LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logging.root.addHandler(LoggingHandler(logger_provider=provider))
    app = Flask("recipes")
    app.config.update(LOG_FILE=str(tmp_path / "log"), LOG_AT_ONCE=True)
    configure(app)
    app.add_url_rule("/broken", "broken", lambda: str(1 / 0))
    response = app.test_client().get("/broken", buffered=True)
    record, _ = lines(app)
    assert record["message"] == "Exception on /broken [GET]"
    (exported,) = exporter.get_finished_logs()
    attributes = dict(exported.log_record.attributes or {})
    assert attributes["request_id"] == response.headers["X-Request-ID"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_event_of_sentry_names_the_request(app: Flask) -> None:
    events: list[dict[str, Any]] = []

    class Transport(sentry_sdk.transport.Transport):  # type: ignore[name-defined,misc]
        def capture_envelope(self, envelope: Any) -> None:
            if event := envelope.get_event():
                events.append(event)

    sentry_sdk.init(dsn="http://key@localhost/1", transport=Transport)
    try:
        ids = [
            app.test_client().get("/broken", buffered=True).headers["X-Request-ID"]
            for _ in range(2)
        ]
    finally:
        sentry_sdk.init()
    assert [event["tags"]["request_id"] for event in events] == ids
    assert [line["message"] for line in lines(app)] == [
        "Exception on /broken [GET]",
        "request_completed",
    ] * 2


def mappings() -> dict[str, dict[str, str]]:
    """The LOG_FIELDS of the page, by whose they are."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^(\w[\w .]*):\s+`FLASK_LOG_FIELDS=(\{.*\})`", text, re.M)
    return {name: json.loads(mapping) for name, mapping in found}


@pytest.mark.parametrize("whose", ["Google Cloud", "Datadog", "Loki"])
def test_the_names_on_the_page_are_accepted_and_used(
    configure: Any, tmp_path: Path, whose: str
) -> None:
    names = mappings()[whose]
    app = Flask("recipes")
    app.config.update(LOG_FILE=str(tmp_path / "log"), LOG_AT_ONCE=True, LOG_FIELDS=names)
    configure(app)
    app.test_client().get("/", buffered=True)
    (line,) = lines(app)
    assert set(names.values()) & set(line)
    assert not set(names) & (set(line) - set(names.values()))


@pytest.mark.parametrize("how", ["rename", "copytruncate"])
def test_a_rotation_under_load_loses_no_line(app: Flask, tmp_path: Path, how: str) -> None:
    client, log, rotated = app.test_client(), tmp_path / "log", tmp_path / "log.1"
    asked = 0
    for part in range(2):
        for _ in range(20):
            client.get("/nothing", buffered=True)
            asked += 1
        if part == 0 and how == "rename":
            log.rename(rotated)
        elif part == 0:
            rotated.write_bytes(log.read_bytes())
            os.truncate(log, 0)
    written = rotated.read_bytes() + (log.read_bytes() if log.exists() else b"")
    assert len([json.loads(line) for line in written.splitlines()]) == asked
