"""No line of create_app() can go, or move where its place matters, unnoticed.

Here the generated test file itself is on trial: each mutant of create_app() must be caught by it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bakes import clean_environment
from tests.servers import SERVICE, compiled

SOURCE = (SERVICE / "app" / "__init__.py").read_text(encoding="utf-8")
LINES = re.findall(r"^    ((?:configure|register)_\w+)\(app\b", SOURCE, re.M)
MATTERS = [  # (this, must come before that)
    ("configure_rate_limiting", "configure_user_agent_blocking"),
    ("configure_rate_limiting", "configure_authentication"),
    ("configure_rate_limiting", "configure_request_validation"),
    ("configure_user_agent_blocking", "configure_authentication"),
    ("configure_authentication", "configure_request_validation"),
]


def statement(function: str) -> str:
    (found,) = re.findall(rf"^    {function}\(app\b.*\n", SOURCE, re.M)
    return str(found)


def without(function: str) -> str:
    return SOURCE.replace(statement(function), "")


def moved_behind(function: str, other: str) -> str:
    return without(function).replace(statement(other), statement(other) + statement(function))


def outcome(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the generated test file against this create_app()."""
    shutil.copytree(compiled() / "app", folder / "app")
    (folder / "app" / "__init__.py").write_text(source, encoding="utf-8")
    (folder / "tests").mkdir()
    for name in ("__init__.py", "conftest.py", "promises.py", "test_create_app.py"):
        shutil.copy(SERVICE / "tests" / name, folder / "tests" / name)
    shutil.copy(SERVICE / "pyproject.toml", folder)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "tests"]
    env = clean_environment(folder)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_the_list_of_lines_is_complete() -> None:
    assert len(LINES) >= 11
    assert len(LINES) == len(re.findall(r"^    (?:configure|register)_", SOURCE, re.M))
    assert {name for pair in MATTERS for name in pair} <= set(LINES)


def test_the_tests_pass_while_every_line_is_in_its_place(tmp_path: Path) -> None:
    result = outcome(SOURCE, tmp_path)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("function", LINES)
def test_no_line_can_be_removed_unnoticed(function: str, tmp_path: Path) -> None:
    result = outcome(without(function), tmp_path)
    assert result.returncode == 1, result.stdout
    assert " failed" in result.stdout or " error" in result.stdout


@pytest.mark.parametrize(("function", "other"), MATTERS)
def test_no_line_can_be_moved_unnoticed(function: str, other: str, tmp_path: Path) -> None:
    result = outcome(moved_behind(function, other), tmp_path)
    assert result.returncode == 1, result.stdout
    assert " failed" in result.stdout
