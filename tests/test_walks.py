"""The first edits in the service's CONTRIBUTING.md: each is done as it stands there, and works."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from tests import transcripts
from tests.bakes import baked, python, run
from tests.parts import require
from tests.servers import SERVICE, accepts, free_port
from tests.transcripts import Place

PAGE = SERVICE / "CONTRIBUTING.md"
WALK = re.compile(r"<!-- walk: ([\w-]+) -->\n(.*?)<!-- /walk -->", re.S)
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.S | re.M)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.M)
WALKS = dict(WALK.findall(PAGE.read_text(encoding="utf-8")))
NGINX = """\
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
access_log off;
client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
{servers}
}}
"""


@dataclass
class Walker:
    """Somebody who does what a walk says, in a new service."""

    service: Path
    place: Place
    proxy_port: int = 0

    def do(self, walk: str) -> None:
        read = 0
        for block in BLOCK.finditer(walk):
            self.make(walk[read : block.start()])
            read = block.end()
            kind, name, text = block.groups()
            if kind == "console":
                self.type(text)
            elif kind == "diff":
                self.change(self.service / name, text)
            elif name == ".env":
                with (self.service / name).open("a", encoding="utf-8") as env:
                    env.write(text)
            else:
                path = self.service / name
                assert not path.exists(), f"{name} is there already"
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")

    def change(self, path: Path, text: str) -> None:
        """What the lines of a diff without + were becomes what those without - are."""
        lines = text.splitlines()
        old, new = (
            "".join(f"{line[1:]}\n" for line in lines if not line.startswith(sign)) for sign in "+-"
        )
        content = path.read_text(encoding="utf-8")
        assert content.count(old) == 1, f"{path.name} has {content.count(old)} times:\n{old}"
        path.write_text(content.replace(old, new), encoding="utf-8", newline="\n")

    def make(self, said: str) -> None:
        """What the walk says of make in its sentences, without a network."""
        for target in re.findall(r"`make (\w+)`", said):
            if target == "lock":
                self.lock()
            else:
                self.install()

    def lock(self) -> None:
        lines = "".join(f"{name}=={metadata.version(name)}\n" for name in self.unlocked())
        for locked in ("requirements.txt", "requirements-dev.txt"):
            with (self.service / locked).open("a", encoding="utf-8") as file:
                file.write(lines)

    def install(self) -> None:
        """As the Makefile does before it runs anything: what is locked, and nothing more."""
        assert self.unlocked() == [], "pyproject.toml asks for more than is locked: make lock"
        transcripts.stand_in_for_the_environment(self.service)

    def unlocked(self) -> list[str]:
        """The dependencies of pyproject.toml that requirements.txt does not have."""
        asked = (self.service / "pyproject.toml").read_text(encoding="utf-8")
        dependencies = asked.partition("\ndependencies = [\n")[2].partition("\n]")[0]
        names = re.findall(r'^    "([\w.-]+)', dependencies, re.M)
        assert "Flask" in names
        locked = (self.service / "requirements.txt").read_text(encoding="utf-8").lower()
        return [name for name in names if not re.search(rf"^{name.lower()}==", locked, re.M)]

    def type(self, text: str) -> None:
        """Run the commands and compare what they print with what is said that they print."""
        commands = COMMAND.findall(text)
        assert commands
        with contextlib.ExitStack() as serving:
            if any("curl" in command for command, _ in commands):
                first = next(n for n, (command, _) in enumerate(commands) if "curl" in command)
                self.run(commands[:first])
                commands = commands[first:]
                serving.enter_context(self.served())
            self.run(commands)

    def run(self, commands: list[tuple[str, str]]) -> None:
        files = [self.service / name for name in ("pyproject.toml", "requirements.txt")]
        installed = (self.service / ".venv" / "run.toml").read_bytes()
        assert installed == b"".join(path.read_bytes() for path in files), "make run comes first"
        script = "".join(f"{command}\nprintf '\\0'\n" for command, _ in commands)
        script = script.replace("127.0.0.1:8080", f"127.0.0.1:{self.proxy_port}")
        printed = self.place.shell(script, self.service).split("\0")
        for (command, said), did in zip(commands, printed, strict=False):
            assert did.strip() == said.strip(), command

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """With `make run`; or, behind nginx, with `make serve`."""
        self.install()
        conf = self.service / "nginx.conf"
        if not conf.exists():
            with self.place.served("make run", self.service):
                yield
            return
        self.proxy_port = free_port()
        with self.place.served("make serve", self.service) as server, self.nginx(conf):
            yield
            until = time.monotonic() + 5  # lines are gathered
            while '"remote_addr":"127.0.0.1"' not in server.output():
                assert time.monotonic() < until, server.output()
                time.sleep(0.02)
            assert "192.0.2.1" not in server.output()

    @contextlib.contextmanager
    def nginx(self, conf: Path) -> Iterator[None]:
        text = conf.read_text(encoding="utf-8")
        text = text.replace(":8080", f":{self.proxy_port}").replace(":5000", f":{self.place.port}")
        folder = self.place.folder / "nginx"
        folder.mkdir()
        (folder / "all.conf").write_text(NGINX.format(folder=folder, servers=text), "utf-8")
        command = [str(require("nginx")), "-c", str(folder / "all.conf"), "-p", str(folder)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            while not accepts(self.proxy_port):
                assert process.poll() is None, (folder / "error.log").read_text("utf-8")
            yield
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(params=WALKS)
def walked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """:returns: the service after a walk."""
    service = baked(tmp_path / "out")
    transcripts.stand_in_for_the_environment(service)
    walker = Walker(service, Place(tmp_path))
    rendered = dict(WALK.findall((service / PAGE.name).read_text(encoding="utf-8")))
    walker.do(rendered[request.param])
    return service


def test_a_walk_leads_where_it_says_and_leaves_a_clean_service(walked: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        run([sys.executable, "-m", "ruff", *command, "--no-cache", "app"], walked)
    some = ["tests/test_errors.py", "tests/test_checks.py", "tests/test_first_page.py"]
    some += ["tests/test_orders.py"]
    tests = [name for name in some if (walked / name).exists()]
    passed = python(walked, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests)
    assert passed.returncode == 0, passed.stdout[-3000:]


@pytest.mark.parametrize(
    ("walk", "forgotten", "said"),
    [
        ("add-a-page-with-a-form", "`make lock`", "than is locked: make lock"),
        ("add-a-database", "`make lock`", "than is locked: make lock"),
        pytest.param(  # before flask create-tables
            *("add-a-database", "`make run`", "make run comes first"), marks=pytest.mark.soak
        ),
    ],
)
def test_a_walk_that_forgets_to_lock_or_to_install_is_found(
    walk: str, forgotten: str, said: str, tmp_path: Path
) -> None:
    service = baked(tmp_path / "out")
    transcripts.stand_in_for_the_environment(service)
    text = dict(WALK.findall((service / PAGE.name).read_text(encoding="utf-8")))[walk]
    assert text.count(forgotten) == 1
    with pytest.raises(AssertionError, match=said):
        Walker(service, Place(tmp_path)).do(text.replace(forgotten, "it"))


@pytest.mark.soak
def test_after_a_walk_every_test_passes_and_mypy_is_content(walked: Path) -> None:
    passed = python(walked, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
    assert passed.returncode == 0, passed.stdout[-3000:]
    typed = python(walked, "-m", "mypy", "--cache-dir", str(walked.parent / "mypy"))
    assert typed.returncode == 0, typed.stdout


def test_the_table_at_the_top_links_to_every_walk() -> None:
    text = PAGE.read_text(encoding="utf-8")
    linked = re.findall(r"\]\(#([\w-]+)\)", text.partition("<!-- walk")[0])
    headings = [walk.partition("\n")[0] for walk in WALKS.values()]
    assert linked == list(WALKS)
    assert [heading.removeprefix("## ").lower().replace(" ", "-") for heading in headings] == linked
    assert len(WALKS) == 8
