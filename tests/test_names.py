"""Services called like real packages and modules: each installs, or is refused in one line."""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.generate import generate_context  # type: ignore[import-untyped]
from cookiecutter.prompt import prompt_for_config  # type: ignore[import-untyped]

from tests.bakes import bake, baked, run, template
from tests.servers import SERVICE, TEMPLATE

NEEDED = """
    blinker certifi cffi charset-normalizer click cryptography deprecated flask flask-cors
    flask-limiter granian gunicorn hiredis idna iniconfig itsdangerous jinja2 limits markupsafe
    msgpack mypy mypy-extensions ordered-set orjson packaging pathspec pip pip-audit pluggy
    pycparser pygments pyjwt pytest python-dotenv redis requests rich ruff setuptools
    typing-extensions urllib3 uv werkzeug wheel wrapt
"""
STANDARD = """
    abc ast asyncio calendar code collections concurrent copy email enum html http inspect io json
    logging numbers operator platform profile queue random re secrets select signal site socket
    statistics string test time token types typing unittest uuid venv
"""
OURS = "api app build config docs engine errors extensions middleware static templates tests wsgi"
OTHERS = "Django FastAPI Flask NumPy main python service"
NAMES = [*NEEDED.split(), *STANDARD.split(), *OURS.split(), *OTHERS.split()]
REFUSED = ["con", "NUL", "com1", "aux", "prn"]  # no folder is called so on Windows
PYTEST = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # as PEP 503 compares names


def needed(requirement: str, found: set[str]) -> set[str]:
    """The names of all distributions that a requirement brings, those that it needs included."""
    name = re.split(r"[\s<>=!~;\[(]", requirement)[0]
    if normalised(name) not in found:
        found.add(normalised(name))
        try:
            below = requires(name) or []
        except PackageNotFoundError:  # of another system, or of an extra that nobody asked for
            below = []
        for one in below:
            needed(one, found)
    return found


def all_needed() -> set[str]:
    text = (SERVICE / "pyproject.toml").read_text(encoding="utf-8")
    found: set[str] = set()
    for requirement in re.findall(r'"([A-Za-z][\w.-]*(?:\[\w+\])?[<>=][^"]*)"', text):
        needed(requirement, found)
    return found


def answers(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What cookiecutter makes of a name, without writing anything."""
    monkeypatch.syspath_prepend(str(TEMPLATE))
    file = str(template() / "cookiecutter.json")
    return dict(prompt_for_config(generate_context(file, {}, {"project_name": name}), True))


def test_no_distribution_is_called_like_one_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(NAMES) >= 100
    taken = all_needed() | {normalised(name) for name in NAMES} - {"service"}
    assert {"flask", "redis", "werkzeug", "pluggy", "cryptography"} <= taken
    for name in [*sorted(taken), "order_service", "Order-Service", "ORDER_SERVICE"]:
        made = answers(name, monkeypatch)
        assert normalised(made["__distribution"]) not in taken, name
        assert re.fullmatch(r"[A-Za-z0-9]([\w-]*[A-Za-z0-9])?", made["__distribution"])
        assert made["__distribution"].lower().count("service") == 1 + name.count("flask-service")


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_no_folder_can_have_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    refused = bake(tmp_path / "out", {"project_name": name, "project_slug": name})
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 2
    assert f"project_slug: '{name}' is not a folder name; write letters" in refused.stderr


@pytest.mark.parametrize("name", ["Flask", "app", "logging"])
def test_a_service_with_the_name_of_a_module_imports_the_module(tmp_path: Path, name: str) -> None:
    service = baked(tmp_path / "out", {"project_name": name})
    assert service.name == name.lower()
    code = "import flask, logging.config, app; assert app.create_app('testing').test_client()"
    for folder in (service, service.parent):  # beside it, too
        run([sys.executable, "-c", code], folder, PYTHONPATH=str(service))


def installed(service: Path) -> Path:
    """Install a service as its Makefile does, into an environment of its own.

    :returns: its Python.
    """
    own = service / ".venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run([sys.executable, "-m", "uv", "venv", "-q", ".venv"], service)
    install = ["pip", "install", "-q", "--python", str(own), "-e", ".[dev,redis]"]
    run([sys.executable, "-m", "uv", *install], service)
    return own


FEW = {"Flask", "json", "redis", "types"}  # in `make test-real`; all are tried by `make soak`


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.real if n in FEW else pytest.mark.soak) for n in NAMES],
)
def test_a_service_with_a_real_packages_name_installs_and_passes_its_tests(
    tmp_path: Path, name: str
) -> None:
    service = baked(tmp_path / "out", {"project_name": name})
    own = installed(service)
    listed = run([own, "-c", "import flask; print(flask.__file__)"], service).stdout
    assert str(service / ".venv") in listed
    tests = ("tests/test_every_response.py", "tests/test_errors.py")
    run([own, *PYTEST, "-k", "not in_any_order", *tests], service)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["Flask", "app", "json", "tests", "types"])
def test_a_service_with_a_modules_name_passes_all_its_tests(tmp_path: Path, name: str) -> None:
    service = baked(tmp_path / "out", {"project_name": name})
    run([installed(service), *PYTEST], service, seconds=900)
