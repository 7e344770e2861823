"""What engine/output.py promises: a line of the size and the look that its destination asks for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.middleware.engine.lines import lines_to_file
from app.middleware.engine.output import Output

REQUEST: dict[str, Any] = {
    "time": "2026-01-02T03:04:05.678Z",
    "method": "GET",
    "path": "/caf\u00e9",
    "status": 200,
    "duration_ms": 0.5,
    "bytes": 3,
    "request_id": "client-id-1",
    "client": None,
    "outcome": "complete",
}


def test_a_requests_line_is_json_or_text(tmp_path: Path) -> None:
    for style in ("json", "text"):
        output = Output(lines_to_file(str(tmp_path / style)), True, is_text=style == "text")
        output.write_request(REQUEST)
    assert json.loads((tmp_path / "json").read_bytes())["path"] == "/caf\u00e9"
    text = (tmp_path / "text").read_text(encoding="utf-8")
    assert text.endswith(" GET /caf\u00e9 200 0.5 ms 3 B client-id-1\n")


@pytest.mark.parametrize(("kind", "is_whole"), [("file", True), ("pipe", False)])
def test_a_long_line_is_shortened_for_a_pipe_only(
    tmp_path: Path, kind: str, is_whole: bool
) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / kind)
    reader = os.open(tmp_path / kind, os.O_RDONLY | os.O_NONBLOCK | os.O_CREAT)
    output = Output(lines_to_file(str(tmp_path / kind)), True)
    output.write({"level": "INFO", "message": "x" * 10_000})
    line = os.read(reader, 1 << 16)
    os.close(reader)
    assert ("truncated" not in json.loads(line)) is is_whole
    assert (len(line) > 4096) is is_whole


def test_a_line_that_cannot_be_made_is_counted(tmp_path: Path) -> None:
    Output(lines_to_file(str(tmp_path / "log")), at_once=True).drop()
    assert json.loads((tmp_path / "log").read_bytes())["dropped"] == 1
