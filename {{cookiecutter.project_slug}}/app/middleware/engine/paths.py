"""Which paths a setting is for: "/api/" is everything below it, and "/api" itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .settings import Config, read_list, refuse

# no wildcard, no regular expression, no query: they would match nothing, silently
EXAMPLE = "/api/"
PATH = re.compile(r"/[^\s*?#^$()\[\]{}|\\]*")


class Paths:
    """A set of paths, each with all that is below it."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.prefixes = tuple(path.rstrip("/") + "/" for path in paths)
        self.exact = frozenset(prefix[:-1] for prefix in self.prefixes)

    def cover(self, path: str) -> bool:
        return path.startswith(self.prefixes) or path in self.exact


def read_paths(config: Config, key: str, default: Iterable[str] = ()) -> list[str]:
    """:raises ValueError: for what is not a path."""
    paths = read_list(config, key, default, example=EXAMPLE)
    for path in paths:
        check_path(key, path)
    return paths


def check_path(key: str, path: Any) -> None:
    if not isinstance(path, str) or not PATH.fullmatch(path):
        refuse(key, path, "is not a path that begins with / (it covers all below it)", EXAMPLE)
