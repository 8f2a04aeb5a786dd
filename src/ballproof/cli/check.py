"""`ballproof check`: a certificate, checked without the code that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ballproof.cli.common import Json, tell
from ballproof.errors import InputError


def check(
    certificate: Path,
    network: Annotated[Path, Parameter(help="The ONNX file, .gz or not.")],
    specification: Annotated[Path, Parameter(help="The VNN-LIB file, .gz or not.")],
    *,
    deployed: Annotated[
        bool, Parameter(negative="", help="For every float32 evaluation order of the network, not only in real numbers.")
    ] = False,
    json: Json = False,
) -> int:
    """Check a certificate of `verify --certificate`. Exit code 0 only if it proves its claim, 1 if it does not.

    `python -m ballproof.certificate.check` does the same without torch and without the rest of ballproof.
    """
    from ballproof.certificate.checker.certificate import check as checked
    from ballproof.certificate.checker.errors import NotModelledError, RefusedError

    try:
        found = checked(certificate, network, specification, deployed)
    except RefusedError as error:
        tell(json, {"proven": False, "reason": str(error)}, [f"refused: {error}"])
        return 1
    except (NotModelledError, OSError) as error:
        raise InputError(f"not checked: {error}") from error
    told = {"proven": True, "network": found.network, "property": found.property, "semantics": found.semantics}
    lines = [
        "proven: no input of the property's boxes violates it",
        f"network  sha256 {found.network}",
        f"property sha256 {found.property}",
        f"semantics: {found.semantics}; float64 with all rounding errors taken off; {found.boxes} boxes",
    ]
    tell(json, {**told, "roots": found.roots, "boxes": found.boxes}, lines)
    return 0
