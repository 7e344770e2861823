"""What the benchmark compares is comparable: nobody in it is fast by leaving work out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from benchmarks import against, chart, goals, noise
from benchmarks.__main__ import options_of
from benchmarks.checks import NotDone, check, check_wsgi, lines, wsgi_sender
from benchmarks.contenders import build
from benchmarks.duties import ORIGIN, Settings
from benchmarks.entries import Entry, on_redis, one_process
from benchmarks.in_process import BUILD, Failed, Seat, in_turns, python_environment, workers
from benchmarks.load import load
from benchmarks.ours import ALL
from benchmarks.over_http import serving
from benchmarks.publish import CHART, PAGE, RESULTS, committed_elsewhere, publish
from benchmarks.report import rows_of_goals, with_figures
from benchmarks.runs import as_text, read, together
from benchmarks.store import Store
from benchmarks.wsgi_client import KINDS, LIMITED, THE_ONE, Answer
from tests.parts import require
from tests.servers import SERVICE, TEMPLATE, redis

REQUIREMENT = re.compile(r'"([A-Za-z][\w.\[\],-]*>=[^";]*)')
OURS = ["four", "eight", "generated", "decorated", *(f"only {part}" for part in ALL)]
RECIPES = ["recipe", "recipe+talisman"]
ONE_BLOCK = """
import os, sys
from pathlib import Path
from benchmarks.contenders import build
from benchmarks.duties import Settings
from benchmarks.wsgi_client import Client
import app.middleware.engine.writer as writer
writer.GATHER_SECONDS = 60
Client(build("only logging", Settings(Path(sys.argv[1])))).block("plain", 5)
os._exit(0)  # nothing is written at the end
"""


@pytest.mark.parametrize("name", ["bare", "floor", "floor: logging", *OURS])
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


def test_a_block_pays_for_the_lines_that_it_leaves_to_the_writer(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    command = [sys.executable, "-c", ONE_BLOCK, str(log)]
    subprocess.run(command, cwd=TEMPLATE, env=python_environment(), check=True, timeout=30)
    assert len(log.read_bytes().splitlines()) == 5


def test_an_answer_of_another_status_stops_the_run(tmp_path: Path) -> None:
    with (
        workers(Path(sys.executable), tmp_path, [Seat("open", "bare", {})], check=False) as group,
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


def test_each_contenders_line_of_a_request_is_counted_and_no_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ours = b'{"message": "request_completed", "path": "/api/ping", "status": 200}'
    pinos = b'{"req": {"url": "/api/ping"}, "res": {"statusCode": 200}}'
    other = b'{"message": "GET /api/ping has no limit"}'
    log.write_bytes(b"\n".join([ours, pinos, other]))
    assert lines(log) == 2


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


def test_the_chart_and_the_page_show_the_committed_runs() -> None:
    runs = read(RESULTS)
    page = PAGE.read_text(encoding="utf-8")
    assert CHART.read_text(encoding="ascii") == chart.draw(runs)
    assert with_figures(page, runs, committed_elsewhere()) == page
    assert len(runs) >= 5 and not any(run["quick"] for run in runs)


def test_results_name_no_machine() -> None:
    text = RESULTS.read_text(encoding="utf-8")
    assert f'"{os.uname().nodename}"' not in text
    assert "/home" not in text and "/root" not in text and "/tmp" not in text


@pytest.mark.parametrize(
    "runs", [[{"quick": False}] * 4, [{"quick": False}] * 5 + [{"quick": True}]]
)
def test_a_page_is_made_of_five_full_runs_at_least(runs: list[dict[str, Any]]) -> None:
    with pytest.raises(Failed, match="5 full runs"):
        publish(runs)


def test_every_run_is_kept_as_it_was(tmp_path: Path) -> None:
    runs = [
        {"quick": False, "bake": {"s": n}, "stacks": [{"us": 1.5, "to": None}]} for n in range(3)
    ]
    (tmp_path / "kept.json").write_text(as_text(runs), encoding="utf-8")
    assert read(tmp_path / "kept.json") == runs


def test_a_table_shows_the_median_of_the_runs() -> None:
    runs = [{"part": [{"what": "a", "us": us, "pair": [us, 1.0]}]} for us in (3.0, 1.0, 2.0)]
    assert together(runs, "part") == [{"what": "a", "us": 2.0, "pair": [2.0, 1.0]}]


def test_runs_that_measured_different_things_are_not_mixed() -> None:
    runs = [{"part": [{"what": what, "us": 1.0}]} for what in ("a", "b")]
    with pytest.raises(Failed, match="different versions"):
        together(runs, "part")


@pytest.mark.parametrize(
    ("measured", "bound", "is_met"),
    [
        ((1.4, 1.5, 9.0), "<= 1.50", True),
        ((1.4, 1.51, 1.6), "<= 1.50", False),
        ((0.1, 0.9, 0.95), ">= 0.90", True),
        ((0.3,), "-", None),
    ],
)
def test_a_goal_is_met_when_the_median_of_the_runs_is(
    measured: tuple[float, ...], bound: str, is_met: bool | None
) -> None:
    assert goals.Reached("a ratio", measured, bound).is_met is is_met


def test_figures_of_another_machine_stand_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goals, "goals", lambda run: [goals.Goal("a ratio", run["x"], "<= 1.00")])
    here, there = {"x": 0.5}, {"x": 2, "machine": {"processor": "Another"}}
    head, row = rows_of_goals([here], [there])
    assert head[-2:] == ["on Another, 1 runs", "met there"]
    assert row == ["a ratio", "0.50", "0.50 to 0.50", "<= 1.00", "yes", "2.00", "NO"]


def test_kept_runs_are_shown_without_measuring_again() -> None:
    assert options_of([]).runs == 1
    assert options_of(["--results", "kept.json"]).runs == 0
    assert options_of(["--results", "kept.json", "--runs", "2"]).runs == 2


def test_a_part_that_does_not_exist_is_refused() -> None:
    assert options_of(["--against", "..", "--only", "http"]).only == ["http"]
    with pytest.raises(SystemExit):
        options_of(["--only", "http"])


def test_what_a_request_asks_of_redis_is_heard() -> None:
    require("redis-server")
    BUILD.mkdir(exist_ok=True)
    with redis() as server, Redis(port=server.port, decode_responses=True) as client:
        words = Store(server.port, client, Path(sys.executable)).question("7 per minute")
    assert words[0].upper() in ("EVALSHA", "FCALL")
    assert THE_ONE in words[3], "the first key"


@pytest.mark.parametrize(
    ("idle", "steal", "too_noisy"),
    [
        (100, 0, []),
        (90, 0, ["others"]),
        (100, 2, ["steal"]),
    ],
)
def test_a_run_on_a_machine_that_others_use_is_named_so(
    idle: int, steal: int, too_noisy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [noise.Ticks(n * 100, n * idle, 0, n * steal) for n in range(6)]
    monkeypatch.setattr(noise, "ticks", lambda: seen.pop(0))
    monkeypatch.setattr(noise, "loop_ms", lambda: 20.0)
    monkeypatch.setattr(noise, "WATCHED_SECONDS", 0)
    watch = noise.Noise(start=noise.ticks())
    watch.pause()
    watch.pause()
    assert watch.found()["too_noisy"] == too_noisy


def test_servers_that_stand_ready_together_are_told_apart() -> None:
    for entries in (one_process(), on_redis("redis://127.0.0.1:1")):
        assert len({entry.label for entry in entries}) == len(entries)
