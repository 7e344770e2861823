"""The middleware files, as a person finds them who copies one: by their docstrings."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tests.servers import SERVICE

FOLDER = SERVICE / "app" / "middleware"
ENGINE = FOLDER / "engine"
NAMES = (
    "proxy",
    "logging",
    "metrics",
    "cors",
    "csrf",
    "rate_limiting",
    "user_agents",
    "authentication",
    "validation",
    "security",
)  # in the order of create_app()


@dataclass(frozen=True)
class Middleware:
    """What the docstring of a middleware file tells its reader."""

    name: str
    docstring: str
    path: Path

    @property
    def test(self) -> Path:
        return SERVICE / "tests" / "middleware" / f"test_{self.name}.py"

    @property
    def requirements(self) -> list[str]:
        """What its `Needs: pip install "..." "..."` lines ask for."""
        needs = self.docstring.partition("Needs:")[2].partition("Copy:")[0].partition("Add:")[0]
        return re.findall(r'"([^"]+)"', needs)

    @property
    def parts(self) -> list[str]:
        """The parts of engine/ that its `Copy:` lines name."""
        found = re.search(r"^Copy: +engine/ \(([a-z_,\s]+)\)$", self.docstring, re.M)
        assert found, f"{self.name}.py does not say what to copy with it"
        return [part.strip() for part in found[1].split(",")]

    @property
    def line(self) -> str:
        """The one line for create_app()."""
        found = re.search(r"^Add: +(\S+\(app\))", self.docstring, re.M)
        assert found, f"{self.name}.py says no line to add"
        return found[1]

    @property
    def function(self) -> str:
        return self.line.removesuffix("(app)")

    @property
    def version(self) -> str:
        found = re.search(r"^Version: (\d+\.\d+\.\d+)$", self.docstring, re.M)
        assert found, f"{self.name}.py has no version line"
        return found[1]

    @property
    def keys(self) -> dict[str, tuple[str, str]]:
        """Its table: key -> (default, meaning)."""
        lines = self.docstring.splitlines()
        rule = next(i for i, line in enumerate(lines) if re.match(r"-+ +-+ +-+$", line))
        starts = [found.start() for found in re.finditer(r"-+", lines[rule])]
        table: dict[str, tuple[str, str]] = {}
        key = ""
        for line in lines[rule + 1 :]:
            if not line.strip():
                break
            first = line[: starts[1]].strip()
            default, meaning = line[starts[1] : starts[2]].strip(), line[starts[2] :].strip()
            if first:
                key = first
                table[key] = (default, meaning)
            else:
                before = table[key]
                table[key] = (f"{before[0]} {default}".strip(), f"{before[1]} {meaning}".strip())
        return table


def load_package(name: str, folder: Path) -> None:
    """The folder as a package without the service around it: app/__init__.py is not run."""
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package


def parts_imported_by(path: Path) -> set[str]:
    """The parts of engine/ that a file imports, with what those import."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom):
                continue
            name = (node.module or "").removeprefix("app.middleware.")
            if not node.level and not name.startswith("engine"):
                continue
            name = name.removeprefix("engine").lstrip(".")
            for part in [name] if name else [alias.name for alias in node.names]:
                if part not in found:
                    found.add(part)
                    waiting.append(ENGINE / f"{part}.py")
    return found


def read(path: Path) -> Middleware:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, f"{path.name} has no docstring"
    return Middleware(path.stem, docstring, path)


MIDDLEWARES = tuple(read(FOLDER / f"{name}.py") for name in NAMES)
TOKENS = read(SERVICE / "app" / "tokens.py")  # no middleware, but it has settings
