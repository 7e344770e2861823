"""Which paths a setting is for: "/api/" is everything below it, and "/api" itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from .settings import Config, read_list, read_text, refuse

# no wildcard, no regular expression, no query: they would match nothing, silently
EXAMPLE = "/api/"
PATH = re.compile(r"/[^\s*?#^$()\[\]{}|\\]*")


class Paths:
    """A set of paths, each with all that is below it."""

    def __init__(self, paths: Iterable[str]) -> None:
        """:param paths: as people write them: "/größe/", or "/gr%C3%B6%C3%9Fe/"."""
        self.prefixes = tuple(as_in_environ(path).rstrip("/") + "/" for path in paths)
        self.exact = frozenset(prefix[:-1] for prefix in self.prefixes)

    def cover(self, path: str) -> bool:
        """:param path: PATH_INFO."""
        if path[:1] != "/" or path[1:2] == "/":  # Flask's routes see one slash there
            path = "/" + path.lstrip("/")
        return path.startswith(self.prefixes) or path in self.exact


def as_in_environ(path: str) -> str:
    """As PATH_INFO has it: its bytes, as latin-1 (PEP 3333)."""
    return unquote_to_bytes(path).decode("latin-1")


def read_paths(config: Config, key: str, default: Iterable[str] = ()) -> list[str]:
    """:raises ValueError: for what is not a path."""
    paths = read_list(config, key, default, example=EXAMPLE)
    for path in paths:
        check_path(key, path)
    return paths


def read_exact_paths(config: Config, key: str, default: Iterable[str]) -> frozenset[str]:
    """Single paths, as PATH_INFO has them.

    :raises ValueError: for what is not a path.
    """
    paths = read_list(config, key, default)
    for path in paths:
        check_path(key, path, "and no pattern", "/health")
    return frozenset(map(as_in_environ, paths))


def read_metrics_path(config: Config) -> str:
    """Where metrics.py shows them, and which logging.py keeps quiet."""
    return read_text(config, "METRICS_PATH", "/metrics", PATH.pattern)


def check_path(
    key: str, path: Any, note: str = "(it covers all below it)", example: str = EXAMPLE
) -> None:
    if not isinstance(path, str) or not PATH.fullmatch(path):
        refuse(key, path, f"is not a path that begins with / {note}", example)
