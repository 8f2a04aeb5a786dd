"""A report in a real headless Chromium: fits a telephone, follows the dark, its slider moves by keyboard, it prints whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chromium import MARKS, opened

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser(certified_page: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "report.html").write_text(certified_page)
    with opened((folder / "report.html").as_uri(), folder / "profile") as found:
        yield found


def media(browser: Any, **features: str) -> None:
    told = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items() if name != "media"]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": features.get("media", ""), "features": told})


def background(browser: Any) -> str:
    return str(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))


@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_is_wider_than_the_window(browser: Any, width: int) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_it_follows_the_dark_and_is_printed_light(browser: Any) -> None:
    seen = []
    for features in ({"prefers_color_scheme": "light"}, {"prefers_color_scheme": "dark"}):
        media(browser, **features)
        seen.append(background(browser))
    media(browser, media="print", prefers_color_scheme="dark")
    assert seen[0] != seen[1] and background(browser) == seen[0]
    media(browser)


def test_the_slider_moves_by_the_keyboard(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.find_element("css selector", ".mix").send_keys(Keys.END)
    assert browser.execute_script("return getComputedStyle(document.querySelector('.stack img + img')).opacity") == "1"


def test_printing_opens_the_details(browser: Any) -> None:
    browser.execute_script(
        "for (const d of document.querySelectorAll('details')) d.open = false; dispatchEvent(new Event('beforeprint'))"
    )
    assert browser.execute_script("return document.querySelectorAll('details:not([open])').length") == 0


def test_it_asks_for_nothing_and_complains_of_nothing(browser: Any) -> None:
    assert browser.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
    own = [url for url in urls if not url.startswith(("chrome:", "data:"))]  # the browser's own first tab
    assert [Path(url).name for url in own] == ["report.html"]
