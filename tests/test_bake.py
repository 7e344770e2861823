"""What a bake leaves behind: the files, what is in them, and that they work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.bakes import SLUG, bake, baked, files, python, settings, source_files, template
from tests.servers import SERVICE, TEMPLATE

RENDERED = {
    "CONTRIBUTING.md",
    "README.md",
    "pyproject.toml",
    ".github/workflows/ci.yml",
}  # the only files with Jinja in them
OF_OTHERS = {"deploy/alerts.yml", "deploy/grafana-dashboard.json"}  # Prometheus has {{ as well
WRITTEN = {"app/config.py", ".env"}  # by the hook
JINJA = re.compile(r"(?<!\$)\{\{|\{%|\{#")  # ${{ is a workflow's own

DEFAULTS: dict[str, object] = {
    "CORS_ORIGINS": ["http://localhost:3000"],
    "RATELIMIT_DEFAULT": "200 per hour;50 per minute",
    "TRUSTED_PROXIES": 0,
    "RATELIMIT_KEY_PREFIX": SLUG,
}
VARIED: list[tuple[dict[str, str], dict[str, object]]] = [
    ({}, {}),
    ({"project_name": "Order Service"}, {"RATELIMIT_KEY_PREFIX": "order-service"}),
    ({"project_slug": "orders"}, {"RATELIMIT_KEY_PREFIX": "orders"}),
    ({"description": "Takes orders"}, {}),
    (
        {"cors_origins": "https://app.example.com, https://*.example.com/"},
        {"CORS_ORIGINS": ["https://app.example.com", "https://*.example.com"]},
    ),
    ({"rate_limits": "10/second"}, {"RATELIMIT_DEFAULT": "10/second"}),
    ({"trusted_proxies": "2"}, {"TRUSTED_PROXIES": 2}),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default service, for tests that do not change it."""
    return baked(tmp_path_factory.mktemp("default") / "out")


@pytest.mark.parametrize(("answers", "expected"), VARIED, ids=str)
def test_each_answer_sets_its_own_settings_and_nothing_else(
    tmp_path: Path, answers: dict[str, str], expected: dict[str, object]
) -> None:
    baked_service = baked(tmp_path / "out", answers)
    assert settings(baked_service) == {**DEFAULTS, **expected}
    assert baked_service.name == {**DEFAULTS, **expected}["RATELIMIT_KEY_PREFIX"]
    assert files(baked_service) == source_files() | {".env"}
    source = template() / SERVICE.name
    for name in source_files() - RENDERED - WRITTEN:
        assert (baked_service / name).read_bytes() == (source / name).read_bytes(), name
    changed = zip(
        lines(source / "app/config.py"), lines(baked_service / "app/config.py"), strict=True
    )
    touched = {b.partition("=")[0].strip() for a, b in changed if a != b}
    assert touched == expected.keys()


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_no_jinja_is_left_and_none_is_in_the_python(service: Path) -> None:
    for name in source_files():
        text = (template() / SERVICE.name / name).read_text(encoding="utf-8")
        assert bool(JINJA.search(text)) == (name in RENDERED | OF_OTHERS), name
    for name in files(service) - {
        "CONTRIBUTING.md",
        *OF_OTHERS,
    }:  # which shows a template for Flask
        assert not JINJA.search((service / name).read_text(encoding="utf-8")), name


def test_every_file_ends_its_lines_as_unix_does(service: Path) -> None:
    for name in files(service):
        content = (service / name).read_bytes()
        assert b"\r" not in content, name
        assert not content or content.endswith(b"\n"), name


def test_the_six_questions_are_asked_with_an_example_each(tmp_path: Path) -> None:
    asked = bake(tmp_path / "out", typed="\n" * 6)
    assert asked.returncode == 0, asked.stderr
    questions = re.findall(r"\[(\d)/6\] (.*?) (?=\(|\[\d)", asked.stdout.replace("\n", " "))
    assert [number for number, _ in questions] == list("123456")
    assert all("e.g. " in text for _, text in questions)
    assert settings(tmp_path / "out" / SLUG) == DEFAULTS


def test_typed_answers_are_used(tmp_path: Path) -> None:
    typed = ["Order Service", "", "Takes orders", "none", "5/minute", "1", ""]
    result = bake(tmp_path / "out", typed="\n".join(typed))
    assert result.returncode == 0, result.stderr
    assert settings(tmp_path / "out" / "order-service") == {
        "CORS_ORIGINS": [],
        "RATELIMIT_DEFAULT": "5/minute",
        "TRUSTED_PROXIES": 1,
        "RATELIMIT_KEY_PREFIX": "order-service",
    }


def test_the_next_three_commands_are_printed(tmp_path: Path) -> None:
    here = bake(tmp_path / "out", env={"PWD": str(tmp_path / "out")})
    assert here.stdout.split("Next:\n")[1].split("\n")[:3] == [
        f"    cd {SLUG}",
        "    make run",
        "    curl -i http://127.0.0.1:5000/api/ping",
    ]
    (tmp_path / "blank and \u00fc").mkdir()
    elsewhere = bake(tmp_path / "blank and \u00fc" / "out", env={"PWD": str(tmp_path)})
    assert elsewhere.returncode == 0 and elsewhere.stdout.isascii()


def test_a_replay_bakes_the_same_service(tmp_path: Path) -> None:
    first = baked(tmp_path / "first", {"trusted_proxies": "3", "description": '\u00e9 "x"'})
    assert bake(tmp_path / "second", {}, "--replay").returncode == 0
    second = tmp_path / "second" / SLUG
    assert files(first) == files(second)
    different = {n for n in files(first) if (first / n).read_bytes() != (second / n).read_bytes()}
    assert different == {".env"}


@pytest.mark.parametrize("folder", ["two words", "\u00fcml\u00e4ut \u2603", "quote'd $(id)"])
def test_any_folder_will_do(tmp_path: Path, folder: str) -> None:
    """For the template, and for the service that comes of it."""
    copy = tmp_path / folder / "template"
    shutil.copytree(template(), copy)
    result = bake(tmp_path / folder / "out", source=copy)
    assert result.returncode == 0, result.stderr
    works = python(
        tmp_path / folder / "out" / SLUG, "-c", "from app import create_app; create_app()"
    )
    assert works.returncode == 0, works.stderr


def test_a_template_in_use_bakes_no_caches_and_no_secret(tmp_path: Path) -> None:
    """Ran in place, tools leave such files, some of which are neither text nor Jinja."""
    used = tmp_path / "template"
    shutil.copytree(template(), used)
    folder = used / SERVICE.name
    mess = {
        "app/__pycache__/config.cpython-311.pyc": b"\xa7\r\r\n\0\0",
        "app/stray.pyc": b"text {{",
        ".pytest_cache/v/cache/nodeids": b'["test_x[{{ 7*7 }}-{%]"]',
        ".pytest_cache/README.md": b"# pytest",
        ".mypy_cache/3.11/cache.0.db": b"SQLite format 3\0\x90",
        ".mypy_cache/3.11/app/__init__.data.json": b'{"a": "{%"}',
        "app/middleware/.ruff_cache/0.17.5/1443693963217577139": b"\x90 {{",
        ".ruff_cache/CACHEDIR.TAG": b"Signature: 8a477f597d28d172789f06886806bc55",
        ".hypothesis/examples/0a/1b": b"\x90{#",
        "flask_service.egg-info/PKG-INFO": b"Name: x",
        ".env": b"FLASK_SECRET_KEY=of the template's author\n",
    }
    for name, content in mess.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    result = bake(tmp_path / "out", source=used)
    assert result.returncode == 0, result.stderr
    service = tmp_path / "out" / SLUG
    assert files(service) == source_files() | {".env"}
    assert "author" not in (service / ".env").read_text(encoding="ascii")
    everything = {path.relative_to(service).as_posix() for path in service.rglob("*")}
    assert not [name for name in everything if "cache" in name or "egg-info" in name]


def test_a_template_in_use_leaves_the_caches_of_an_existing_service(tmp_path: Path) -> None:
    used = tmp_path / "template"
    shutil.copytree(template(), used)
    theirs = tmp_path / "out" / SLUG
    for folder in (used / SERVICE.name, theirs):
        (folder / "app/__pycache__").mkdir(parents=True)
        (folder / "app/__pycache__/of_both.cpython-311.txt").write_text("here", encoding="utf-8")
    result = bake(tmp_path / "out", {}, "-f", "-s", source=used)
    assert result.returncode == 0, result.stderr
    assert "app/__pycache__/of_both.cpython-311.txt" in files(theirs)


@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_the_service_is_clean(service: Path, tmp_path: Path, command: str) -> None:
    tool, *options = command.split()
    cache = ["--cache-dir", str(tmp_path)]
    done = python(service, "-m", tool, *options, *cache)
    assert done.returncode == 0, done.stdout


ODD = {"cors_origins": "none", "rate_limits": "1/second", "trusted_proxies": "10"}


@pytest.mark.parametrize(
    ("answers", "tests"),
    [
        pytest.param(ODD, ["--ignore=tests/middleware", "-k", "not in_any_order"], id="odd"),
        pytest.param(ODD, [], marks=pytest.mark.soak, id="odd, all"),
        pytest.param({}, [], marks=pytest.mark.soak, id="default"),
    ],
)
def test_the_service_passes_its_own_tests(
    tmp_path: Path, answers: dict[str, str], tests: list[str]
) -> None:
    """Whatever was answered: they bring their own settings."""
    service = baked(tmp_path / "out", answers)
    done = python(service, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_service_passes_its_own_tests_unbaked() -> None:
    done = python(template() / SERVICE.name, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout[-3000:]


def requirements(path: Path) -> dict[str, str]:
    """All requirements of a pyproject.toml, its extras included: {"flask": "Flask>=3.1.1,<4"}."""
    text = path.read_text(encoding="utf-8")
    quoted = re.findall(r'^(?:    |\w+ = \[)"([^"]+)"', text, re.M)
    return {re.split(r"[\[<>=;]", name)[0].lower(): name for name in quoted}


def test_the_template_tests_with_the_versions_that_it_bakes() -> None:
    ours, theirs = (
        requirements(TEMPLATE / "pyproject.toml"),
        requirements(SERVICE / "pyproject.toml"),
    )
    theirs = {name: text for name, text in theirs.items() if ">" in text}
    assert theirs.pop("pip-audit")  # a command of the service's own: nothing imports it
    assert len(theirs) > 10
    assert theirs == {name: ours.get(name) for name in theirs}


def test_the_defaults_in_the_example_of_env_are_accepted(service: Path, tmp_path: Path) -> None:
    text = (SERVICE / ".env.example").read_text(encoding="ascii")
    env = dict(re.findall(r"^#(FLASK_[A-Z0-9_]+)=(.+)$", text, re.M))
    env = {
        name: value
        for name, value in env.items()
        if not name.startswith(("FLASK_API_KEYS", "FLASK_JWT", "FLASK_PRODUCTION"))
    }
    env = {name: value for name, value in env.items() if name != "FLASK_RATELIMIT_STORAGE_OPTIONS"}
    env["FLASK_SECURITY_LOG_FILE"] = str(tmp_path / "security.log")
    env["FLASK_SECRET_KEY"] = "x1" * 20
    code = "from app import create_app; create_app('testing')"
    works = python(service, "-c", code, **env)
    assert works.returncode == 0, works.stderr


PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]


def interpreter(version: str) -> Path | None:
    """A Python of that version: on the PATH, or one of pyenv's."""
    found = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [Path(found)] if found else []
    candidates += sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)
    for path in candidates:
        told = subprocess.run(
            [path, "-c", "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
        )
        if told.stdout.strip() == version:
            return path
    return None


@pytest.mark.soak
@pytest.mark.parametrize("version", PYTHONS)
def test_the_service_passes_its_own_tests_on_every_python(tmp_path: Path, version: str) -> None:
    """As its README says: a virtual environment of its own, and `pip install -e .[dev]`."""
    path = interpreter(version)
    if path is None:
        pytest.skip(f"Python {version} is not installed")
    service = baked(tmp_path / "out")
    subprocess.run([path, "-m", "venv", ".venv"], cwd=service, check=True)
    own = service / ".venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    install: dict[str, Any] = {"cwd": service, "check": True, "capture_output": True}
    subprocess.run([own, "-m", "pip", "install", "-q", "-e", ".[dev,redis]"], **install)
    done = subprocess.run([own, "-m", "pytest", "-q"], cwd=service, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
