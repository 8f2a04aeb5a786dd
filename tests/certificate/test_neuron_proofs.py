"""Proofs that split neurons: found, checked in both arithmetics, mutated, and never accepted for a claim that is false."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from fractions import Fraction
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from ballproof.certificate.by_neurons import ViolatedError, graph_of, proven_by_neurons
from ballproof.certificate.check import main
from ballproof.certificate.checker.arithmetic import Arithmetic, RefusedError
from ballproof.certificate.checker.certificate import FORMAT, VERSION, check
from ballproof.certificate.checker.neurons import Cells, values
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.reading.specification import read_cases, roots
from ballproof.certificate.checker.rounded import Bounds
from ballproof.certificate.writer import write_certificate
from ballproof.solve import neurons
from ballproof.solve.clock import Clock
from oracles.mutations import mutated
from oracles.onnx_nets import dense, exact, in_float32, write_dense, write_property

INPUTS = 14
LAYERS = dense(4, INPUTS, 16, 16, 2, size=1.4)
LOW, HIGH = np.full(INPUTS, -0.2), np.full(INPUTS, 0.2)


def lowest() -> float:
    """A value of the first output that some point of the box has: a walk along coordinates to the ends of the box."""
    rng, best = np.random.default_rng(0), np.inf

    def value(x: np.ndarray) -> float:
        for i, (weight, bias) in enumerate(LAYERS):
            x = weight.astype(float) @ x + bias
            x = np.maximum(x, 0) if i < len(LAYERS) - 1 else x
        return float(x[0])

    for _ in range(20):
        x = np.where(rng.random(INPUTS) < 0.5, LOW, HIGH)
        for _ in range(3):
            for d in range(INPUTS):
                ends = [np.where(np.arange(INPUTS) == d, e, x) for e in (LOW[d], HIGH[d])]
                x = min(ends, key=value)
        best = min(best, value(x))
    return best


LOWEST = lowest()


def problem(folder: Path, margin: float, second: bool = False) -> tuple[Path, Path]:
    """The claim that the first output stays above the lowest value known less a margin; with a second group of two rows."""
    net = write_dense(folder / "net.onnx", LAYERS)
    floor = f"(<= Y_0 {LOWEST - margin:.6f})"
    unsafe = f"(or (and {floor}) (and {floor} (>= Y_1 -100)))" if second else floor
    return net, write_property(folder / f"p{margin}{second}.vnnlib", LOW, HIGH, 2, unsafe)


def packed(path: Path, claim: Path, net: Path, lines: list[str], semantics: str = "real") -> Path:
    header = (
        f'{{"format": "{FORMAT}", "version": {VERSION}, "network": "{read_network(net).sha256}", '
        f'"property": "{read_cases(claim)[1]}", "roots": 1, "semantics": "{semantics}"}}'
    )
    path.write_bytes(gzip.compress(("\n".join([header, "r 0", "g 0", *lines, "e"]) + "\n").encode()))
    return path


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    """A network, a true claim, and the lines of a proof with many splits."""
    folder = tmp_path_factory.mktemp("neurons")
    net, claim = problem(folder, 0.02)
    network = read_network(net)
    (root,) = roots(read_cases(claim)[0], network)
    lines: list[str] = []
    graph = graph_of(network, net)
    assert graph is not None and proven_by_neurons(network, graph, root, Arithmetic(), 60, lines.append)
    assert sum(line.startswith("n") for line in lines) > 5
    return net, claim, lines


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("deployed", [False, True])
def test_a_proof_is_written_and_checks_in_both_arithmetics(tmp_path: Path, deployed: bool, second: bool) -> None:
    net, claim = problem(tmp_path, 0.1, second)
    assert write_certificate(tmp_path / "c.gz", net, claim, 60, deployed).whole
    told = gzip.decompress((tmp_path / "c.gz").read_bytes()).decode()
    assert "\nq " in told and ("\na 1\n" in told) == second
    found = [check(tmp_path / "c.gz", net, claim, deployed, fractions) for fractions in (False, True)]
    assert "float64" in found[0].arithmetic and "rational" in found[1].arithmetic
    assert ("float32" in found[0].semantics) == deployed


def ticking(seconds: float) -> Callable[[Clock], float]:
    """What a clock has spent where each look at any clock takes so long, and nothing else takes time."""
    looks = count()

    def spent(clock: Clock) -> float:
        now = next(looks) * seconds
        return now - float(vars(clock).setdefault("begun", now))

    return spent


def test_a_search_that_narrows_intervals_writes_a_proof_that_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With narrowing from the start: intervals of where the property is violated, cells that begin again, empty ones."""
    monkeypatch.setattr(neurons, "FIRST", 1e-9)
    monkeypatch.setattr(neurons, "AGE", 1)
    monkeypatch.setattr(neurons, "COST", 0)
    monkeypatch.setattr(Clock, "spent", property(ticking(1e-3)))  # so that other programs change nothing
    net, claim = problem(tmp_path, 0.02, second=True)
    assert write_certificate(tmp_path / "c.gz", net, claim, 60, deployed=True).whole
    lines = gzip.decompress((tmp_path / "c.gz").read_bytes()).decode().splitlines()
    assert sum(line.startswith("i ") for line in lines) > 20 and lines.count("a 0") == 3
    for fractions in (False, True):
        assert "float32" in check(tmp_path / "c.gz", net, claim, exact=fractions).semantics
    _, false = problem(tmp_path, -0.02, second=True)
    header = lines[0].replace(read_cases(claim)[1], read_cases(false)[1])
    (tmp_path / "c.gz").write_bytes(gzip.compress(("\n".join([header, *lines[1:]]) + "\n").encode()))
    with pytest.raises(RefusedError, match=r"not proven|not open|too few"):
        check(tmp_path / "c.gz", net, false)


def test_ends_of_neurons_stand_in_a_proof_as_halves_of_the_box_that_are_refuted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a search on each neuron from the start: splits at other places than 0, in cells of all groups."""
    monkeypatch.setattr(neurons, "FIRST", 1e-9)
    monkeypatch.setattr(neurons, "CUTS", 1e-9)
    net, claim = problem(tmp_path, 0.02, second=True)
    assert write_certificate(tmp_path / "c.gz", net, claim, 60, deployed=True).whole
    lines = gzip.decompress((tmp_path / "c.gz").read_bytes()).decode().splitlines()
    groups = lines.count("a 0") and max(int(line.split()[1]) for line in lines if line.startswith("a "))
    assert f"a {groups}" in lines and sum(float.fromhex(x.split()[4]) != 0 for x in lines if x.startswith("n ")) > 3
    for fractions in (False, True):
        assert "float32" in check(tmp_path / "c.gz", net, claim, exact=fractions).semantics
    rng = np.random.default_rng(0)
    _, false = problem(tmp_path, -0.02, second=True)
    header = lines[0].replace(read_cases(claim)[1], read_cases(false)[1])
    for k in range(40):
        told = lines[1:] if k == 0 else mutated(lines[1:], rng)
        (tmp_path / "c.gz").write_bytes(gzip.compress(("\n".join([header, *told]) + "\n").encode()))
        with pytest.raises(RefusedError):
            check(tmp_path / "c.gz", net, false)


@pytest.mark.parametrize("seed", [2, 5, 11, 12])
def test_lines_are_written_as_the_checker_will_read_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Intervals of one rectifier after those of another, and cells that they leave empty."""
    monkeypatch.setattr(neurons, "FIRST", 1e-9)
    monkeypatch.setattr(neurons, "CUTS", 1e-9)
    monkeypatch.setattr(neurons, "COST", 0)
    layers, rng = dense(seed, 14, 10, 10, 10, 3, size=1.0), np.random.default_rng(seed)
    middle = rng.normal(size=14) * 0.3
    corners = np.where(rng.random((300, 14)) < 0.5, middle - 0.45, middle + 0.45)
    for i, (weight, bias) in enumerate(layers):
        corners = np.maximum(corners @ weight.T + bias, 0 if i < len(layers) - 1 else -np.inf)
    unsafe = [f"(<= (- Y_0 Y_{k}) {float((corners[:, 0] - corners[:, k]).min()) - 0.08:.4f})" for k in (1, 2)]
    net = write_dense(tmp_path / "net.onnx", layers)
    claim = write_property(tmp_path / "p.vnnlib", middle - 0.45, middle + 0.45, 3, f"(or {' '.join(unsafe)})")
    try:
        whole = write_certificate(tmp_path / "c.gz", net, claim, 6).whole
    except ViolatedError:  # a corner that none of the 300 is
        return
    assert not whole or check(tmp_path / "c.gz", net, claim).roots == 1


def test_a_network_without_rectifiers_is_proven_where_only_a_mix_of_rows_is(tmp_path: Path) -> None:
    """Thirteen inputs: `y >= 9` and `-y >= 9` exclude each other; each of them alone is possible."""
    net = write_dense(tmp_path / "net.onnx", [(np.array([[1] * 13, [-1] * 13], np.float32), np.zeros(2, np.float32))])
    claim = write_property(tmp_path / "p.vnnlib", -np.ones(13), np.ones(13), 2, "(and (>= Y_0 9) (>= Y_1 9))")
    assert write_certificate(tmp_path / "c.gz", net, claim, 20).whole
    for fractions in (False, True):
        assert check(tmp_path / "c.gz", net, claim, exact=fractions).lines < 10


def test_the_same_lines_never_prove_what_is_false(tmp_path: Path, proof: tuple[Path, Path, list[str]]) -> None:
    net, _, lines = proof
    _, false = problem(tmp_path, -0.02)
    for fractions in (False, True):
        with pytest.raises(RefusedError, match="not proven"):
            check(packed(tmp_path / "c.gz", false, net, lines), net, false, exact=fractions)
    rng = np.random.default_rng(0)
    for _ in range(100):
        with pytest.raises(RefusedError):
            check(packed(tmp_path / "c.gz", false, net, mutated(lines, rng)), net, false)


def test_mutations_of_a_good_proof_pass_or_are_refused(tmp_path: Path, proof: tuple[Path, Path, list[str]]) -> None:
    net, claim, lines = proof
    rng, passed = np.random.default_rng(1), 0
    for _ in range(100):
        told = main([str(packed(tmp_path / "c.gz", claim, net, mutated(lines, rng))), str(net), str(claim)])
        assert told in (0, 1)
        passed += not told
    assert 0 < passed < 60


@pytest.mark.parametrize("deployed", [False, True])
def test_any_slopes_and_multipliers_give_values_below_the_truth(tmp_path: Path, deployed: bool) -> None:
    """Random lines of splits and intervals with slopes and multipliers of any size: at every point that violates the property
    and meets the splits of a cell, arguments lie in the cell's intervals and mixes are not below what is said of them."""
    layers = dense(7, 3, 6, 6, 2, size=1.2)
    net = read_network(write_dense(tmp_path / "net.onnx", layers))
    claim = write_property(tmp_path / "p.vnnlib", np.full(3, -1.0), np.full(3, 1.0), 2, "(and (<= Y_0 0.25) (>= Y_1 -0.5))")
    (root,) = roots(read_cases(claim)[0], net)
    rng, tested, narrowed = np.random.default_rng(3), 0, 0
    points = [p.astype(np.float32) for p in np.clip(rng.uniform(-1.5, 1.5, (160, 3)), -1, 1)]
    runs = [_trace(layers, x, rng if deployed else None) for x in points]
    every, runs = runs, [r for r in runs if r[2][0] <= 0.25 and r[2][1] >= -0.5]
    assert len(runs) > 10
    for fractions in (False, True):
        bounds, question = _bounds(net, root, Arithmetic(deployed, fractions))
        for _ in range(15 if fractions else 60):
            cells = Cells(bounds, question)
            shared = _shared(cells, rng) if rng.random() < 0.5 else None
            cells.read("a 0")
            for _ in range(6):
                cell, bend, unit = (
                    rng.choice([k for k, c in cells.open.items() if c.group == 0]),
                    rng.integers(2),
                    rng.integers(6),
                )
                side = rng.choice([-1, 1])
                split, end = (
                    f"n {cell} {bend} {unit} {float(rng.choice([0, 0.3 * rng.normal()])).hex()}",
                    f"i {cell} {bend} {unit} {side} {_random_words(rng)}",
                )
                cells.read(split if rng.random() < 0.4 else end)
            cells.settle()
            own = [c for c in cells.open.values() if c.group == 0]
            for cell in own:
                cell.narrow()
            assert shared is None or all(_inside(shared, arguments) for arguments, _, _ in every)
            queries = [cells.query(cell, _random_words(rng).split()) for cell in own]
            least = values(bounds, question, queries)
            wide = sum(float(high.sum() - low.sum()) for low, high in cells.whole)
            narrowed += any(sum(float(high.sum() - low.sum()) for low, high in cell.ends) < wide - 0.1 for cell in own)
            for arguments, _, y in runs:
                inside = [i for i, cell in enumerate(own) if _inside(cell.ends, arguments)]
                assert inside, "a point that violates the property lies in no cell"
                for i in inside:
                    assert float(least[i]) <= float(_mixed(queries[i].mix, y)) + 1e-12
                    tested += 1
    assert tested > 500 and narrowed > 20


def _shared(cells: Cells, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """A cell of all groups with intervals of its own, which others begin with; and those intervals."""
    cells.read("a 1")
    for bend in (1, 1, 0, 1):
        cells.read(f"i 0 {bend} {rng.integers(6)} {rng.choice([-1, 1])} {_random_words(rng, 1)}")
    cells.settle()
    cells.open[0].narrow()
    return cells.open[0].ends


def _inside(ends, arguments):  # type: ignore[no-untyped-def]
    return all(((a <= z) & (z <= b)).all() for (a, b), z in zip(ends, arguments, strict=True))


def _bounds(net, root, arithmetic):  # type: ignore[no-untyped-def]
    from ballproof.certificate.checker.network import Question

    own = net.of(arithmetic)
    asked = Question(arithmetic.number(root.question.rows), arithmetic.number(root.question.offsets), root.question.groups)
    return Bounds(own, arithmetic.number(root.low[None]), arithmetic.number(root.high[None]), arithmetic), asked


def _random_words(rng: np.random.Generator, rows: int = 2) -> str:
    mix = ",".join(float(v).hex() for v in rng.random(rows) * rng.choice([0, 0.1, 1]))
    slopes = ["".join(chr(48 + int(v)) for v in rng.integers(0, 65, 6)) if rng.random() < 0.5 else "-" for _ in range(2)]
    size = 10.0 ** rng.integers(-5, 1)
    pairs = [f"{rng.integers(2)} {u} {float(size * rng.normal()).hex()}" for u in rng.permutation(6)[: rng.integers(4)]]
    return " ".join([mix, *slopes, *pairs])


def _trace(layers, x, order):  # type: ignore[no-untyped-def]
    """The arguments of every rectifier, their values, and the outputs: exactly, or of one run in float32."""
    arguments, value = [], x
    for i, layer in enumerate(layers):
        told = exact([layer], value) if order is None else in_float32([layer], np.asarray(value, np.float32), order)
        arguments.append(np.array(told, object if order is None else np.float64))
        value = np.maximum(arguments[-1], 0) if i < len(layers) - 1 else arguments[-1]
    return arguments[:-1], None, arguments[-1]


def _mixed(mix, y):  # type: ignore[no-untyped-def]
    """Of the rows `Y_0 - 0.25` and `-Y_1 - 0.5`."""
    a, b = (Fraction(float(v)) if isinstance(v, float) else v for v in y)
    return Fraction(float(mix[0])) * (a - Fraction(1, 4)) + Fraction(float(mix[1])) * (-b - Fraction(1, 2))


def read(cells: Cells, text: list[str]) -> None:
    for line in text:
        cells.read(line)
    cells.finish()


def test_lines_that_are_no_proof_are_refused_by_name(tmp_path: Path, proof: tuple[Path, Path, list[str]]) -> None:
    net, claim, lines = proof
    network = read_network(net)
    (root,) = roots(read_cases(claim)[0], network)
    bounds = Bounds(network, root.low[None], root.high[None], Arithmetic())
    slopes = "- -"
    for text, reason in (
        (["a 0", f"q 0 0x1p+0 {slopes}"], "not proven"),
        (["a 0", "n 0 0 0 0"], "100 % of its box open"),
        (["a 0", "n 0 0 0 0", "n 0 0 1 0"], "not open"),
        (["a 0", "q 0"], "too few"),
        (["a 0", "a 0", "a 0", "a 0"], "again and again"),
        (["a 1", "n 0 0 0 0", "a 0"], "several parts"),
        (["a 1", "q 0 0x1p+0 - -"], "not proven"),
        (["a 1"], "ends with 100 % of its box open"),
        (["a 0", "n 0 0 0 inf"], "not finite"),
        (["a 2"], "none of 2"),
        (["n 0 0 0 0"], "none of 0"),
        (["a 0", "n 0 9 0 0"], "none of 2"),
        (["a 0", "n 0 0 99 0"], "none of 16"),
        (["a 0", f"q 0 -0x1p+0 {slopes}"], "negative"),
        (["a 0", "q 0 0x1p+0 pp pp"], "another number of units"),
        (["a 0", "q 0 0x1p+0 - - 0 0"], "too few"),
        (["a 0", "q 0 0x1p+0 - - 0 0 nan"], "not finite"),
        (["a 0", "i 0 0 0 2 0x1p+0 - -"], "no line"),
        (["a 0", "i 0 0 0 1"], "no line"),
        (["a 0", ""], "no line"),
        ([], "ends with 100 % of its box open"),
        (lines[: len(lines) // 2], "of its box open"),
    ):
        with pytest.raises(RefusedError, match=reason):
            read(Cells(bounds, root.question), text)


def test_cells_whose_share_of_the_box_underflows_are_open(tmp_path: Path) -> None:
    """Of `1 - 2 Relu(x) > 0`, false for large x, all is proven but one cell after 1,200 splits, the one with x >= 0."""
    layers = [(np.full((1, 1), w, np.float32), np.full(1, b, np.float32)) for w, b in ((1, 0), (-2, 1))]
    net = read_network(write_dense(tmp_path / "net.onnx", layers))
    claim = write_property(tmp_path / "p.vnnlib", -np.ones(1), np.ones(1), 1, "(<= Y_0 0)")
    (root,) = roots(read_cases(claim)[0], net)
    cells = Cells(Bounds(net, root.low[None], root.high[None], Arithmetic()), root.question)
    cells.read("a 0")
    cell = 0
    for k in range(1200):
        first = cells.count
        cells.read(f"n {cell} 0 0 0")
        cells.read(f"q {first} 0x1p+0 -" + " 0 0 0x1p+1" * (k > 0))
        cell = first + 1
    cells.settle()
    assert list(cells.open) == [cell] and cells.left == 0
    with pytest.raises(RefusedError, match="of its box open"):
        cells.finish()


def test_an_interval_is_of_its_own_cell_alone(tmp_path: Path, proof: tuple[Path, Path, list[str]]) -> None:
    """What a line says of one half of a split is not known of the other half, whose order in the file does not matter."""
    net, claim, _ = proof
    network = read_network(net)
    (root,) = roots(read_cases(claim)[0], network)
    cells = Cells(Bounds(network, root.low[None], root.high[None], Arithmetic()), root.question)
    low, high = cells.whole[1]
    unit = int(np.flatnonzero((low < 0) & (high > 0))[0])
    for line in (
        "a 0",
        f"n 0 1 {unit} 0",
        f"i 2 0 {unit} 1 0x1p+0 - -",
        f"i 1 1 {unit} 1 0x0p+0 - -",
        f"i 2 0 {unit} -1 0x0p+0 - -",
    ):
        cells.read(line)
    cells.settle()
    below, above = cells.open[1], cells.open[2]
    assert len(below.fresh) == 1 and len(above.fresh) == 2
    below.narrow()
    assert below.ends[0][0] is cells.whole[0][0] and above.ends[0] is cells.whole[0]
    assert below.ends[1][1][unit] == 0 == above.ends[1][0][unit]
