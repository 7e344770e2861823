"""How what a client wrote stands in a message of the log; a path is hidden with LOG_PATH="rule"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IS_HIDDEN = "path_is_hidden"  # in the environ


def shown(text: str) -> str:
    """What a client wrote, so that it can neither split a line nor fill one."""
    return ascii(text)[:80]


def shown_path(environ: Mapping[str, Any]) -> str:
    return "(hidden)" if IS_HIDDEN in environ else shown(environ.get("PATH_INFO", ""))
