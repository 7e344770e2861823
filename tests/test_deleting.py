"""A middleware that a service does not want is deleted with its line; nothing else breaks."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.bakes import baked, run
from tests.middlewares import MIDDLEWARES, Middleware

ASK = """
from app import create_app
client = create_app("testing").test_client()
paths = ("/health", "/ready", "/api/ping", "/api/orders", "/nowhere")
print([client.get(path).status_code for path in paths])
"""


def delete(one: Middleware, service: Path) -> None:
    """What the README says: the file, its test, its import and its line in create_app()."""
    (service / "app" / "middleware" / f"{one.name}.py").unlink()
    (service / "tests" / "middleware" / f"test_{one.name}.py").unlink()
    factory = service / "app" / "__init__.py"
    text, lines = re.subn(rf".*\b{one.function}\b.*\n", "", factory.read_text(encoding="utf-8"))
    assert lines == 2
    factory.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("one", MIDDLEWARES, ids=lambda one: one.name)
def test_the_service_goes_on_without(one: Middleware, tmp_path: Path) -> None:
    service = baked(tmp_path / "out")
    delete(one, service)
    done = run([sys.executable, "-W", "error", "-c", ASK], service)
    assert done.stdout.splitlines()[-1] == "[200, 200, 200, 200, 404]"


def test_the_service_goes_on_without_any(tmp_path: Path) -> None:
    service = baked(tmp_path / "out")
    for one in MIDDLEWARES:
        delete(one, service)
    done = run([sys.executable, "-W", "error", "-c", ASK], service)
    assert done.stdout.splitlines()[-1] == "[200, 200, 200, 200, 404]"
