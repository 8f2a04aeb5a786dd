"""Functions of single numbers: enclosures against 60 digits of mpmath, lines at many points, second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mpmath
import numpy as np
import onnxruntime
import pytest
from onnx import helper

from ballproof.certificate.check import main
from ballproof.certificate.checker.arithmetic import Arithmetic, NotModelledError, RefusedError
from ballproof.certificate.checker.certificate import check
from ballproof.certificate.checker.curves import CURVES, STEPS, enclosed
from ballproof.certificate.rigorous import Rigorous
from ballproof.certificate.writer import certificate_for, write_certificate
from oracles.onnx_nets import write_nodes, write_property

mpmath.mp.dps = 60
TRUTH: dict[str, Callable[[mpmath.mpf], mpmath.mpf]] = {
    "Exp": mpmath.exp,
    "Log": mpmath.log,
    "Sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "Tanh": mpmath.tanh,
    "Softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "Erf": mpmath.erf,
    "Atan": mpmath.atan,
    "Sin": mpmath.sin,
    "Cos": mpmath.cos,
    "Sqrt": mpmath.sqrt,
    "Reciprocal": lambda x: 1 / x,
    "Square": lambda x: x * x,
    "Sign": mpmath.sign,
    "Floor": mpmath.floor,
    "Ceil": mpmath.ceil,
    "Round": lambda x: mpmath.mpf(round(float(x))),
}
POSITIVE = ("Log", "Sqrt", "Reciprocal")


def points(kind: str, rng: np.random.Generator, count: int) -> np.ndarray:
    size = 10.0 ** rng.uniform(-12, 2.7, count)
    return size if kind in POSITIVE else size * rng.choice([-1, 1], count)


def test_every_function_has_its_truth() -> None:
    assert set(TRUTH) == CURVES.keys() | STEPS.keys()


@pytest.mark.parametrize("kind", CURVES)
def test_values_are_enclosed_and_close(kind: str) -> None:
    x = np.concatenate([points(kind, np.random.default_rng(0), 300), [1.0, 0.5, 6.0, 8.0, 5.999, 7.999]])
    x = x[np.abs(x) < (200 if kind == "Exp" else np.inf)]
    with np.errstate(over="ignore"):
        low, high = CURVES[kind][0](x)
    for a, b, v in zip(low, high, x, strict=True):
        true = TRUTH[kind](mpmath.mpf(float(v)))
        assert mpmath.mpf(float(a)) <= true <= mpmath.mpf(float(b))
        assert b - a <= 1e-8 * (1 + abs(float(true))) or (kind in ("Sin", "Cos") and abs(v) > 8)


@pytest.mark.parametrize("kind", TRUTH)
@pytest.mark.parametrize("exact", [False, True])
def test_intervals_and_lines_hold_at_many_points(kind: str, exact: bool) -> None:
    rng = np.random.default_rng(1)
    for width in (0.0, 1e-9, 0.1, 3.0, 40.0):
        low = np.clip(points(kind, rng, 8), -60, 60)
        high = low + width * rng.random(8)
        arithmetic = Arithmetic(exact=exact)
        own = [v.astype(float) for v in enclosed(kind, arithmetic.number(low), arithmetic.number(high), arithmetic)]
        for i in range(8):
            least, largest, below, base, above, offset = (mpmath.mpf(float(v[i])) for v in own)
            for share in (0, 1, *rng.random(12)):
                x = mpmath.mpf(float(np.clip(low[i] + share * (high[i] - low[i]), low[i], high[i])))
                y = TRUTH[kind](x)
                loose = (
                    mpmath.mpf(2) ** -45 * (1 + abs(y) + abs(below * x) + abs(above * x)) if exact else 0
                )  # printed as floats
                assert least - loose <= y <= largest + loose
                assert below * x + base - loose <= y <= above * x + offset + loose


@pytest.mark.parametrize("kind", CURVES)
def test_second_derivatives_are_bounded(kind: str) -> None:
    rng = np.random.default_rng(2)
    for low in np.clip(points(kind, rng, 25), -20, 20):
        high = low + abs(low) * 0.3 + 0.1
        if kind == "Reciprocal" and low < 0:
            continue
        most = float(np.max(CURVES[kind][1](np.array([low]), np.array([high]))))
        for x in np.linspace(low, high, 5):
            assert abs(mpmath.diff(TRUTH[kind], mpmath.mpf(float(x)), 2)) <= most * (1 + 1e-12)


@pytest.mark.parametrize("kind", sorted(CURVES.keys() - {"Square"}))
def test_the_runtime_is_as_near_to_a_function_as_is_assumed(tmp_path: Path, kind: str) -> None:
    """Of 2,000 numbers of all sizes: what `--deployed` says that it assumes holds for ONNX Runtime."""
    path = write_nodes(tmp_path / "net.onnx", [helper.make_node(kind, ["x"], ["y"])], (1, 2000), {})
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = np.clip(points(kind, np.random.default_rng(5), 2000), -80, 80).astype(np.float32)
    y = session.run(None, {"x": x[None]})[0][0]
    true = np.array([float(TRUTH[kind](mpmath.mpf(float(v)))) for v in x])
    assert float((np.abs(y - true) / (1 + np.abs(true))).max()) < 2.0**-20


@pytest.mark.parametrize(("kind", "low", "high"), [("Log", -1, 1), ("Sqrt", 0, 1), ("Reciprocal", -1, 1), ("Exp", 0, 900)])
def test_where_a_function_has_no_value_the_box_is_refused(kind: str, low: int, high: int) -> None:
    with pytest.raises(RefusedError), np.errstate(all="ignore"):
        enclosed(kind, np.array([[float(low)]]), np.array([[float(high)]]), Arithmetic())


def test_smooth_networks_are_proven_for_real_numbers_and_the_output_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = {"w": np.array([[1.0, -2.0], [0.5, 1.0]], np.float32), "v": np.array([[1.0], [1.0]], np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["s"]),
        helper.make_node("MatMul", ["s", "v"], ["y"]),
    ]
    net = write_nodes(tmp_path / "net.onnx", nodes, (1, 2), weights)
    claim = write_property(tmp_path / "p.vnnlib", np.full(2, -1.0), np.ones(2), 1, "(<= Y_0 0.32)")  # the least is 0.3279...
    assert write_certificate(tmp_path / "c.gz", net, claim, 20).whole
    found = check(tmp_path / "c.gz", net, claim, exact=True)
    assert found.arithmetic.endswith("Sigmoid by rational enclosures") and "assuming" not in found.semantics
    told = certificate_for(tmp_path / "c.gz", net, claim, 20).reason
    assert told.startswith("for every float32 evaluation order (assuming that float32 values of Sigmoid")
    Rigorous.of(net, 0.1, None)
    with pytest.raises(NotModelledError, match="Sigmoid, which no standard"):  # a table has no room for an assumption
        Rigorous.of(net, 0.1, None, deployed=True)
    assert main([str(tmp_path / "c.gz"), str(net), str(claim), "--deployed"]) == 0
    assert "assuming that float32 values of Sigmoid are within 2^-20" in capsys.readouterr().out
