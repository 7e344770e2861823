"""Over a service that exists: the middlewares and their tests arrive, and nothing else does."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.bakes import SLUG, bake, baked, contents, files, python, run, source_files
from tests.middlewares import MIDDLEWARES
from tests.parts import require

GIT = ("-c", "user.name=Tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgsign=false")
OVER = {"cors_origins": "https://app.example.com", "rate_limits": "2 per minute"}

FACTORY = """from flask import Flask


def create_app():
    app = Flask(__name__)
    app.config.from_mapping(SECRET_KEY="dev"{config})

    @app.get("/api/hello")
    def hello():
        return {{"hello": "world"}}

    return app
"""
LAYOUTS = {
    "tutorial": {
        "flaskr/__init__.py": FACTORY.format(config=""),
        "flaskr/__pycache__/x.cpython-311.pyc": "old",
        "pyproject.toml": "[project]\nname = 'flaskr'\nversion = '1'\n",
        "tests/conftest.py": "",
        "tests/test_cors.py": "def test_mine():\n    pass\n",
        "wsgi.py": "from flaskr import create_app\n\napp = create_app()\n",
        ".gitignore": ".venv/\n__pycache__/\n",
    },
    "src": {
        "src/shop/__init__.py": FACTORY.format(config=""),
        ".flaskenv": "FLASK_APP=shop\n",
        "README.md": "# Shop\n",
    },
    "own app": {
        "app/__init__.py": FACTORY.format(config=", CORS_ORIGINS=Config.CORS_ORIGINS").replace(
            "import Flask\n", "import Flask\n\nfrom app.config import Config\n"
        ),
        "app/config.py": 'class Config:\n    CORS_ORIGINS = ["https://mine.example.com"]\n',
        "app/middleware/__init__.py": "# mine\n",
        ".env": "FLASK_SECRET_KEY=mine\n",
    },
}


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service(layout: str, tmp_path: Path) -> Path:
    """Theirs, with everything committed."""
    return existing(tmp_path, LAYOUTS[layout])


def existing(tmp_path: Path, those: dict[str, str]) -> Path:
    service = tmp_path / "out" / SLUG
    for name, text in those.items():
        (service / name).parent.mkdir(parents=True, exist_ok=True)
        (service / name).write_text(text, encoding="utf-8")
    git(service, "init", "-q")
    git(service, "add", "-A")
    git(service, "commit", "-q", "-m", "mine")
    return service


def git(folder: Path, *arguments: str) -> str:
    return run([require("git"), *GIT, *arguments], folder).stdout


def over(service: Path, *options: str) -> str:
    """Put the template over it.

    :returns: what was printed.
    """
    result = bake(service.parent, {**OVER, "project_slug": service.name}, "-f", *options)
    assert result.returncode == 0, result.stderr
    return result.stdout


def factory_of(layout: str) -> str:
    return next(name for name, text in LAYOUTS[layout].items() if "Flask(" in text)


def routes(service: Path) -> str:
    """What `flask routes` prints, without FLASK_APP in the environment."""
    listed = python(service, "-m", "flask", "routes", PYTHONPATH="src")
    assert listed.returncode == 0, listed.stderr
    return listed.stdout


def test_only_the_middlewares_and_their_tests_arrive(service: Path, layout: str) -> None:
    before, listed = contents(service), routes(service)
    assert "/api/hello" in listed
    over(service, "-s")
    after = contents(service)
    assert {name: after[name] for name in before} == before
    of_ours = {name for name in source_files() if re.match("(app|tests)/middleware/", name)}
    assert after.keys() - before.keys() == (of_ours | {"app/__init__.py"}) - before.keys()
    assert layout == "own app" or after["app/__init__.py"] == b""
    folders = {path.name for path in service.iterdir() if path.is_dir()} - {".git", "__pycache__"}
    assert folders == {name.partition("/")[0] for name in after if "/" in name} - {".git"}

    new = {line[3:] for line in git(service, "status", "--porcelain").splitlines()}
    came = {"app/middleware/", "app/middleware/engine/", "tests/middleware/", "app/", "tests/"}
    assert new <= came | {f"app/middleware/{Path(name).name}" for name in of_ours}, new
    assert routes(service) == listed


def test_the_tests_that_arrived_pass_beside_theirs(service: Path) -> None:
    over(service, "-s")
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", "-k", "cors or mine")
    passed = python(service, *command, PYTHONPATH="src")
    assert passed.returncode == 0, passed.stdout + passed.stderr


def test_what_is_printed_is_all_that_is_to_be_added(service: Path, layout: str) -> None:
    said = over(service, "-s").rstrip("\n").split("\n")
    factory = factory_of(layout)
    assert f"Add to {factory!a}:" in said
    imports = [line.strip() for line in said if line.startswith("    from app.middleware.")]
    calls = [line for line in said if re.fullmatch(r"    configure_\w+\(app\)", line)]
    keys = said[said.index("Add to your configuration:") + 1 :]
    assert len(imports) == len(calls) == 10
    assert any("CORS_ORIGINS" in key for key in keys) == (layout != "own app")

    adopt(service / factory, imports, calls, keys)
    package = factory.removeprefix("src/").partition("/")[0]
    code = (
        f"import sys; sys.path[:0] = ['.', 'src']; from {package} import create_app\n"
        "client = create_app().test_client(); origin = {'Origin': sys.argv[1]}\n"
        "answers = [client.get('/api/hello', headers=origin) for _ in range(3)]\n"
        "assert [a.status_code for a in answers] == [200, 200, 429], answers\n"
        "for answer in answers:\n"
        "    assert answer.headers['Access-Control-Allow-Origin'] == sys.argv[1]\n"
        "    assert answer.headers['X-Request-ID'] and answer.headers['X-Frame-Options']\n"
    )
    origin = "https://mine.example.com" if layout == "own app" else "https://app.example.com"
    works = python(service, "-c", code, origin)
    assert works.returncode == 0, works.stderr + works.stdout
    assert "/api/hello" in routes(service)

    before = contents(service)
    assert f"{factory!a} calls every middleware" in over(service, "-s")
    assert contents(service) == before


def test_a_second_run_changes_nothing_and_says_what_is_still_missing(
    service: Path, layout: str
) -> None:
    said = over(service, "-s")
    factory = service / factory_of(layout)
    call = "    configure_cors(app)\n"
    assert call in said
    text = factory.read_text(encoding="utf-8").replace("    return app", f"{call}    return app")
    factory.write_text(text, encoding="utf-8")
    before = contents(service)
    again = over(service, "-s")
    assert contents(service) == before
    assert call not in again and again.count("    configure_") == len(MIDDLEWARES) - 1


def test_a_service_that_calls_every_middleware_is_told_which_settings_are_missing(
    service: Path, layout: str
) -> None:
    said = over(service, "-s").splitlines()
    factory = service / factory_of(layout)
    calls = "".join(f"{line}\n" for line in said if line.startswith("    configure_"))
    text = factory.read_text(encoding="utf-8").replace("    return app", f"{calls}    return app")
    factory.write_text(text, encoding="utf-8")
    again = over(service, "-s").splitlines()
    assert again[0].endswith("calls every middleware.")
    keys = said[said.index("Add to your configuration:") :]
    assert again[1:] == keys
    assert "    MAX_CONTENT_LENGTH = 1048576  # bytes" in keys


@pytest.mark.parametrize(
    "name",
    [
        "tracker/__init__.py",
        "apps/shop.py",
        "src/tea/factory.py",
        "backend/app/__init__.py",
        "m.py",
    ],
)
def test_an_application_is_found_by_any_name(tmp_path: Path, name: str) -> None:
    service = existing(tmp_path, {name: FACTORY.format(config="")})
    if os.name == "posix":
        (service / "aaa.py").symlink_to("nowhere")
    assert f"Add to {name!a}:" in over(service, "-s")
    assert not (service / "wsgi.py").exists()


@pytest.mark.parametrize("name", ["tests/conftest.py", "shop/tests/test_x.py"])
def test_a_flask_in_their_tests_is_no_application(tmp_path: Path, name: str) -> None:
    service = existing(tmp_path, {name: FACTORY.format(config="")})
    assert "Next:" in over(service, "-s")
    assert (service / "wsgi.py").exists()


def test_a_folder_with_an_underscore_adopts(tmp_path: Path) -> None:
    service = existing(tmp_path, LAYOUTS["tutorial"])
    service = service.rename(service.with_name("my_service"))
    assert "configure_cors(app)" in over(service, "-s")
    assert (service / "app/middleware/cors.py").is_file()


def test_without_s_no_file_that_was_here_is_removed(tmp_path: Path) -> None:
    """cookiecutter replaces those of the same names then, as it was told."""
    service = existing(tmp_path, {**LAYOUTS["tutorial"], "tests/test_orders.py": "# mine\n"})
    over(service)
    assert LAYOUTS["tutorial"].keys() <= files(service)
    assert (service / "tests/test_orders.py").is_file()
    assert not (service / "Makefile").exists()


def test_a_deleted_starter_stays_deleted_and_a_middleware_comes_back(tmp_path: Path) -> None:
    service = baked(tmp_path / "out")
    before = contents(service)
    for name in ("Dockerfile", "app/api/orders.py", "tests/test_orders.py", ".env"):
        del before[name]
        (service / name).unlink()
    (service / "app/middleware/cors.py").unlink()
    over(service, "-s")
    assert contents(service) == before


def test_moved_into_their_package_the_middlewares_pass_their_tests(tmp_path: Path) -> None:
    service = existing(tmp_path, LAYOUTS["tutorial"])
    over(service, "-s")
    (service / "app/middleware").rename(service / "flaskr/middleware")
    (service / "app/__init__.py").unlink()
    for path in (service / "tests/middleware").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"\bapp\.middleware\b", "flaskr.middleware", text), "utf-8")
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/middleware", "-k", "cors")
    passed = python(service, *command)
    assert passed.returncode == 0, passed.stdout + passed.stderr


def adopt(path: Path, imports: list[str], calls: list[str], keys: list[str]) -> None:
    """Do what the last lines of the command say."""
    text = path.read_text(encoding="utf-8")
    settings = [f"    app.config[{key.split()[0]!r}] ={key.partition('=')[2]}" for key in keys]
    head, config, tail = re.split(r"(    app\.config\.from_mapping.*\n)", text)
    lines = "\n".join([*settings, *calls, ""])
    path.write_text("\n".join([*imports, head]) + config + lines + tail, encoding="utf-8")


def test_an_application_in_app_py_is_not_hidden_by_the_package(tmp_path: Path) -> None:
    service = tmp_path / "out" / SLUG
    service.mkdir(parents=True)
    (service / "app.py").write_text("mine", encoding="utf-8")
    result = bake(tmp_path / "out", {}, "-f", "-s")
    assert result.returncode != 0 and "app.py is here" in result.stderr
    assert files(service) == {"app.py"}


def test_a_module_of_theirs_is_not_hidden_by_the_middlewares(tmp_path: Path) -> None:
    those = {**LAYOUTS["own app"], "app/middleware.py": "mine"}
    del those["app/middleware/__init__.py"]
    service = existing(tmp_path, those)
    result = bake(tmp_path / "out", {}, "-f", "-s")
    assert result.returncode != 0 and "app/middleware.py is here" in result.stderr
    assert git(service, "status", "--porcelain") == ""


@pytest.mark.parametrize("name", ["deploy", "app", "tests"])
def test_a_script_of_theirs_where_a_folder_has_to_be_is_named_and_nothing_is_written(
    tmp_path: Path, name: str
) -> None:
    service = existing(tmp_path, {"service.py": "from flask import Flask", name: "#!/bin/sh"})
    result = bake(tmp_path / "out", {}, "-f", "-s")
    assert result.returncode != 0 and f"'{name}' is here and is not a folder" in result.stderr
    assert git(service, "status", "--porcelain") == ""


def test_a_link_for_secrets_that_are_elsewhere_is_kept(tmp_path: Path) -> None:
    service = existing(tmp_path, {"README.md": "mine"})
    (service / ".env").symlink_to("/run/secrets-of-another-machine/env")
    assert "make run" in over(service, "-s")
    assert (service / ".env").is_symlink()
