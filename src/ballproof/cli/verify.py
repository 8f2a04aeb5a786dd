"""`ballproof verify`: an ONNX file and a VNN-LIB property in, a proof or a counterexample out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ballproof.cli.common import Json, OutIfAny, Threads, reported, tell, use_threads
from ballproof.cli.progress import waiting
from ballproof.cli.start import BEFORE
from ballproof.cli.watched import LONGEST, note, patience, tell_done
from ballproof.errors import of_memory
from ballproof.spread.hand_process import limit_memory

Engine = Literal["auto", "attack", "bounds", "inputs", "neurons", "milp", "smt"]


LEAST_MEMORY = 256
"""MiB with which PyTorch and ONNX can be loaded at all; with half of that they end the process themselves."""


def verify(
    network: Annotated[Path, Parameter(help="An ONNX file, .gz or not.")],
    specification: Annotated[Path, Parameter(help="A VNN-LIB file, .gz or not.")],
    *,
    timeout: Annotated[float, Parameter(help="Seconds from the start of the process, reading included.")] = 60.0,
    engine: Annotated[Engine, Parameter(help="auto mixes the others; milp and smt are for small networks.")] = "auto",
    results: Annotated[
        Path | None, Parameter(help="Write the result and the counterexample here, as VNN-COMP wants them.")
    ] = None,
    memory: Annotated[int, Parameter(show_default=False, help="MiB that the search may use; 0: what the machine has.")] = 0,
    certificate: Annotated[
        Path | None, Parameter(help="Write a proof for `ballproof check` here; what is not easy is searched for with it.")
    ] = None,
    out: OutIfAny = None,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Decide whether some input of the specification gives an output that it calls unsafe.

    Prints `unsat` (none: proven), `sat` with the input and the output that ONNX Runtime gave for it, `unknown` or `timeout`.
    With a certificate, what is not decided in three tenths of the time is searched for in the checker's own arithmetic, by
    splits of inputs or neurons, and written meanwhile; the verdicts of milp and smt carry none of this kind.

    Example: ballproof verify net.onnx property.vnnlib --timeout 60 --certificate proof.gz
    """
    import time

    start = time.monotonic() - BEFORE.get()
    from ballproof.cli.ended import kept, run_of
    from ballproof.errors import InputError
    from ballproof.runs import Run

    if not 0 < timeout <= LONGEST:
        raise InputError(f"`timeout` is {timeout:g}, expected a number of seconds > 0, at most {LONGEST:g}")
    if results is not None and not results.parent.is_dir():
        raise InputError(f"`results` is {results}, expected a file in a folder that exists")
    if memory and memory < LEAST_MEMORY:
        raise InputError(f"`memory` is {memory}, expected {LEAST_MEMORY} MiB or more, or 0: the libraries alone need that")
    if out is not None:
        Run.refuse_taken(out)
    if memory:
        limit_memory(memory * 2**20)
    end = patience(timeout - (time.monotonic() - start), timeout)
    note(end=end, begun=start, engine=engine, results=str(results) if results else None)
    asked = {"network": str(network), "specification": str(specification), "timeout": timeout, "engine": engine}
    if out is not None:
        run = run_of(out, asked, (network, specification))
        note(run=run)
    with waiting("verify", timeout):
        found, text, proof = _found(
            network, specification, lambda: timeout - (time.monotonic() - start), engine, threads, certificate
        )
    if proof and found.engine in ("milp", "smt"):
        proof += f"; `{found.engine}` itself leaves no certificate of this kind: one is searched for anew"
    told = _told(found, time.monotonic() - start, str(certificate) if proof.startswith("certificate") else None)
    lines = [found.result, *([text.rstrip()] if text else []), *([f"; {found.reason}"] if found.reason else [])]
    lines += [f"; {proof}"] if proof else []
    note(told=told, lines=lines, text=f"{found.result}\n{text}", certificate=None)
    if results is not None:
        results.write_text(f"{found.result}\n{text}")
    if out is not None:
        told |= reported(kept(told, **run))
        lines.append(f"; report: {told['report']}")
    tell(json, told, lines)
    tell_done()


def _told(found: Any, seconds: float, certificate: str | None) -> dict[str, Any]:
    return {
        "result": found.result,
        "reason": found.reason,
        "engine": found.engine,
        "bound": _number(found.bound),
        "seconds": round(seconds, 3),
        "counterexample": _counterexample(found.witness),
        "certificate": certificate,
    }


def _found(
    network: Path, specification: Path, left: Callable[[], float], engine: Engine, threads: int, certificate: Path | None
) -> tuple[Any, str, str]:
    """The verdict, its counterexample as it is printed, and what became of the certificate that is asked for, in words.

    `unknown` where not even the libraries found memory.
    """
    try:
        from ballproof.solve.files import verify_files, written

        use_threads(threads)
        if certificate is None:
            found, proof = verify_files(network, specification, left(), engine), ""
        else:
            from ballproof.certificate.verified import verify_with_certificate

            found, proof = verify_with_certificate(certificate, network, specification, left(), engine, _searched(certificate))
        return found, written(found.witness) if found.witness is not None else "", proof
    except (ImportError, MemoryError, OSError) as error:
        if not of_memory(error):
            raise
        reason = "memory: too little for the libraries or for the proof"
        proof = "" if certificate is None else "no certificate: the result is unknown"
        return SimpleNamespace(result="unknown", engine=engine, bound=float("-inf"), reason=reason, witness=None), "", proof


def _searched(certificate: Path) -> Callable[[Any], None]:
    """Tells, when the search for a proof begins, what is known without one."""

    def told(found: Any) -> None:
        if found.result == "unsat":
            reasons = [found.reason] if found.reason else []
            lines = ["unsat", *(f"; {r}" for r in reasons)]
            note(told=_told(found, found.seconds, None), lines=lines, text="unsat\n")
        note(certificate=str(certificate))

    return told


def _number(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _counterexample(witness: Any) -> dict[str, object] | None:
    if witness is None:
        return None
    return {"x": [float(v) for v in witness.x], "y": [float(v) for v in witness.y], "replayed_by": witness.runtime}
