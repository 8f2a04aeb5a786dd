"""`verify_with_certificate`: a verdict whose proof is written by the search that found it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ballproof.certificate.by_neurons import graph_of
from ballproof.certificate.checker.arithmetic import NotModelledError, RefusedError
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.writer import certificate_for
from ballproof.solve.files import FileVerdict, verify_files
from ballproof.solve.strategy import FEW_INPUTS

LOOK, LOOK_BOXES = 0.3, 0.5
"""The share of the time in which a verdict is looked for without a proof that is written: attacks, and what is easy. The second
where the proof is by boxes, whose search does not see counterexamples."""


def verify_with_certificate(
    path: Path,
    network: Path,
    property_: Path,
    timeout: float,
    engine: str = "auto",
    begin: Callable[[FileVerdict], None] = lambda found: None,
) -> tuple[FileVerdict, str]:
    """The verdict, and what became of its certificate at `path`, in words that begin with `certificate` where there is one.

    What is not decided soon is searched for in the checker's own arithmetic from the start, and every step that holds is
    written: such a verdict comes with its proof. timeout: seconds, for both.
    begin: called with what is known when the search for a proof begins.
    """
    start = time.monotonic()
    share = _share(network) if engine == "auto" else 1.0
    found = verify_files(network, property_, share * timeout, engine)
    if found.result == "sat" or (found.result != "unsat" and share == 1.0):
        return found, f"no certificate: the result is {found.result}"
    begin(found)
    proof = _certificate(path, network, property_, timeout - (time.monotonic() - start))
    if found.result != "unsat" and proof.startswith("certificate"):
        return FileVerdict("unsat", "certificate", 0.0, time.monotonic() - start), proof
    left = timeout - (time.monotonic() - start)
    return (verify_files(network, property_, left) if found.result != "unsat" and left > 1 else found), proof


def _share(network: Path) -> float:
    """All of the time where the search that writes is not as strong as the others for this network."""
    try:
        net = read_network(network)
        return LOOK_BOXES if net.nodes[0].size <= FEW_INPUTS else LOOK if graph_of(net, network) else 1.0
    except (NotModelledError, RefusedError):
        return 1.0


def _certificate(path: Path, network: Path, property_: Path, seconds: float) -> str:
    try:
        written = certificate_for(path, network, property_, seconds)
    except NotModelledError as error:
        return f"no certificate: the checker has no rule for {error}"
    except RefusedError as error:
        return f"no certificate: {error}"
    if not written.whole:
        return f"no certificate: {written.reason}"
    return f"certificate {written.reason}: {written.boxes} lines, {path.stat().st_size} bytes, {written.seconds:.1f} s"
