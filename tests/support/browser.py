"""A headless browser for tests; nothing is installed here, a test that lacks it says how."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

INSTALL = "Chromium or chromedriver is missing: make browser (Debian: apt-get install chromium chromium-driver)"
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def programs() -> tuple[str, str]:
    """Chromium and its driver; skips the test where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip(INSTALL)
    return program, driver


@contextmanager
def chromium(profile: Path, width: int = 1280, height: int = 900, *flags: str) -> Iterator[Chrome]:
    """A headless Chromium with a profile of its own (an empty folder); skips the test where there is none.

    The console and all requests are logged: `driver.get_log("browser")`, `driver.get_log("performance")`.
    """
    program, driver = programs()
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield browser
    finally:
        browser.quit()
