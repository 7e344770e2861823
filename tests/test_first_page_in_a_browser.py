"""The page at / in development, in headless Chromium: light, dark, and within the default policy.

`python -m tests.test_first_page_in_a_browser` takes the README's pictures anew.
"""

from __future__ import annotations

import base64
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bakes import baked, clean_environment
from tests.chromium import chromium
from tests.servers import TEMPLATE, free_port, launch, running

PICTURES = {name: TEMPLATE / "docs" / f"first-page-{name}.png" for name in ("light", "dark")}
SIZE = "--window-size=1100,900"
COLOURS = """
const shown = [...document.querySelectorAll("main *")].filter(
  element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
const paper = getComputedStyle(document.body).backgroundColor;
return [paper, [...new Set(shown.map(element => getComputedStyle(element).color))]];
"""


@contextlib.contextmanager
def developed(folder: Path) -> Iterator[str]:
    """A new service on the development server.

    :returns: its address, by the name that a person types.
    """
    service, port = baked(folder / "out"), free_port()
    command = [sys.executable, "-m", "flask", "run", "--port", str(port)]
    with running(launch(command, port, service, clean_environment(folder))):
        yield f"http://localhost:{port}/"


def wear(browser: Any, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The browser, with the page open."""
    folder = tmp_path_factory.mktemp("developed")
    with developed(folder) as address, chromium(folder / "profile", SIZE) as browser:
        browser.get(address)
        yield browser


def contrast(one: str, other: str) -> float:
    """Of two colours such as rgb(1, 2, 3), as WCAG 2.2 computes it."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_page_needs_no_exception_from_the_default_policy(page: Any) -> None:
    assert page.title == "The service runs"
    complaints = [entry["message"] for entry in page.get_log("browser")]
    assert [text for text in complaints if "web-share" not in text and "favicon" not in text] == []
    width = "return getComputedStyle(document.querySelector('table')).borderCollapse"
    assert page.execute_script(width) == "collapse"  # its style has been applied


def test_the_page_shows_routes_middlewares_and_the_request(page: Any) -> None:
    text = page.find_element("tag name", "main").text
    for part in ("/api/orders", "50 per minute; 200 per hour", "http://localhost:3000"):
        assert part in text
    for part in ("rate_limiting.py", "TRUSTED_PROXIES", "127.0.0.1", "localhost", "HeadlessChrome"):
        assert part in text


@pytest.mark.parametrize("scheme", PICTURES)
def test_the_page_can_be_read_in_light_and_in_dark(page: Any, scheme: str) -> None:
    wear(page, scheme)
    paper, inks = page.execute_script(COLOURS)
    assert (luminance(paper) > 0.5) == (scheme == "light")
    assert len(inks) >= 4
    for ink in inks:
        assert contrast(ink, paper) >= 4.5, (ink, paper)


def test_the_page_fits_a_telephone(page: Any) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    width = page.execute_script("return document.documentElement.scrollWidth")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 360


def test_the_readme_has_its_pictures() -> None:
    readme = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    for picture in PICTURES.values():
        assert f"docs/{picture.name}" in readme
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert picture.stat().st_size < 200_000


def take_pictures() -> None:
    with tempfile.TemporaryDirectory(prefix="pictures-") as name:
        folder = Path(name)
        with developed(folder) as address, chromium(folder / "profile", SIZE) as browser:
            size = {"width": 1100, "height": 1040, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
            browser.get(address)
            for scheme, path in PICTURES.items():
                wear(browser, scheme)
                shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
                path.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    take_pictures()
