"""The commands of a fresh machine: make in the template and in the service, and the container's."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.bakes import SLUG, clean_environment, python, template
from tests.parts import require
from tests.servers import SECRET_KEY, SERVICE, TEMPLATE, free_port, launch, running
from tests.test_bake import requirements

pytestmark = pytest.mark.skipif(os.name == "nt", reason="make is not on Windows")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As after `git clone` into a folder with a blank and letters that are not ASCII."""
    copy = tmp_path / "my gr\u00fc\u00dfe \u2603" / "template"
    shutil.copytree(template(), copy)
    for name in ("Makefile", "pyproject.toml", "README.md"):
        shutil.copy(TEMPLATE / name, copy)
    return copy


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require("make"), *arguments],
        cwd=folder,
        env=clean_environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_make_run_serves_the_default_service(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.servers.START_SECONDS", 240.0)  # without a warm package cache
    port = free_port()
    began = time.monotonic()
    command = [str(require("make")), "run", f"PORT={port}", f"PYTHON={sys.executable}"]
    with running(launch(command, port, clone)) as server:
        with urllib.request.urlopen(server.url + "/api/ping") as answer:
            assert json.load(answer) == {"message": "pong"}
            assert answer.headers["X-Request-ID"]
        print(f"\nfirst answer {time.monotonic() - began:.1f} s after `make run`")
        assert f"http://127.0.0.1:{port}" in server.output()
        assert "Traceback" not in server.output()

    again = make(clone, "bake", f"PYTHON={sys.executable}")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")  # nothing installed anew
    assert (clone / "build" / SLUG / ".venv/run.toml").is_file()


@pytest.mark.parametrize("folder", [TEMPLATE, SERVICE])
def test_a_python_that_is_too_old_is_named(tmp_path: Path, folder: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt"):
        if (folder / name).exists():
            shutil.copy(folder / name, tmp_path)
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
    old.chmod(0o755)
    for which in (str(old), "no-such-python"):
        refused = make(tmp_path, "run", f"PYTHON={which}")
        assert refused.returncode != 0
        assert f"{which} is no Python 3.10 or newer with venv" in refused.stderr
        assert "Traceback" not in refused.stderr and not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("folder", [TEMPLATE, SERVICE])
def test_make_alone_says_what_there_is(tmp_path: Path, folder: Path) -> None:
    shutil.copy(folder / "Makefile", tmp_path)
    said = make(tmp_path).stdout
    targets = re.search(r"^\.PHONY: (.*)$", (folder / "Makefile").read_text(encoding="ascii"), re.M)
    assert targets
    for target in set(targets[1].split()) - {"help", "clean", "bake", "FORCE"}:
        assert f"make {target}" in said


def test_the_services_makefile_writes_nothing_into_the_template() -> None:
    refused = make(SERVICE, "test")
    assert refused.returncode != 0 and "this folder is the template" in refused.stderr


def container(tmp_path: Path) -> Path:
    """What the Dockerfile copies into the image."""
    folder = tmp_path / "service"
    folder.mkdir()
    for line in re.findall(r"^COPY (.*)$", dockerfile(), re.M):
        *sources, target = line.removeprefix("--chmod=755 ").split()
        for source in sources:
            path = SERVICE / source
            if path.is_dir():
                shutil.copytree(template() / SERVICE.name / source, folder / target)
            else:
                shutil.copy(path, folder / target)
    return folder


def dockerfile() -> str:
    """Of the image itself: what follows makes its bill of materials."""
    stages = (SERVICE / "Dockerfile").read_text(encoding="ascii").split("\nFROM service")
    assert len(stages) == 3
    return stages[0]


def test_the_container_installs_what_is_locked_by_hashes() -> None:
    assert "RUN pip install --no-cache-dir --require-hashes --requirement requirements.txt" in (
        dockerfile()
    )
    locked = (SERVICE / "requirements.txt").read_text(encoding="ascii")
    names = {re.split("[= ]", line)[0] for line in locked.splitlines() if line[0] not in " #"}
    assert {"flask", "gunicorn", "orjson", "redis", "rich"} <= names and "pytest" not in names
    for pinned in re.split(r"\n(?=\S)", locked.strip()):
        assert "--hash=sha256:" in pinned


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_what_is_locked_is_in_the_ranges_of_pyproject(name: str) -> None:
    lock = (SERVICE / name).read_text(encoding="ascii")
    asked = requirements(SERVICE / "pyproject.toml")
    compared = 0
    for project, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.M):
        if project in asked:
            ranges = re.search(r"(>=[^;]+)", asked[project])
            assert ranges and SpecifierSet(ranges[1].strip()).contains(version), project
            compared += 1
    assert compared >= (12 if "dev" in name else 8)


@pytest.mark.parametrize("settings", [{"PORT": "{}"}, {"BIND": "0.0.0.0:{}", "PORT": "8000"}])
def test_the_container_serves_and_knows_that_it_is_healthy(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, port = container(tmp_path), free_port()
    instructions = dict(re.findall(r"^ *(CMD) (\[.*\])$", dockerfile(), re.M))
    probe, *_ = re.findall(r"^    CMD (\[.*\])$", dockerfile(), re.M)
    check = ast.literal_eval(probe)[1:]
    env = {name: text.format(port) for name, text in settings.items()}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert python(folder, *check).returncode != 0
    serve = [sys.executable, "-m", *json.loads(instructions["CMD"])]
    env["FLASK_SECRET_KEY"] = SECRET_KEY
    env["FLASK_TRUSTED_HOSTS"] = "api.example.com"  # which the probe does not ask for
    with running(launch(serve, port, folder, env)):
        healthy = python(folder, *check)
        assert healthy.returncode == 0, healthy.stderr
    assert re.search(r"^USER [1-9]", dockerfile(), re.M)


def test_compose_starts_a_store_and_no_service_without_a_secret() -> None:
    text = (SERVICE / "compose.yaml").read_text(encoding="ascii")
    assert "FLASK_RATELIMIT_STORAGE_URI: redis://store:6379/0" in text
    assert "${FLASK_SECRET_KEY:?" in text and "condition: service_healthy" in text
    ignored = (SERVICE / ".dockerignore").read_text(encoding="ascii").splitlines()
    copied = {
        name
        for line in re.findall("^COPY (?:--chmod=755 )?(.*) ", dockerfile(), re.M)
        for name in line.split()
    }
    assert {f"!{name}" for name in copied} == {line for line in ignored if line[0] == "!"}
