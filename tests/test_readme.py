"""Every command in every README runs in a test, and every link leads somewhere.

RUN_ELSEWHERE names the commands that other tests run. All others are run here: @runs registers what
a test runs, and reads it from the README, so that what is run is what is printed there.
"""

from __future__ import annotations

import ast
import functools
import http.server
import os
import re
import shlex
import shutil
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests import transcripts
from tests.bakes import baked
from tests.middlewares import MIDDLEWARES
from tests.servers import SERVICE, TEMPLATE
from tests.transcripts import (
    BLOCK,
    CURL,
    QUESTIONS,
    README,
    REPOSITORY,
    RUN,
    SERVICE_README,
    Place,
    commands,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the READMEs' commands are for bash")

PROGRAMS = r"(?:uvx|pipx|pip|cookiecutter|cruft|make|flask|docker|git|curl|py) "
INLINE = re.compile(rf"`({PROGRAMS}[^`]+)`")
RAW = f"https://raw.githubusercontent.com/{REPOSITORY}/main"
IGNORED = (".git", ".venv", "build", "__pycache__", "node_modules", ".*_cache", ".hypothesis")

RUN_ELSEWHERE = {
    README: {
        "make run": "test_make.py::test_make_run_serves_the_default_service",
    },
    SERVICE_README: {
        "docker compose up --build": (
            "test_make.py::test_compose_starts_a_store_and_no_service_without_a_secret"
        ),
        "pip install .": (
            "test_surroundings.py::test_after_pip_install_every_server_serves_the_code_of_the_folder"
        ),
    },
}
RUN_HERE: dict[Path, set[str]] = {README: set(), SERVICE_README: set()}

Test = TypeVar("Test", bound=Callable[..., None])


def runs(readme: Path, *those: str) -> Callable[[Test], Test]:
    """Note that a test runs these commands of a README."""
    RUN_HERE[readme].update(those)
    return lambda test: test


def printed(readme: Path) -> set[str]:
    """Every command of a README: those after `$ ` in its blocks, and those in its sentences."""
    text = readme.read_text(encoding="utf-8")
    shown = {command for found in BLOCK.finditer(text) for command in commands(found[1])}
    sentences = re.sub(r"```.*?```", "", text, flags=re.S)
    return shown | {" ".join(found.split()) for found in INLINE.findall(sentences)}


def walk_commands() -> set[str]:
    """Those of the service's walk: all of them are run again by the test of the transcripts."""
    text = transcripts.block(SERVICE_README, "walk")
    return {command for found in BLOCK.finditer(text) for command in commands(found[1])}


@pytest.mark.parametrize("readme", [README, SERVICE_README], ids=["template", "service"])
def test_every_command_is_run_by_a_test_and_every_tested_one_is_still_there(readme: Path) -> None:
    walk = walk_commands() if readme == SERVICE_README else set()
    assert printed(readme) == RUN_HERE[readme] | set(RUN_ELSEWHERE[readme]) | walk
    for where in RUN_ELSEWHERE[readme].values():
        file, _, name = where.partition("::")
        tree = ast.parse((TEMPLATE / "tests" / file).read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in names, where


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as a clone has it, with one commit."""
    folder = tmp_path_factory.mktemp("clone") / "cookiecutter-flask-middleware"
    ignored = shutil.ignore_patterns(*IGNORED, "*.egg-info", "*.pyc", ".env")
    shutil.copytree(TEMPLATE, folder, ignore=ignored)
    place = Place(folder.parent)
    git = "git init -q -b main && git add -A && git commit -q -m"
    place.shell(f"{git} 'One version'", folder)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def served(place: Place, tmp_path: Path) -> Iterator[Place]:
    """The repository's files over http, as from raw.githubusercontent.com."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(TEMPLATE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        place.raw = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield place
        server.shutdown()


# The first screen


@runs(README, QUESTIONS, RUN, CURL)
def test_the_first_screens_transcripts_and_the_picture_are_those_of_a_real_run(
    tmp_path: Path,
) -> None:
    made = transcripts.record(tmp_path)
    again = "make them anew: python -m tests.transcripts"
    shown = transcripts.block(README, "questions")
    assert transcripts.masked(made.questions) == transcripts.masked(shown), again
    shown = transcripts.block(README, "curl")
    assert transcripts.masked(made.curl) == transcripts.masked(shown), again
    picture = transcripts.PICTURE.read_text(encoding="utf-8")
    assert transcripts.words(made.picture) == transcripts.words(picture), again
    assert len(picture) < 60_000


@runs(
    README,
    f"uvx {QUESTIONS}",
    f"pipx run {QUESTIONS}",
    "pip install cookiecutter",
)
def test_the_other_ways_to_run_cookiecutter_end_in_the_command_that_is_tested(
    place: Place, tmp_path: Path
) -> None:
    ways = {way for way in printed(README) if way.endswith(QUESTIONS) and way != QUESTIONS}
    assert {way.removesuffix(QUESTIONS) for way in ways} == {"uvx ", "pipx run "}
    place.shell("pip install cookiecutter", tmp_path)


@runs(README, "make test")
def test_make_test_of_the_template(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    shutil.copytree(repository, folder)
    transcripts.stand_in_for_the_environment(folder)
    some = "-q tests/test_copying.py -k imports"
    with_its_plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": ""}
    assert " passed" in Place(tmp_path).shell("make test", folder, ARGS=some, **with_its_plugins)


@pytest.mark.soak
def test_from_the_questions_to_the_first_answer_in_two_minutes_and_three_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.servers.START_SECONDS", 120.0)
    place = Place(tmp_path)
    begin = time.monotonic()
    transcripts.typed_at_a_terminal(QUESTIONS, transcripts.ANSWERS, place, tmp_path)
    with place.served(RUN, tmp_path):  # which installs, from the package registry
        assert "HTTP/1.1 200 OK" in place.shell(CURL, tmp_path)
    seconds = time.monotonic() - begin
    print(f"\nquestions to the first answer: {seconds:.1f} s")
    assert seconds < 120


@pytest.mark.soak
def test_from_a_clone_to_the_first_answer_in_a_minute(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.servers.START_SECONDS", 120.0)
    place = Place(tmp_path)
    folder = tmp_path / "my täst clone"
    begin = time.monotonic()
    place.shell(f"git clone -q {shlex.quote(str(repository))} {shlex.quote(str(folder))}", tmp_path)
    with place.served("make run", folder) as server:
        assert "HTTP/1.1 200 OK" in place.shell(CURL, folder)
        assert f"http://127.0.0.1:{place.port}" in server.output()
    seconds = time.monotonic() - begin
    print(f"\nclone to the first answer: {seconds:.1f} s")
    assert seconds < 60


# Copying one file


CORS = next(one for one in MIDDLEWARES if one.name == "cors")
FOLDER = f"{RAW}/%7B%7Bcookiecutter.project_slug%7D%7D/app/middleware"
FETCH = f"curl --create-dirs -o middleware/cors.py {FOLDER}/cors.py"
PARTS = ",".join(["__init__", *CORS.parts])
FETCH_PARTS = f'curl --create-dirs -o "middleware/engine/#1.py" "{FOLDER}/engine/{{{PARTS}}}.py"'
DIFFERENCE = f"curl -s {FOLDER}/cors.py | diff yourapp/middleware/cors.py -"
PACKAGES = "pip install " + " ".join(f'"{requirement}"' for requirement in CORS.requirements)


@runs(README, FETCH, FETCH_PARTS, PACKAGES, DIFFERENCE)
def test_one_file_is_fetched_used_as_shown_and_compared_later(
    served: Place, tmp_path: Path
) -> None:
    package = tmp_path / "yourapp"
    package.mkdir()
    served.shell(FETCH, package)
    served.shell(FETCH_PARTS, package)
    served.shell(PACKAGES, package)
    found = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert len(found) == 1, "one example of use"
    program = f"from flask import Flask\napp = Flask(__name__)\n{found[0]}" + (
        "app.get('/api/tea')(lambda: 'green')\n"
        "sent = {'Origin': 'https://app.example.com'}\n"
        "answer = app.test_client().get('/api/tea', headers=sent)\n"
        "print(answer.headers['Access-Control-Allow-Origin'])\n"
    )
    (package / "__init__.py").touch()
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    assert served.shell("python program.py", tmp_path) == "https://app.example.com\n"

    assert served.shell(DIFFERENCE, tmp_path) == ""
    copy = package / "middleware" / "cors.py"
    text = copy.read_text(encoding="utf-8")
    copy.write_text(text.replace("Version: ", "Version: 0.", 1), encoding="utf-8")
    shown = served.shell(f"{DIFFERENCE} || true", tmp_path)
    assert re.search(r"< +Version: 0\.[\d.]+\n---\n> +Version: [\d.]+\n", shown), shown


# All of it over a service that exists


OVER = f'{QUESTIONS} -o .. -f -s project_slug=$(basename "$PWD")'
EXISTING = (
    "from flask import Flask\n\n\ndef create_app():\n    app = Flask(__name__)\n    return app\n"
)


@runs(README, OVER, "git status --short")
def test_over_a_service_that_exists_nothing_of_theirs_changes(place: Place, tmp_path: Path) -> None:
    service = tmp_path / "tea-shop"
    (service / "app").mkdir(parents=True)
    (service / "app" / "__init__.py").write_text(EXISTING, encoding="utf-8")
    (service / "README.md").write_text("# Tea\n", encoding="utf-8")
    place.shell("git init -q && git add -A && git commit -q -m tea", service)
    said = place.shell(OVER, service, typed="\n" * 6)
    assert "configure_cors(app)" in said
    status = place.shell("git status --short", service).splitlines()
    assert "?? app/middleware/" in status
    assert {line[:2] for line in status} == {"??"}  # what came; nothing changed, nothing is gone
    assert (service / "app" / "__init__.py").read_text(encoding="utf-8") == EXISTING


# Following the template


CREATE = f"cruft create https://github.com/{REPOSITORY}"


@runs(README, CREATE, "cruft check", "cruft update -y", "git diff")
def test_a_service_started_with_cruft_follows_the_template(
    repository: Path, tmp_path: Path
) -> None:
    newer = tmp_path / "repository"
    shutil.copytree(repository, newer)
    place = Place(tmp_path, repository=newer)
    place.shell(CREATE, tmp_path, typed="\n" * 6)
    service = tmp_path / "flask-service"
    (service / "mine.py").write_text('"""Mine."""\n', encoding="utf-8")
    place.shell("git init -q && git add -A && git commit -q -m mine", service)
    place.shell("cruft check", service)

    page = newer / SERVICE.name / "app" / "news.py"
    page.write_text('"""New."""\n', encoding="utf-8")
    place.shell("git add -A && git commit -q -m 'Another version'", newer)
    place.shell("! cruft check", service)
    place.shell("cruft update -y", service)
    place.shell("cruft check", service)
    assert ".cruft.json" in place.shell("git diff", service)
    assert (service / "app" / "news.py").is_file() and (service / "mine.py").is_file()
    assert not list(service.rglob("*.rej"))


# The service's README


@pytest.fixture
def service(tmp_path: Path) -> Path:
    folder = baked(tmp_path / "out")
    transcripts.stand_in_for_the_environment(folder)
    return folder


@runs(SERVICE_README, "make run", CURL)
def test_the_service_runs_as_its_readme_says(service: Path, place: Place) -> None:
    with place.served("make run", service) as server:
        assert place.shell(CURL, service).endswith('{"message":"pong"}\n')
        assert f"Listening on http://127.0.0.1:{place.port}" in server.output()


@runs(SERVICE_README, "make test", "make lint")
def test_the_services_tests_and_linters_run_as_its_readme_says(service: Path, place: Place) -> None:
    assert " passed" in place.shell("make test", service, ARGS="-q tests/test_errors.py")
    # mypy takes a quarter of a minute, and test_bake.py runs it on a service: here only its name
    but_mypy = f'[ "$2" = mypy ] && echo "$2." || exec {shlex.quote(sys.executable)} "$@"\n'
    transcripts.write_program(service / ".venv" / "bin" / "python", but_mypy)
    assert "mypy." in place.shell("make lint", service)


@runs(SERVICE_README, "make check", "make serve")
def test_the_service_is_checked_and_served_for_production_as_its_readme_says(
    service: Path, place: Place
) -> None:
    assert "/api/orders" in place.shell("make check", service)
    with place.served("make serve", service):
        answer = place.shell(CURL, service)
        assert answer.endswith('{"message":"pong"}\n')
        assert "Server:" not in answer and "Werkzeug" not in answer


OTHER_PORT, DEBUG = "make run PORT=5001", "make run ARGS=--debug"


@runs(SERVICE_README, OTHER_PORT, DEBUG)
def test_another_port_and_a_start_at_each_change_as_the_services_readme_says(
    service: Path, place: Place
) -> None:
    command = OTHER_PORT.replace("5001", str(place.port))
    with place.served(command, service, PORT="1") as server:
        assert place.shell(CURL, service).endswith('{"message":"pong"}\n')
        assert f"Listening on http://127.0.0.1:{place.port}" in server.output()

    view = service / "app" / "api" / "ping.py"
    text = view.read_text(encoding="utf-8")
    with place.served(DEBUG, service):
        assert '"pong"' in place.shell(CURL, service)
        view.write_text(text.replace('"pong"', '"changed"'), encoding="utf-8")
        place.shell(
            f"for n in {{1..150}}; do {CURL} | grep -q changed && exit; sleep 0.1; done", service
        )
        assert '"changed"' in place.shell(CURL, service)


WINDOWS = ("py -m venv .venv", r".venv\Scripts\pip install -e .[dev]", r".venv\Scripts\flask run")


def on_this_system(command: str) -> str:
    return command.replace(".venv\\Scripts\\", ".venv/bin/").replace("py -m", "python -m")


@runs(SERVICE_README, *WINDOWS)
def test_the_lines_for_windows_serve_too(service: Path, place: Place) -> None:
    """As far as it can be told elsewhere: their words, with this system's paths."""
    shutil.rmtree(service / ".venv")
    make, install, serve = map(on_this_system, WINDOWS)
    place.shell(f"{make} --without-pip", service)
    transcripts.stand_in_for_the_environment(service)
    extra = install.partition("[")[2].removesuffix("]")
    pyproject = (service / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(rf"^{extra} = \[", pyproject, re.M), install
    with place.served(serve, service, FLASK_RUN_PORT=str(place.port)):
        assert "200 OK" in place.shell(CURL, service)


@pytest.mark.soak
def test_the_lines_for_windows_install_all_that_it_needs(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.servers.START_SECONDS", 60.0)
    folder = baked(tmp_path / "out")
    make, install, serve = map(on_this_system, WINDOWS)
    place.shell(make, folder)
    place.shell(install, folder)
    with place.served(serve, folder, FLASK_RUN_PORT=str(place.port)):
        assert "200 OK" in place.shell(CURL, folder)


@runs(SERVICE_README, "flask api-key mobile")
def test_the_walk_through_all_layers_is_that_of_a_real_run(tmp_path: Path) -> None:
    shown = transcripts.block(SERVICE_README, "walk")
    again = "make it anew: python -m tests.transcripts"
    assert transcripts.masked(transcripts.walked(tmp_path)) == transcripts.masked(shown), again


KEYS = ("flask api-key mobile --write", "flask api-key list", "flask api-key revoke mobile --write")


@runs(SERVICE_README, *KEYS)
def test_keys_are_written_listed_and_revoked_as_the_services_readme_says(
    service: Path, place: Place
) -> None:
    write, show, revoke = KEYS
    place.shell(write.replace("mobile", "reports"), service)
    place.shell(write, service)
    names = [line.split()[0] for line in place.shell(show, service).splitlines() if line]
    assert names == ["reports", "mobile"]
    place.shell(revoke, service)
    assert place.shell(show, service).startswith("reports ")


@runs(SERVICE_README, "pip install -e '.[jwt]'")
def test_the_extra_for_tokens_is_there(place: Place, tmp_path: Path) -> None:
    pyproject = (SERVICE / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.search(r'^jwt = \["(.*)"\]$', pyproject, re.M)
    assert needed
    place.shell(f"pip install '{needed[1]}'", tmp_path)  # of what is here, nothing is missing


# Links


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    words = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).strip().lower())
    return words.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.M)}


def pages() -> list[Path]:
    skipped = {"build", ".venv", "node_modules", ".git"}
    return [
        page for page in sorted(TEMPLATE.rglob("*.md"))
        if not skipped.intersection(part for part in page.relative_to(TEMPLATE).parts)
    ]  # fmt: skip


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(TEMPLATE).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / urllib.parse.unquote(path) if path else page
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{page.name}: no heading for {link}"


def test_every_test_of_the_template_that_the_claims_name_has_tests() -> None:
    linked = re.findall(r"\]\(([^)]*test_\w+\.py)\)", README.read_text(encoding="utf-8"))
    assert len(linked) > 15
    for link in linked:
        path = TEMPLATE / urllib.parse.unquote(link)
        assert re.search(r"^def test_", path.read_text(encoding="utf-8"), re.M), link
