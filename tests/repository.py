"""What the repository is called, in one place: [project.urls] of pyproject.toml.

`python -m tests.repository owner/name` writes another name there and wherever a reader meets it.
"""

from __future__ import annotations

import re
import sys

from tests.servers import TEMPLATE

PLACES = (
    "pyproject.toml",
    "README.md",
    "docs/terminal.svg",
    "{{cookiecutter.project_slug}}/README.md",
)


def name() -> str:
    """As in gh:owner/name."""
    text = (TEMPLATE / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^Repository = "https://github\.com/([\w.-]+/[\w.-]+)"$', text, re.M)
    assert found, 'pyproject.toml has no line Repository = "https://github.com/owner/name"'
    return found[1]


def rename(new: str) -> None:
    """:raises ValueError: if it is not a name."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", new):
        raise ValueError(f"{new!r} is not a repository's name; for example owner/name")
    old = re.escape(name())
    for place in PLACES:
        path = TEMPLATE / place
        text = path.read_text(encoding="utf-8")
        text = re.sub(rf"((?:gh:|github(?:usercontent)?\.com/)){old}\b", rf"\g<1>{new}", text)
        path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    rename(*sys.argv[1:])
