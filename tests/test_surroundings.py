"""Where a service is made and served: umasks, odd paths, uv, cruft, no hooks, read-only folders."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.bakes import NOTE, SLUG, bake, baked, clean_environment, files, python, run, settings
from tests.bakes import template as the_template
from tests.parts import require
from tests.servers import SECRET_KEY, free_port, launch, running

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such thing")
ANSWERS = {
    "cors_origins": "https://App.example.com, https://*.example.com/",
    "rate_limits": "9 per  minute",
    "trusted_proxies": "2",
    "project_slug": "orders",
}
SET = {
    "CORS_ORIGINS": ["https://app.example.com", "https://*.example.com"],
    "RATELIMIT_DEFAULT": "9 per minute",
    "TRUSTED_PROXIES": 2,
    "RATELIMIT_KEY_PREFIX": "orders",
}
PYTEST = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
ODD = "it's $HOME \u00fc\u2603"  # a quote, a variable, blanks, letters that are not ASCII


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The template as a git repository, for cruft."""
    folder = tmp_path / "repository"
    shutil.copytree(the_template(), folder)
    name = ("-c", "user.name=Tests", "-c", "user.email=tests@example.com")
    git: list[str | Path] = [require("git"), *name]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "One version"]):
        run([*git, *arguments], folder)
    return folder


def cruft(repository: Path, folder: Path, answers: dict[str, str]) -> Path:
    """:returns: the service that cruft made in the folder."""
    create = ["-m", "cruft", "create", str(repository), "--no-input"]
    run([sys.executable, *create, "--extra-context", json.dumps(answers)], folder)
    return next(path for path in folder.iterdir() if (path / ".cruft.json").is_file())


def ping(folder: Path, command: Sequence[str | Path], port: int, **env: str) -> str:
    """Start a server, and return what it says to GET /api/ping."""
    serving = running(launch(command, port, folder, {**clean_environment(folder), **env}))
    with serving as server, urllib.request.urlopen(f"{server.url}/api/ping") as response:
        return str(json.load(response)["message"])


# Without hooks


def test_without_hooks_a_note_keeps_the_answers_and_says_what_to_do(tmp_path: Path) -> None:
    service = baked(tmp_path / "out", ANSWERS, "--accept-hooks", "no")
    assert settings(service) != SET and not (service / ".env").exists()
    note = (service / NOTE).read_text(encoding="utf-8")
    env = "".join(f"{line}\n" for line in re.findall(r"^ +(FLASK_.*)$", note, re.M))
    assert env.endswith("FLASK_SECRET_KEY=\n")
    (service / ".env").write_text(env.rstrip() + SECRET_KEY + "\n", encoding="utf-8")
    code = (
        "import json, wsgi\n"
        "keys = ('RATELIMIT_DEFAULT', 'TRUSTED_PROXIES', 'RATELIMIT_KEY_PREFIX')\n"
        "get = wsgi.app.test_client().get\n"
        "pages = ['https://app.example.com', 'https://a.example.com', 'http://localhost:3000']\n"
        "pages = [page for page in pages if 'Access-Control-Allow-Origin' in\n"
        "    get('/api/ping', headers={'Origin': page}).headers]\n"
        "print(json.dumps([pages, {key: wsgi.app.config[key] for key in keys}]))\n"
    )
    read = python(service, "-c", code)
    assert read.returncode == 0, read.stderr
    (printed,) = (line for line in read.stdout.splitlines() if line.startswith("["))
    pages, values = json.loads(printed)  # beside the log's lines
    assert pages == ["https://app.example.com", "https://a.example.com"]
    assert values == {key: value for key, value in SET.items() if key != "CORS_ORIGINS"}


def test_without_hooks_an_answer_of_none_lets_no_page_in(tmp_path: Path) -> None:
    service = baked(tmp_path / "out", {"cors_origins": "None"}, "--accept-hooks", "no")
    assert "\n       FLASK_CORS_ORIGINS=\n" in (service / NOTE).read_text(encoding="utf-8")
    code = "from app import create_app; print(create_app().config['CORS_ORIGINS'])"
    read = python(service, "-c", code, FLASK_CORS_ORIGINS="")
    assert (read.returncode, read.stdout.strip()) == (0, "[]"), read.stderr


def test_wrong_answers_are_refused_without_hooks_too(tmp_path: Path) -> None:
    refused = bake(tmp_path / "out", {"cors_origins": "*"}, "--accept-hooks", "no")
    assert refused.returncode == 1 and "cors_origins: '*' lets every page in" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_with_hooks_there_is_no_note(tmp_path: Path) -> None:
    assert NOTE not in files(baked(tmp_path / "out"))
    assert bake(tmp_path / "out", {}, "-f", "-s").returncode == 0
    assert NOTE not in files(tmp_path / "out" / SLUG)


# Folders


def test_cruft_in_a_temporary_folder_makes_a_secret_too(repository: Path, tmp_path: Path) -> None:
    """As after `cd $(mktemp -d)`: `cruft update` bakes in such folders as well."""
    folder = tmp_path / "tmp" / "tmp.Xy12345678"
    folder.mkdir(parents=True)
    create = ["-m", "cruft", "create", str(repository), "--no-input"]
    run([sys.executable, *create], folder, TMPDIR=str(tmp_path / "tmp"), PWD=str(folder))
    env = (folder / SLUG / ".env").read_text(encoding="ascii")
    assert re.search(r"^FLASK_SECRET_KEY=[0-9a-f]{64}$", env, re.M)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path], list[str | Path]]]:
    """Takes the right to write a folder away.

    :returns: the words before a command that obeys, though it may be root's.
    """
    folders = []

    def close(folder: Path) -> list[str | Path]:
        folders.append(folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
        return [require("setpriv"), "--bounding-set=-all"] if os.geteuid() == 0 else []

    yield close
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)


@posix
def test_a_service_in_a_read_only_folder_is_served_and_passes_its_tests(
    tmp_path: Path, read_only: Callable[[Path], list[str | Path]]
) -> None:
    service = baked(tmp_path / "out")
    prefix, port = read_only(service), free_port()
    refused = subprocess.run([*prefix, "touch", "app/x"], cwd=service, capture_output=True)
    assert refused.returncode != 0
    env = {"BIND": f"127.0.0.1:{port}"}
    assert ping(service, [*prefix, sys.executable, "-m", "gunicorn", "wsgi:app"], port, **env)
    flask = ["-m", "flask", "run", "--port", str(port)]
    assert ping(service, [*prefix, sys.executable, *flask], port)
    tests = ["-m", "pytest", "-q", "tests/test_errors.py"]  # its cache cannot be written
    run([*prefix, sys.executable, *tests], service)


@posix
def test_a_bake_needs_to_write_nowhere_but_where_the_service_goes(
    tmp_path: Path, read_only: Callable[[Path], list[str | Path]]
) -> None:
    """The working folder is read-only, and so is the template's."""
    copy, here, out = tmp_path / "template", tmp_path / "here", tmp_path / "out"
    shutil.copytree(the_template(), copy)
    here.mkdir()
    prefix = read_only(here) and read_only(copy)
    command = ["-m", "cookiecutter", str(copy), "--no-input", "-o", str(out)]
    run([*prefix, sys.executable, *command], here, HOME=str(tmp_path))
    service = out / SLUG
    assert settings(service)["RATELIMIT_KEY_PREFIX"] == SLUG
    assert os.access(service / "app" / "config.py", os.W_OK)
    assert (service / "app" / "config.py").stat().st_mode & 0o200


# Package managers


SERVERS = {
    "gunicorn": "gunicorn --bind 127.0.0.1:{port} wsgi:app",
    "granian": "granian --interface wsgi --port {port} wsgi:app",
    "waitress": "waitress-serve --listen 127.0.0.1:{port} wsgi:app",
    "flask": "flask run --port {port}",
}


@posix
@pytest.mark.real
def test_after_pip_install_every_server_serves_the_code_of_the_folder(tmp_path: Path) -> None:
    """Installing makes no second copy of it, which a later edit would not reach."""
    service = baked(tmp_path / "out")
    bin = service / ".venv" / "bin"
    run([sys.executable, "-m", "venv", ".venv"], service)
    run([bin / "python", "-m", "pip", "install", "-q", ".[granian]", "waitress"], service)
    view = service / "app" / "api" / "ping.py"
    view.write_text(view.read_text("utf-8").replace('"pong"', '"edited"'), encoding="utf-8")
    for command in SERVERS.values():
        port = free_port()
        program, *options = command.format(port=port).split()
        assert ping(service, [bin / program, *options], port) == "edited", command


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


UV: list[str | Path] = [sys.executable, "-m", "uv"]
MOST = "not in_any_order"  # which takes a sixth of the time, and imports nothing more


MATRIX = list(
    itertools.product(["plain", ODD], ["pip", "uv"], ["cookiecutter", "cruft"], [0o022, 0o077])
)
PAIRS = [MATRIX[place] for place in (0, 3, 5, 9, 14)]  # each value meets each other value


@posix
@pytest.mark.parametrize(
    ("path", "installer", "maker", "mask"),
    [pytest.param(*m, marks=pytest.mark.real if m in PAIRS else pytest.mark.soak) for m in MATRIX],
)
def test_a_service_serves_and_passes_its_tests_whatever_made_and_installed_it(
    tmp_path: Path, repository: Path, path: str, installer: str, maker: str, mask: int
) -> None:
    folder, port = tmp_path / path, free_port()
    with umask(mask):
        folder.mkdir()
        if maker == "cruft":
            service = cruft(repository, folder, ANSWERS)
        else:
            service = baked(folder / "out", ANSWERS)
        assert settings(service) == SET
        assert (service / ".env").stat().st_mode & 0o777 == 0o600
        if installer == "pip":
            make: list[str | Path] = [require("make"), f"PYTHON={sys.executable}"]
            run([*make, "test", f"ARGS=-q -x -k '{MOST}'"], service, seconds=900)
            serve: list[str | Path] = [*make, "run", f"PORT={port}"]
        else:
            run([*UV, "sync", "-q", "--python", sys.executable], service)
            run([*UV, "run", "-q", "pytest", "-q", "-x", "-k", MOST], service, seconds=900)
            serve = [*UV, "run", "-q", "flask", "run", "--port", str(port)]
        assert ping(service, serve, port) == "pong"


@posix
@pytest.mark.real
def test_make_goes_on_with_an_environment_of_uv(tmp_path: Path) -> None:
    """uv puts no pip into it."""
    service, port = baked(tmp_path / "out"), free_port()
    run([*UV, "sync", "-q", "--no-dev", "--python", sys.executable], service)
    assert not list(service.glob(".venv/lib/*/site-packages/pip"))
    assert ping(service, [require("make"), "run", f"PORT={port}"], port) == "pong"


def test_the_group_for_uv_is_what_make_test_installs() -> None:
    text = (the_template() / "{{cookiecutter.project_slug}}/pyproject.toml").read_text("utf-8")
    extras, group = text.partition("[dependency-groups]")[::2]
    named = {name: re.findall(r'"(.*)"', listed) for name, listed in EXTRA.findall(extras)}
    wanted = re.findall(r'^    "(.*)",$', group.partition("\n]")[0], re.M)
    assert wanted and wanted == sorted([*named["dev"], *named["redis"]], key=str.lower)


EXTRA = re.compile(r"^(dev|redis) = \[(.*?)\]$", re.M | re.S)
