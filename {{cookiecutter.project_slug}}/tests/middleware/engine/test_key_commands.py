"""What engine/key_commands.py promises: keys are made, listed, revoked, and .env stays whole."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from app.middleware.engine.api_keys import KeyRing, read_callers
from app.middleware.engine.credentials import Caller, digest_of
from app.middleware.engine.key_commands import key_commands

dotenv = pytest.importorskip("dotenv", reason="pip install python-dotenv")

OLD, NEW = digest_of("old").hex(), digest_of("new").hex()
CALLERS = {"web": {"keys": [OLD, NEW], "scopes": ["orders:read"], "limits": "9 per hour"}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLASK_API_KEYS", raising=False)
    return tmp_path


def run(*arguments: str, callers: Any = CALLERS) -> Result:
    app = Flask(__name__)
    app.cli.add_command(key_commands("API_KEYS", read_callers("API_KEYS", callers)))
    return app.test_cli_runner().invoke(args=["api-key", *arguments])


def value(line: str) -> str:
    assert line.startswith("FLASK_API_KEYS='") and line.endswith("'")
    return line.partition("=")[2]


def test_a_key_is_shown_once_and_its_line_admits_it() -> None:
    made = run("mobile", "--scope", "orders:read", "--scope", "orders:write", callers={})
    key, line = made.stdout.splitlines()
    assert (made.exit_code, len(key) >= 43, key in line, key in made.stderr) == (
        0,
        True,
        False,
        False,
    )
    holder = KeyRing(read_callers("API_KEYS", value(line))).holder_of(key)
    assert holder == Caller("mobile", frozenset({"orders:read", "orders:write"}))


def test_a_key_is_added_to_what_is_configured() -> None:
    made = run("new", "web", "--scope", "more", "--limits", "5 per minute")
    key, line = made.stdout.splitlines()
    assert json.loads(value(line).strip("'")) == {
        "web": {
            "keys": [OLD, NEW, digest_of(key).hex()],
            "scopes": ["orders:read", "more"],
            "limits": "5 per minute",
        }
    }
    assert f"web has 3 keys now; then: flask api-key revoke web --key {OLD[:8]}" in made.stderr


@pytest.mark.parametrize(
    "arguments",
    [["two words"], ["mobile", "--scope", "a b"], ["it's"], ["mobile", "--limits", "many"]],
)
def test_what_is_wrong_with_a_name_a_scope_or_limits_is_said(arguments: list[str]) -> None:
    made = run(*arguments)
    assert (made.exit_code, made.stdout) == (1, "")
    assert made.stderr.startswith("Error: API_KEYS: caller")


def test_callers_are_listed_without_a_whole_hash() -> None:
    shown = run("list")
    assert shown.stdout == f"web  {OLD[:8]} {NEW[:8]}  orders:read  9 per hour\n"
    golden = {"web": {"keys": [OLD], "tier": "gold"}}
    assert run("list", callers=golden).stdout == f"web  {OLD[:8]}  no scopes  tier gold\n"
    assert "authentication is off" in run("list", callers={}).stderr


def test_one_key_or_a_whole_caller_is_revoked() -> None:
    both = {**CALLERS, "mobile": {"keys": [digest_of("m").hex()], "scopes": []}}
    one = run("revoke", "web", "--key", OLD[:8], callers=both).stdout
    assert read_callers("API_KEYS", value(one.strip()))["web"]["keys"] == [NEW]
    whole = run("revoke", "web", callers=both).stdout
    assert list(read_callers("API_KEYS", value(whole.strip()))) == ["mobile"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["revoke", "nobody"], "nobody is not one of web"),
        (["revoke", "web", "--key", "ffff"], "does not begin the hash of exactly one key"),
        (["revoke", "web"], "the last key, and without any authentication is off"),
    ],
)
def test_revoking_never_opens_the_service_by_mistake(arguments: list[str], reason: str) -> None:
    revoked = run(*arguments)
    assert (revoked.exit_code, revoked.stdout, reason in revoked.stderr) == (1, "", True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "LINE\n"),
        ("", "LINE\n"),
        ("A=1", "A=1\nLINE\n"),
        ("A=1\n", "A=1\nLINE\n"),
        ("# mine\nFLASK_API_KEYS='{}'\nB='x y'\n", "# mine\nLINE\nB='x y'\n"),
        ("export FLASK_API_KEYS = {}\nB=2\nFLASK_API_KEYS=3\n", "LINE\nB=2\n"),
        (
            "#FLASK_API_KEYS=old\nFLASK_API_KEYS_X=1\n",
            "#FLASK_API_KEYS=old\nFLASK_API_KEYS_X=1\nLINE\n",
        ),
    ],
)
def test_write_changes_one_line_of_dotenv_and_nothing_else(
    before: str | None, after: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / ".env"
    if before is not None:
        path.write_text(before, encoding="utf-8")
        path.chmod(0o640)
        if read := dotenv.dotenv_values(path).get("FLASK_API_KEYS"):
            monkeypatch.setenv("FLASK_API_KEYS", read)  # as `flask` does
    made = run("mobile", "--write", callers={})
    assert made.exit_code == 0, made.stderr
    text = path.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("FLASK_API_KEYS='"))
    assert text == after.replace("LINE", line)
    assert KeyRing(read_callers("API_KEYS", value(line))).holder_of(made.stdout.strip())
    assert path.stat().st_mode & 0o777 == (0o600 if before is None else 0o640)
    assert [entry.name for entry in folder.iterdir()] == [".env"]


def test_write_finds_the_file_that_flask_reads_and_keeps_a_link(folder: Path) -> None:
    real = folder / "shared.env"
    real.write_text("A=1\n", encoding="utf-8")
    (folder / ".env").symlink_to(real)
    (folder / "below").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "below")
        assert run("mobile", "--write").exit_code == 0
    assert (folder / ".env").is_symlink()
    assert real.read_text(encoding="utf-8").startswith("A=1\nFLASK_API_KEYS='")


@pytest.mark.parametrize(
    ("text", "variable", "reason"),
    [
        ("A='\nFLASK_API_KEYS=1\n'\n", None, "cannot be changed safely"),
        ("FLASK_API_KEYS='{\"other\": {}}'\n", None, "has changed the file, run this one again"),
        ("FLASK_API_KEYS='{}'\n", '{"web": {}}', "is set in the environment, which comes before"),
    ],
)
def test_write_refuses_what_would_not_do_and_leaves_the_file(
    text: str, variable: str | None, reason: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text(text, encoding="utf-8")
    if variable:
        monkeypatch.setenv("FLASK_API_KEYS", variable)
    made = run("mobile", "--write")
    assert (made.exit_code, reason in made.stderr) == (1, True)
    assert (folder / ".env").read_text(encoding="utf-8") == text


def test_a_line_that_cannot_be_written_is_shown(folder: Path) -> None:
    path = folder / ".env"
    path.mkdir()
    made = run("mobile", "--write")
    assert (made.exit_code, type(made.exception)) == (1, SystemExit)
    assert ".env cannot be written (" in made.stderr and "by hand: FLASK_API_KEYS='" in made.stderr
    path.rmdir()
    path.symlink_to(folder / "nowhere" / ".env")
    assert "by hand: FLASK_API_KEYS='" in run("revoke", "web", "--key", OLD, "--write").stderr


def systemd(text: str) -> str:
    """EnvironmentFile= of systemd.exec(5): quotes around a value are taken off."""
    return text[1:-1] if text[:1] == text[-1:] == "'" else text


def test_the_line_means_the_same_to_whoever_reads_it(folder: Path) -> None:
    made = run("mobile", "--scope", "orders:read", "--write", callers={})
    line = (folder / ".env").read_text(encoding="utf-8").strip()
    shell = subprocess.run(
        ["sh", "-c", '. ./.env; printf %s "$FLASK_API_KEYS"'],
        capture_output=True,
        text=True,
        check=True,
    )
    readings = {
        "python-dotenv": dotenv.dotenv_values(folder / ".env")["FLASK_API_KEYS"],
        "a shell": shell.stdout,
        "docker --env-file, which keeps quotes": value(line),
        "systemd, and compose in the same way": systemd(value(line)),
    }
    for text in readings.values():
        app = Flask(__name__)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FLASK_API_KEYS", str(text))
            app.config.from_prefixed_env()
        ring = KeyRing(read_callers("API_KEYS", app.config["API_KEYS"]))
        assert ring.holder_of(made.stdout.strip()) is not None
