"""Every configuration key that the code reads is in the tables, and the reverse."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.middlewares import MIDDLEWARES, TOKENS, Middleware
from tests.servers import SERVICE
from tests.settings_page import CHECKS, PAGE, page

FILES = (*MIDDLEWARES, TOKENS, CHECKS)
KEY = re.compile(
    r"PRODUCTION|CHECKS_[A-Z]+|"
    r"(CORS|RATELIMIT|LOG|SECURITY|JWT|API_KEY|REQUEST|BLOCKED|TRUSTED|MAX)_?[A-Z_]*[A-Z]"
)
# Keys of Flask itself and of Flask-Limiter that are set, checked or refused, but are not settings
# of ours to document; Flask-Limiter's are refused by name.
FLASKS = {
    "REQUEST_METHOD",
    "MAX_COOKIE_SIZE",
    "RATELIMIT_IN_MEMORY_FALLBACK",
    "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED",
}


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
    assert strings(one.path) - documented - FLASKS == set()


@pytest.mark.parametrize("one", FILES, ids=lambda one: one.name)
def test_a_file_reads_every_key_of_its_table(one: Middleware) -> None:
    text = one.path.read_text(encoding="utf-8").replace(one.docstring, "")
    code = text[text.index('"""', text.index('"""') + 3) :]
    assert one.keys
    assert [key for key in one.keys if key not in code] == []


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
    assert names - documented - {"SECRET_KEY", "TESTING"} == set()


def test_flask_check_knows_every_key_and_no_other() -> None:
    tree = ast.parse(CHECKS.path.read_text(encoding="utf-8"))
    (known,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "KNOWN"
    )
    (text,) = (node.value for node in ast.walk(known) if isinstance(node, ast.Constant))
    assert isinstance(text, str)
    assert sorted(text.split()) == sorted({key for one in FILES for key in one.keys})


def test_env_example_explains_every_key() -> None:
    text = (SERVICE / ".env.example").read_text(encoding="utf-8")
    missing = [key for one in FILES for key in one.keys if f"FLASK_{key}=" not in text]
    assert missing == []
    named = set(re.findall(r"FLASK_([A-Z_]+)=", text))
    assert named - {key for one in FILES for key in one.keys} - {"SECRET_KEY"} == set()


def test_the_settings_page_is_made_from_the_docstrings() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.settings_page"
