"""Each middleware file can be copied alone into a service that exists, as its docstring says."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.bakes import run
from tests.middlewares import MIDDLEWARES, Middleware

SHOP = '''"""A service that exists already: three routes, and nothing of ours."""

from __future__ import annotations

from flask import Flask, abort

from shop.middleware.{name} import {function}


def create_app() -> Flask:
    app = Flask(__name__)
    {line}

    @app.get("/")
    def home() -> str:
        return "the shop"

    @app.get("/api/tea")
    def tea() -> dict[str, str]:
        return {"tea": "green"}

    @app.get("/gone")
    def gone() -> str:
        abort(410)

    return app
'''
SETTINGS = '[tool.pytest.ini_options]\npythonpath = ["."]\nfilterwarnings = ["error"]\n'


def copy_alone(one: Middleware, folder: Path) -> Path:
    """A new service with this file, its test and the docstring's one line."""
    package = folder / "shop"
    (package / "middleware").mkdir(parents=True)
    (folder / "tests").mkdir()
    text = SHOP
    for mark, value in (("name", one.name), ("function", one.function), ("line", one.line)):
        text = text.replace("{" + mark + "}", value)
    (package / "__init__.py").write_text(text, encoding="utf-8")
    (package / "middleware" / "__init__.py").touch()
    shutil.copy(one.path, package / "middleware")
    test = one.test.read_text(encoding="utf-8")
    assert test.count("app.middleware") == 1, "more than one line to change"
    test = test.replace("app.middleware", "shop.middleware")
    (folder / "tests" / one.test.name).write_text(test, encoding="utf-8")
    (folder / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
    return folder


PYTEST = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
SERVE = (
    "from shop import create_app; c = create_app().test_client(); "
    "assert [c.get(p).status_code for p in ('/', '/api/tea', '/gone')] == [200, 200, 410]"
)


@pytest.mark.parametrize("one", MIDDLEWARES, ids=lambda one: one.name)
def test_a_file_copied_alone_passes_its_own_test_and_serves(
    one: Middleware, tmp_path: Path
) -> None:
    folder = copy_alone(one, tmp_path)
    run([sys.executable, *PYTEST], folder)
    run([sys.executable, "-c", SERVE], folder)


def test_files_copied_alone_satisfy_a_strict_type_checker(tmp_path: Path) -> None:
    for one in MIDDLEWARES:
        folder = copy_alone(one, tmp_path / one.name)
        command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
        run([*command, "--cache-dir", tmp_path / "cache", "shop"], folder)


@pytest.mark.parametrize("one", MIDDLEWARES, ids=lambda one: one.name)
def test_a_file_imports_nothing_but_what_its_docstring_asks_for(one: Middleware) -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(one.path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "app"]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    asked = {requirement.partition(">")[0].lower() for requirement in one.requirements}
    brought = {
        "flask": {"werkzeug", "click", "jinja2", "itsdangerous"},
        "flask-limiter": {"limits"},
    }
    allowed = asked.union(*(brought.get(name, set()) for name in asked))
    distributions = packages_distributions()
    for name in imported - sys.stdlib_module_names - {"_typeshed"}:
        owners = {owner.lower() for owner in distributions.get(name, [name])}
        assert owners & allowed, f"{one.name}.py imports {name}, which its docstring does not name"
    assert len(asked - {"flask", "redis"}) <= 1, "Flask and at most one extension"


@pytest.mark.parametrize("name", ["logging"])
def test_a_file_that_would_hide_the_standard_librarys_says_so(name: str, tmp_path: Path) -> None:
    one = next(one for one in MIDDLEWARES if one.name == name)
    shutil.copy(one.path, tmp_path)
    (tmp_path / "app.py").write_text("import flask\napp = flask.Flask('app')\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "import app"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode != 0
    assert "request_logging.py" in done.stderr.splitlines()[-1], done.stderr


@pytest.mark.parametrize(
    "one", [one for one in MIDDLEWARES if one.name != "logging"], ids=lambda one: one.name
)
def test_a_file_works_beside_a_flat_app_py(one: Middleware, tmp_path: Path) -> None:
    shutil.copy(one.path, tmp_path)
    flat = f"from flask import Flask\nfrom {one.name} import {one.function}\n"
    flat += f"app = Flask(__name__)\n{one.line}\napp.get('/')(lambda: 'home')\n"
    (tmp_path / "app.py").write_text(flat, encoding="utf-8")
    check = "import app; assert app.app.test_client().get('/').status_code == 200"
    run([sys.executable, "-c", check], tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("one", MIDDLEWARES, ids=lambda one: one.name)
def test_in_a_fresh_environment_the_docstrings_pip_line_is_enough(
    one: Middleware, tmp_path: Path
) -> None:
    folder = copy_alone(one, tmp_path / "service")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip: list[str | Path] = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, *one.requirements], folder)
    run([python, "-c", SERVE], folder)
    run([*pip, "pytest", "mypy"], folder)
    run([python, *PYTEST], folder)
    run([python, "-m", "mypy", "--strict", "shop"], folder)
