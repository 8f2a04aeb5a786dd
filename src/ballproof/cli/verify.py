"""`ballproof verify`: an ONNX file and a VNN-LIB property in, a proof or a counterexample out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ballproof.cli.common import Json, OutIfAny, Threads, reported, tell, use_threads
from ballproof.cli.progress import waiting

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
    certificate: Annotated[
        Path | None, Parameter(help="Write a proof for `ballproof check` here; what is not easy is searched for with it.")
    ] = None,
    out: OutIfAny = None,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Decide whether some input of the specification gives an output that it calls unsafe.

    Prints `unsat` (none: proven), `sat` with the input and the output that ONNX Runtime gave for it, `unknown` or `timeout`.
    With a certificate, what is not decided in a third of the time is searched for in the checker's own arithmetic, by splits of
    inputs or neurons, and written meanwhile; the verdicts of milp and smt carry none of this kind.

    Example: ballproof verify net.onnx property.vnnlib --timeout 60 --certificate proof.gz
    """
    import time

    start = time.monotonic()
    from ballproof.errors import InputError
    from ballproof.evaluate.identity import IDENTITY, sha256
    from ballproof.evaluate.results import TOTALS
    from ballproof.runs import Run
    from ballproof.solve.files import verify_files, written

    if not timeout > 0:
        raise InputError(f"`timeout` is {timeout:g}, expected a number of seconds > 0")
    use_threads(threads)
    if out is not None:
        Run.refuse_taken(out)
    with waiting("verify", timeout):
        left = timeout - (time.monotonic() - start)
        if certificate is None:
            found, proof = verify_files(network, specification, left, engine), ""
        else:
            from ballproof.certificate.verified import verify_with_certificate

            found, proof = verify_with_certificate(certificate, network, specification, left, engine)
    text = written(found.witness) if found.witness is not None else ""
    if results is not None:
        results.write_text(f"{found.result}\n{text}")
    if proof and found.engine in ("milp", "smt"):
        proof += f"; `{found.engine}` itself leaves no certificate of this kind: one is searched for anew"
    told = {
        "result": found.result,
        "reason": found.reason,
        "engine": found.engine,
        "bound": _number(found.bound),
        "seconds": round(time.monotonic() - start, 3),
        "counterexample": _counterexample(found.witness),
        "certificate": str(certificate) if proof.startswith("certificate") else None,
    }
    if out is not None:
        asked = {"network": str(network), "specification": str(specification), "timeout": timeout, "engine": engine}
        run = Run.start(out, "verify", asked, resume=False)
        run.write_json(IDENTITY, {f"file {path}": sha256(path) for path in (network, specification)})
        run.write_json(TOTALS, told)
        told |= reported(run)
    lines = [found.result, *([text.rstrip()] if text else []), *([f"; {found.reason}"] if found.reason else [])]
    lines += [f"; {proof}"] if proof else []
    lines += [f"; report: {told['report']}"] if out is not None else []
    tell(json, told, lines)


def _number(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _counterexample(witness: object) -> dict[str, object] | None:
    from ballproof.solve.replay import Witness

    if not isinstance(witness, Witness):
        return None
    return {"x": [float(v) for v in witness.x], "y": [float(v) for v in witness.y], "replayed_by": witness.runtime}
