"""Each middleware file can be copied into a service that exists, with what its docstring names."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.bakes import run
from tests.middlewares import ENGINE, MIDDLEWARES, Middleware, parts_imported_by
from tests.servers import SERVICE

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


def copy(one: Middleware, folder: Path) -> Path:
    """A new service with this file, its parts, its test and the docstring's one line."""
    package = folder / "shop"
    copy_parts(one, package / "middleware")
    (folder / "tests").mkdir()
    text = SHOP
    for mark, value in (("name", one.name), ("function", one.function), ("line", one.line)):
        text = text.replace("{" + mark + "}", value)
    (package / "__init__.py").write_text(text, encoding="utf-8")
    (package / "middleware" / "__init__.py").touch()
    test = one.test.read_text(encoding="utf-8")
    test = test.replace("app.middleware", "shop.middleware")
    (folder / "tests" / one.test.name).write_text(test, encoding="utf-8")
    (folder / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
    return folder


def copy_parts(one: Middleware, folder: Path) -> None:
    (folder / "engine").mkdir(parents=True)
    shutil.copy(one.path, folder)
    for part in ("__init__", *one.parts):
        shutil.copy(ENGINE / f"{part}.py", folder / "engine")


PYTEST = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
SERVE = (
    "from shop import create_app; c = create_app().test_client(); "
    "assert [c.get(p).status_code for p in ('/', '/api/tea', '/gone')] == [200, 200, 410]"
)


@pytest.mark.parametrize("one", MIDDLEWARES, ids=lambda one: one.name)
def test_a_file_copied_with_its_parts_passes_its_own_test_and_serves(
    one: Middleware, tmp_path: Path
) -> None:
    folder = copy(one, tmp_path)
    run([sys.executable, *PYTEST], folder)
    run([sys.executable, "-c", SERVE], folder)


def test_files_copied_with_their_parts_satisfy_a_strict_type_checker(tmp_path: Path) -> None:
    for one in MIDDLEWARES:
        folder = copy(one, tmp_path / one.name)
        command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
        run([*command, "--cache-dir", tmp_path / "cache", "shop"], folder)


@pytest.mark.parametrize("one", MIDDLEWARES, ids=lambda one: one.name)
def test_a_file_names_exactly_the_parts_that_it_needs(one: Middleware) -> None:
    assert sorted(one.parts) == sorted(parts_imported_by(one.path))
    assert len(one.parts) == len(set(one.parts))


FILES_THAT_USE_IT = [*(one.path for one in MIDDLEWARES), SERVICE / "app" / "tokens.py"]
PARTS = sorted(path.stem for path in ENGINE.glob("*.py") if path.stem != "__init__")


def test_every_part_of_the_engine_is_used_and_listed_once_in_its_index() -> None:
    used = {part for path in FILES_THAT_USE_IT for part in parts_imported_by(path)}
    assert used == set(PARTS)
    index = ast.get_docstring(ast.parse((ENGINE / "__init__.py").read_text("utf-8"))) or ""
    assert sorted(re.findall(r"^ +([a-z_]+)\.py  ", index, re.M)) == PARTS


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_engine_imports_nothing_of_the_service(part: str) -> None:
    for node in ast.walk(ast.parse((ENGINE / f"{part}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level < 2 and not (node.module or "").startswith("app")
        elif isinstance(node, ast.Import):
            assert not any(alias.name.partition(".")[0] == "app" for alias in node.names)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_engine_has_a_test_that_travels_with_it(part: str) -> None:
    tests = SERVICE / "tests" / "middleware" / "engine"
    imports = re.compile(rf"app\.middleware\.engine(\.{part}\b| import .*\b{part}\b)")
    assert any(imports.search(path.read_text("utf-8")) for path in tests.glob("test_*.py"))


def test_a_middleware_imports_from_the_engine_and_nothing_else_of_the_service() -> None:
    for one in MIDDLEWARES:
        for node in ast.walk(ast.parse(one.path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1 and (node.module or "").partition(".")[0] == "engine"


@pytest.mark.parametrize("one", MIDDLEWARES, ids=lambda one: one.name)
def test_a_file_imports_nothing_but_what_its_docstring_asks_for(one: Middleware) -> None:
    files = (one.path, *(ENGINE / f"{part}.py" for part in one.parts))
    imported = {
        name.partition(".")[0]
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "app"]
            if isinstance(node, ast.ImportFrom) and not node.level
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
        owners = {owner.lower().replace("_", "-") for owner in distributions.get(name, [name])}
        assert owners & allowed, f"{one.name}.py imports {name}, which its docstring does not name"
    assert len(asked - {"flask", "redis", "limits"}) <= 1, "Flask and at most one extension"


@pytest.mark.parametrize("one", MIDDLEWARES, ids=lambda one: one.name)
def test_a_file_works_in_a_folder_beside_a_flat_app_py(one: Middleware, tmp_path: Path) -> None:
    copy_parts(one, tmp_path / "middleware")
    flat = f"from flask import Flask\nfrom middleware.{one.name} import {one.function}\n"
    flat += f"app = Flask(__name__)\n{one.line}\napp.get('/')(lambda: 'home')\n"
    (tmp_path / "app.py").write_text(flat, encoding="utf-8")
    check = "import app; assert app.app.test_client().get('/').status_code == 200"
    run([sys.executable, "-c", check], tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("one", MIDDLEWARES, ids=lambda one: one.name)
def test_in_a_fresh_environment_the_docstrings_pip_line_is_enough(
    one: Middleware, tmp_path: Path
) -> None:
    folder = copy(one, tmp_path / "service")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip: list[str | Path] = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, *one.requirements], folder)
    run([python, "-c", SERVE], folder)
    run([*pip, "pytest", "mypy"], folder)
    run([python, *PYTEST], folder)
    run([python, "-m", "mypy", "--strict", "shop"], folder)
