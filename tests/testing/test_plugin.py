"""The pytest plugin, by tests that pytest runs inside of tests."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from PIL import Image

from ballproof.evaluate.assertion import NotRobust, assert_robust

pytest_plugins = ("pytester",)

INSTALLED = bool(entry_points(group="pytest11", name="ballproof"))
PLUGIN = () if INSTALLED else ("-p", "ballproof.testing.plugin")

NET = """
import pytest, torch
from torch import nn

def net(width=4):
    # answers 1 where the mean of the pixels exceeds 1/2, exactly
    layer = nn.Linear(width, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.stack([torch.zeros(width), torch.ones(width) / width]))
        layer.bias.copy_(torch.tensor([0.5, 0.0]))
    return nn.Sequential(nn.Flatten(), layer)

X = torch.tensor([0.1, 0.9, 0.45]).reshape(3, 1, 1, 1).expand(3, 1, 2, 2).contiguous()
Y = torch.tensor([0, 1, 0])
"""


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Everything is imported once, outside: pytester forgets what is imported inside, and torch cannot be imported twice."""
    with pytest.raises(NotRobust) as raised:
        assert_robust(_net(), torch.full((1, 1, 2, 2), 0.5), torch.tensor([1]), eps=0.1)
    assert raised.value.counterexample is not None
    importlib.import_module("ballproof.testing.keep")


def run(pytester: pytest.Pytester, body: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(NET + body)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", *PLUGIN, *options)


def test_starting_pytest_does_not_load_torch() -> None:
    asked = "import sys, ballproof.testing.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_what_is_proven_passes_and_junit_has_the_shares(pytester: pytest.Pytester) -> None:
    body = """
@pytest.mark.robust(eps=0.1, share=2 / 3)
def test_most(assert_robust):
    assert_robust(net(), X, Y)

def test_some(assert_robust):
    assert_robust(net(), X[:2], Y[:2], eps=0.3, norm="linf", method="interval")
"""
    run(pytester, body, "--junitxml=j.xml", "--strict-markers").assert_outcomes(passed=2)
    cases = ET.parse(pytester.path / "j.xml").getroot().iter("testcase")  # noqa: S314  our own file
    found = [{p.attrib["name"]: p.attrib["value"] for p in case.iter("property")} for case in cases]
    assert [float(f["robust_certified_accuracy"]) for f in found] == [pytest.approx(2 / 3), 1.0]
    assert [f["robust_eps"] for f in found] == ["0.1", "0.3"]


def test_a_failure_keeps_a_counterexample_that_is_one(pytester: pytest.Pytester) -> None:
    body = """
@pytest.mark.robust(eps=0.1)
def test_all(assert_robust):
    assert_robust(net(), X, Y)
"""
    result = run(pytester, body, "--junitxml=j.xml")
    result.assert_outcomes(failed=1)
    told = result.stdout.str()
    assert "66.7 % of 3 examples are proven" in told and "example 2: is 0, answered 1" in told
    assert "again: python -m pytest test_a_failure_keeps_a_counterexample_that_is_one.py::test_all" in told
    (arrays,) = (pytester.path / "robust-failures").glob("*.npz")
    with np.load(arrays) as found:
        point, start = found["point"], found["input"]
    assert float(point.mean()) >= 0.5 and float(np.abs(point - start).max()) <= 0.1 + 1e-6
    with Image.open(arrays.with_suffix(".png")) as picture:
        assert picture.size[0] == 3 * picture.size[1]
    kept = {p.attrib["value"] for p in ET.parse(pytester.path / "j.xml").iter("property")}  # noqa: S314  our own file
    assert str(arrays) in kept
    lines = [line.strip() for line in told.splitlines()]
    start = lines.index("see it:")
    seen = {"net": _net()}
    exec("\n".join([*lines[start + 1 : start + 3], "answer = " + lines[start + 3]]), seen)  # noqa: S102  what the report tells people
    seen["found"].close()  # type: ignore[attr-defined]
    assert int(seen["answer"]) == 1  # type: ignore[call-overload]


def _net() -> torch.nn.Module:
    names: dict[str, object] = {}
    exec(NET, names)  # noqa: S102  our own text
    return names["net"]()  # type: ignore[no-any-return,operator]


def test_the_public_assertion_keeps_it_too_and_a_folder_can_be_named(pytester: pytest.Pytester, tmp_path: Path) -> None:
    body = """
import ballproof as bp
def test_all():
    bp.assert_robust(net(), 1 - X, Y, eps=0.01)
"""
    result = run(pytester, body, f"--robust-dir={tmp_path}")
    result.assert_outcomes(failed=1)
    assert len(list(tmp_path.glob("*.npz"))) == 1  # the answer is wrong as it is: its own counterexample


def test_what_is_neither_proven_nor_broken_says_so(pytester: pytest.Pytester) -> None:
    body = """
def test_loose(assert_robust):
    first, last = nn.Linear(1, 2), nn.Linear(2, 2)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0], [1.0]])), first.bias.zero_()
        last.weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 0.0]])), last.bias.copy_(torch.tensor([0.01, 0.0]))
    loose = nn.Sequential(first, nn.ReLU(), last)  # the first logit is 0.01 wherever one looks
    assert_robust(loose, torch.tensor([[0.0]]), torch.tensor([0]), eps=0.5, clip=None, method="interval")
"""
    result = run(pytester, body)
    result.assert_outcomes(failed=1)
    assert "no point that breaks an answer was found" in result.stdout.str()
    assert not (pytester.path / "robust-failures").exists()


WRONG = {
    "misspelt": ("@pytest.mark.robust(epsilon=1)\ndef test_x(assert_robust): ...", "takes eps, norm, clip, method, share"),
    "by position": ("@pytest.mark.robust(0.1)\ndef test_x(assert_robust): ...", "by name, got 0.1"),
    "no fixture": ("@pytest.mark.robust(eps=1)\ndef test_x(): ...", "would prove nothing"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_a_marker_that_would_prove_nothing_is_refused(pytester: pytest.Pytester, name: str) -> None:
    body, said = WRONG[name]
    result = run(pytester, "\n" + body)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str() + result.stdout.str()


def test_a_marked_test_that_proves_nothing_fails(pytester: pytest.Pytester) -> None:
    result = run(pytester, "\n@pytest.mark.robust(eps=1)\ndef test_x(assert_robust): ...")
    result.assert_outcomes(passed=1, errors=1)
    assert "nothing was proven" in result.stdout.str()


@pytest.mark.slow
def test_it_works_in_several_processes(pytester: pytest.Pytester) -> None:
    body = """
@pytest.mark.parametrize("i", range(2))
def test_each(assert_robust, i):
    assert_robust(net(), X, Y, eps=[0.01, 0.1][i])
"""
    pytester.makepyfile(NET + body)
    result = pytester.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider", *PLUGIN, "--junitxml=j.xml")
    result.assert_outcomes(passed=1, failed=1)
    assert len(list((pytester.path / "robust-failures").glob("*.png"))) == 1
    assert "robust_counterexample" in (pytester.path / "j.xml").read_text()


def test_the_example_of_the_docs_does_what_they_say(pytester: pytest.Pytester) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "testing.md").read_text()
    example = text.split("```python\n")[1].split("```")[0]
    pytester.makepyfile(example)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", *PLUGIN)
    result.assert_outcomes(failed=1)
    (said,) = [line.split(";")[0] for line in text.splitlines() if "NotRobust: " in line]
    assert said in result.stdout.str()
    assert "robust-failures" in result.stdout.str()
