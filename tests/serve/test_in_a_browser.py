"""The page in a real headless Chromium: what a person sees and does. Skipped where there is no Chromium with its driver."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chromium import MARKS, opened

pytestmark = MARKS


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    command = [sys.executable, "-m", "ballproof", "serve", "digits-robust", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as server:
        assert server.stdout is not None
        url = next(word for word in server.stdout.readline().split() if word.startswith("http://"))
        with opened(url, tmp_path_factory.mktemp("profile")) as browser:
            yield browser
        server.terminate()


def until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)


def text(page: Any, name: str) -> str:
    return str(page.find_element("id", name).text)


def move(page: Any, name: str, value: int) -> None:
    page.execute_script(
        "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        "for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind));",
        name,
        value,
    )


def test_moving_the_radius_turns_a_proof_into_a_counterexample(page: Any) -> None:
    until(lambda: "broken at" in text(page, "reach"), "the curve")
    move(page, "eps", 60)
    until(lambda: "proven: no input in the ball changes it" in text(page, "verdict"), "a proof")
    move(page, "eps", 1000)
    until(lambda: "broken: the attack found an input" in text(page, "verdict"), "a counterexample")
    assert "undecided" in text(page, "layers") and "answered" in text(page, "twin-told")


def test_another_example_another_norm_and_an_empty_input(page: Any) -> None:
    move(page, "index", 5)
    until(lambda: text(page, "label").startswith("labelled"), "its label")
    page.execute_script("const e = document.getElementById('norm'); e.value = 'l2'; e.dispatchEvent(new Event('change'));")
    move(page, "eps", 75)
    until(lambda: text(page, "eps-told") == "0.03" and "Answer" in text(page, "verdict"), "L2 balls")
    page.find_element("id", "clear").click()
    until(lambda: text(page, "label") == "empty", "an empty input")


def test_drawing_changes_the_input(page: Any) -> None:
    from selenium.webdriver import ActionChains

    def ink() -> float:
        return float(page.execute_script("return input.reduce((sum, v) => sum + v, 0)"))

    page.find_element("id", "clear").click()
    canvas, before = page.find_element("id", "input"), ink()
    ActionChains(page).move_to_element(canvas).click_and_hold().move_by_offset(30, 30).release().perform()
    assert before == 0 < ink() and text(page, "label") == "drawn by you"
    until(lambda: "Answer" in text(page, "verdict"), "an answer")


def test_a_picture_of_ones_own_is_read(page: Any, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (30, 20), (255, 255, 255)).save(tmp_path / "white.png")
    page.find_element("id", "file").send_keys(str(tmp_path / "white.png"))
    until(lambda: text(page, "label") == "your image, resized", "the picture")
    assert page.execute_script("return Math.min(...input)") > 0.99


def test_the_plane_learns_to_be_proven(page: Any) -> None:
    page.find_element("css selector", "input[value=robust]").click()
    page.find_element("id", "train").click()
    until(lambda: "12 of 12 boxes proven" in text(page, "plane-verdict"), "twelve proofs")
    page.find_element("id", "train").click()
    assert text(page, "train") == "Train"


def test_nothing_came_from_elsewhere_and_nothing_complained(page: Any) -> None:
    assert not [entry for entry in page.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]
    names = page.execute_script("return performance.getEntriesByType('resource').map((r) => r.name)")
    origin = page.execute_script("return location.origin")
    assert names and all(name.startswith((origin, "blob:", "data:")) for name in names)
    assert page.find_element("id", "trouble").get_attribute("hidden") is not None


@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_a_telephone_and_a_screen(page: Any, width: int) -> None:
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
