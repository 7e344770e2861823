"""In CI nothing may be skipped: under REQUIRE_ALL_PARTS=1 a skipped test fails the run.

The container engine is started once for all tests that want one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from tests.engine import Engine
from tests.servers import TEMPLATE

# the workers of pytest-xdist would compile all tests anew; into build/, and not beside the service
sys.dont_write_bytecode, sys.pycache_prefix = False, str(TEMPLATE / "build" / "pycache")

LONG = {f"test_{name}.py" for name in ("bake", "deleting", "make", "updating", "walks")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: at the end of make test no process waits for the others."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or os.environ.get("REQUIRE_ALL_PARTS") != "1":
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped:
        for report in skipped:
            reporter.write_line(f"REQUIRE_ALL_PARTS=1, but skipped: {report.longrepr}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Ended, with all that it left on the machine, after the last test."""
    started = Engine()
    try:
        yield started
    finally:
        started.stop()
