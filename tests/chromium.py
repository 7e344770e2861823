"""Headless Chromium, steered by Selenium."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts import require


@contextlib.contextmanager
def chromium(profile: Path, *switches: str) -> Iterator[Any]:
    """A browser with a profile of its own, whose console get_log("browser") tells.

    :param switches: beside those that every test wants.
    """
    webdriver = pytest.importorskip("selenium.webdriver", reason="pip install -e '.[dev]'")
    options = webdriver.ChromeOptions()
    options.binary_location = str(require("chromium"))
    for switch in (
        "--headless=new",
        "--no-sandbox",  # which root must not use
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={profile}",
        *switches,
    ):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.ChromeService(executable_path=str(require("chromedriver")))
    browser = webdriver.Chrome(options=options, service=driver)
    browser.set_script_timeout(20)
    try:
        yield browser
    finally:
        browser.quit()
