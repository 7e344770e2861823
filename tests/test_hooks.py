"""What the hooks refuse, accept and leave alone: as modules, and through the command."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from limits import parse_many

from tests.bakes import SLUG, bake, baked, clean_environment, contents, files, python, settings
from tests.servers import SERVICE, TEMPLATE

GOOD = {
    "project_name": "Flask Service",
    "project_slug": "flask-service",
    "description": "A service",
    "cors_origins": "http://localhost:3000",
    "rate_limits": "200 per hour;50 per minute",
    "trusted_proxies": "0",
}
STDLIB = {"ipaddress", "json", "os", "pathlib", "re", "sys", "unicodedata"}
HOSTILE = 'O\'Brien "x" \\ \u00e9 {{ 7*7 }} $(id)'

BAD = [
    *(
        ("cors_origins", origin)
        for origin in (
            "*",
            "null",
            "app.example.com",
            "localhost:3000",
            "//app.example.com",
            "https://",
            "https://app.example.com/path",
            "https://app.example.com?x=1",
            "https://app.example.com#top",
            "https://user:word@app.example.com",
            "https://app.*.com",
            "https://app*.example.com",
            "https://*",
            "https://*.com",
            "http://*.example.com",
            "https://*.*.example.com",
            "https://*.10.0.0.1",
            "http://localhost:*",
            r"https://.*\.example\.com",
            r"^https://app\.example\.com$",
            "https://(app|www).example.com",
            "https://app.example.com:99999",
            "https://app.example.com:http",
            "ftp://app.example.com",
            "javascript://app.example.com",
            "https://m\u00fcnchen.example",
            "https://app.example.com, *",
            "https://300.1.1.1",
            "https://[::1",
        )
    ),
    *(
        ("rate_limits", limits)
        for limits in (
            "",
            "fifty per hour",
            "9 per 999999999 years",
            "9 per 104166667 days",
            "50",
            "50 per",
            "per hour",
            "50/fortnight",
            "50/hour;",
            ";50/hour",
            "50/hour;;5/minute",
            "-5/minute",
            "0 per hour",
            "5 per 0 minutes",
            "5.5 per hour",
            "unlimited",
            "50 per hour and 5 per minute",
            "9999999999999999999999 per hour",
            "\u0665\u0660 per hour",
        )
    ),
    *(
        ("project_slug", slug)
        for slug in (
            "",
            ".",
            "..",
            "a/b",
            "../up",
            "/absolute",
            "back\\slash",
            "two words",
            "under__score",
            "_dash",
            "dash_",
            "dash-_dash",
            "-dash",
            "dash-",
            "caf\u00e9",
            "con",
            "LPT1",
            "x" * 65,
            "x" * 300,
            "semi;colon",
            "$(id)",
            "new\nline",
            "c:drive",
        )
    ),
    *(
        ("trusted_proxies", count)
        for count in ("", "-1", "11", "1.5", "one", "0x1", "1 2", "true", "\u0661", "999")
    ),
    ("project_name", ""),
    ("project_name", "  "),
    ("project_name", "bell \x07"),
    ("description", "escape \x1b[31m"),
    ("description", ""),
]

ODD_BUT_GOOD: list[tuple[dict[str, str], dict[str, object]]] = [
    ({"cors_origins": ""}, {"CORS_ORIGINS": []}),
    ({"cors_origins": "none"}, {"CORS_ORIGINS": []}),
    ({"cors_origins": " , ,"}, {"CORS_ORIGINS": []}),
    ({"cors_origins": "https://App.Example.COM/"}, {"CORS_ORIGINS": ["https://app.example.com"]}),
    (
        {"cors_origins": " https://a.example ,https://b.example "},
        {"CORS_ORIGINS": ["https://a.example", "https://b.example"]},
    ),
    (
        {"cors_origins": "https://a.example\nhttps://b.example"},
        {"CORS_ORIGINS": ["https://a.example", "https://b.example"]},
    ),
    ({"cors_origins": "https://*.example.com"}, {"CORS_ORIGINS": ["https://*.example.com"]}),
    ({"cors_origins": "http://[::1]:3000"}, {"CORS_ORIGINS": ["http://[::1]:3000"]}),
    ({"cors_origins": "http://127.0.0.1:5173"}, {"CORS_ORIGINS": ["http://127.0.0.1:5173"]}),
    ({"cors_origins": "https://xn--mnchen-3ya.example"}, {}),
    ({"cors_origins": "capacitor://localhost"}, {"CORS_ORIGINS": ["capacitor://localhost"]}),
    ({"cors_origins": ",".join(f"https://app-{n}.example.com" for n in range(40))}, {}),
    ({"cors_origins": "https://" + ".".join(["a" * 60] * 4)}, {}),
    ({"rate_limits": "5/second"}, {"RATELIMIT_DEFAULT": "5/second"}),
    ({"rate_limits": "999999999 per 999999999 hours,5/99999 years"}, {}),
    ({"rate_limits": " 10 PER 5 Minutes | 1000/day "}, {}),
    ({"rate_limits": "1perhour,2\nper  2 hours"}, {"RATELIMIT_DEFAULT": "1perhour,2 per 2 hours"}),
    ({"trusted_proxies": " 10 "}, {"TRUSTED_PROXIES": 10}),
    ({"trusted_proxies": "01"}, {"TRUSTED_PROXIES": 1}),
    ({"project_slug": "my_service"}, {"RATELIMIT_KEY_PREFIX": "my_service"}),
    ({"project_slug": "A1"}, {"RATELIMIT_KEY_PREFIX": "A1"}),
    ({"project_slug": "x" * 64}, {"RATELIMIT_KEY_PREFIX": "x" * 64}),
    ({"project_name": "Se\u00f1or \u2603 \U0001f600"}, {}),
    ({"project_name": "\u6771\u4eac"}, {}),
    ({"project_name": HOSTILE + "\nsecond line", "description": HOSTILE + '\n"""\\'}, {}),
]


def load(name: str) -> ModuleType:
    """A hook as a module: with its Jinja in it, it is Python."""
    spec = importlib.util.spec_from_file_location(name, TEMPLATE / "hooks" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pre_gen = load("pre_gen_project")
post_gen = load("post_gen_project")


def refusal(tmp_path: Path, **answers: str) -> str | None:
    """What the hook says in an empty folder, and that it leaves it empty if it refuses."""
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        said: str | None = pre_gen.main({**GOOD, **answers}, [])
    finally:
        os.chdir(before)
    assert (said is None) == (files(tmp_path) == {".cookiecutter-started"})
    return said


@pytest.mark.parametrize(("question", "answer"), BAD, ids=ascii)
def test_a_bad_answer_is_refused_in_one_line_that_says_what_to_write(
    tmp_path: Path, question: str, answer: str
) -> None:
    said = refusal(tmp_path, **{question: answer})
    assert said and said.isascii()
    line = said.strip("\n")
    assert "\n" not in line and len(line) < 250
    assert line.startswith(f"{question}: ") and re.search("; (write|name)", line)


SAID = {
    ("cors_origins", "Tea.example.com"): (
        "'Tea.example.com' has no scheme; write https:// or http:// before it"
    ),
    ("cors_origins", "https://a.example, tea.example.com"): (
        "'https://a.example, tea.example.com' has 'tea.example.com', which has no scheme; "
        "write https:// or http:// before it"
    ),
    ("rate_limits", "100/min"): (
        "'100/min' is not a limit; write 1 or more per second, minute, hour, day, month or year: "
        "200 per hour;50 per minute"
    ),
    ("rate_limits", "5/hour;0/day"): (
        "'5/hour;0/day' has '0/day', which is not a limit; write 1 or more per second, minute, "
        "hour, day, month or year: 200 per hour;50 per minute"
    ),
    ("project_slug", "two words"): (
        "'two words' is not a folder name; write letters, digits, - or _: order-service"
    ),
}


@pytest.mark.parametrize(("question", "answer"), SAID)
def test_a_refusal_names_what_is_wrong_once(tmp_path: Path, question: str, answer: str) -> None:
    said = refusal(tmp_path, **{question: answer})
    assert said == f"\n{question}: {SAID[question, answer]}\n"


def test_the_remedy_of_a_refusal_is_accepted(tmp_path: Path) -> None:
    for question, answer in BAD:
        said = refusal(tmp_path, **{question: answer})
        remedy = re.search(r"(https://\S+\.com|\d+ per hour;.*minute|order-service)$", said or "")
        if remedy:
            folder = tmp_path / "next"
            folder.mkdir(exist_ok=True)
            assert refusal(folder, **{question: remedy[0]}) is None
            (folder / ".cookiecutter-started").unlink()


@pytest.mark.parametrize(("question", "answer"), BAD, ids=ascii)
@pytest.mark.soak
def test_a_bad_answer_leaves_nothing_on_the_disk(
    tmp_path: Path, question: str, answer: str
) -> None:
    refused(tmp_path, question, answer)


def test_bad_answers_leave_nothing_on_the_disk(tmp_path: Path) -> None:
    """One of each kind, through the command; `make soak` does them all."""
    for number, index in enumerate((0, 13, 29, 35, 46, 49, 53, -15, -1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        refused(folder, *BAD[index])


def refused(tmp_path: Path, question: str, answer: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    result = bake(out, {question: answer})
    assert result.returncode != 0
    said = result.stdout + result.stderr
    assert len(re.findall(rf"{question}: [^\n]*(?:write|name) [^\n]*", said)) == 1, said
    assert list(out.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"out", "home"}


@pytest.mark.parametrize(("answers", "expected"), ODD_BUT_GOOD, ids=ascii)
def test_an_odd_but_good_answer_is_normalised(
    tmp_path: Path, answers: dict[str, str], expected: dict[str, object]
) -> None:
    """The hooks alone, over a copy of app/config.py; what they write is read by the service."""
    assert refusal(tmp_path, **answers) is None
    lines = post_gen.settings({**GOOD, **answers})
    text = post_gen.configure((SERVICE / "app/config.py").read_text(encoding="utf-8"), lines)
    assert text.isascii()
    scope: dict[str, Any] = {}
    exec(text, scope)
    config = scope["config_by_name"]["production"]
    for key, value in expected.items():
        assert getattr(config, key) == value
    assert parse_many(config.RATELIMIT_DEFAULT)

    (tmp_path / "app").mkdir()
    (tmp_path / "app/config.py").write_text(text, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    pyproject = ["--no-cache", "--config", str(SERVICE / "pyproject.toml"), "app/config.py"]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([*ruff, *command, *pyproject], cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stdout
    code = (
        "import runpy; from flask import Flask\n"
        "from app.middleware.cors import configure_cors\n"
        "from app.middleware.proxy import configure_proxy\n"
        "from app.middleware.rate_limiting import configure_rate_limiting\n"
        f"config = runpy.run_path({str(tmp_path / 'app' / 'config.py')!r})['Config']\n"
        "app = Flask('x'); app.config.from_object(config)\n"
        "configure_proxy(app); configure_cors(app); configure_rate_limiting(app)\n"
    )
    started = python(SERVICE, "-c", code)
    assert started.returncode == 0, started.stderr


@pytest.mark.soak
@pytest.mark.parametrize(("answers", "expected"), ODD_BUT_GOOD, ids=ascii)
def test_a_service_of_odd_but_good_answers_passes_its_own_tests(
    tmp_path: Path, answers: dict[str, str], expected: dict[str, object]
) -> None:
    service = baked(tmp_path / "out", answers)
    values = settings(service)
    assert {key: values[key] for key in expected} == expected
    passed = python(service, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert passed.returncode == 0, passed.stdout


def test_the_hooks_accept_no_origin_that_the_service_refuses(tmp_path: Path) -> None:
    """And the reverse: the two lists of rules are one."""
    code = (
        "import json, sys\n"
        "from app.middleware.engine.origins import read_origin\n"
        "def fine(text):\n"
        "    try:\n"
        "        return bool(read_origin('CORS_ORIGINS', text))\n"
        "    except ValueError:\n"
        "        return False\n"
        "print(json.dumps([fine(text) for text in json.loads(sys.argv[1])]))\n"
    )
    origins = [answer for question, answer in BAD if question == "cors_origins"]
    origins += [a["cors_origins"] for a, _ in ODD_BUT_GOOD if "cors_origins" in a]
    origins += ["https://a.example:443/", "http://a_b.example", "tauri://localhost", "http://x:0"]
    origins += ["https://[fe80::1%25eth0]", "http://0x7f.1", "https://a..b", "https://.a.b"]
    words = sorted({word for text in origins for word in re.split(r"[,\s]+", text) if word})
    words.remove("none")
    said = python(SERVICE, "-c", code, json.dumps(words))
    assert said.returncode == 0, said.stderr
    service = dict(zip(words, json.loads(said.stdout), strict=True))
    assert service == {word: pre_gen.refused_origins(word) == "" for word in words}


LIMITS = (
    "1/second,1 per second,1 per 2 seconds,1/2hours,1perday,5/MINUTE,1 / year,5 per month"
    ",5,5/,/hour,5/hours/2,5 per hour per day,5/week,5 in 1 second,five per hour"
)


@pytest.mark.parametrize("text", LIMITS.split(","))
def test_a_limit_is_accepted_as_the_library_accepts_it(text: str) -> None:
    try:
        parsed = bool(parse_many(text))
    except ValueError:
        parsed = False
    assert (pre_gen.refused_limits(text) == "") == parsed


def test_a_changed_default_in_the_template_is_noticed() -> None:
    text = (SERVICE / "app/config.py").read_text(encoding="utf-8")
    with pytest.raises(SystemExit, match="TRUSTED_PROXIES = 0"):
        post_gen.configure(text.replace("TRUSTED_PROXIES = 0", "TRUSTED_PROXIES = 2"), [""] * 4)
    with pytest.raises(SyntaxError):
        post_gen.configure(text, ["("] * 4)


def test_the_secret_is_new_each_time_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    texts = set()
    for name in ("one", "two"):
        service = baked(tmp_path / name)
        texts.add((service / ".env").read_text(encoding="ascii"))
        if os.name == "posix":
            assert (service / ".env").stat().st_mode & 0o777 == 0o600
    assert len(texts) == 2
    assert all(re.search(r"^FLASK_SECRET_KEY=[0-9a-f]{64}$", text, re.M) for text in texts)


def test_a_second_run_over_a_service_changes_nothing_in_it(tmp_path: Path) -> None:
    service = baked(tmp_path / "out", {"trusted_proxies": "1"})
    (service / "app/api/ping.py").write_text("# edited\n", encoding="utf-8")
    (service / "app/middleware/cors.py").unlink()
    before = contents(service)
    again = bake(tmp_path / "out", {"trusted_proxies": "2"}, "-f", "-s")
    assert again.returncode == 0, again.stderr
    after = contents(service)
    assert after.pop("app/middleware/cors.py") and after == before


def test_a_refusal_leaves_an_existing_folder_as_it_was(tmp_path: Path) -> None:
    service = tmp_path / "out" / SLUG
    service.mkdir(parents=True)
    (service / "mine.txt").write_text("mine", encoding="utf-8")
    result = bake(tmp_path / "out", {"cors_origins": "*"}, "-f", "-s")
    assert result.returncode != 0
    assert contents(service) == {"mine.txt": b"mine"}


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_the_hooks_need_no_utf_8(tmp_path: Path, locale: str) -> None:
    """As on Windows with its code page: PYTHONUTF8=0 and an ASCII locale."""
    env = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    out = tmp_path / "\u00fc and blanks" / "out"
    out.mkdir(parents=True)
    result = bake(out, {"description": "na\u00efve" if locale != "C" else "plain"}, env=env)
    assert result.returncode == 0, result.stderr
    for path in (out / SLUG).rglob("*.*"):
        if path.is_file():
            assert b"\r" not in path.read_bytes()
            path.read_text(encoding="utf-8")
    refused = bake(tmp_path / "out", {"cors_origins": "\u2603"}, env=env)
    assert refused.returncode != 0 and "cors_origins: '" in refused.stderr


@pytest.mark.parametrize("hook", ["pre_gen_project", "post_gen_project"])
def test_a_hook_is_short_ascii_and_needs_neither_network_nor_git(hook: str) -> None:
    text = (TEMPLATE / "hooks" / f"{hook}.py").read_text(encoding="ascii")
    assert len(text.splitlines()) <= 120
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import | ast.ImportFrom)]
    modules = {
        alias.name if isinstance(n, ast.Import) else n.module for n in nodes for alias in n.names
    }
    assert modules <= STDLIB


def test_the_answers_reach_the_hooks_as_data(tmp_path: Path) -> None:
    answers = [HOSTILE, "", HOSTILE, "", "", ""]
    typed = bake(tmp_path / "typed", typed="\n".join(answers) + "\n")
    assert typed.returncode == 0, typed.stderr
    service = next((tmp_path / "typed").iterdir())
    assert service.name == "o-brien-x-e-7-7-id"
    readme = (service / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {HOSTILE}\n\n{HOSTILE}\n")
    loaded = toml(service / "pyproject.toml")
    assert loaded["project"]["description"] == HOSTILE


def toml(path: Path) -> dict[str, Any]:
    if sys.version_info < (3, 11):
        pytest.skip("tomllib came with Python 3.11")
    import tomllib

    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("question", [q for q in GOOD if q not in ("project_name", "description")])
def test_hostile_text_in_any_other_answer_is_refused(tmp_path: Path, question: str) -> None:
    said = refusal(tmp_path, **{question: HOSTILE + "\n"})
    assert said and "49" not in said and "uid=" not in said


def test_the_environment_of_these_tests_has_no_settings(tmp_path: Path) -> None:
    assert not [name for name in clean_environment(tmp_path) if name.startswith("FLASK_")]
