"""The transcripts of the READMEs and docs/terminal.svg, from real runs.

`python -m tests.transcripts` makes them anew. tests/test_readme.py makes them once more and
compares, with a mask over what differs from run to run. Two things differ from a reader's machine:
the repository is this folder, and the port is a free one (written back as 5000). In the test it is
three: the environment that it runs in stands in for the one that `make run` installs.
"""

from __future__ import annotations

import contextlib
import html
import os
import re
import select
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests import repository
from tests.bakes import clean_environment, template
from tests.servers import TEMPLATE, Server, free_port, launch, running
from tests.terminal_svg import Scene, draw

README = TEMPLATE / "README.md"
REPOSITORY = repository.name()
SERVICE_README = TEMPLATE / "{{cookiecutter.project_slug}}" / "README.md"
PICTURE = TEMPLATE / "docs" / "terminal.svg"
# What a person types at the six questions: some answers, and Enter for the rest.
ANSWERS = (
    "Order Service",
    "",
    "Takes orders and tells where they are",
    "https://app.example.com",
    "",
    "",
)
COLUMNS = 100
MODULES = ("cookiecutter", "cruft", "flask", "gunicorn", "mypy", "ruff", "pip_audit")
BLOCK = re.compile(r"```console\n(.*?)```", re.S)
MARKS = re.compile(r"(<!-- transcript: (\w+) -->\n)(.*?)(<!-- /transcript -->)", re.S)
# What differs from run to run, or from one version of a dependency to the next.
VOLATILE = (
    (r"\b[0-9a-f]{64}\b", "<hash>"),
    (r"\b[0-9a-f]{32}\b", "<id>"),
    (r"apikey_[\w-]+", "<key>"),
    (r'"voucher":"[\w-]+"', '"voucher":"<voucher>"'),
    (r"(?m)^Date: .*$", "Date: <date>"),
    (r"(?m)^Server: \S.*$", "Server: <server>"),
    (r"\bt=\d+", "t=<seconds>"),
    (r"(?m)^Retry-After: \d+", "Retry-After: <seconds>"),
    (r"retry in \d+ s", "retry in <seconds>"),
    (r"\d\d:\d\d:\d\d\.\d{3}", "<time>"),
    (r"\d+\.\d+ ms", "<ms>"),
)


def masked(text: str) -> str:
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text)
    return text


def commands(block: str) -> list[str]:
    """The commands of a console block: lines after `$ `, with those that a backslash continues."""
    return [found[1] for found in re.finditer(r"^\$ ((?:.*\\\n)*.*)$", block, re.M)]


@dataclass
class Place:
    """An empty folder, and the programs that a reader has."""

    folder: Path
    port: int = field(default_factory=free_port)
    repository: Path = field(default_factory=template)
    raw: str = ""  # where the repository's files are served, for curl

    def __post_init__(self) -> None:
        self.bin = self.folder / ".programs"
        write_programs(self.bin)
        pip = f'exec {shlex.quote(sys.executable)} -m pip "$1" --no-index "${{@:2}}"\n'
        write_program(self.bin / "pip", pip)  # no network: what is there already has to be enough

    @property
    def env(self) -> dict[str, str]:
        env = clean_environment(self.folder)
        env.pop("MAKEFLAGS", None)
        return {
            **env,
            "PATH": f"{self.bin}{os.pathsep}{env['PATH']}",
            "PORT": str(self.port),
            "COLUMNS": str(COLUMNS),
            "TERM": "xterm",
            "PYTHONIOENCODING": "utf-8",
            "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip")),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "Tests",
            "GIT_AUTHOR_EMAIL": "tests@example.com",
            "GIT_COMMITTER_NAME": "Tests",
            "GIT_COMMITTER_EMAIL": "tests@example.com",
        }

    def here(self, command: str) -> str:
        """The command with this machine's port and repository."""
        here = shlex.quote(str(self.repository))
        for theirs, ours in (
            (f"gh:{REPOSITORY}", here),
            (f"https://github.com/{REPOSITORY}", here),
            (f"https://raw.githubusercontent.com/{REPOSITORY}/main", self.raw),
            ("http://127.0.0.1:5000", f"http://127.0.0.1:{self.port}"),
        ):
            command = command.replace(theirs, ours)
        return command

    def shell(self, command: str, cwd: Path, typed: str = "", **env: str) -> str:
        """Run a README's command to its end.

        :returns: its standard output, with the port of the README.
        :raises AssertionError: with what it printed, if it fails.
        """
        done = subprocess.run(
            ["bash", "-c", self.here(command)],
            cwd=cwd,
            env={**self.env, **env},
            input=typed,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return self.theirs(done.stdout.replace("\r\n", "\n"))

    def theirs(self, text: str) -> str:
        return text.replace(f"127.0.0.1:{self.port}", "127.0.0.1:5000")

    @contextlib.contextmanager
    def served(self, command: str, cwd: Path, **env: str) -> Iterator[Server]:
        """Run a README's command that serves, such as `make run`."""
        shell = ["bash", "-c", self.here(command)]
        with running(launch(shell, self.port, cwd, {**self.env, **env})) as server:
            yield server


def write_program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # in a virtual environment it is a link to the real one
    path.write_text(f"#!/usr/bin/env bash\n{script}", encoding="utf-8", newline="\n")
    path.chmod(0o755)


def write_programs(folder: Path) -> None:
    """This Python's modules, as commands."""
    python = shlex.quote(sys.executable)
    write_program(folder / "python", f'exec {python} "$@"\n')
    for name in MODULES:
        write_program(folder / name.replace("_", "-"), f'exec {python} -m {name} "$@"\n')


def stand_in_for_the_environment(service: Path) -> str:
    """What `make run` would install: this Python, and the copies by which make knows it is done.

    :returns: what `make run` would have printed meanwhile.
    """
    write_programs(service / ".venv" / "bin")
    asked = (service / "pyproject.toml").read_bytes()
    for name, locked in (("run", "requirements.txt"), ("dev", "requirements-dev.txt")):
        lock = service / locked  # the template has none
        installed = asked + (lock.read_bytes() if lock.exists() else b"")
        (service / ".venv" / f"{name}.toml").write_bytes(installed)
    return "Installing into .venv ...\n"


def install(service: Path) -> str:
    """The first half of `make run`, which takes its time."""
    make = ["make", "--no-print-directory", ".venv/run.toml"]
    return subprocess.run(make, cwd=service, check=True, capture_output=True, text=True).stdout


def typed_at_a_terminal(command: str, answers: tuple[str, ...], place: Place, cwd: Path) -> str:
    """Run a command at a terminal of its own and type a line whenever it waits.

    :returns: what the terminal shows.
    """
    import pty  # which Windows has not

    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        env = {**place.env, "PWD": str(cwd)}
        os.execvpe("bash", ["bash", "-c", place.here(command)], env)
    shown, left = "", list(answers)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.05)[0]:
            if left and re.search(r"\):\s?$", without_colours(shown)):
                os.write(terminal, f"{left.pop(0)}\n".encode())
                while not select.select([terminal], [], [], 0.05)[0]:
                    pass
            continue
        try:
            read = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that the other end has closed
            break
        if not read:
            break
        shown += read.decode("utf-8", "replace")
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0 and not left, f"{command}: {status}, {len(left)} answers left:\n{shown}"
    lines = without_colours(shown).replace("\r\n", "\n").splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def without_colours(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def block(readme: Path, name: str) -> str:
    found = [one for one in MARKS.finditer(readme.read_text("utf-8")) if one[2] == name]
    assert len(found) == 1, f"{readme.name}: expected one <!-- transcript: {name} -->"
    return found[0][3]


def replaced(readme: Path, name: str, text: str) -> str:
    """The README with another text between the marks."""

    def other(found: re.Match[str]) -> str:
        return f"{found[1]}{text}{found[4]}" if found[2] == name else found[0]

    return MARKS.sub(other, readme.read_text("utf-8"))


def words(picture: str) -> str:
    """The text of a recording, its broken lines put together."""
    rows = map(html.unescape, re.findall(r"<text[^>]*>([^<]*)", picture))
    lines = (row if len(row) == COLUMNS else f"{row}\n" for row in rows)
    return masked("".join(lines))


def console(command: str, output: str) -> str:
    return f"```console\n$ {command}\n{output.strip(chr(10))}\n```\n"


@dataclass
class Recording:
    """The texts of one run from the questions to a refused request."""

    questions: str
    curl: str
    picture: str


QUESTIONS = f"cookiecutter gh:{REPOSITORY}"
RUN = "cd order-service && make run"
CURL = "curl -i http://127.0.0.1:5000/api/ping"
MANY = """\
for i in $(seq 50); do
    curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:5000/api/ping
  done"""
REFUSED = "curl -si http://127.0.0.1:5000/api/ping | grep -E '^HTTP|^Retry|^Rate|{'"


def record(
    folder: Path, prepare: Callable[[Path], str] = stand_in_for_the_environment
) -> Recording:
    """Answer the questions, serve the service, ask it until it refuses."""
    place = Place(folder)
    asked = typed_at_a_terminal(QUESTIONS, ANSWERS, place, folder)
    installed = prepare(folder / "order-service")
    with place.served(RUN, folder) as server:
        answered = place.shell(CURL, folder)
        started = place.theirs(server.output()).partition(" GET ")[0].rpartition("\n")[0]
        codes = place.shell(MANY, folder)
        refused = place.shell(REFUSED, folder)
    scenes = [
        Scene([(QUESTIONS, asked)], 9),
        Scene([(RUN, installed + started)], 5),
        Scene([(CURL, answered)], 9),
        Scene([(MANY, codes), (REFUSED, refused)], 9),
    ]
    return Recording(console(QUESTIONS, asked), console(CURL, answered), draw(scenes, COLUMNS))


def walked(folder: Path) -> str:
    """The service's README between its marks for `walk`, with the output of each command.

    The line that `flask api-key` prints goes into .env, as the text there tells its reader.
    """
    from tests.bakes import baked

    service = baked(folder / "out")
    place = Place(folder)
    stand_in_for_the_environment(service)
    text = block(SERVICE_README, "walk")
    key = ""
    with contextlib.ExitStack() as servers:

        def run_again(found: re.Match[str]) -> str:
            nonlocal key
            shown = ""
            for command in commands(found[1]):
                if command.startswith("KEY="):
                    command = f"KEY={key}"
                    shown += f"$ {command}\n"
                    continue
                both = " 2>&1" if "bin/flask" in command else ""
                output = place.shell(f"{command}{both}", service, KEY=key)
                if "api-key" in command:
                    key = re.findall(r"(?m)^apikey_\S+$", output)[0]
                    with (service / ".env").open("a", encoding="utf-8") as env:
                        env.writelines(re.findall(r"(?m)^FLASK_API_KEYS=.*\n", output))
                    servers.close()
                    servers.enter_context(place.served("make run", service))
                shown += f"$ {command}\n{output.rstrip()}\n"
            return f"```console\n{shown}```"

        return BLOCK.sub(run_again, text)


def write() -> None:
    """Replace what differs by more than ids and times."""
    with tempfile.TemporaryDirectory(prefix="transcripts-") as name:
        made = record(Path(name), install)
    with tempfile.TemporaryDirectory(prefix="transcripts-") as name:
        walk = walked(Path(name))
    for readme, mark, text in (
        (README, "questions", made.questions),
        (README, "curl", made.curl),
        (SERVICE_README, "walk", walk),
    ):
        if masked(block(readme, mark)) != masked(text):
            readme.write_text(replaced(readme, mark, text), encoding="utf-8", newline="\n")
    if not PICTURE.exists() or words(PICTURE.read_text("utf-8")) != words(made.picture):
        PICTURE.write_text(made.picture, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write()
