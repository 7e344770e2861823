"""What app/middleware/logging.py promises. Travels with it."""

from __future__ import annotations

import ast
import contextlib
import contextvars
import io
import json
import logging
import logging.config
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, copy_current_request_context, g, request, stream_with_context
from flask.ctx import _AppCtxGlobals
from flask.logging import default_handler
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

# the one line to change in another package
from app.middleware.logging import configure_request_logging

MODULE = sys.modules[configure_request_logging.__module__]
LINES = sys.modules[configure_request_logging.__module__.replace("logging", "engine.lines")]
CONTEXT = sys.modules[configure_request_logging.__module__.replace("logging", "engine.context")]
KEYS = [
    "time", "level", "message", "request_id", "method", "path", "status", "duration_ms", "bytes",
    "remote_addr", "user_agent", "endpoint", "trace_id", "client", "outcome",
]  # fmt: skip
VALID_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def requests_in(path: Path) -> list[dict[str, Any]]:
    return [line for line in lines_of(path) if line["message"] == "request_completed"]


def ask(app: Flask, *args: Any, **kwargs: Any) -> TestResponse:
    """A whole request as a server makes it: the body is read and closed."""
    return app.test_client().open(*args, buffered=True, **kwargs)


@pytest.fixture(autouse=True)
def no_request_of_other_tests() -> None:
    """One goes on until its response is read or closed: they may have asked for a status alone."""
    while now := CONTEXT.current():
        now.end()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def logging_to(log: Path, name: str = "service", **config: Any) -> Flask:
    """An application whose log is this file, each line of it as soon as it is made."""
    app = Flask(name)
    app.config.update({"LOG_FILE": str(log), "LOG_AT_ONCE": True, **config})
    configure_request_logging(app)
    return app


@pytest.fixture  # with pytest-flask its tests run inside a request: not for those of the route or g
def app(log: Path) -> Flask:
    return logging_to(log)


def copy_of_the_package(folder: Path) -> None:
    """What a person copies who wants this middleware only, as the package `own`."""
    package = Path(str(MODULE.__file__)).parent
    (folder / "own").mkdir()
    (folder / "own" / "__init__.py").touch()
    shutil.copy(package / "logging.py", folder / "own")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package / "engine", folder / "own" / "engine", ignore=ignored)


@contextlib.contextmanager
def no_handlers() -> Iterator[None]:
    """A process in which nobody has configured logging, as pytest has."""
    handlers, level = logging.root.handlers, logging.root.level
    logging.root.handlers = []
    try:
        yield
    finally:
        logging.root.handlers = handlers
        logging.root.setLevel(level)


# -- the line -------------------------------------------------------------------------------------


def test_a_request_is_one_line_with_every_field_in_its_place(log: Path) -> None:
    app = logging_to(log)
    app.add_url_rule("/api/<name>", "api.hello", lambda name: f"hello {name}")
    response = ask(app, "/api/you?password=secret", headers={"User-Agent": "curl/8.0"})
    (line,) = lines_of(log)
    assert list(line) == KEYS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert re.fullmatch(r"[0-9a-f]{32}", line["request_id"])
    assert re.fullmatch(r"[0-9a-f]{32}", line["trace_id"])
    assert response.headers.getlist("X-Request-ID") == [line["request_id"]]
    assert 0 < line["duration_ms"] < 60_000
    assert {key: line[key] for key in KEYS if key not in ("time", "request_id", "trace_id")} == {
        "level": "INFO",
        "message": "request_completed",
        "method": "GET",
        "path": "/api/you",
        "status": 200,
        "duration_ms": line["duration_ms"],
        "bytes": 9,
        "remote_addr": "127.0.0.1",
        "user_agent": "curl/8.0",
        "endpoint": "api.hello",
        "client": None,
        "outcome": "complete",
    }
    assert b"secret" not in log.read_bytes()


def test_nothing_of_the_query_the_body_or_the_credentials_is_logged(app: Flask, log: Path) -> None:
    app.add_url_rule("/", view_func=lambda: request.get_data(), methods=["POST"])
    ask(
        app,
        "/?a=hush1",
        method="POST",
        data="hush2",
        headers={"Authorization": "Bearer hush3", "X-API-Key": "hush4", "Cookie": "s=hush5"},
    )
    assert len(lines_of(log)) == 1
    assert b"hush" not in log.read_bytes()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ok", 200),
        ("HEAD", "/ok", 200),
        ("OPTIONS", "/ok", 200),
        ("GET", "/slash", 308),
        ("GET", "/nothing", 404),
        ("POST", "/ok", 405),
        ("GET", "/empty", 204),
        ("GET", "/same", 304),
        ("GET", "/broken", 500),
    ],
)
def test_every_kind_of_answer_is_logged_once_and_whole(
    app: Flask, log: Path, method: str, path: str, status: int
) -> None:
    app.add_url_rule("/ok", view_func=lambda: "fine", endpoint="ok")
    app.add_url_rule("/slash/", view_func=lambda: "fine", endpoint="slash")
    app.add_url_rule("/empty", view_func=lambda: ("", 204), endpoint="empty")
    app.add_url_rule("/same", view_func=lambda: ("", 304), endpoint="same")
    app.add_url_rule("/broken", view_func=lambda: str(1 / 0), endpoint="broken")
    response = ask(app, path, method=method)
    (line,) = requests_in(log)
    assert (line["status"], line["outcome"]) == (status, "complete")
    assert response.status_code == status
    assert line["bytes"] == len(response.data)
    assert line["method"] == method
    assert response.headers["X-Request-ID"] == line["request_id"]


def test_an_exception_in_an_after_request_of_somebody_loses_neither_id_nor_line(
    app: Flask, log: Path
) -> None:
    app.add_url_rule("/", view_func=lambda: "fine")

    @app.after_request
    def broken(response: Response) -> Response:
        raise RuntimeError("broken hook")

    response = ask(app, "/")
    (line,) = requests_in(log)
    assert line["status"] == response.status_code == 500
    assert response.headers["X-Request-ID"] == line["request_id"]


def test_the_id_the_application_sets_is_replaced_not_doubled(app: Flask) -> None:
    app.add_url_rule("/", view_func=lambda: ("", 200, {"x-request-id": "mine-is-better"}))
    response = ask(app, "/", headers={"X-Request-ID": "client-id-1"})
    assert response.headers.getlist("X-Request-ID") == ["client-id-1"]


def test_the_view_finds_the_ids_in_g_and_in_the_environ(app: Flask, log: Path) -> None:
    @app.get("/")
    def ids() -> list[str]:
        return [g.request_id, request.environ["request_id"], request.environ["trace_id"]]

    with app.app_context():  # a test's, that Flask uses for the request too
        first, second = ask(app, "/").get_json(), ask(app, "/").get_json()
    assert first[0] == first[1] != second[0] == second[1]
    assert [first[2], second[2]] == [line["trace_id"] for line in lines_of(log)]


def test_the_line_is_whole_though_the_answer_starts_when_flask_has_ended(log: Path) -> None:
    """As behind a layer that holds the head back until there is a body to send."""
    app = logging_to(log)

    class Holding:
        def __init__(self, wsgi_app: Any) -> None:
            self.wsgi_app = wsgi_app

        def __call__(self, environ: Any, start_response: Any) -> Any:
            head: list[Any] = []
            body = self.wsgi_app(environ, lambda *args: head.extend(args))
            start_response(*head)
            return body

    def view() -> str:
        g.client = "ann"
        with app.app_context():  # another g, which is not the request's
            g.client = "bob"
        return "fine"

    app.add_url_rule("/held", "held", view)
    app.wsgi_app = Holding(app.wsgi_app)  # type: ignore[method-assign]
    ask(app, "/held")
    (line,) = lines_of(log)
    assert (line["endpoint"], line["client"]) == ("held", "ann")


def test_a_g_of_the_applications_own_keeps_its_making(log: Path) -> None:
    class Own(_AppCtxGlobals):
        def __init__(self) -> None:
            self.started = "here"

    app = Flask("service")
    app.app_ctx_globals_class = Own
    app.config.update(LOG_FILE=str(log), LOG_AT_ONCE=True)
    configure_request_logging(app)
    app.add_url_rule("/", view_func=lambda: f"{g.started} {g.request_id}")
    response = ask(app, "/")
    assert response.text == f"here {response.headers['X-Request-ID']}"


def test_g_knows_the_id_of_the_request_that_is_served_now(app: Flask) -> None:
    seen: list[object] = []

    @app.get("/")
    def outer() -> str:
        seen.append(g.get("request_id"))
        ask(app, "/inner", headers={"X-Request-ID": "inner-id-1"})
        seen.append(g.request_id)
        return ""

    @app.get("/inner")
    def inner() -> str:
        seen.append(g.request_id)
        return ""

    @app.get("/own")
    def own() -> str:
        g.request_id = "set-by-the-view"
        seen.append(g.get("request_id"))
        return ""

    ask(app, "/", headers={"X-Request-ID": "outer-id-1"})
    ask(app, "/own")
    with app.app_context():
        seen.append(g.get("request_id", "none"))
        assert not hasattr(g, "request_id")
        assert not hasattr(g, "other")
    assert seen == ["outer-id-1", "inner-id-1", "outer-id-1", "set-by-the-view", "none"]


@no_handlers()
def test_work_in_other_threads_carries_the_id_of_its_request(log: Path) -> None:
    app = logging_to(log, "threads")

    def work(how: str) -> None:
        app.logger.info(how)

    @app.get("/")
    def view() -> str:
        copied, context = copy_current_request_context(work), contextvars.copy_context()
        threads = [
            threading.Thread(target=copied, args=["copy_current_request_context"]),
            threading.Thread(target=context.run, args=[work, "copy_context"]),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with ThreadPoolExecutor(1) as executor:
            executor.submit(contextvars.copy_context().run, work, "executor").result()
        return ""

    ask(app, "/", headers={"X-Request-ID": "client-id-1"})
    *records, _ = lines_of(log)
    assert {line["message"] for line in records} == {
        "copy_current_request_context",
        "copy_context",
        "executor",
    }
    assert [line["request_id"] for line in records] == ["client-id-1"] * 3


@no_handlers()
def test_a_job_has_the_id_that_it_sets(log: Path) -> None:
    app = logging_to(log, "jobs")

    @app.cli.command("nightly")
    def nightly() -> None:
        g.request_id = "nightly-report"
        app.logger.info("begun")

    assert app.test_cli_runner().invoke(args=["nightly"]).exit_code == 0
    app.logger.info("between")
    with app.app_context():
        g.request_id = "job-1"
        app.logger.info("begun")
    assert [line["request_id"] for line in lines_of(log)] == ["nightly-report", None, "job-1"]


def test_an_application_that_is_part_of_another_shares_its_ids(tmp_path: Path) -> None:
    outer, inner = (logging_to(tmp_path / name, name) for name in ("outer", "inner"))
    inner.add_url_rule("/", view_func=lambda: g.request_id)
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/part": inner})  # type: ignore[method-assign]
    response = ask(outer, "/part/")
    (one,), (other,) = lines_of(tmp_path / "outer"), lines_of(tmp_path / "inner")
    assert {one["request_id"], other["request_id"], response.text} == {
        response.headers["X-Request-ID"]
    }
    assert one["trace_id"] == other["trace_id"]
    assert (one["path"], one["status"]) == ("/part/", 200)


def test_the_authenticated_caller_is_named_in_the_line(log: Path) -> None:
    app = logging_to(log)

    @app.get("/g")
    def by_g() -> str:
        g.client = "mobile"
        return ""

    @app.get("/environ")
    def by_environ() -> str:
        request.environ["client"] = "desktop"
        return ""

    @app.get("/stream")
    def by_stream() -> Response:
        g.client = "stream"
        return Response(stream_with_context(iter(["a", "b"])))

    @app.get("/other")
    def other() -> str:
        g.client = object()  # something of the host application's, not a name
        return ""

    for path in ("/g", "/environ", "/stream", "/other"):
        ask(app, path)
    assert [line["client"] for line in lines_of(log)] == ["mobile", "desktop", "stream", None]


def test_addresses_that_are_set_further_in_are_the_ones_logged(app: Flask, log: Path) -> None:
    inner = app.wsgi_app

    def proxy_fix(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = "203.0.113.7"
        return inner(environ, start_response)

    app.wsgi_app = proxy_fix  # type: ignore[method-assign]
    ask(app, "/")
    assert lines_of(log)[0]["remote_addr"] == "203.0.113.7"


# -- what is logged, and how much of it ------------------------------------------------------------


def test_health_checks_are_quiet_while_all_is_well(log: Path) -> None:
    app = logging_to(log)
    app.add_url_rule("/health", view_func=lambda: ("", int(request.args.get("status", 200))))
    for path in ("/health", "/health?status=204", "/health?status=503", "/metrics", "/healthy"):
        ask(app, path)
    assert [(line["path"], line["status"]) for line in lines_of(log)] == [
        ("/health", 503),
        ("/metrics", 404),
        ("/healthy", 404),
    ]


def test_the_metrics_are_quiet_wherever_they_are(log: Path) -> None:
    app = logging_to(log, METRICS_PATH="/internal")
    app.add_url_rule("/internal", view_func=lambda: "")
    ask(app, "/internal")
    ask(app, "/metrics")
    assert [line["path"] for line in lines_of(log)] == ["/metrics"]


def test_what_is_mounted_inside_is_quiet_only_by_its_whole_path(log: Path) -> None:
    app, part = logging_to(log, LOG_SKIP="/health,/quiet/here", LOG_START=True), Flask("part")
    part.add_url_rule("/<path:path>", view_func=lambda path: path)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/part": part, "/quiet": part})  # type: ignore[method-assign]
    for path in ("/part/health", "/quiet/here"):
        ask(app, path)
    started, completed = lines_of(log)
    assert (started["message"], completed["message"]) == ("request_started", "request_completed")
    assert completed["path"] == "/part/health"


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], str]:
    """Lets so many seconds pass at once, for a view."""
    passed, clock = [0.0], time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + passed[0])

    def pass_time(seconds: float) -> str:
        passed[0] += seconds
        return ""

    return pass_time


def test_a_quiet_path_that_is_slow_or_left_is_not_quiet(
    log: Path, pass_time: Callable[[float], str]
) -> None:
    app = logging_to(log, LOG_SKIP=["/slow", "/left"], LOG_SLOW=60)
    app.add_url_rule("/slow", "slow", view_func=lambda: pass_time(60.1))
    app.add_url_rule("/left", "left", view_func=lambda: Response(iter("abc")))
    ask(app, "/slow")
    body, *_ = run_wsgi_app(app, EnvironBuilder("/left").get_environ())
    body.close()  # type: ignore[attr-defined]
    assert [(line["path"], line["level"], line["outcome"]) for line in lines_of(log)] == [
        ("/slow", "WARNING", "complete"),
        ("/left", "INFO", "aborted"),
    ]


def test_nothing_is_quiet_if_no_path_is_named(log: Path) -> None:
    app = logging_to(log, LOG_SKIP=[])
    app.add_url_rule("/health", view_func=lambda: "")
    ask(app, "/health")
    assert len(lines_of(log)) == 1


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_secret_in_the_path_is_not_logged_where_the_routes_rule_is(log: Path, style: str) -> None:
    app = logging_to(log, LOG_PATH="rule", LOG_FORMAT=style)
    app.add_url_rule("/reset/<token>", view_func=lambda token: "")
    ask(app, "/reset/hush")
    ask(app, "/resett/hush")
    ask(app, "/reset/hush", method="POST")
    written = log.read_text()
    assert "hush" not in written
    assert written.count("/reset/<token>") == 1
    assert written.replace("%20", " ").count("(no route)") == 2


def test_a_slow_request_is_a_warning(log: Path, pass_time: Callable[[float], str]) -> None:
    app = logging_to(log, LOG_SLOW="60")
    app.add_url_rule("/<float:seconds>", view_func=pass_time)
    ask(app, "/0.0")
    ask(app, "/60.1")
    assert [line["level"] for line in lines_of(log)] == ["INFO", "WARNING"]


def test_a_request_that_never_ends_leaves_a_trace_if_starts_are_logged(log: Path) -> None:
    app = logging_to(log, LOG_START=True)
    app.add_url_rule("/", view_func=lambda: Response(iter("abc")))
    environ = EnvironBuilder("/", query_string="secret=hush").get_environ()
    _body, _status, headers = contextvars.Context().run(run_wsgi_app, app, environ)
    (line,) = lines_of(log)
    assert list(line) == ["time", "level", "message", "request_id", "method", "path"]
    assert (line["message"], line["method"], line["path"]) == ("request_started", "GET", "/")
    assert line["request_id"] == headers["X-Request-ID"]


def test_a_start_is_a_line_for_people_too_and_none_of_a_quiet_path(log: Path) -> None:
    app = logging_to(log, LOG_START=True, LOG_FORMAT="text")
    app.add_url_rule("/health", view_func=lambda: "")
    ask(app, "/health")
    ask(app, "/x", headers={"X-Request-ID": "client-id-1"})
    first, second = log.read_text().splitlines()
    assert first.endswith(" GET /x client-id-1 started")
    assert " GET /x 404 " in second


def test_a_gathered_line_says_what_was_so_when_its_request_ended(log: Path) -> None:
    app = logging_to(log, LOG_AT_ONCE=False)
    app.add_url_rule("/", view_func=lambda: "fine")
    environ = EnvironBuilder("/before").get_environ() | {"HTTP_USER_AGENT": "before"}
    run_wsgi_app(app, environ, buffered=True)
    environ.update(PATH_INFO="/after", HTTP_USER_AGENT="after", REQUEST_METHOD="AFTER")
    sys.modules[LINES.__name__.replace("lines", "writer")].flush_all()
    (line,) = requests_in(log)
    assert (line["method"], line["path"], line["user_agent"]) == ("GET", "/before", "before")


def test_a_services_own_members_come_and_others_go(log: Path) -> None:
    def edit(line: dict[str, Any], environ: dict[str, Any]) -> None:
        line["tenant"] = environ["tenant"]
        line["what"] = {"a": Path("/b"), "c": "d\u202e"}
        del line["user_agent"]
        line["path"] = line["path"].partition(";")[0]

    app = Flask("edited")
    app.config.update(LOG_FILE=str(log), LOG_AT_ONCE=True)
    configure_request_logging(app, edit_line=edit)
    ask(app, "/a;b", environ_overrides={"tenant": "blue\n"})
    (line,) = lines_of(log)
    assert (line["tenant"], line["path"]) == ("blue\\n", "/a")
    assert line["what"] == {"a": "/b", "c": "d\\u202e"}
    assert list(line) == [key for key in KEYS if key != "user_agent"] + ["tenant", "what"]


def test_letters_beyond_ascii_are_what_a_client_and_a_service_have_written(log: Path) -> None:
    seen = []

    def edit(line: dict[str, Any], environ: dict[str, Any]) -> None:
        seen.append((line["path"], line["user_agent"]))
        line["path"], line["user_agent"] = "/größe", "Zoë"

    app = Flask("edited")
    app.config.update(LOG_FILE=str(log), LOG_AT_ONCE=True)
    configure_request_logging(app, edit_line=edit)
    ask(app, "/gr%C3%BCn", environ_overrides={"HTTP_USER_AGENT": "Zo\xc3\xab"})
    rules = Flask("rules")
    rules.config.update(LOG_FILE=str(log), LOG_AT_ONCE=True, LOG_PATH="rule")
    configure_request_logging(rules)
    rules.add_url_rule("/größe/<size>", view_func=lambda size: size)
    ask(rules, "/gr%C3%B6%C3%9Fe/5")
    edited, by_rule = lines_of(log)
    assert seen == [("/grün", "Zoë")]
    assert (edited["path"], edited["user_agent"]) == ("/größe", "Zoë")
    assert by_rule["path"] == "/größe/<size>"


@pytest.mark.parametrize("name", [*KEYS, "logger", "event"])
@pytest.mark.parametrize("value", [b"x", 5, "", None, {"a": 1}, Path("/p"), {1, 2}, "\udcff"])
def test_whatever_a_service_makes_of_a_member_its_line_is_written(
    name: str, value: object, log: Path, tmp_path: Path
) -> None:
    def edit(line: dict[Any, Any], environ: dict[str, Any]) -> None:
        line[name] = value
        line[5] = "a name that is no text"

    for style, path in (("json", log), ("text", tmp_path / "text")):
        app = Flask("edited")
        app.config.update(LOG_FILE=str(path), LOG_FORMAT=style, LOG_AT_ONCE=True)
        configure_request_logging(app, edit_line=edit)
        ask(app, "/")
    (line,) = lines_of(log)
    assert name in line and line["5"] == "a name that is no text"
    (text,) = (tmp_path / "text").read_text("utf-8").splitlines()
    assert "5='a name that is no text'" in text


def test_one_file_has_one_line_of_a_refusal_however_it_is_spelled(tmp_path: Path) -> None:
    app = Flask("spelled")
    log = tmp_path / "log"
    app.config.update(LOG_FILE=str(log), SECURITY_LOG_FILE=f"{tmp_path}/./log", LOG_AT_ONCE=True)
    configure_request_logging(app)
    app.add_url_rule("/", view_func=lambda: ("no", 403))
    ask(app, "/")
    (line,) = lines_of(log)
    assert line["event"] == "authz_denied"


@no_handlers()
def test_no_line_has_a_path_where_paths_are_secret(log: Path) -> None:
    app = Flask("secret")
    app.config.update(LOG_FILE=str(log), LOG_PATH="rule", LOG_AT_ONCE=True)
    configure_request_logging(app)
    app.add_url_rule("/reset/<token>", view_func=lambda token: str(1 / 0), endpoint="reset")
    ask(app, "/reset/very-secret")
    record, line = lines_of(log)
    assert record["message"] == "Exception on /reset/<token> [GET]"
    assert line["path"] == "/reset/<token>"
    assert "very-secret" not in record["message"]


@no_handlers()
def test_a_line_is_not_lost_if_its_editor_fails(log: Path) -> None:
    def edit(line: dict[str, Any], environ: dict[str, Any]) -> None:
        line.clear()
        raise KeyError("tenant")

    app = Flask("edited")
    app.config.update(LOG_FILE=str(log), LOG_AT_ONCE=True)
    configure_request_logging(app, edit_line=edit)
    ask(app, "/")
    record, line = lines_of(log)
    assert record["exception"].endswith("KeyError: 'tenant'")
    assert list(line) == KEYS


def test_a_line_for_people_does_without_what_its_editor_deletes(log: Path) -> None:
    app = Flask("edited")
    app.config.update(LOG_FILE=str(log), LOG_FORMAT="text")
    configure_request_logging(app, edit_line=lambda line, environ: line.clear())
    ask(app, "/")
    assert log.read_text() == f"{log.read_text()[:8]} - -\n"


@no_handlers()
def test_members_of_json_lines_can_have_other_names(log: Path) -> None:
    names = {"level": "severity", "time": "timestamp", "request_id": "http.request_id"}
    app = logging_to(log, "named", LOG_FIELDS=names)

    @app.get("/")
    def view() -> str:
        app.logger.warning("careful")
        return ""

    ask(app, "/", headers={"X-Request-ID": "client-id-1"})
    app.extensions["pipeline"].end_functions[0].__self__.output.drop()
    record, line, count = (json.loads(text) for text in log.read_bytes().splitlines())
    assert [one["severity"] for one in (record, line, count)] == ["WARNING", "INFO", "WARNING"]
    assert record["http.request_id"] == line["http.request_id"] == "client-id-1"
    assert list(count) == ["timestamp", "severity", "message", "dropped"]
    assert not {"level", "time", "request_id"} & {*record, *line, *count}


# -- how a response ends --------------------------------------------------------------------------

Start = Callable[..., Callable[[bytes], object]]


def serve(
    wsgi: Callable[[dict[str, Any], Start], Iterable[bytes]], log: Path, **environ: Any
) -> tuple[Any, list[tuple[str, list[tuple[str, str]]]]]:
    """Put the layer around any WSGI application and call it."""
    app = Flask("service")
    app.config.update(LOG_FILE=str(log), LOG_AT_ONCE=True)
    app.wsgi_app = wsgi  # type: ignore[assignment,method-assign]
    configure_request_logging(app)
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, headers))
        return lambda data: None

    body = app.wsgi_app({**EnvironBuilder().get_environ(), **environ}, start_response)
    return body, started


def test_a_stream_is_logged_when_it_ends_with_its_real_duration(app: Flask, log: Path) -> None:
    @app.get("/")
    def stream() -> Response:
        def slowly() -> Iterator[str]:
            yield "a"
            time.sleep(0.05)
            yield "b"

        return Response(slowly())

    body, _status, _headers = run_wsgi_app(app, EnvironBuilder().get_environ())
    assert next(iter(body)) == b"a"
    assert not lines_of(log)
    assert b"".join(body) == b"b"
    body.close()  # type: ignore[attr-defined]
    (line,) = lines_of(log)
    assert line["duration_ms"] >= 50
    assert (line["bytes"], line["outcome"]) == (2, "complete")


@no_handlers()
def test_a_stream_that_breaks_is_failed_and_says_why(app: Flask, log: Path) -> None:
    @app.get("/")
    def stream() -> Response:
        def breaking() -> Iterator[str]:
            yield "a"
            raise RuntimeError("broken stream")

        return Response(breaking())

    with pytest.raises(RuntimeError, match="broken stream"):
        ask(app, "/")
    record, line = lines_of(log)
    assert record["exception"].endswith("RuntimeError: broken stream")
    assert record["request_id"] == line["request_id"]
    assert (line["status"], line["bytes"], line["outcome"]) == (200, 1, "failed")


def test_a_stream_that_breaks_before_anything_was_sent_is_a_500(log: Path) -> None:
    def breaking(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        raise RuntimeError("too early")
        yield b"never"

    with pytest.raises(RuntimeError, match="too early"):
        serve(breaking, log)
    assert [(line["status"], line["outcome"]) for line in lines_of(log)] == [(500, "failed")]


def test_a_client_that_went_away_is_aborted(app: Flask, log: Path) -> None:
    @app.get("/")
    def stream() -> Response:
        return Response(str(n) for n in range(1000))

    body, _status, _headers = run_wsgi_app(app, EnvironBuilder().get_environ())
    next(iter(body))
    body.close()  # type: ignore[attr-defined]
    (line,) = lines_of(log)
    assert (line["status"], line["outcome"]) == (200, "aborted")


def test_a_known_length_that_could_not_be_sent_is_aborted(log: Path) -> None:
    def whole(environ: dict[str, Any], start: Start) -> list[bytes]:
        start("200 OK", [("Content-Length", "3")])
        return [b"abc"]

    body, _ = serve(whole, log)
    with contextlib.suppress(BrokenPipeError):
        try:
            for _chunk in body:
                raise BrokenPipeError  # the server's send
        finally:
            body.close()
    body, _ = serve(whole, log)
    next(iter(body))  # a server that counts, and does not ask for more than was declared
    body.close()
    assert [line["outcome"] for line in lines_of(log)] == ["aborted", "complete"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "304 Not Modified")])
def test_an_answer_without_a_body_is_complete_even_if_nobody_asks_for_one(
    log: Path, method: str, status: str
) -> None:
    def bodiless(environ: dict[str, Any], start: Start) -> list[bytes]:
        start(status, [("Content-Length", "3")])
        return [b"abc"]

    for read in (False, True):
        body, _ = serve(bodiless, log, REQUEST_METHOD=method)
        if read:  # as most servers do, and send nothing of it
            list(body)
        body.close()
    assert [(line["bytes"], line["outcome"]) for line in lines_of(log)] == [(0, "complete")] * 2


def test_an_exception_that_reaches_the_server_is_a_failed_500(log: Path) -> None:
    def broken(environ: dict[str, Any], start: Start) -> list[bytes]:
        if environ["PATH_INFO"] == "/started":
            start("200 OK", [])
        raise SystemExit(1)

    for path in ("/", "/started"):
        with pytest.raises(SystemExit):
            serve(broken, log, PATH_INFO=path)
    assert [(line["status"], line["outcome"]) for line in lines_of(log)] == [(500, "failed")] * 2


def test_an_answer_that_starts_twice_is_logged_as_the_second(log: Path) -> None:
    def twice(environ: dict[str, Any], start: Start) -> list[bytes]:
        start("200 OK", [])
        try:
            raise RuntimeError
        except RuntimeError:
            start("503 Service Unavailable", [("X-Request-Id", "no")], sys.exc_info())
        return [b"sorry"]

    body, started = serve(twice, log, HTTP_X_REQUEST_ID="client-id-1")
    assert list(body) == [b"sorry"]
    body.close()
    assert [line["status"] for line in lines_of(log)] == [503]
    assert started[-1] == ("503 Service Unavailable", [("X-Request-ID", "client-id-1")])


def test_bytes_through_write_are_counted(log: Path) -> None:
    def writing(environ: dict[str, Any], start: Start) -> list[bytes]:
        start("200 OK", [])(b"12345")
        return [b"678"]

    body, _ = serve(writing, log)
    list(body)
    body.close()
    assert lines_of(log)[0]["bytes"] == 8


@no_handlers()
def test_the_body_is_closed_and_the_line_is_written_once_whatever_the_server_does(
    log: Path,
) -> None:
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a"])

        def close(self) -> None:
            closed.append(True)
            raise RuntimeError("cannot close")

    def application(environ: dict[str, Any], start: Start) -> Body:
        start("200 OK", [])
        return Body()

    body, _ = serve(application, log)
    list(body)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cannot close"):
            body.close()
    assert closed
    assert len(requests_in(log)) == 1
    assert lines_of(log)[1]["exception"].endswith("RuntimeError: cannot close")


def test_a_file_through_the_servers_file_wrapper_is_sent_and_counted(app: Flask, log: Path) -> None:
    from flask import send_file
    from werkzeug.wsgi import FileWrapper

    app.add_url_rule("/", view_func=lambda: send_file(io.BytesIO(b"x" * 20_000), "text/plain"))
    response = ask(app, "/", environ_overrides={"wsgi.file_wrapper": FileWrapper})
    assert len(response.data) == 20_000
    assert [(line["bytes"], line["outcome"]) for line in lines_of(log)] == [(20_000, "complete")]


def test_what_is_odd_in_the_environ_costs_the_line_not_the_request(log: Path) -> None:
    def odd(environ: dict[str, Any], start: Start) -> list[bytes]:
        environ["PATH_INFO"] = None
        start("200 OK", [])
        return [b"fine"]

    body, _ = serve(odd, log)
    assert list(body) == [b"fine"]
    body.close()
    ask(Flask("next"), "/")
    body, _ = serve(lambda environ, start: [], log)
    body.close()
    assert [line.get("dropped") for line in lines_of(log)] == [1, None]


# -- ids ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_workers_forked_from_a_parent_that_has_served_give_out_other_ids(tmp_path: Path) -> None:
    copy_of_the_package(tmp_path)
    script = """
import os
from flask import Flask
from own.logging import configure_request_logging

app = Flask("service")
app.config["LOG_FILE"] = "log"
configure_request_logging(app)
app.test_client().get("/").close()
workers = [os.fork() for _ in range(2)]  # the second is forked by both: four processes
for _ in range(100):
    app.test_client().get("/").close()
for worker in workers:
    if worker:
        os.waitpid(worker, 0)
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)
    lines = lines_of(tmp_path / "log")
    assert len(lines) == 401
    assert len({line["request_id"] for line in lines}) == 401
    assert len({line["trace_id"] for line in lines}) == 401


def test_threads_give_out_other_ids(app: Flask, log: Path) -> None:
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=lambda: [ask(app, "/") for _ in range(100)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert len({line["request_id"] for line in lines_of(log)}) == 800


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ("a" * 8, True),
        ("A.z_0-9" * 9, True),
        ("a" * 64, True),
        ("a" * 7, False),
        ("a" * 65, False),
        ("a" * 65536, False),
        ("", False),
        ("abcdefgh\n", False),
        ("abc defgh", False),
        ("abcdefg\x1b[31m", False),
        ("abcdefgh\x00", False),
        ("abcdefgh,abcdefgh", False),
        ("\xe9\xe9\xe9\xe9\xe9\xe9\xe9\xe9", False),
        ('{"request_id":1}', False),
    ],
)
def test_a_request_id_is_kept_if_it_is_harmless_and_replaced_if_not(
    app: Flask, log: Path, given: str, accepted: bool
) -> None:
    response = ask(app, "/", environ_overrides={"HTTP_X_REQUEST_ID": given})
    used = response.headers["X-Request-ID"]
    assert (used == given) is accepted
    assert accepted or re.fullmatch(r"[0-9a-f]{32}", used)
    assert lines_of(log)[0]["request_id"] == used


SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "continues"),
    [
        # https://www.w3.org/TR/trace-context/#traceparent-header
        (f"00-{VALID_ID}-{SPAN}-01", True),
        (f"00-{VALID_ID}-{SPAN}-00", True),
        (f"00-{VALID_ID}-{SPAN}-ff", True),
        (f" 00-{VALID_ID}-{SPAN}-01\t", True),
        # a future version, which may be longer
        (f"01-{VALID_ID}-{SPAN}-01", True),
        (f"cc-{VALID_ID}-{SPAN}-01", True),
        (f"cc-{VALID_ID}-{SPAN}-01-what-the-future-will-be-like", True),
        (f"fe-{VALID_ID}-{SPAN}-01-", True),
        (f"cc-{VALID_ID}-{SPAN}-01.what-the-future-will-not-be-like", False),
        (f"cc-{VALID_ID}-{SPAN}-010", False),
        # version 00 ends after the flags
        (f"00-{VALID_ID}-{SPAN}-01-what-the-future-will-be-like", False),
        (f"00-{VALID_ID}-{SPAN}-01-", False),
        (f"00-{VALID_ID}-{SPAN}-010", False),
        # the version
        (f"ff-{VALID_ID}-{SPAN}-01", False),
        (f"ff-{VALID_ID}-{SPAN}-01-more", False),
        (f"0-{VALID_ID}-{SPAN}-01", False),
        (f"000-{VALID_ID}-{SPAN}-01", False),
        (f".0-{VALID_ID}-{SPAN}-01", False),
        (f"0.-{VALID_ID}-{SPAN}-01", False),
        (f"FE-{VALID_ID}-{SPAN}-01", False),
        # the ids
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{VALID_ID}-{'0' * 16}-01", False),
        (f"00-{VALID_ID.upper()}-{SPAN}-01", False),
        (f"00-{VALID_ID}-{SPAN.upper()}-01", False),
        (f"00-{VALID_ID[:-1]}-{SPAN}-01", False),
        (f"00-{VALID_ID}0-{SPAN}-01", False),
        (f"00-{VALID_ID}-{SPAN[:-1]}-01", False),
        (f"00-{VALID_ID}-{SPAN}0-01", False),
        (f"00-{VALID_ID[:-1]}.-{SPAN}-01", False),
        (f"00-{VALID_ID[:-1]}\u0663-{SPAN}-01", False),
        # the flags
        (f"00-{VALID_ID}-{SPAN}-1", False),
        (f"00-{VALID_ID}-{SPAN}-.0", False),
        (f"00-{VALID_ID}-{SPAN}-0X", False),
        (f"00-{VALID_ID}-{SPAN}", False),
        (f"00-{VALID_ID}-{SPAN}-", False),
        # two headers, joined by the server
        (f"00-{VALID_ID}-{SPAN}-01,00-{VALID_ID}-{SPAN}-01", False),
        (f"cc-{VALID_ID}-{SPAN}-01-x,cc-{VALID_ID}-{SPAN}-01", False),
        (f"00_{VALID_ID}_{SPAN}_01", False),
        (f"00-{VALID_ID}-{SPAN}-01\n", False),
        ("", False),
        ("-" * 55, False),
    ],
)
def test_a_trace_is_continued_as_w3c_says_and_else_restarted(
    app: Flask, log: Path, header: str, continues: bool
) -> None:
    ask(app, "/", environ_overrides={"HTTP_TRACEPARENT": header})
    (line,) = lines_of(log)
    assert (line["trace_id"] == VALID_ID) is continues
    assert re.fullmatch(r"(?!0{32})[0-9a-f]{32}", line["trace_id"])


def read_end_of(path: Path) -> int:
    """Make a pipe of this name; what is written to it waits to be read."""
    os.mkfifo(path)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def read_from(reader: int) -> bytes:
    """All that waits in the pipe."""
    data = os.read(reader, 1 << 20)
    os.close(reader)
    return data


# -- hostile clients ------------------------------------------------------------------------------

HOSTILE = [
    '/a\r\n{"level":"INFO","message":"forged"}',
    "/\x1b[2J\x1b[31mred",
    "/del\x7fete",
    "/\x00\x07\x08\x7f\x9b31m",
    "/\u2028\u2029\x85next",
    "/\u202etxt.exe\u2066\ufeff",
    '/"}\n{"',
    "/\\\\\\n" * 300,
    "/" + '"' * 5000,
    "/" + "\x01" * 5000,
    "/" + "\U0001f600" * 3000,
    "/" + "a" * 70_000,
]


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("style", ["json", "text", "pipe"])
def test_nothing_a_client_sends_forges_splits_or_bloats_a_line(
    log: Path, hostile: str, style: str
) -> None:
    reader = read_end_of(log) if style == "pipe" else None
    app = logging_to(log, LOG_FORMAT=style.replace("pipe", "json"))
    raw = hostile.encode().decode("latin-1")
    environ = EnvironBuilder().get_environ() | {
        "PATH_INFO": raw,
        "REQUEST_METHOD": raw,
        "HTTP_USER_AGENT": raw,
        "REMOTE_ADDR": raw,
        "HTTP_X_REQUEST_ID": raw,
        "HTTP_TRACEPARENT": raw,
    }
    run_wsgi_app(app, environ, buffered=True)
    written = log.read_bytes() if reader is None else read_from(reader)
    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    assert written.decode()[:-1].isprintable()
    if style == "text":
        return
    assert len(written) <= (4096 if style == "pipe" else 65536)
    line = json.loads(written)
    assert list(line)[:15] == KEYS
    assert line.get("truncated", False) is (len(raw) > 1024 or len(written) > 4000)


def test_no_word_of_a_line_for_people_can_be_made_up_of_two(log: Path) -> None:
    app = logging_to(log, "text", LOG_FORMAT="text")
    environ = EnvironBuilder().get_environ() | {
        "REQUEST_METHOD": "GET / 200",
        "PATH_INFO": "/a 200 1 ms",
        "client": "x' 200\nroot",
    }
    run_wsgi_app(app, environ, buffered=True)
    (line,) = log.read_text().splitlines()
    _clock, method, path, status, *_ = line.split(" ")
    assert (method, path, status) == ("GET%20/%20200", "/a%20200%201%20ms", "404")
    assert line.endswith(" client=" + repr("x' 200\\nroot"))


def test_bytes_that_are_not_utf8_are_shown_as_such(app: Flask, log: Path) -> None:
    for agent in ("/\xff\xc3", "/\xc3\xa9", "/\udc80\u20ac"):  # the last is no WSGI string
        environ = EnvironBuilder().get_environ() | {"HTTP_USER_AGENT": agent}
        run_wsgi_app(app, environ, buffered=True)
    shown = ["/\ufffd\ufffd", "/\u00e9", "/\\udc80\\u20ac"]
    assert [line["user_agent"] for line in lines_of(log)] == shown


# -- the log and its reader -----------------------------------------------------------------------


def read_lines(fd: int, until: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Read JSON lines from a pipe until there are enough."""
    data = b""
    deadline = time.monotonic() + 20
    lines: list[dict[str, Any]] = []
    while not until(lines):
        assert time.monotonic() < deadline, lines[-3:]
        with contextlib.suppress(BlockingIOError):
            data += os.read(fd, 1 << 20)
        *whole, data = data.split(b"\n")
        lines += [json.loads(line) for line in whole]
        time.sleep(0.005)
    return lines


@pytest.mark.parametrize("at_once", [True, False])
def test_a_reader_that_stalls_stalls_nobody_and_every_dropped_line_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    monkeypatch.setattr(LINES, "MOST_BYTES", 20_000)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    app = logging_to(fifo, LOG_AT_ONCE=at_once)
    app.add_url_rule("/", view_func=lambda: "fine")
    statuses: list[int] = []

    def ask_often() -> None:
        statuses.extend(ask(app, "/").status_code for _ in range(150))

    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    threads = [threading.Thread(target=ask_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert statuses == [200] * 600  # nobody has read a line

    def counted(lines: list[dict[str, Any]]) -> bool:
        written = [line for line in lines if line["message"] == "request_completed"]
        drops: int = sum(line.get("dropped", 0) for line in lines)
        return len(written) + drops >= 600

    lines = read_lines(reader, counted)  # and without another request
    os.close(reader)
    dropped = [line for line in lines if line["message"] == "log_lines_dropped"]
    assert len(lines) - len(dropped) + sum(line["dropped"] for line in dropped) == 600
    assert 0 < len(dropped) < 20
    assert list(dropped[0]) == ["time", "level", "message", "dropped"]
    assert dropped[0]["level"] == "WARNING"


PROGRAM = """
import os, sys, threading
{before}
sys.path.insert(0, {folder!r})
import own.engine.lines
import own.engine.writer
from own.logging import configure_request_logging
own.engine.lines.MOST_BYTES = {limit}
own.engine.writer.GATHER_SECONDS = {gather}
from flask import Flask
app = Flask("service")
app.config["LOG_FORMAT"] = {style!r}
app.config.from_prefixed_env()
configure_request_logging(app)
def ask(path):
    environ = dict(REQUEST_METHOD="GET", PATH_INFO=path, HTTP_HOST="localhost")
    environ |= dict(SERVER_NAME="localhost", SERVER_PORT="80")
    environ["wsgi.url_scheme"] = "http"
    environ["HTTP_USER_AGENT"] = "a" * 900  # so that a pipe is full after some 800 lines
    body = app(environ, lambda status, headers: None)
    list(body)
    body.close()
for number in range({requests}):
    ask("/" + str(number))
{after}
print("served", file=sys.stderr, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def program(
    folder: Path,
    stdout: Any,
    requests: int,
    style: str = "json",
    before: str = "",
    after: str = "",
    gather: float = 0.02,
    limit: int = 20_000,
    env: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which serves so many requests and then waits to be told to end.

    :param stdout: a descriptor, or the path of a file.
    :param before, after: what it does before it imports anything, and when it has served.
    :param gather: for how many seconds it gathers lines, and limit: how many bytes of them.
    """
    copy_of_the_package(folder)
    text = PROGRAM.format(
        folder=str(folder),
        style=style,
        requests=requests,
        before=before,
        after=after,
        gather=gather,
        limit=limit,
    )
    inherited = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    with open(stdout, "wb") if isinstance(stdout, Path) else contextlib.nullcontext(stdout) as out:
        process = subprocess.Popen(
            [sys.executable, "-c", text],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.PIPE,
            env=inherited | (env or {}),
        )
    assert process.stderr is not None
    assert process.stderr.readline() == b"served\n"  # although nobody has read a line
    try:
        yield process
    finally:
        process.communicate(timeout=20)


NO_PROC = """
def elsewhere(path, *args, open=os.open):
    if str(path).startswith("/proc"):
        raise PermissionError
    return open(path, *args)
os.open = elsewhere
"""
WRAPPED = """
import io
sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8")
"""


@pytest.mark.parametrize(
    ("kind", "before"),
    [("pipe", ""), ("pipe", NO_PROC), ("pipe", WRAPPED), ("socket", "")],
    ids=["pipe", "pipe-without-proc", "pipe-wrapped-anew", "socket"],
)
def test_whatever_standard_output_is_nobody_waits_for_its_reader(
    tmp_path: Path, kind: str, before: str
) -> None:
    if kind == "pipe":
        reader, writer = os.pipe()
    else:  # what systemd gives to a service
        reader, writer = (end.detach() for end in socket.socketpair())
    with program(tmp_path, writer, 1200, before=before):
        os.close(writer)
        os.set_blocking(reader, False)

        def counted(lines: list[dict[str, Any]]) -> bool:
            drops: int = sum(line.get("dropped", 0) for line in lines)
            return drops > 0 and len([line for line in lines if "path" in line]) + drops == 1200

        read_lines(reader, counted)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_what_has_been_gathered_is_written_when_the_process_ends(tmp_path: Path) -> None:
    with program(tmp_path, tmp_path / "log", 1200, gather=1000):
        pass
    *lines, last = lines_of(tmp_path / "log")
    assert [line["path"] for line in lines] == [f"/{n}" for n in range(len(lines))]
    assert (last["message"], last["dropped"]) == ("log_lines_dropped", 1200 - len(lines))


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)]
)
def test_what_has_been_gathered_is_written_at_a_signal_that_ends_the_process(
    tmp_path: Path, number: signal.Signals
) -> None:
    # as at a terminal: what a shell starts in the background ignores SIGINT, and under nohup SIGHUP
    default = "default_int_handler" if number == signal.SIGINT else "SIG_DFL"
    heeds = f"import signal; signal.signal({int(number)}, signal.{default})"
    with program(tmp_path, tmp_path / "log", 10, gather=1000, before=heeds) as process:
        process.send_signal(number)
        process.wait(20)
    assert process.returncode == -number
    assert len(lines_of(tmp_path / "log")) == 10


def test_what_was_gathered_before_a_fork_is_written_once_and_by_the_parent(tmp_path: Path) -> None:
    forking = """
child = os.fork()
ask("/child" if child == 0 else "/parent")
if child:
    os.waitpid(child, 0)
"""
    with program(tmp_path, tmp_path / "log", 10, gather=1000, after=forking):
        pass
    *before, first, second = [line["path"] for line in lines_of(tmp_path / "log")]
    assert before == [f"/{n}" for n in range(10)]
    assert {first, second} == {"/child", "/parent"}


def test_lines_are_written_although_no_thread_can_be_started(tmp_path: Path) -> None:
    no_thread = """
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
    with program(tmp_path, tmp_path / "log", 10, before=no_thread):
        assert len(lines_of(tmp_path / "log")) == 10


def test_a_process_that_is_killed_loses_the_lines_of_its_last_20_ms_only(tmp_path: Path) -> None:
    with program(tmp_path, tmp_path / "log", 10, after="__import__('time').sleep(1)") as process:
        process.kill()
    assert len(lines_of(tmp_path / "log")) == 10


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_lines_for_people_are_coloured_on_a_terminal(
    tmp_path: Path, env: dict[str, str], coloured: bool
) -> None:
    pty = pytest.importorskip("pty")
    reader, writer = pty.openpty()
    with program(tmp_path, writer, 1, style="text", env=env):
        written = os.read(reader, 4096)
    os.close(writer)
    os.close(reader)
    assert written.count(b"\n") == 1
    assert (b"\x1b[33m404\x1b[0m" in written) is coloured
    assert (b" 404 " in written) is not coloured


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_fails_no_request(capfd: pytest.CaptureFixture[str]) -> None:
    app = Flask("service")
    app.config["LOG_FILE"] = "/dev/full"
    configure_request_logging(app)
    app.add_url_rule("/", view_func=lambda: "fine")
    assert ask(app, "/").data == b"fine"
    assert capfd.readouterr() == ("", "")


def test_a_disk_that_fills_within_a_line_costs_none_once_there_is_room_again(
    app: Flask, log: Path
) -> None:
    resource = pytest.importorskip("resource")
    ask(app, "/before")
    room, (soft, hard) = log.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room + 100, hard))
    try:
        ask(app, "/torn")
        ask(app, "/waiting")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    ask(app, "/after")
    assert [line["path"] for line in lines_of(log)] == ["/before", "/torn", "/waiting", "/after"]


def test_what_is_opened_in_place_of_standard_output_gets_no_line(tmp_path: Path) -> None:
    copy_of_the_package(tmp_path)
    script = (
        "from flask import Flask; from own.logging import configure_request_logging\n"
        "others = open('others', 'w'); assert others.fileno() == 1\n"
        "app = Flask('service'); configure_request_logging(app)\n"
        "assert app.test_client().open('/', buffered=True).status_code == 404\n"
    )
    command = ["sh", "-c", '"$0" -c "$1" >&-', sys.executable, script]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=20)
    assert (tmp_path / "others").read_bytes() == b""


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="there is no /dev/stdout here")
def test_standard_output_by_its_other_name_is_not_written_over(tmp_path: Path) -> None:
    script = f"""
from flask import Flask
from {configure_request_logging.__module__} import configure_request_logging
app = Flask("named")
app.config.update(LOG_FILE="/dev/stdout", LOG_AT_ONCE=True)
configure_request_logging(app)
app.test_client().get("/").close()
print("printed")
"""
    with open(tmp_path / "log", "wb") as log:
        subprocess.run([sys.executable, "-c", script], stdout=log, check=True, timeout=60)
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines.count("printed") == 1
    (line,) = [json.loads(line) for line in lines if line != "printed"]
    assert line["message"] == "request_completed"


def test_a_captured_standard_output_gets_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    app = Flask("service")
    configure_request_logging(app)
    ask(app, "/once")
    printed = [line for line in capsys.readouterr().out.splitlines() if "/once" in line]
    assert len(printed) == 1
    assert json.loads(printed[0])["status"] == 404


def test_no_request_takes_the_lines_of_others_by_redirecting_a_captured_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = Flask("service")
    configure_request_logging(app)
    caught = io.StringIO()
    with contextlib.redirect_stdout(caught):
        ask(app, "/once")
    assert caught.getvalue() == ""
    assert capsys.readouterr().out.count("/once") == 1


def test_no_view_that_redirects_or_prints_takes_or_tears_a_line_of_others(tmp_path: Path) -> None:
    views = """
import contextlib, io, threading
caught = []
@app.get("/redirect")
def redirect():
    with contextlib.redirect_stdout(io.StringIO()) as text:
        for number in range(20):
            ask("/inner")
    caught.append(text.getvalue())
    return ""
@app.get("/print")
def printing():
    for number in range(20):
        print("printed", number)
        ask("/inner")
    return ""
@app.get("/descriptor")
def descriptor():
    kept, other = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(other, 1)
    ask("/inner")
    os.dup2(kept, 1)
    return ""
def often(path):
    for _ in range(10):
        ask(path)
for paths in (["/redirect", "/plain", "/plain"], ["/print"] * 4):
    threads = [threading.Thread(target=often, args=[path]) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
ask("/descriptor")
assert caught == [""] * 10, caught
"""
    for at_once in ("true", "false"):
        for unbuffered in ("", "1"):
            folder = tmp_path / f"{at_once}{unbuffered}"
            folder.mkdir()
            env = {"FLASK_LOG_AT_ONCE": at_once, "PYTHONUNBUFFERED": unbuffered}
            with program(folder, folder / "log", 0, after=views, limit=1 << 20, env=env):
                pass
            lines = (folder / "log").read_bytes().splitlines()
            printed = [line for line in lines if line.startswith(b"printed")]
            paths = [json.loads(line)["path"] for line in lines if line.startswith(b"{")]
            assert len(printed) + len(paths) == len(lines)
            assert len(printed) == 40 * 20
            assert Counter(paths) == {
                "/redirect": 10,
                "/plain": 20,
                "/print": 40,
                "/descriptor": 1,
                "/inner": 50 * 20 + 1,
            }


def test_where_testing_is_true_a_test_reads_the_lines_however_it_captures_them() -> None:
    app = Flask("service")
    app.testing = True
    configure_request_logging(app)
    for encoding in ("utf-8", "ascii"):
        raw = io.BytesIO()
        with contextlib.redirect_stdout(io.TextIOWrapper(raw, encoding)):
            ask(app, "/once", headers={"User-Agent": "\u00c3\u00a9"})  # a letter as WSGI has it
            assert json.loads(raw.getvalue())["user_agent"] in ("\u00e9", "?")
    with contextlib.redirect_stdout(None):
        assert ask(app, "/").status_code == 404


def test_a_rotated_file_is_opened_anew(
    app: Flask, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    ask(app, "/before")
    log.rename(log.with_suffix(".1"))
    ask(app, "/same-second")
    clock[0] += 1
    ask(app, "/after")
    assert [line["path"] for line in lines_of(log.with_suffix(".1"))] == ["/before", "/same-second"]
    assert [line["path"] for line in lines_of(log)] == ["/after"]


def test_lines_of_many_threads_are_whole(app: Flask, log: Path) -> None:
    def ask_often() -> None:
        for _ in range(50):
            ask(app, "/", headers={"User-Agent": "a" * 900})

    threads = [threading.Thread(target=ask_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({line["request_id"] for line in lines_of(log)}) == 400


# -- what a security person looks for -------------------------------------------------------------


def test_refusals_are_also_written_to_the_security_log(tmp_path: Path) -> None:
    app = Flask("service")
    files = {"LOG_FILE": tmp_path / "log", "SECURITY_LOG_FILE": tmp_path / "security.log"}
    app.config.update({key: str(path) for key, path in files.items()})
    app.config["LOG_AT_ONCE"] = True
    app.config["TRUSTED_HOSTS"] = ["localhost"]
    configure_request_logging(app)

    @app.get("/<int:status>")
    def response(status: int) -> Any:
        return "", status

    @app.get("/agent")
    def agent() -> Any:
        request.environ["security_event"] = {"event": "user_agent_blocked", "reason": "a\nb"}
        return "", 403

    for status in (200, 400, 401, 403, 404, 413, 429, 500):
        ask(app, f"/{status}")
    ask(app, "/agent")
    with contextlib.suppress(Exception):  # who answers a wrong host, and how, is not ours
        ask(app, "/200", base_url="http://evil.example/")
    lines = lines_of(files["SECURITY_LOG_FILE"])
    told = [(line["status"], line["event"]) for line in lines]
    assert told[:5] == [
        (401, "authn_failed"),
        (403, "authz_denied"),
        (413, "body_refused"),
        (429, "rate_limited"),
        (403, "user_agent_blocked"),
    ]
    assert lines[4]["reason"] == "a\\nb"
    assert [line for line in lines if set(KEYS) - set(line)] == []
    assert len(lines_of(files["LOG_FILE"])) == 10


@pytest.mark.parametrize("style", ["json", "text"])
def test_one_file_for_both_logs_gets_each_line_once(log: Path, style: str) -> None:
    app = logging_to(log, SECURITY_LOG_FILE=str(log), LOG_FORMAT=style)
    app.add_url_rule("/<int:status>", view_func=lambda status: ("", status))
    ask(app, "/200")
    ask(app, "/403")
    fine, refused = log.read_text().splitlines()
    assert "authz_denied" not in fine
    assert "authz_denied" in refused


def test_an_event_of_any_size_stays_one_line(tmp_path: Path) -> None:
    app = Flask("service")
    files = {"LOG_FILE": str(tmp_path / "log"), "SECURITY_LOG_FILE": str(tmp_path / "security")}
    app.config.update(files, LOG_AT_ONCE=True)
    configure_request_logging(app)

    @app.get("/")
    def view() -> Any:
        request.environ["security_event"] = {f"member-{n}": "x" * n for n in range(500)}
        return "", 403

    assert ask(app, "/").status_code == 403
    assert len(lines_of(tmp_path / "security")) == 1


def test_a_refused_host_is_told_from_other_400s(tmp_path: Path) -> None:
    app = Flask("service")
    files = {"LOG_FILE": str(tmp_path / "log"), "SECURITY_LOG_FILE": str(tmp_path / "security")}
    app.config.update(files, LOG_AT_ONCE=True)
    app.config["TRUSTED_HOSTS"] = "localhost,.example.com"
    app.wsgi_app = lambda environ, start: (start("400 Bad Request", []), [b""])[1]  # type: ignore[method-assign,assignment]
    configure_request_logging(app)
    for host in ("localhost", "a.example.com", "evil.example"):
        ask(app, "/", base_url=f"http://{host}/")
    assert [line["event"] for line in lines_of(tmp_path / "security")] == ["host_refused"]


# -- the records of other loggers -----------------------------------------------------------------


@no_handlers()
def test_records_are_lines_and_carry_their_requests_ids(log: Path) -> None:
    app = logging_to(log, "records")

    @app.get("/")
    def view() -> str:
        app.logger.info("from the application")
        logging.getLogger("a.library").warning("broken\nline \x1b[31m\u202e %s", "argument")
        logging.getLogger("a.library").debug("not at this level")
        logging.getLogger("a.library").error("own", extra={"request_id": "its-own"})
        return ""

    ask(app, "/", headers={"X-Request-ID": "client-id-1"})
    logging.getLogger("a.library").error("outside a request")
    first, second, third, own, outside = lines_of(log)
    assert first["message"] == "from the application"
    assert (first["level"], first["logger"]) == ("INFO", "records")
    assert second["message"] == "broken\nline \\u202e argument"
    assert [line["request_id"] for line in (first, second, third, own)] == [
        "client-id-1",
        "client-id-1",
        "its-own",
        "client-id-1",
    ]
    assert first["trace_id"] == own["trace_id"]
    assert outside["request_id"] is None


@no_handlers()
def test_what_a_record_brings_is_in_its_line_and_replaces_nothing_of_ours(log: Path) -> None:
    app = logging_to(log)
    circle: dict[str, Any] = {"price": 1.5}
    circle["self"] = circle
    extra = {
        "order_id": 5,
        "level": "forged",
        "time": "forged",
        "exception": "forged",
        "tags": ["a", {"b": None}],
        "when": Path("/somewhere"),
        "evil\u202e": "a\x1b[31mb\u202e",
        "circle": circle,
    }
    app.logger.warning("ordered", extra=extra, stack_info=True)
    (line,) = lines_of(log)
    assert (line["level"], line["order_id"], line["tags"]) == ("WARNING", 5, ["a", {"b": None}])
    assert (line["extra_level"], line["extra_time"]) == ("forged", "forged")
    assert line["extra_exception"] == "forged"
    assert line["when"] == "/somewhere"
    assert line["evil\\u202e"] == "ab\\u202e"
    assert line["circle"]["self"]["price"] == 1.5
    assert "exception" not in line
    assert line["stack"].startswith("Stack (most recent call last):\n")
    assert "stack_info=True" in line["stack"]


@no_handlers()
@pytest.mark.parametrize("style", ["json", "text"])
def test_no_extra_costs_the_record(log: Path, style: str) -> None:
    class Unreadable(list[int]):
        def __iter__(self) -> Iterator[int]:
            raise RuntimeError("no")

    app = logging_to(log, "odd", LOG_FORMAT=style)
    extra: dict[Any, Any] = {
        5: Unreadable(),
        "\x1b[1mlevel": 5,
        "ratio": float("nan"),
        "number": 10**5000,
    }
    app.logger.warning("careful", extra=extra)
    app.logger.warning("careful", extra={"count": 2**70, "ratio": float("nan")})
    assert log.read_text().count("careful") == 2
    assert "log_lines_dropped" not in log.read_text()
    if style == "json":
        for text in log.read_text().splitlines():
            line = json.loads(text, parse_constant=pytest.fail)  # NaN is Python's own
            assert (line["level"], line["ratio"]) == ("WARNING", None)


def fail_with(message: str) -> None:
    raise ValueError(message)


@no_handlers()
def test_an_exception_is_whole_in_a_file_and_keeps_what_matters_in_a_pipe(tmp_path: Path) -> None:
    reader = read_end_of(tmp_path / "pipe")
    for name in ("file", "pipe"):
        app = logging_to(tmp_path / name, name)
        try:
            try:
                fail_with("root cause " + "x" * 3500)
            except ValueError as error:
                raise RuntimeError("what the user saw " + "y" * 3500) from error
        except RuntimeError:
            app.logger.exception("caught")
    (whole,) = lines_of(tmp_path / "file")
    assert len(whole["exception"]) > 7000
    assert "truncated" not in whole
    written = read_from(reader)
    assert len(written) <= 4096
    line = json.loads(written)
    assert line["truncated"] is True
    assert line["message"] == "caught"
    exception = line["exception"]
    assert "in fail_with\n    raise ValueError(message)\n" in exception
    assert re.search(r"^ValueError: root cause x+\.\.\.x+$", exception, re.M)
    assert "direct cause of the following exception" in exception
    assert re.search(r"^RuntimeError: what the user saw y+\.\.\.y+$", exception, re.M)


@no_handlers()
@pytest.mark.parametrize("style", ["json", "text"])
def test_a_record_is_written_whatever_its_extras_and_its_exception(log: Path, style: str) -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    logging_to(log, "odd", LOG_FORMAT=style)
    for odd in (b"bytes", 10**30, ["list"], "\ud800"):
        logging.getLogger("a.library").warning("has odd extras", extra={"request_id": odd})
    try:
        raise Unspeakable
    except Unspeakable:
        logging.getLogger("a.library").exception("caught")
    logging.getLogger("a.library").warning("%s", "x" * 10_000_000)
    written = log.read_text()
    assert written.count("has odd extras") == 4
    assert "Unspeakable" in written
    assert len(written) < 140_000


@no_handlers()
def test_no_record_carries_the_id_of_a_request_that_is_over(app: Flask, log: Path) -> None:
    configured = logging_to(log, "over")
    configured.add_url_rule("/", view_func=lambda: Response(iter(["a", "b"])))

    def interleaved() -> None:
        first, second = (
            run_wsgi_app(configured, EnvironBuilder().get_environ())[0] for _ in range(2)
        )
        first.close()  # type: ignore[attr-defined]
        second.close()  # type: ignore[attr-defined]
        logging.getLogger("a.library").warning("outside")

    contextvars.Context().run(interleaved)
    assert lines_of(log)[-1]["message"] == "outside"
    assert lines_of(log)[-1]["request_id"] is None


@no_handlers()
def test_an_unhandled_exception_is_logged_once_and_with_its_id(
    log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    app = Flask("unhandled")
    assert default_handler in app.logger.handlers  # somebody has used it before
    app.config.update(LOG_FILE=str(log), LOG_AT_ONCE=True)
    configure_request_logging(app)
    app.add_url_rule("/", view_func=lambda: str(1 / 0))
    ask(app, "/", headers={"X-Request-ID": "client-id-1"})
    record, line = lines_of(log)
    assert record["level"] == "ERROR"
    assert "ZeroDivisionError" in record["exception"]
    assert record["request_id"] == line["request_id"] == "client-id-1"
    assert capfd.readouterr() == ("", "")


class Collecting(logging.Handler):
    """Sends records elsewhere, as those of OpenTelemetry and Sentry do."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []
        form = "%(request_id)s%(trace_id).0s%(span_id).0s %(message)s"  # all three are there
        self.setFormatter(logging.Formatter(form))

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))


@no_handlers()
def test_handlers_that_send_records_elsewhere_silence_nothing_and_find_the_ids(log: Path) -> None:
    before, after, apart = Collecting(), Collecting(), Collecting()
    logger = logging.getLogger("apart")
    logger.propagate = False
    logger.handlers = [apart]
    logging.root.addHandler(before)
    app = logging_to(log, "elsewhere")

    @app.get("/own")
    def own() -> str:
        logger.warning("careful", extra={"trace_id": "its-own"})
        return ""

    app.add_url_rule("/", view_func=lambda: str(1 / 0))
    ask(app, "/", headers={"X-Request-ID": "client-id-1"})
    logging.root.addHandler(after)
    ask(app, "/", headers={"X-Request-ID": "client-id-2"})

    ask(app, "/own", headers={"X-Request-ID": "client-id-3"})
    assert before.records[0].startswith("client-id-1 Exception on / [GET]\n")
    assert [len(one.records) for one in (before, after, apart)] == [2, 1, 1]
    assert after.records[0].startswith("client-id-2 Exception on / [GET]\n")
    assert apart.records == ["client-id-3 careful"]
    errors = [line for line in lines_of(log) if line["level"] == "ERROR"]
    assert [line["request_id"] for line in errors] == ["client-id-1", "client-id-2"]


@no_handlers()
@pytest.mark.parametrize("when", ["before", "after", "dictConfig"])
def test_what_the_host_application_writes_to_the_console_is_not_written_twice(
    log: Path, when: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def configure() -> None:
        if when == "dictConfig":
            handler = {"class": "logging.StreamHandler", "formatter": "ours"}
            formats = {"ours": {"format": "%(request_id)s %(message)s"}}
            logging.config.dictConfig(
                {
                    "version": 1,
                    "disable_existing_loggers": False,
                    "formatters": formats,
                    "handlers": {"console": handler},
                    "root": {"handlers": ["console"]},
                }
            )
        else:
            console = logging.StreamHandler()
            console.setFormatter(logging.Formatter("%(request_id)s %(message)s"))
            logging.root.addHandler(console)

    if when == "before":
        configure()
    app = logging_to(log, "host")
    if when != "before":
        configure()

    @app.get("/")
    def view() -> str:
        app.logger.warning("careful")
        return ""

    ask(app, "/", headers={"X-Request-ID": "client-id-1"})
    assert capsys.readouterr().err == "client-id-1 careful\n"
    assert [line["message"] for line in lines_of(log)] == ["request_completed"]


@no_handlers()
@pytest.mark.parametrize("configure", ["dictConfig", "basicConfig"])
def test_a_file_that_the_host_application_logs_to_silences_nothing(
    log: Path, tmp_path: Path, configure: str
) -> None:
    app = logging_to(log, "host")
    theirs = str(tmp_path / "theirs")
    if configure == "dictConfig":
        file = {"class": "logging.FileHandler", "filename": theirs}
        root = {"handlers": ["file"]}
        config = {"version": 1, "disable_existing_loggers": False}
        logging.config.dictConfig(config | {"handlers": {"file": file}, "root": root})
    else:
        logging.basicConfig(filename=theirs, force=True)
    app.logger.warning("careful")
    for handler in logging.root.handlers:
        handler.close()
    assert [line["message"] for line in lines_of(log)] == ["careful"]
    assert "careful" in Path(theirs).read_text()


@no_handlers()
def test_two_applications_in_one_process_log_apart(tmp_path: Path) -> None:
    def view() -> str:
        logging.getLogger("a.library").warning("hello")
        return ""

    apps = []
    for name in ("one", "two"):
        app = Flask(name)
        app.config.update(LOG_FILE=str(tmp_path / name), LOG_AT_ONCE=True)
        configure_request_logging(app)
        app.add_url_rule("/", view_func=view)
        apps.append(app)
    for app in apps:
        ask(app, f"/?{app.name}")
    for name in ("one", "two"):
        hello, line = lines_of(tmp_path / name)
        assert hello["request_id"] == line["request_id"]


@no_handlers()
def test_the_development_servers_own_access_line_is_left_out(log: Path) -> None:
    logger = logging.getLogger("werkzeug")
    logging_to(log, "dev")
    logger.error('127.0.0.1 - - [now] "%s" %s %s', "GET / HTTP/1.1", "200", "-")
    logger.error(" * Running on http://127.0.0.1:5000")
    assert [line["message"] for line in lines_of(log)] == [" * Running on http://127.0.0.1:5000"]


@no_handlers()
def test_lines_for_people_are_lines_too(log: Path) -> None:
    app = logging_to(log, "text", LOG_FORMAT="text")

    @app.get("/with space")
    def view() -> str:
        g.client = "a b"
        try:
            raise ValueError("inner")
        except ValueError:
            app.logger.exception("first\nsecond")
        return ""

    ask(app, "/with space", headers={"X-Request-ID": "client-id-1"})
    *record, line = log.read_text().splitlines()
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} GET /with%20space 200 \d+\.\d+ ms 0 B client-id-1 client='a b'",
        line,
    )
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} ERROR text: first$", record[0])
    assert all(part.startswith("    ") for part in record[1:])
    assert record[-1] == "    ValueError: inner"


# -- configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("LOG_FORMAT", "yaml", "json, text"),
        ("LOG_LEVEL", "LOUD", "WARNING"),
        ("LOG_AT_ONCE", "soon", "true or false"),
        ("LOG_SLOW", "soon", "is not a number of seconds"),
        ("LOG_SKIP", 5, "is not a list"),
        ("LOG_PATH", "url", "is not one of path, rule"),
        ("LOG_START", "often", "is not true or false"),
        ("LOG_FIELDS", "severity", "is not a mapping"),
        ("LOG_FIELDS", {"levle": "severity"}, "is not a member of a line; did you mean level"),
        ("LOG_FIELDS", {"level": ""}, "is not a name"),
        ("LOG_FIELDS", {"level": "status"}, "is the name of two members"),
        ("LOG_FILE", 3, "is not a path; for example - or"),
        ("LOG_FILE", False, "is not a path; for example - or"),
        ("LOG_FILE", "\0", "is not a file that can be written to"),
        ("SECURITY_LOG_FILE", 0, "is not a path; for example - or"),
        ("LOG_FILE", "/no/such/folder/log", "No such file or directory"),
        ("SECURITY_LOG_FILE", "/no/such/folder/log", "No such file or directory"),
    ],
)
def test_a_wrong_key_is_refused_with_its_remedy(key: str, value: object, remedy: str) -> None:
    app = Flask("service")
    app.config[key] = value
    with pytest.raises(ValueError, match=f"^{key}: .*{remedy}.*"):
        configure_request_logging(app)


def test_the_start_and_the_rule_of_a_request_are_not_logged_together() -> None:
    app = Flask("service")
    app.config.update(LOG_START=True, LOG_PATH="rule")
    with pytest.raises(ValueError, match=r"^LOG_START: True and LOG_PATH rule: no route is known"):
        configure_request_logging(app)


def test_the_file_needs_nothing_of_the_service_but_its_engine() -> None:
    tree = ast.parse(Path(str(MODULE.__file__)).read_text(encoding="utf-8"))
    imported = {
        "." * node.level + (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert imported - sys.stdlib_module_names == {"flask", "_typeshed", ".engine"}


def test_beside_the_standard_librarys_logging_it_says_how_to_be_named(tmp_path: Path) -> None:
    shutil.copy(str(MODULE.__file__), tmp_path / "logging.py")
    result = subprocess.run(
        [sys.executable, "-c", "import logging"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "request_logging.py" in result.stderr
    assert result.returncode == 1
