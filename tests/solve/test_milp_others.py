"""Gurobi and SCIP in place of HiGHS: they agree with enumeration, and what is not there is said."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from net_zoo import Question, question

from ballproof.errors import InputError
from ballproof.solve import milp_others, verify
from ballproof.solve.milp_others import PACKAGES, Asked, LicenceError, Told
from ballproof.verdict import Verdict


def answered(asked: Question) -> Verdict:
    return verify(asked.tiny.net, asked.region, asked.asked, engine="milp")


@pytest.mark.parametrize("name", ["scip", "gurobi"])
@pytest.mark.parametrize("kind", ["pool", "leaky"])
def test_they_agree_with_enumeration(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(PACKAGES[name])
    monkeypatch.setenv("BALLPROOF_MILP", name)
    for seed in range(2):
        asked = question(kind, seed)
        assert answered(asked).verified == (asked.margin > 0), f"{kind} {seed}"


def test_the_solver_that_is_named_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Asked] = []

    def confused(asked: Asked) -> Told:
        seen.append(asked)
        return Told("confused", 0.0)

    monkeypatch.setitem(milp_others.OTHERS, "scip", confused)
    monkeypatch.setattr(milp_others, "find_spec", lambda name: True)
    monkeypatch.setenv("BALLPROOF_MILP", "scip")
    verdict = answered(question("dense", 0))
    assert verdict.unknown and "scip ended as `confused`" in verdict.reason
    assert seen and seen[0].matrix.shape == (len(seen[0].low), len(seen[0].cost))


def test_gurobi_is_asked_where_it_is_installed_and_its_licence_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Asked] = []

    def refusing(asked: Asked) -> Told:
        seen.append(asked)
        raise LicenceError("Gurobi: Model too large for size-limited license")

    monkeypatch.delenv("BALLPROOF_MILP", raising=False)
    monkeypatch.setitem(milp_others.OTHERS, "gurobi", refusing)
    monkeypatch.setattr(milp_others, "find_spec", lambda name: True if name == "gurobipy" else find_spec(name))
    asked = question("dense", 0)
    assert answered(asked).verified == (asked.margin > 0) and seen, "HiGHS goes on"
    monkeypatch.setenv("BALLPROOF_MILP", "gurobi")
    assert "too large" in answered(asked).reason, "who names it is told"


def test_names_and_packages_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALLPROOF_MILP", "cplex")
    with pytest.raises(InputError, match="'cplex', expected one of highs, gurobi, scip"):
        answered(question("dense", 0))
    monkeypatch.setattr(milp_others, "find_spec", lambda name: None)
    monkeypatch.setenv("BALLPROOF_MILP", "scip")
    with pytest.raises(InputError, match="needs the package `pyscipopt`"):
        answered(question("dense", 0))
