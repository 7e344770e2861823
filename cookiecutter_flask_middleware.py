"""What cookiecutter.json needs of Python: a wrong answer is asked for once more, not refused.

cookiecutter renders `__answers` after its last question. At a terminal, each wrong answer is asked
for again there and then; elsewhere all of them are listed, and the command ends with status 1
before anything is written. Everything is read when this module is imported, because a program may
bake twice, and the folder of the first template may be gone by then.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import click
from jinja2 import Environment, pass_environment
from jinja2.ext import Extension
from rich.prompt import Prompt

HERE = Path(__file__).parent
SERVICE = HERE / "{{cookiecutter.project_slug}}"
MIDDLEWARES = ("app/middleware/", "tests/middleware/")
QUESTIONS: dict[str, Any] = json.loads((HERE / "cookiecutter.json").read_text("utf-8"))
# The hook has the rules, because it alone sees what comes without questions (--replay).
problems = runpy.run_path(str(HERE / "hooks" / "pre_gen_project.py"))["problems"]


def starters() -> list[str]:
    """The files for a new service alone: all but the middlewares and their tests."""
    paths = [path.relative_to(SERVICE).as_posix() for path in SERVICE.rglob("*") if path.is_file()]
    return sorted({".env", *(path for path in paths if not path.startswith(MIDDLEWARES))})


STARTERS = starters()


class Answers(Extension):
    """The filter `checked` for cookiecutter.json, and the list `starters` for the hooks."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["checked"] = checked
        environment.globals["starters"] = STARTERS


@pass_environment
def checked(environment: Environment, answers: dict[str, Any]) -> str:
    """Put right answers in place of wrong ones.

    :raises SystemExit: with a line on each wrong answer, where nobody can be asked.
    """
    while wrong := problems(answers):
        if not somebody_answers():
            sys.exit("\n".join(["These answers have to change:", *wrong.values()]))
        for name, problem in wrong.items():
            click.secho(f"\n{problem}", fg="red")
            default = environment.from_string(QUESTIONS[name]).render(cookiecutter=answers)
            answers[name] = Prompt.ask(f"  {QUESTIONS['__prompts__'][name]}", default=default)
    return "checked"


def somebody_answers() -> bool:
    """Whether a command runs at a terminal, and without --no-input."""
    command = click.get_current_context(silent=True)
    return bool(command and not command.params.get("no_input") and sys.stdin.isatty())
