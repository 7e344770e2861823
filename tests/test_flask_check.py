"""`flask check` of a service as it is generated: quiet in development, and in a sane production."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.bakes import baked, python
from tests.servers import SERVICE, TEMPLATE

SANE = {
    "APP_CONFIG": "production",
    "FLASK_SECRET_KEY": "3b1f0c5de2a94786b1f5a0c39d2e7164",
    "FLASK_CORS_ORIGINS": "https://app.shop.test",
    "FLASK_TRUSTED_HOSTS": "api.shop.test",
    "FLASK_API_KEYS": json.dumps({"mobile": {"keys": ["5b" * 32], "scopes": ["orders:read"]}}),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return baked(tmp_path_factory.mktemp("checked") / "out")


def test_a_new_service_in_development_has_no_finding(service: Path) -> None:
    done = python(service, "-m", "flask", "check", APP_CONFIG="development")
    assert done.returncode == 0, done.stderr
    assert "No risk found." in done.stdout


@pytest.mark.parametrize("command", ["check", "run", "routes"])
def test_of_a_wrong_key_the_command_line_shows_one_message_and_no_traceback(
    service: Path, command: str
) -> None:
    done = python(service, "-m", "flask", command, FLASK_CORS_ORIGINS="example.com")
    assert done.returncode == 1
    assert re.fullmatch(r"Error: CORS_ORIGINS: 'example.com' has no scheme; .*\n", done.stderr)


def test_a_configured_service_in_production_has_no_error_and_no_warning(service: Path) -> None:
    done = python(service, "-m", "flask", "--app", "wsgi", "check", "--json", **SANE)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["production"] is True
    assert {finding["id"][0] for finding in report["findings"]} == {"I"}


def test_a_new_service_in_production_is_told_what_to_set(service: Path) -> None:
    (service / ".env").rename(service.parent / "env")
    done = python(service, "-m", "flask", "--app", "wsgi", "check")
    (service.parent / "env").rename(service / ".env")
    assert done.returncode == 1
    assert "ERROR E001: SECRET_KEY is not set" in done.stdout
    assert {"W002", "W009", "W012"} <= set(re.findall(r"W\d{3}", done.stdout))


def test_the_remedy_for_refusals_among_other_lines_works_in_a_container(service: Path) -> None:
    done = python(service, "-m", "flask", "--app", "wsgi", "check", **SANE)
    (value,) = re.findall(r"FLASK_SECURITY_LOG_FILE=(\S+)", done.stdout)
    assert value == "-"  # no file: the image has no folder for one
    env = {**SANE, "FLASK_SECURITY_LOG_FILE": value}
    assert "I002" not in python(service, "-m", "flask", "--app", "wsgi", "check", **env).stdout


def test_every_finding_is_explained_in_the_docs() -> None:
    sources = (SERVICE / "app" / "checks").glob("*.py")
    found = {code for path in sources for code in re.findall(r'"([EWI]\d{3})"', path.read_text())}
    explained = re.findall(
        r"^\| ([EWI]\d{3}) \|", (TEMPLATE / "docs" / "checks.md").read_text(), re.M
    )
    assert sorted(found - {"W901"}) == sorted(explained)


def test_every_hash_that_is_published_here_is_known_as_published() -> None:
    pages = [*TEMPLATE.glob("*.md"), *TEMPLATE.glob("docs/*.md"), SERVICE / "README.md"]
    pages.append(SERVICE / ".env.example")
    texts = [page.read_text("utf-8") for page in pages]
    published = {digest for text in texts for digest in re.findall(r"\b[0-9a-f]{64}\b", text)}
    known = (SERVICE / "app" / "checks" / "callers.py").read_text("utf-8")
    assert {digest for digest in published if digest not in known} == set()


def test_no_name_of_env_example_is_called_misspelt(service: Path) -> None:
    names = re.findall(r"FLASK_[A-Z_]+(?==)", (service / ".env.example").read_text("utf-8"))
    assert len(names) > 30
    code = (
        "from app import create_app; from app.checks.operation import misspelt_names;"
        "from app.checks.service import Service;"
        f"print(list(misspelt_names(Service(create_app(), dict.fromkeys({names!r}, '')))))"
    )
    assert python(service, "-c", code).stdout.splitlines()[-1] == "[]"
