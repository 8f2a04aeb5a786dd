"""A real headless Chromium for the tests of pages: when it can be had, and how it is started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with chromedriver on the path (Debian: chromium-driver)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # selenium leaves its driver's pipes to the collector
]
QUIET = """headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update
    disable-sync"""


@contextmanager
def opened(url: str, profile: Path) -> Iterator[Any]:
    """A browser of 1400 pixels at this address, with logs of all that it says and asks for; profile: a new folder."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in (*QUIET.split(), f"user-data-dir={profile}", "window-size=1400,1700"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    browser.get(url)
    yield browser
    browser.quit()
