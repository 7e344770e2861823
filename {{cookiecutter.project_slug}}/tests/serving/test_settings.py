"""What gunicorn.conf.py is told, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import dotenv
import pytest

from serving.settings import EX_CONFIG, load_environment, number, whole


def test_a_number_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert number("SOME_SECONDS", 15, 0, 60, "seconds") == 15
    monkeypatch.setenv("SOME_SECONDS", "2.5")
    assert number("SOME_SECONDS", 15, 0, 60, "seconds") == 2.5


@pytest.mark.parametrize("value", ["soon", "-1", "61", "nan", "inf", "2.5"])
def test_what_is_no_number_in_range_ends_the_start_in_one_line(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_SECONDS", value)
    with pytest.raises(SystemExit) as ended:
        whole("SOME_SECONDS", 15, 0, 60, "seconds")
    assert ended.value.code == EX_CONFIG
    said = capsys.readouterr().err
    assert said.startswith("SOME_SECONDS: ") and said.endswith(", for example 15\n")
    assert said.count("\n") == 1


def test_the_quotes_of_a_shell_are_no_part_of_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.settings.load_dotenv", lambda: None)
    monkeypatch.setenv("FLASK_API_KEYS", """'{"mobile": {"scopes": ["it's"]}}'""")
    monkeypatch.setenv("FLASK_QUOTE", "'")
    load_environment()
    assert os.environ["FLASK_API_KEYS"] == """{"mobile": {"scopes": ["it's"]}}"""
    assert os.environ["FLASK_QUOTE"] == "'"


def test_an_env_file_in_another_encoding_ends_the_start_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ".env"
    path.write_text("FLASK_SOME_KEY=1\n", "utf-16")
    monkeypatch.setattr("serving.settings.load_dotenv", lambda: dotenv.load_dotenv(path))
    with pytest.raises(SystemExit) as ended:
        load_environment()
    assert ended.value.code == EX_CONFIG
    said = capsys.readouterr().err
    assert said == ".env: is not UTF-8 (byte 1): save it with the encoding UTF-8\n"
