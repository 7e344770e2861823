"""What the benchmark compares is comparable: nobody in it is fast by leaving work out."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from benchmarks import against, chart
from benchmarks.checks import NotDone, check, check_wsgi, wsgi_sender
from benchmarks.contenders import ALL, ORIGIN, Settings, build
from benchmarks.in_process import Failed, Seat, in_turns, workers
from benchmarks.over_http import Entry, load, serving
from benchmarks.report import with_figures
from benchmarks.wsgi_client import KINDS, LIMITED, Answer
from tests.parts import require
from tests.servers import SERVICE, TEMPLATE

REQUIREMENT = re.compile(r'"([A-Za-z][\w.\[\],-]*>=[^";]*)')
OURS = ["four", "eight", "generated", *(f"only {part}" for part in ALL)]
RECIPES = ["recipe", "recipe+talisman"]


@pytest.mark.parametrize("name", ["bare", "floor", *OURS])
def test_each_contender_of_ours_does_its_work(name: str, tmp_path: Path) -> None:
    with workers(Path(sys.executable), tmp_path, [Seat(name, name, {})], check=True) as group:
        assert in_turns(group, ["plain"], rounds=1, requests=3)["plain"].median(name) > 0


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_does_its_work(name: str, tmp_path: Path) -> None:
    with workers(Path(sys.executable), tmp_path, [Seat(name, name, {})], check=True) as group:
        assert in_turns(group, ["plain"], rounds=1, requests=3)["plain"].median(name) > 0


def test_every_kind_of_request_gets_its_status(tmp_path: Path) -> None:
    with workers(Path(sys.executable), tmp_path, [Seat("four", "four", {})], check=True) as group:
        assert set(in_turns(group, KINDS, rounds=1, requests=3)) == set(KINDS)


def test_an_answer_of_another_status_stops_the_run(tmp_path: Path) -> None:
    with (
        workers(Path(sys.executable), tmp_path, [Seat("bare", "bare", {})], check=False) as group,
        pytest.raises(Failed),
    ):
        in_turns(group, ["429"], rounds=1, requests=3)  # bare Flask refuses nobody


@pytest.mark.parametrize("missing", ["log", "headers", "cors", "limit", "id", "key"])
def test_a_contender_that_leaves_work_out_stops_the_run(missing: str, tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    app = build("bare", Settings(log))
    with pytest.raises(NotDone, match="bare does not do its work"):
        check("bare", frozenset({missing}), wsgi_sender(app), log)


@pytest.mark.parametrize(
    "answer",
    [
        Answer("200", {"access-control-allow-origin": "*"}, b'{"message": "pong"}'),
        Answer("200", {"access-control-allow-origin": ORIGIN}, b'{"message": "pong"}'),
        Answer("500", {}, b""),
        Answer("200", {}, b"{}"),
    ],
    ids=["every origin", "the same answer to another origin", "an error", "another body"],
)
def test_an_answer_that_only_looks_right_is_found(answer: Answer, tmp_path: Path) -> None:
    with pytest.raises(NotDone):
        check("fake", frozenset({"cors"}), lambda *_: answer, tmp_path / "none.log")


def test_a_contender_checked_in_this_process_is_the_one_that_runs(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    check_wsgi("bare", build("bare", Settings(log)), log)


def test_a_server_is_loaded_and_no_request_fails(tmp_path: Path) -> None:
    require("wrk")
    entry = Entry("gunicorn gthread", "generated")
    with serving(entry, Path(sys.executable), tmp_path) as server:
        seen = load(server, seconds=1, connections=2)
    assert seen["requests"] > 0 and seen["failed"] == 0


ONCE = against.Effort(generations=1, rounds=1)


def test_two_checkouts_are_asked_the_same_in_turns(tmp_path: Path) -> None:
    case = against.Case("decorated", ("plain", *LIMITED))
    rows = against.measure_case(Path(sys.executable), tmp_path, SERVICE, case, ONCE)
    assert [row["scenario"] for row in rows] == ["plain", *LIMITED]
    assert all(row["new_to_old"] > 0 and row["old_to_itself"] > 0 for row in rows)


def test_the_other_checkout_is_measured_with_its_own_app(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").touch()  # an app without middleware
    case = against.Case("only security", ("plain",))
    with pytest.raises(Failed, match="old ended"):
        against.measure_case(Path(sys.executable), tmp_path, tmp_path, case, ONCE)


def test_a_path_without_a_service_is_refused(tmp_path: Path) -> None:
    assert against.service_of(TEMPLATE) == SERVICE
    with pytest.raises(Failed, match="name a checkout"):
        against.service_of(tmp_path)


def test_the_benchmark_installs_what_the_service_ships() -> None:
    """In the same ranges; what its tests need aside."""
    text = (SERVICE / "pyproject.toml").read_text(encoding="utf-8")
    shipped = set(REQUIREMENT.findall(text.partition("[project]")[2].partition("\ndev = [")[0]))
    assert shipped
    listed = (TEMPLATE / "benchmarks" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert shipped <= set(listed)


def test_the_chart_and_the_page_show_the_committed_results() -> None:
    results = json.loads((TEMPLATE / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    page = (TEMPLATE / "docs" / "performance.md").read_text(encoding="utf-8")
    assert (TEMPLATE / "docs" / "benchmark.svg").read_text(encoding="ascii") == chart.draw(results)
    assert with_figures(page, results) == page
    assert not results["quick"]


def test_results_name_no_machine() -> None:
    text = (TEMPLATE / "benchmarks" / "results.json").read_text(encoding="utf-8")
    assert os.uname().nodename not in text
    assert "/home" not in text and "/root" not in text and "/tmp" not in text
