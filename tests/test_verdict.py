"""A verdict is one of three, carries its evidence, and is never taken for a truth value."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch

from ballproof.verdict import Status, Verdict

POINT = torch.zeros(2)
VERIFIED = Verdict(Status.VERIFIED, bound=0.5, method="crown")
FALSIFIED = Verdict(Status.FALSIFIED, bound=-0.25, method="pgd", counterexample=POINT)
UNKNOWN = Verdict(Status.UNKNOWN, bound=-1.5, method="dual", reason="time: 60 s are over")


@pytest.mark.parametrize("verdict", [VERIFIED, FALSIFIED, UNKNOWN], ids=lambda v: v.status.name)
def test_a_verdict_has_no_truth_value(verdict: Verdict) -> None:
    with pytest.raises(TypeError, match=r"ask for \.verified, \.falsified or \.unknown"):
        bool(verdict)


def test_exactly_one_outcome_is_true() -> None:
    for at, verdict in enumerate([VERIFIED, FALSIFIED, UNKNOWN]):
        assert [verdict.verified, verdict.falsified, verdict.unknown] == [at == 0, at == 1, at == 2]


def test_what_people_are_told() -> None:
    assert str(VERIFIED) == "verified by crown: proven on the whole region (margin 0.5)"
    assert str(FALSIFIED) == "falsified by pgd: a counterexample was found and checked (margin -0.25)"
    assert str(UNKNOWN).endswith("neither proven nor refuted (margin -1.5); time: 60 s are over")


@pytest.mark.parametrize(
    ("status", "reason", "point"),
    [
        (Status.FALSIFIED, "", None),
        (Status.VERIFIED, "", POINT),
        (Status.UNKNOWN, "gap", POINT),
        (Status.UNKNOWN, "", None),
        (Status.VERIFIED, "time", None),
        (Status.FALSIFIED, "time", POINT),
    ],
)
def test_evidence_and_outcome_belong_together(status: Status, reason: str, point: torch.Tensor | None) -> None:
    with pytest.raises(ValueError, match=r"a falsified verdict has a counterexample|an unknown verdict says why"):
        Verdict(status, bound=0.0, method="lp", reason=reason, counterexample=point)


def test_a_verdict_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        UNKNOWN.bound = 1.0  # type: ignore[misc]
