"""`ballproof check`: a certificate, checked without the code that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ballproof.cli.common import Json, switch, tell
from ballproof.cli.progress import waiting
from ballproof.errors import InputError


def check(
    certificate: Annotated[Path, Parameter(help="Of `verify --certificate`; or a counterexample of `verify --results`.")],
    network: Annotated[Path, Parameter(help="The ONNX file, .gz or not.")],
    specification: Annotated[Path, Parameter(help="The VNN-LIB file, .gz or not.")],
    *,
    deployed: Annotated[
        bool,
        switch("For every float32 evaluation order of the network, not only in real numbers."),
    ] = False,
    exact: Annotated[bool, switch("In fractions; slow, for small networks.")] = False,
    time_limit: Annotated[float, Parameter(help="Seconds, after which a certificate that is not proven is refused.")] = 3600.0,
    json: Json = False,
) -> int:
    """Check a certificate, or a counterexample. Exit code 0 only if it proves its claim, 1 if it does not.

    `python -m ballproof.certificate.check` does the same without torch and without the rest of ballproof.

    Example: ballproof check proof.gz net.onnx property.vnnlib --deployed
    """
    import time

    from ballproof.certificate.checker.arithmetic import NotModelledError, RefusedError
    from ballproof.certificate.checker.certificate import check as check_file

    start = time.monotonic()
    if not time_limit > 0:
        raise InputError(f"`time-limit` is {time_limit:g}, expected a number of seconds > 0")
    try:
        with waiting("check"):
            found = check_file(certificate, network, specification, deployed, exact, time_limit)
    except RefusedError as error:
        told = {"valid": False, "reason": str(error), "seconds": round(time.monotonic() - start, 3)}
        tell(json, told, [f"refused: {error}"])
        return 1
    except (NotModelledError, OSError) as error:
        raise InputError(f"not checked: {error}") from error
    told = {
        "valid": True,
        "claim": found.claim,
        "semantics": found.semantics,
        "arithmetic": found.arithmetic,
        "network_sha256": found.network,
        "property_sha256": found.asked,
        "seconds": round(time.monotonic() - start, 3),
    }
    lines = [
        f"proven: {found.claim}",
        f"network  sha256 {found.network}",
        f"property sha256 {found.asked}",
        f"semantics: {found.semantics}; {found.arithmetic}; {found.lines} lines",
    ]
    tell(json, {**told, "roots": found.roots, "lines": found.lines}, lines)
    return 0
