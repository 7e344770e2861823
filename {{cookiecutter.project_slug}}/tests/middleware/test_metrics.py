"""metrics.py alone, in applications of these tests: what counts, and who may read it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Response, abort, request
from werkzeug.test import TestResponse

from app.middleware.metrics import configure_metrics  # the one line to change in another package

pytest.importorskip("prometheus_client", reason="pip install 'prometheus-client>=0.21,<1'")
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

TOKEN = "a-token-of-these-tests-0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
Samples = dict[tuple[str, tuple[str, ...]], float]


def service(**config: Any) -> Flask:
    app = Flask("service")
    app.config.update({"METRICS_TOKEN": TOKEN, **config})
    configure_metrics(app)
    app.add_url_rule("/tea/<int:number>", "tea", lambda number: f"tea {number}")
    app.add_url_rule("/boom", "boom", lambda: str(1 // 0))
    app.add_url_rule("/slow", "slow", stream)

    @app.get("/refused")
    def refused() -> str:
        request.environ["security_event"] = {"event": request.args["event"]}
        abort(403)

    return app


def stream() -> Response:
    def pieces() -> Iterator[str]:
        yield "one"
        yield "two"

    return Response(pieces())


def ask(app: Flask, path: str, method: str = "GET", **options: Any) -> TestResponse:
    response = app.test_client().open(path, method=method, **options)
    response.get_data()  # to its end
    return response


def read(app: Flask) -> Samples:
    """Each sample by its name and its labels' values; no buckets."""
    families = text_string_to_metric_families(ask(app, "/metrics", headers=BEARER).text)
    samples = [one for family in families for one in family.samples]
    return {
        (one.name, tuple(one.labels.values())): one.value
        for one in samples
        if one.value
        if not one.name.endswith(("_bucket", "_created", "_sum"))
    }


def requests(app: Flask) -> dict[tuple[str, ...], float]:
    name = "http_request_duration_seconds_count"
    return {labels: value for (found, labels), value in read(app).items() if found == name}


def test_it_is_off_until_it_has_a_token_and_then_nothing_is_imported_or_registered() -> None:
    code = (
        "import sys; from flask import Flask; from app.middleware.metrics import configure_metrics;"
        "app = Flask('off'); before = app.wsgi_app; configure_metrics(app);"
        "assert app.wsgi_app == before and not app.extensions and not app.before_request_funcs;"
        "assert not app.url_value_preprocessors and 'prometheus_client' not in sys.modules"
    ).replace("app.middleware", configure_metrics.__module__.rpartition(".")[0])
    subprocess.run([sys.executable, "-c", code], check=True)


# -- what counts -----------------------------------------------------------------------------------


def test_a_request_counts_once_by_method_rule_and_class_of_its_status() -> None:
    app = service()
    for path in ("/tea/1", "/tea/2", "/boom", "/nowhere"):
        ask(app, path)
    ask(app, "/tea/1", "HEAD")
    ask(app, "/tea/1", "DELETE")
    assert requests(app) == {
        ("GET", "/tea/<int:number>", "2xx"): 2,
        ("HEAD", "/tea/<int:number>", "2xx"): 1,
        ("GET", "/boom", "5xx"): 1,
        ("GET", "(no route)", "4xx"): 1,
        ("DELETE", "(no route)", "4xx"): 1,
    }


def test_a_request_is_in_flight_until_its_last_byte_is_sent() -> None:
    app = service()
    response = app.test_client().get("/slow", buffered=False)
    pieces = response.iter_encoded()
    assert next(pieces) == b"one"
    assert read(app) == {("http_requests_in_flight", ()): 1}
    assert next(pieces) == b"two"
    response.close()
    assert requests(app) == {("GET", "/slow", "2xx"): 1}
    assert ("http_requests_in_flight", ()) not in read(app)


def test_what_fails_before_it_was_seen_counts_and_is_not_taken_from_those_in_flight() -> None:
    app = service()
    functions = app.extensions["pipeline"].identify_functions
    functions.append(lambda environ: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        ask(app, "/tea/1")
    functions.clear()
    assert read(app) == {
        ("http_request_duration_seconds_count", ("GET", "(no route)", "5xx")): 1,
    }


def test_refusals_count_by_the_event_of_the_security_log() -> None:
    app = service(TRUSTED_HOSTS=["localhost"])
    for event in ("authn_failed", "cross_origin_write", "cross_origin_write", "of_ones_own"):
        ask(app, f"/refused?event={event}")
    ask(app, "/tea/1", base_url="http://evil.example")
    refused = {labels: n for (name, labels), n in read(app).items() if "refused" in name}
    assert refused == {
        ("authn_failed",): 1,
        ("cross_origin_write",): 2,
        ("host_refused",): 1,
        ("OTHER",): 1,
    }


def test_a_response_that_a_page_may_not_read_counts_as_a_refused_origin() -> None:
    app = service()
    ask(app, "/tea/1", environ_overrides={"cors.refused": "CORS_ORIGINS does not have it"})
    assert read(app)["http_requests_refused_total", ("origin_refused",)] == 1


def test_lines_that_find_no_room_in_the_log_are_counted() -> None:
    app = service()
    counters: list[Any] = []
    log = SimpleNamespace(tell_drops=counters.append)
    app.extensions["request_logging"] = log  # it may be configured later
    for _ in range(2):
        ask(app, "/tea/1")
    (counter,) = counters
    counter.inc()
    assert read(app)["log_lines_dropped_total", ()] == 1


@pytest.mark.parametrize(
    ("state", "value"), [("shared", 1), ("fallback", 0), ("memory", None), ("unknown", None)]
)
def test_the_state_of_the_store_of_limits_is_told_where_there_is_one(
    state: str, value: int | None
) -> None:
    app = service()
    app.extensions["rate_limiting"] = SimpleNamespace(state=state)
    text = ask(app, "/metrics", headers=BEARER).text
    assert [line for line in text.splitlines() if line.startswith("rate_limit_store_up ")] == (
        [] if value is None else [f"rate_limit_store_up {value}.0"]
    )


def test_nothing_that_clients_send_becomes_a_label() -> None:
    app = service()
    before = len(ask(app, "/metrics", headers=BEARER).text.splitlines())
    ask(app, "/x", "FROB")
    ask(app, "/x")
    known = set(read(app))
    for n in range(300):
        ask(app, f'/x{n}/%00\n"', base_url=f"http://host{n}.example")
        ask(app, f"/x{n}", f"FROB{n}")
        ask(app, f"/refused?event=e{n}")
    assert {labels for _, labels in set(read(app)) - known} == {
        ("GET", "/refused", "4xx"),
        ("OTHER",),
    }
    assert len(ask(app, "/metrics", headers=BEARER).text.splitlines()) < before + 80


def test_two_applications_in_one_process_count_for_themselves() -> None:
    one, two = service(), service()
    ask(one, "/tea/1")
    assert requests(two) == {}
    assert requests(one) == {("GET", "/tea/<int:number>", "2xx"): 1}


def test_metrics_of_ones_own_stand_beside_these() -> None:
    app = service()
    registry = app.extensions["metrics"].registry
    Counter("orders", "Orders that were placed.", registry=registry).inc(3)
    assert read(app)["orders_total", ()] == 3


# -- who may read it -------------------------------------------------------------------------------


def test_who_has_the_token_reads_them_and_reading_counts_for_nothing() -> None:
    app = service()
    for _ in range(3):
        response = ask(app, "/metrics", headers={"Authorization": f"bearer  {TOKEN}"})
        assert response.status_code == 200
        assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
        assert response.content_length == len(response.data)
    assert read(app) == {}


def test_open_metrics_are_there_for_who_accepts_them() -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    response = ask(service(), "/metrics", headers={**BEARER, "Accept": accept})
    assert response.content_type.startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


@pytest.mark.parametrize("accept", ["text/plain;version=x", "text/plain;version=", ";;,", "\xff"])
def test_whatever_a_monitor_accepts_it_gets_metrics(accept: str) -> None:
    response = ask(service(), "/metrics", headers={**BEARER, "Accept": accept})
    assert response.status_code == 200
    assert response.content_type.startswith("text/plain")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer " + TOKEN[:-1]},
        {"Authorization": f"Bearer {TOKEN}é"},
        {"Authorization": f"Basic {TOKEN}"},
        {"X-API-Key": TOKEN},
        {"X-Forwarded-For": "127.0.0.1"},
    ],
    ids=str,
)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "", "203.0.113.9"])
def test_without_the_token_nobody_sees_that_they_are_there(
    headers: dict[str, str], address: str
) -> None:
    """Not this machine either: behind a proxy on it everybody has its address."""
    app = service()
    seen = {
        path: ask(app, path, headers=headers, environ_base={"REMOTE_ADDR": address})
        for path in ("/metrics", "/nowhere")
    }
    assert seen["/metrics"].status_code == seen["/nowhere"].status_code == 404
    assert seen["/metrics"].data == seen["/nowhere"].data
    assert requests(app) == {("GET", "(no route)", "4xx"): 2}


def test_a_wrong_token_is_told_to_the_security_log() -> None:
    app = service()
    ask(app, "/metrics", headers={"Authorization": "Bearer wrong"})
    assert read(app)["http_requests_refused_total", ("authn_failed",)] == 1


def test_they_are_where_the_setting_says() -> None:
    app = service(METRICS_PATH="/internal/numbers")
    assert ask(app, "/internal/numbers", headers=BEARER).status_code == 200
    assert ask(app, "/metrics", headers=BEARER).status_code == 404
    assert ask(app, "/internal/numbers", "POST", headers=BEARER).status_code == 404


@pytest.mark.parametrize("token", ["short", "x" * 31, 10**40, True, ["x" * 40], "x" * 40 + " y"])
def test_a_token_that_can_be_guessed_or_sent_wrongly_is_refused_and_not_shown(token: Any) -> None:
    with pytest.raises(ValueError, match=r"^METRICS_TOKEN: is not .*; for example ") as raised:
        service(METRICS_TOKEN=token)
    assert str(token) not in str(raised.value)


@pytest.mark.parametrize("path", ["metrics", "/a b", "/a?b", "/a*", 7])
def test_a_path_that_nobody_can_ask_for_is_refused(path: Any) -> None:
    with pytest.raises(ValueError, match=r"^METRICS_PATH: .* is not .*; for example /metrics"):
        service(METRICS_PATH=path)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^METRICS_TOKEN: .*; for example pip install"):
        service()


# -- several processes -----------------------------------------------------------------------------

FORKED = """
import os, signal, sys
from flask import Flask
from PACKAGE import configure_metrics

def service():
    app = Flask("service")
    app.config["METRICS_TOKEN"] = "THE-TOKEN"
    configure_metrics(app)
    app.add_url_rule("/tea", "tea", lambda: "tea")
    return app

one, two = service(), service()
ended, ready = os.pipe()
for n in range(2):
    pid = os.fork()
    if not pid:
        one.test_client().get("/tea").get_data()
        two.test_client().get("/tea").get_data()
        one.extensions["metrics"].respond({})
        one.extensions["metrics"].series.flush()
        os.write(ready, b".")
        signal.pause()
    os.read(ended, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
one.extensions["metrics"].respond({})
bearer = {"Authorization": "Bearer THE-TOKEN"}
print(one.test_client().get("/metrics", headers=bearer).text)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes fork on Unix only")
def test_processes_count_together_and_what_the_dead_had_in_flight_is_forgotten(
    tmp_path: Path,
) -> None:
    code = FORKED.replace("PACKAGE", configure_metrics.__module__).replace("THE-TOKEN", TOKEN)
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
    assert 'duration_seconds_count{method="GET",rule="/tea",status="2xx"} 4.0\n' in said
    assert "\nhttp_requests_in_flight 1.0\n" in said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes fork on Unix only")
def test_a_child_that_serves_nothing_leaves_no_file_behind(tmp_path: Path) -> None:
    code = CHILD.replace("PACKAGE", configure_metrics.__module__).replace("THE-TOKEN", TOKEN)
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True)
    assert len({path.stem.rpartition("_")[2] for path in tmp_path.iterdir()}) == 1


CHILD = """
import os, sys
from flask import Flask
from PACKAGE import configure_metrics

app = Flask("service")
app.config["METRICS_TOKEN"] = "THE-TOKEN"
configure_metrics(app)
app.test_client().get("/nowhere").get_data()
if not os.fork():
    sys.exit()
os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes fork on Unix only")
def test_an_empty_name_of_the_folder_is_none_and_not_the_working_directory(tmp_path: Path) -> None:
    code = CHILD.replace("PACKAGE", configure_metrics.__module__).replace("THE-TOKEN", TOKEN)
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": "", "PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_several_processes_that_count_alone_are_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = service()
    for _ in range(2):
        ask(app, "/metrics", headers=BEARER, environ_overrides={"wsgi.multiprocess": True})
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "metrics_of_one_worker"
    ]


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_folder_that_nobody_can_count_in_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / name))
    with pytest.raises(ValueError, match=r"^PROMETHEUS_MULTIPROC_DIR: .* is not a folder .*; for"):
        service()
