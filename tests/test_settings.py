"""Every configuration key that the code reads is in the tables, and the reverse."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from tests.middlewares import ENGINE, Middleware
from tests.servers import SERVICE
from tests.settings_page import CHECKS, PAGE, WITH_KEYS, page

FILES = WITH_KEYS
KEY = re.compile(
    r"PRODUCTION|FIRST_PAGE|CHECKS_[A-Z]+|"
    r"(CORS|RATELIMIT|LOG|SECURITY|JWT|API_KEY|REQUEST|BLOCKED|TRUSTED|MAX)_?[A-Z_]*[A-Z]"
)
# Names that look like a key of ours, and are not.
FLASKS = {"REQUEST_METHOD", "MAX_COOKIE_SIZE"}
COOKIES = re.compile("(SESSION|REMEMBER)_COOKIE_[A-Z]+")  # Flask's and Flask-Login's


def strings(path: Path) -> set[str]:
    """The strings of a file that look like a key, its docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if KEY.fullmatch(node.value)
    }


@pytest.mark.parametrize("one", FILES, ids=lambda one: one.name)
def test_the_table_of_a_file_has_every_key_that_it_reads(one: Middleware) -> None:
    documented = {key for other in FILES for key in other.keys}
    assert strings(one.path) - documented - FLASKS - refused_by_name() == set()


def refused_by_name() -> set[str]:
    """Keys of Flask-Limiter that are not offered here."""
    text = (ENGINE.parent / "rate_limiting.py").read_text(encoding="utf-8")
    (table,) = (
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NOT_OFFERED"
    )
    return set(ast.literal_eval(table))


@pytest.mark.parametrize("one", FILES, ids=lambda one: one.name)
def test_a_file_reads_every_key_of_its_table(one: Middleware) -> None:
    paths = [one.path] if one is not CHECKS else sorted(one.path.parent.glob("*.py"))
    code = "".join(ast.unparse(without_docstring(path)) for path in paths)
    beginnings, ends = re.findall("'([A-Z_]+_)'", code), re.findall(r"\{prefix\}([A-Z_]+)", code)
    made = {beginning + end for beginning in beginnings for end in ends}
    assert one.keys
    assert [key for key in one.keys if key not in code and key not in made] == []


def without_docstring(path: Path) -> ast.Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return ast.Module(tree.body[1:], [])


def test_config_py_sets_only_documented_keys() -> None:
    documented = {key for one in FILES for key in one.keys}
    tree = ast.parse((SERVICE / "app" / "config.py").read_text(encoding="utf-8"))
    names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    cookies = {name for name in names if COOKIES.fullmatch(name)}
    assert names - documented - cookies - {"SECRET_KEY", "TESTING"} == set()


def test_flask_check_knows_every_key_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SERVICE))
    operation = importlib.import_module("app.checks.operation")
    known = operation.documented_keys(SERVICE / "app")
    assert sorted(known) == sorted({key for one in FILES for key in one.keys})


@pytest.mark.parametrize("path", sorted(ENGINE.glob("*.py")), ids=lambda path: path.stem)
def test_the_engine_knows_no_key(path: Path) -> None:
    assert strings(path) - FLASKS == set()


def test_env_example_explains_every_key() -> None:
    text = (SERVICE / ".env.example").read_text(encoding="utf-8")
    missing = [
        key for one in FILES for key in one.keys if not re.search(rf"(\bFLASK_|\b){key}\b", text)
    ]
    assert missing == []
    named = set(re.findall(r"FLASK_([A-Z_]+)=", text))
    ours = {key for one in FILES for key in one.keys} | {"SECRET_KEY"}
    assert {name for name in named - ours if not COOKIES.fullmatch(name)} == set()


def test_the_settings_page_is_made_from_the_docstrings() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.settings_page"
