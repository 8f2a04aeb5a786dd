"""`ballproof-vnnlib`: the command line that the VNN-LIB 2.0 standard asks of every solver, in its words."""

from __future__ import annotations

import argparse
import sys
import time
from math import prod
from pathlib import Path

from ballproof.cli.start import BEFORE
from ballproof.cli.watched import LONGEST, Known, note, patience, tell_done
from ballproof.errors import BallproofError, InputError, UnsupportedError

CAPABILITIES: dict[str, tuple[str, ...]] = {
    "onnx-opset-versions": ("7", "22"),
    "onnx-element-types": ("real",),
    "onnx-operators-unsat-proofs": tuple("Add Conv Flatten Gemm Identity MatMul Mul Relu Reshape Sub Transpose".split()),
    "vnnlib-versions": ("2.0", "2.0"),
    "hidden-node-theories": ("NH", "H"),
    "multiple-input-output-theories": ("SIO", "MIO"),
    "multiple-network-theories": ("SNET", "MENET", "MINET", "MNET"),
    "multiple-node-comparison-theories": ("MNC",),
    "arithmetic-complexity-theories": ("BND", "OUTC", "LIN", "POLY"),
    "optimised-disjunctive-reasoning": ("false",),
    "serialise-assignments": ("true",),
    "unsat-proofs": ("true",),
}
"""What `supports` answers, but for the operators, which are read off the reader of files."""

REAL = ("Real", "real")

WORDS = {"timeout": "timed-out"}
"""Results for which the standard has a word of its own."""


def ended(known: Known, result: str, reason: str) -> int:
    """What is told of a search that was ended from outside, and the exit code. known: `proof`, if a verdict is told already."""
    if known.get("proof"):
        print(f"ballproof-vnnlib: unsat, but no proof is written: {reason}", file=sys.stderr)
        return 2
    print(WORDS.get(result, result))
    print(f"ballproof-vnnlib: {reason}", file=sys.stderr)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """0 where the command answered; 2 with one line on stderr for what it cannot be asked."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.name or asked.version:
            print("ballproof" if asked.name else _version())
        elif asked.command == "verify":
            _verify(asked)
        elif asked.command == "supports":
            _supports(asked.capability)
        else:
            raise UnsupportedError("proofs in the format of the standard are neither written nor checked")
    except BallproofError as error:
        print(f"ballproof-vnnlib: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("ballproof-vnnlib", description="The solver interface of the VNN-LIB 2.0 standard.")
    parser.add_argument("--name", action="store_true", help="print the solver's name")
    parser.add_argument("--version", action="store_true", help="print the solver's version")
    commands = parser.add_subparsers(dest="command")
    verify = commands.add_parser("verify", help="decide a query")
    verify.add_argument("query", type=Path)
    verify.add_argument("--network", action="append", default=[], metavar="NAME=FILE")
    verify.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS")
    verify.add_argument("--serialise-assignments", type=Path, metavar="FOLDER")
    verify.add_argument("--unsat-proofs", type=Path, metavar="FILE")
    verify.add_argument("--as-real", action="store_true", help="read floating types as Real: not sound for their rounding")
    supports = commands.add_parser("supports", help="tell what can be asked")
    group = supports.add_mutually_exclusive_group(required=True)
    for name in ("onnx-operators", *CAPABILITIES):
        group.add_argument(f"--{name}", dest="capability", action="store_const", const=name)
    commands.add_parser("check", help="check a proof")
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ballproof")
    except PackageNotFoundError:
        return "0.0.0"


def _supports(capability: str) -> None:
    lines = CAPABILITIES.get(capability)
    if lines is None:
        from ballproof.networks.onnx_operators import TRANSLATORS

        lines = tuple(sorted(TRANSLATORS))
    for line in lines:
        print(line)


def _verify(asked: argparse.Namespace) -> None:
    start = time.monotonic() - BEFORE.get()
    if not 0 < asked.timeout <= LONGEST:
        raise InputError(f"`timeout` is {asked.timeout:g}, expected a number of seconds > 0, at most {LONGEST:g}")
    left = lambda: asked.timeout - (time.monotonic() - start)  # noqa: E731
    note(end=patience(left(), asked.timeout))
    from ballproof.problems.vnnlib import read_vnnlib
    from ballproof.solve.files import verify_files

    declared = read_vnnlib(asked.query).tensors
    if not declared:
        raise InputError(f"{asked.query} has no header of version 2.0; `ballproof verify` reads version 1")
    other = next((t for t in declared if t.number not in REAL), None)
    if other is not None and not asked.as_real:
        raise UnsupportedError(
            f"`{other.name}` is of type {other.number}, and proofs are about real numbers; write Real, or say --as-real"
        )
    networks = _networks(asked.network)
    found = verify_files(networks, asked.query, left())
    print(WORDS.get(found.result, found.result))
    if asked.unsat_proofs is not None and found.result == "unsat":
        if len({t.network for t in declared}) > 1 or any(t.hidden for t in declared):
            raise UnsupportedError("unsat, but no proof is written: of several networks or hidden nodes none is known")
        (network,) = networks.values()
        sys.stdout.flush()
        note(proof=True)
        _proof(asked.unsat_proofs, network, asked.query, left())
    if found.witness is not None:
        for tensor in declared:
            every = found.witness.x if tensor.kind == "X" else found.witness.y
            values = every[tensor.first : tensor.first + prod(tensor.shape)]
            if asked.serialise_assignments is None:
                print(f"{tensor.name} {tensor.number} [{','.join(map(str, tensor.shape))}]")
                print("\n".join(repr(float(v)) for v in values))
            else:
                _serialised(asked.serialise_assignments, tensor.name, tensor.shape, values)
    tell_done()


def _proof(path: Path, network: Path, query: Path, seconds: float) -> None:
    from ballproof.certificate.alethe import write_alethe
    from ballproof.certificate.checker.arithmetic import NotModelledError, RefusedError

    try:
        write_alethe(path, network, query, seconds)
    except (NotModelledError, RefusedError) as error:
        raise UnsupportedError(f"unsat, but no proof is written: {error}") from error


def _networks(given: list[str]) -> dict[str, Path]:
    """The files by name."""
    pairs = [g.partition("=") for g in given]
    names = [p[0] for p in pairs]
    if not pairs or not all(p[2] for p in pairs) or len(set(names)) < len(names):
        raise InputError(f"`--network` is given as {given}; expected --network NAME=FILE once for each network of the query")
    return {name: Path(file) for name, _, file in pairs}


def _serialised(folder: Path, name: str, shape: tuple[int, ...], values: object) -> None:
    import numpy as np
    from onnx import numpy_helper

    folder.mkdir(parents=True, exist_ok=True)
    tensor = numpy_helper.from_array(np.asarray(values).reshape(shape), name)
    (folder / f"{name}.pb").write_bytes(tensor.SerializeToString())


if __name__ == "__main__":
    from ballproof.cli.start import standard_entry

    standard_entry()
