"""Baking services for tests, as a person does it: with the command, in a home of its own."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers import SERVICE, TEMPLATE

SLUG = "flask-service"  # of the default answers
NOTE = "HOOKS-DID-NOT-RUN.md"
CACHES = ("__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache")


@functools.cache
def template() -> Path:
    """A copy of what a clone would hold: no caches, and nobody else at work in it."""
    copy = Path(tempfile.mkdtemp(prefix="template-")) / "cookiecutter-flask-middleware"
    atexit.register(shutil.rmtree, copy.parent, ignore_errors=True)
    ignored = shutil.ignore_patterns(*CACHES, "*.egg-info", "*.pyc")
    for name in ("hooks", SERVICE.name):
        shutil.copytree(TEMPLATE / name, copy / name, ignore=ignored)
    for name in ("cookiecutter.json", "cookiecutter_flask_middleware.py"):
        shutil.copy(TEMPLATE / name, copy)
    return copy


def clean_environment(home: Path) -> dict[str, str]:
    """This process's, without what would change a service, and with nobody's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLASK_", "COOKIECUTTER_"))}
    kept.pop("APP_CONFIG", None)
    kept.pop("PWD", None)
    own = {"HOME": str(home), "USERPROFILE": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    # a service installs no plugin of pytest: of those that the template installs, none is loaded
    return {**kept, **own, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def bake(
    out: Path,
    answers: Mapping[str, str] | None = None,
    *options: str,
    typed: str | None = None,
    source: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run cookiecutter into a folder.

    :param answers: given on the command line, where cookiecutter takes them for Jinja.
    :param typed: what a person types, a line for each question; instead of --no-input.
    """
    home = out.parent / "home"
    home.mkdir(exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "cookiecutter",
        str(source or template()),
        "--output-dir",
        str(out),
        *options,
    ]
    if typed is None and "--replay" not in options:
        command.append("--no-input")
    return subprocess.run(
        [*command, *(f"{name}={value}" for name, value in (answers or {}).items())],
        input=typed or "",
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**clean_environment(home), "PYTHONIOENCODING": "utf-8", **(env or {})},
        cwd=out.parent,
        timeout=60,
    )


def baked(out: Path, answers: Mapping[str, str] | None = None, *options: str) -> Path:
    """Bake what must succeed.

    :returns: the service's folder.
    """
    result = bake(out, answers, *options)
    assert result.returncode == 0, result.stdout + result.stderr
    return next(path for path in out.iterdir() if path.is_dir())


def python(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run this Python, with all that the service needs, in a service's folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**clean_environment(folder.parent), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=300,
    )


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}


def source_files() -> set[str]:
    """What a bake brings, but for .env: a note is for bakes without hooks."""
    return files(template() / SERVICE.name) - {NOTE}


def settings(folder: Path) -> dict[str, object]:
    """What app/config.py of a baked service says, read by Python itself."""
    names = ("CORS_ORIGINS", "RATELIMIT_DEFAULT", "TRUSTED_PROXIES", "RATELIMIT_KEY_PREFIX")
    code = f"from app.config import Config as c; print([getattr(c, n) for n in {names!r}])"
    result = python(folder, "-c", code)
    assert result.returncode == 0, result.stderr
    return dict(zip(names, eval(result.stdout), strict=True))


def run(
    command: Sequence[str | Path], folder: Path, *, seconds: float = 300, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, for so many seconds at most.

    :raises AssertionError: with what it printed, if it fails.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**clean_environment(folder), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done
