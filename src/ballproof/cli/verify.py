"""`ballproof verify`: an ONNX file and a VNN-LIB property in, a proof or a counterexample out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ballproof.cli.common import Json, Threads, tell, use_threads

Engine = Literal["auto", "attack", "bounds", "inputs", "neurons", "milp", "smt"]


def verify(
    network: Annotated[Path, Parameter(help="An ONNX file, .gz or not.")],
    specification: Annotated[Path, Parameter(help="A VNN-LIB file, .gz or not.")],
    *,
    timeout: Annotated[float, Parameter(help="Seconds, reading included.")] = 60.0,
    engine: Annotated[Engine, Parameter(help="auto mixes the others; milp and smt are for small networks.")] = "auto",
    results: Annotated[
        Path | None, Parameter(help="Write the result and the counterexample here, as VNN-COMP wants them.")
    ] = None,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Decide whether some input of the specification gives an output that it calls unsafe.

    Prints `unsat` (none: proven), `sat` with the input and the output that ONNX Runtime gave for it, `unknown` or `timeout`.
    """
    import time

    start = time.monotonic()
    from ballproof.errors import InputError
    from ballproof.solve.files import verify_files, written

    if not timeout > 0:
        raise InputError(f"`timeout` is {timeout:g}, expected a number of seconds > 0")
    use_threads(threads)
    found = verify_files(network, specification, timeout - (time.monotonic() - start), engine)
    text = written(found.witness) if found.witness is not None else ""
    if results is not None:
        results.write_text(f"{found.result}\n{text}")
    told = {
        "result": found.result,
        "reason": found.reason,
        "engine": found.engine,
        "bound": _number(found.bound),
        "seconds": round(time.monotonic() - start, 3),
        "counterexample": _counterexample(found.witness),
        "certificate": None,
    }
    lines = [found.result, *([text.rstrip()] if text else []), *([f"; {found.reason}"] if found.reason else [])]
    tell(json, told, lines)


def _number(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _counterexample(witness: object) -> dict[str, object] | None:
    from ballproof.solve.replay import Witness

    if not isinstance(witness, Witness):
        return None
    return {"x": [float(v) for v in witness.x], "y": [float(v) for v in witness.y], "replayed_by": witness.runtime}
