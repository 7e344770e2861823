"""A service follows the template from one version to the next and keeps its own edits."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.bakes import bake, baked, files, run
from tests.parts import require
from tests.servers import TEMPLATE

SERVICE = "{{cookiecutter.project_slug}}"
PYTEST = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not in_any_order"]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A git repository of the template with one version, tagged 1.0.0."""
    folder = tmp_path / "template"
    unwanted = shutil.ignore_patterns(
        ".git",
        ".venv",
        "build",
        "__pycache__",
        "node_modules",
        ".*_cache",
        ".hypothesis",
        "*.egg-info",
    )
    shutil.copytree(TEMPLATE, folder, ignore=unwanted)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "1.0.0")
    return folder


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=Tests", "-c", "user.email=tests@example.com")
    return run([require("git"), *names, "-c", "commit.gpgsign=false", *arguments], folder).stdout


def commit(folder: Path, version: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", version)
    git(folder, "tag", version)


def cruft(folder: Path, *arguments: str | Path) -> str:
    return run(
        [sys.executable, "-m", "cruft", *arguments],
        folder,
        GIT_AUTHOR_NAME="Tests",
        GIT_AUTHOR_EMAIL="tests@example.com",
        GIT_COMMITTER_NAME="Tests",
        GIT_COMMITTER_EMAIL="tests@example.com",
    ).stdout


def next_version(template: Path) -> None:
    """1.1.0 changes a middleware, the configuration and the README, and adds a file."""
    cors = template / SERVICE / "app" / "middleware" / "cors.py"
    text, changed = re.subn(r"^Version: .*$", "Version: 1.1.0", cors.read_text("utf-8"), flags=re.M)
    assert changed == 1
    cors.write_text(text, encoding="utf-8")
    config = template / SERVICE / "app" / "config.py"
    text = config.read_text("utf-8")
    assert "class DevelopmentConfig" in text
    text = text.replace("class DevelopmentConfig", "NEWS = 1\n\n\nclass DevelopmentConfig", 1)
    config.write_text(text, encoding="utf-8")
    (template / SERVICE / "app" / "news.py").write_text('"""New."""\n', encoding="utf-8")
    commit(template, "1.1.0")


def test_cruft_update_keeps_a_users_edits_and_leaves_a_passing_service(
    template: Path, tmp_path: Path
) -> None:
    answers = {"cors_origins": "https://app.example.com", "rate_limits": "90 per minute"}
    cruft(
        tmp_path,
        "create",
        template,
        "--no-input",
        "--checkout",
        "1.0.0",
        "--extra-context",
        json.dumps(answers),
    )
    service = tmp_path / "flask-service"
    secret = (service / ".env").read_text("utf-8")
    git(service, "init", "-q", "-b", "main")
    mine = service / "app" / "api" / "ping.py"
    mine.write_text(mine.read_text("utf-8").replace('"pong"', '"mine"'), encoding="utf-8")
    commit(service, "mine")
    assert ".env" not in git(service, "ls-files").split()
    cruft(service, "check", "--checkout", "1.0.0")
    assert git(service, "status", "--porcelain") == ""

    next_version(template)
    cruft(service, "update", "-y", "--checkout", "1.1.0")

    assert not list(service.rglob("*.rej")) + list(service.rglob("*.orig"))
    changed = {line[3:] for line in git(service, "status", "--porcelain").splitlines()}
    assert changed == {".cruft.json", "app/config.py", "app/middleware/cors.py", "app/news.py"}
    assert '"mine"' in mine.read_text("utf-8")
    config = (service / "app" / "config.py").read_text("utf-8")
    assert 'CORS_ORIGINS = ["https://app.example.com"]' in config
    assert 'RATELIMIT_DEFAULT = "90 per minute"' in config
    assert "NEWS = 1" in config
    assert (service / ".env").read_text("utf-8") == secret
    run([sys.executable, *PYTEST, "tests/test_every_response.py"], service)


def test_a_second_bake_writes_the_same_bytes_and_keeps_the_secret(tmp_path: Path) -> None:
    folder = baked(tmp_path / "out")
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    assert bake(tmp_path / "out", {}, "-f", "-s").returncode == 0
    assert {name: (folder / name).read_bytes() for name in files(folder)} == before
