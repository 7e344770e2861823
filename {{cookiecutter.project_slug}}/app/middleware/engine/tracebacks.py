"""An exception as text, in as much room as there is: what matters most goes last.

The type and the message stay (a long one loses its middle), and the frames of the service's own
code, and the last frames; then the frames of libraries go.
"""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from types import TracebackType

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]

LIBRARIES = tuple(
    path + os.sep
    for path in {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    if path
)
FRAME = '  File "'
MARGIN = re.compile(r" *\| ")  # of an exception in a group
LAST_FRAMES = 2  # of each exception: they stay, whoever's they are


class Traceback:
    """The pieces of a traceback: each a frame, a message, or a line between two exceptions."""

    def __init__(self, info: ExceptionInfo) -> None:
        *pieces, last = traceback.format_exception(*info)
        self.pieces = [*pieces, last.rstrip("\n")]

    def text(self, limit: int) -> str:
        """:param limit: characters."""
        pieces = self.pieces
        if sum(map(len, pieces)) <= limit:
            return "".join(pieces)
        for share, frames in ((4, True), (8, False), (16, False)):
            pieces = [_short(piece, max(limit // share, 80)) for piece in self.pieces]
            pieces = pieces if frames else _without_libraries(pieces)
            if sum(map(len, pieces)) <= limit:
                return "".join(pieces)
        text = "".join(pieces)  # of a long chain the end matters most, of a group the beginning
        head = limit // 4
        return f"{text[:head]}...{text[len(text) - limit + head + 3 :]}"


def _short(piece: str, limit: int) -> str:
    if len(piece) <= limit or _bare(piece).startswith(FRAME):
        return piece
    return f"{piece[: limit // 2].rstrip()}...{piece[len(piece) - limit // 2 :]}"


def _without_libraries(pieces: list[str]) -> list[str]:
    kept: list[str] = []
    left_out = 0
    for at, piece in enumerate(pieces):
        following = [_bare(other) for other in pieces[at + 1 : at + 1 + LAST_FRAMES]]
        is_last = not all(other.startswith("  ") for other in following) or not following
        if not is_last and _is_of_library(_bare(piece)):
            left_out += 1
            continue
        if left_out:
            kept.append(f"  ... {left_out} frames of libraries\n")
            left_out = 0
        kept.append(piece)
    return kept


def _bare(piece: str) -> str:
    return MARGIN.sub("", piece, count=1) if MARGIN.match(piece) else piece


def _is_of_library(frame: str) -> bool:
    return frame.startswith(FRAME) and frame.removeprefix(FRAME).startswith(LIBRARIES)
