"""The pytest plugin: the marker `robust`, the fixture `assert_robust`, and what stays of a counterexample.

It is loaded whenever pytest starts, so it imports nothing heavy: torch comes with the first proof.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ballproof.evaluate.assertion import Counterexample
    from ballproof.evaluate.certify import Table

SETTINGS = ("eps", "norm", "clip", "method", "share")
MARKER = "robust(eps, norm='linf', clip=(0, 1), method='crown', share=1.0): what `assert_robust` proves in this test"


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "folder for the pictures and arrays of counterexamples; default robust-failures in the root folder"
    parser.getgroup("ballproof").addoption("--robust-dir", metavar="DIR", default="", help=told)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A marker that is misspelt, or that no fixture would ever read, is an error before any test runs."""
    for item in items:
        mark = item.get_closest_marker("robust")
        if mark is None:
            continue
        unknown = [name for name in mark.kwargs if name not in SETTINGS]
        if mark.args or unknown:
            given = ", ".join([*map(repr, mark.args), *unknown])
            raise pytest.UsageError(f"{item.nodeid}: `robust` takes {', '.join(SETTINGS)} by name, got {given}")
        if "assert_robust" not in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(
                f"{item.nodeid}: marked `robust` without the fixture `assert_robust`: it would prove nothing"
            )


@pytest.fixture
def assert_robust(request: pytest.FixtureRequest) -> Iterator[Callable[..., Table]]:
    """`assert_robust(network, x, y)`: passes only on a proof; settings of the marker `robust`, or given here, which win.

    The shares that were proven and attacked go into the JUnit report. A marked test that never calls it fails.
    """
    mark = request.node.get_closest_marker("robust")
    calls = []

    def check(network: Any, x: Any, y: Any, **settings: Any) -> Table:
        from ballproof.evaluate.assertion import NotRobust, assert_robust

        calls.append(1)
        try:
            table = assert_robust(network, x, y, **{**(mark.kwargs if mark else {}), **settings})
        except NotRobust as error:
            _note(request.node, error.table)
            raise
        _note(request.node, table)
        return table

    yield check
    if mark and not calls:
        pytest.fail("marked `robust`, and `assert_robust` was never called: nothing was proven", pytrace=False)


def _note(item: pytest.Item, table: Table) -> None:
    keys = ("n", "clean_accuracy", "attacked_accuracy", "certified_accuracy", "method", "eps", "norm")
    item.user_properties.extend((f"robust_{key}", table.totals[key]) for key in keys)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a test failed because a network is not robust, the counterexample is kept, and how to see it again is told."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if report.when == "call" and isinstance(error, AssertionError) and hasattr(error, "counterexample"):
        report.sections.append(("counterexample", "\n".join(_kept(item, error))))
    return report


def _kept(item: pytest.Item, error: Any) -> list[str]:
    from ballproof.testing.keep import keep

    told = [f"again: python -m pytest {quote(item.nodeid)}"]
    if error.counterexample is None:
        none = "no point that breaks an answer was found; what is not proven may hold, and a tighter `method` may prove it"
        return [none, *told]
    folder = Path(item.config.getoption("--robust-dir") or item.config.rootpath / "robust-failures")
    files = keep(error.counterexample, folder / re.sub(r"[^\w.-]+", "-", item.nodeid).strip("-")[-150:])
    item.user_properties.extend(("robust_counterexample", str(path)) for path in files)
    return [*_lines(error.counterexample, files), *told]


def _lines(found: Counterexample, files: list[Path]) -> list[str]:
    """What was found, where it is, and the lines that show it again."""
    where = "as it is" if bool((found.input == found.point).all()) else "at a point of its ball"
    return [
        f"example {found.index}: is {found.label}, answered {found.answer} {where}",
        *(f"kept: {path}" for path in files),
        "see it:",
        "  import numpy, torch",
        f"  found = numpy.load({str(files[0])!r})",
        f"  net.eval()(torch.from_numpy(found['point'])[None]).argmax(1)  # {found.answer}, not {found.label}",
    ]
