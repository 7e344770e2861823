"""The alert rules and the dashboard: valid, tried, and about metrics that a service has."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.metrics import ON, scrape, values
from tests.parts import require
from tests.prometheus import asked, prometheus
from tests.servers import SERVICE, Server, gunicorn, redis, until

DEPLOY = SERVICE / "deploy"
RULES = (DEPLOY / "alerts.yml").read_text("utf-8")
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
OF_PROMETHEUS = {"up", "job_reason:http_requests_refused:rate5m"}  # itself, and a recorded one
METRIC = re.compile(r"\b(?:[a-z_:]*(?:http_request|rate_limit_store|log_lines)[a-z0-9_:]*|up)\b")
NOT_METRICS = {"rate_limited"}


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    command = [require("promtool"), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with redis() as store:
        env = {**ON, "FLASK_RATELIMIT_STORAGE_URI": f"redis://127.0.0.1:{store.port}/0"}
        with gunicorn(env={**env, "WEB_CONCURRENCY": "2"}) as server:
            for path in ("/api/ping", "/nowhere"):
                ask(server, path)
            until(lambda: len(values(scrape(server.port), "http_request_duration_seconds_count")))
            yield server


def ask(server: Server, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", path)
    with connection.getresponse() as response:
        response.read()
    connection.close()
    return response.status


def test_the_rules_are_valid_and_each_alert_comes_when_it_should() -> None:
    assert "7 rules found" in promtool("check", "rules", DEPLOY / "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", DEPLOY / "alerts-test.yml")
    alerts = re.findall(r"- alert: (\w+)", RULES)
    tried = (DEPLOY / "alerts-test.yml").read_text("utf-8")
    for alert in alerts:
        assert re.search(rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels", tried), alert


def test_what_a_service_exposes_is_in_the_form_that_prometheus_recommends(service: Server) -> None:
    assert promtool("check", "metrics", text=scrape(service.port)) == ""


def test_rules_and_dashboard_ask_for_metrics_that_a_service_has(service: Server) -> None:
    text = scrape(service.port)
    exposed = {line.partition(" ")[0].partition("{")[0] for line in text.splitlines()} - {"#"}
    expressions = "\n".join([*QUERIES, *re.findall(r"expr: (.*(?:\n {10,}.*)*)", RULES)])
    found = set(METRIC.findall(expressions)) - NOT_METRICS
    assert len(found) >= 8
    assert found <= exposed | OF_PROMETHEUS


def test_rules_and_dashboard_ask_for_labels_that_a_service_has(service: Server) -> None:
    text = scrape(service.port)
    reasons = set(re.findall(r'reason="(\w+)"', text))
    asked_for = re.findall(r'reason=~"([\w|]+)"', RULES)
    assert asked_for and {name for one in asked_for for name in one.split("|")} <= reasons
    labels = {name for one in QUERIES for name in re.findall(r"by \(([\w, ]+)\)", one)}
    known = {"method", "rule", "status", "reason", "le", "instance", "job"}
    assert {name for one in labels for name in one.split(", ")} <= known


def test_every_panel_of_the_dashboard_has_a_place_a_name_and_a_valid_query() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({p["title"] for p in panels}) == 10
    taken = [
        (x, y)
        for panel in panels
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken)) and max(x for x, _ in taken) < 24
    for query in QUERIES:
        expression = query.replace("$__rate_interval", "1m").replace("$job", "shop")
        rule = {"groups": [{"name": "x", "rules": [{"record": "x", "expr": expression}]}]}
        promtool("check", "rules", "/dev/stdin", text=json.dumps(rule))


@pytest.mark.real
def test_a_prometheus_reads_a_service_and_answers_every_query(
    service: Server, tmp_path: Path
) -> None:
    """And says that the store is away when it is: the rule is loaded, and its alert waits."""
    with prometheus(service.port, tmp_path) as server:
        until(lambda: asked(server, "query", query="up")["result"][0]["value"][1] == "1")
        until(lambda: asked(server, "query", query="rate_limit_store_up")["result"])
        for _ in range(30):
            ask(service, "/api/ping")
        until(lambda: asked(server, "query", query=QUERIES_OF_REQUESTS)["result"])
        for query in QUERIES:
            asked(server, "query", query=query.replace("$__rate_interval", "1m"))
        groups = asked(server, "rules")["groups"]
        assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}


QUERIES_OF_REQUESTS = 'sum(rate(http_request_duration_seconds_count{job="shop"}[1m])) > 0'
