"""Wrong answers: at a real terminal, without one, with --no-input, --replay and cruft."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bakes import bake, clean_environment, run, settings, template
from tests.parts import require
from tests.terminal import Terminal, terminal

COOKIECUTTER: list[str | Path] = [sys.executable, "-m", "cookiecutter"]
WRONG = {"project_slug": "order service", "cors_origins": "app.example.com", "rate_limits": "many"}
RIGHT = {
    "project_slug": "orders",
    "cors_origins": "https://app.example.com",
    "rate_limits": "10/second",
}
LIST = """\
These answers have to change:
project_slug: 'order service' is not a folder name; write letters, digits, - or _: order-service
cors_origins: 'app.example.com' has no scheme; write https:// or http:// before it
rate_limits: 'many' is not a limit; write 1 or more per second, minute, hour, day, month or year: \
200 per hour;50 per minute
"""
BAKED = {
    "CORS_ORIGINS": ["https://app.example.com"],
    "RATELIMIT_DEFAULT": "10/second",
    "TRUSTED_PROXIES": 0,
    "RATELIMIT_KEY_PREFIX": "orders",
}
WAITS = r"\):"  # the end of a question

posix = pytest.mark.skipif(os.name == "nt", reason="there is no tmux on Windows")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The template as a git repository, for cruft."""
    folder = tmp_path / "repository"
    shutil.copytree(template(), folder)
    git: list[str | Path] = [
        require("git"),
        "-c",
        "user.name=Tests",
        "-c",
        "user.email=tests@example.com",
    ]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "One version"]):
        run([*git, *arguments], folder)
    return folder


@pytest.fixture
def at_a_terminal(tmp_path: Path) -> Iterator[Terminal]:
    """cookiecutter asks its first question."""
    command = [*COOKIECUTTER, template()]
    with terminal(command, tmp_path, clean_environment(tmp_path)) as one:
        yield one


def answer(one: Terminal, *lines: str) -> None:
    """Type a line at each question."""
    for line in lines:
        before = one.wait(WAITS)
        one.type(line)
        while one.screen() == before:
            pass


@posix
def test_a_person_with_three_wrong_answers_types_each_of_them_once_more_and_nothing_else(
    at_a_terminal: Terminal, tmp_path: Path
) -> None:
    answer(at_a_terminal, "Order Service", WRONG["project_slug"], "")
    answer(at_a_terminal, WRONG["cors_origins"], WRONG["rate_limits"], "")
    screen = at_a_terminal.wait(WAITS)
    assert LIST.splitlines()[1] == screen[-2]
    answer(at_a_terminal, *RIGHT.values())
    screen = at_a_terminal.wait(r"\[status 0\]")
    assert screen[-5:] == [
        "Next:",
        "    cd orders",
        "    make run",
        "    curl -i http://127.0.0.1:5000/api/ping",
        "[status 0]",
    ]
    assert "Traceback" not in "\n".join(screen)
    assert settings(tmp_path / "orders") == BAKED

    shutil.rmtree(tmp_path / "orders")  # what was recorded are the right answers
    home = clean_environment(tmp_path)
    again = subprocess.run([*COOKIECUTTER, "--replay", template()], cwd=tmp_path, env=home)
    assert again.returncode == 0
    assert settings(tmp_path / "orders") == BAKED


@posix
def test_an_answer_that_stays_wrong_is_asked_for_until_it_is_right(
    at_a_terminal: Terminal, tmp_path: Path
) -> None:
    answer(at_a_terminal, "", "", "", "*", "", "")
    answer(at_a_terminal, "https://*", "https://*.example.com")
    screen = at_a_terminal.wait(r"\[status 0\]")
    why = [line for line in screen if line.startswith("cors_origins: ")]
    assert len(why) == 2 and "https://*.example.com" in why[1]
    assert settings(tmp_path / "flask-service")["CORS_ORIGINS"] == ["https://*.example.com"]


@posix
def test_no_input_asks_nobody_at_a_terminal_either(tmp_path: Path) -> None:
    wrong = [f"{name}={text}" for name, text in WRONG.items()]
    command = [*COOKIECUTTER, template(), "--no-input", *wrong]
    with terminal(command, tmp_path, clean_environment(tmp_path)) as one:
        screen = one.wait(r"\[status 1\]")
    assert "".join(screen[-6:-1]) == LIST.replace("\n", "")  # the last line is broken in two


@pytest.mark.parametrize("typed", [None, "\norder service\n\napp.example.com\nmany\n\n"])
def test_where_nobody_can_be_asked_all_wrong_answers_are_listed_last(
    tmp_path: Path, typed: str | None
) -> None:
    result = bake(tmp_path / "out", None if typed else WRONG, typed=typed)
    assert result.returncode == 1
    assert result.stderr == LIST
    assert "Traceback" not in result.stdout
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "home" / ".cookiecutter_replay").exists()


def test_what_is_replayed_is_looked_at_too(tmp_path: Path) -> None:
    assert bake(tmp_path / "out", RIGHT).returncode == 0
    shutil.rmtree(tmp_path / "out")
    recorded = next((tmp_path / "home" / ".cookiecutter_replay").iterdir())
    text = recorded.read_text(encoding="utf-8")
    recorded.write_text(text.replace("10/second", "many").replace("https://a", "a"), "utf-8")
    result = bake(tmp_path / "out", None, "--replay")
    assert result.returncode == 1
    assert "cors_origins: 'app.example.com' has no scheme" in result.stderr
    assert "rate_limits: 'many' is not a limit" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_cruft_lists_all_wrong_answers_last_and_writes_nothing(
    repository: Path, tmp_path: Path
) -> None:
    create = ["-m", "cruft", "create", str(repository), "--no-input"]
    result = subprocess.run(
        [sys.executable, *create, "--extra-context", json.dumps(WRONG)],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr == LIST
    assert {path.name for path in tmp_path.iterdir()} == {"repository"}


def test_a_program_that_bakes_may_have_removed_the_template_of_its_first_bake(
    tmp_path: Path,
) -> None:
    """The module of the first one is still imported."""
    code = (
        "import shutil, sys; from cookiecutter.main import cookiecutter\n"
        "for name in ('one', 'two'):\n"
        "    folder = shutil.copytree(sys.argv[1], name + '/template')\n"
        "    cookiecutter(folder, no_input=True, output_dir=name + '/out', default_config=True)\n"
        "    shutil.rmtree(folder)\n"
        "try:\n"
        "    cookiecutter(sys.argv[1], no_input=True, extra_context={'trusted_proxies': 'x'})\n"
        "except SystemExit as stop:\n"
        "    print(stop)\n"
    )
    done = run([sys.executable, "-c", code, template()], tmp_path)
    for name in ("one", "two"):
        assert (tmp_path / name / "out/flask-service/app/config.py").is_file()
    last = done.stdout.splitlines()[-1]
    assert last.startswith("trusted_proxies: 'x' is not a whole number")
