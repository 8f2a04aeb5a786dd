"""The conformance problems of VNN-LIB 2.0: what is not refused is answered right, and what is refused is listed here."""

from __future__ import annotations

from pathlib import Path

import pytest

from ballproof.cli.standard import main

REFUSED = {
    "cast": "a cast of a varying value",
    "equal": "Equal of a value that depends on the input",
    "maxpool03": "an unbounded input",
    "pow04": "a power with exponent 0",
    "pow06": "different exponents",
    "where": "Greater of a value that depends on the input",
}
"""By the problem's name or its beginning: the reason."""

REFUSALS = 23

PROBLEMS = 178


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_problems_are_answered_right_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = pytest.importorskip("vnntest.core.generator")
    monkeypatch.chdir(tmp_path)
    problems = generator.generate_all_tests()
    refused = 0
    for problem in problems:
        name, folder = problem["name"], Path(".vnnlib-satisfactory/tests") / problem["category"]
        networks = [w for net, file in problem["networks"].items() for w in ("--network", f"{net}={folder / file}")]
        capsys.readouterr()
        code = main(["verify", str(folder / problem["vnnlib"]), *networks, "--as-real", "--timeout", "30"])
        told = capsys.readouterr()
        if code == 2:
            reasons = next(why for start, why in REFUSED.items() if name.startswith(start)).split("|")
            assert any(r in told.err for r in reasons) and not told.out and told.err.count("\n") == 1, told.err
            refused += 1
        else:
            assert told.out.split("\n")[0] == problem["expected"].lower(), name
    assert (len(problems), refused) == (PROBLEMS, REFUSALS)
