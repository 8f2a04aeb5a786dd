"""python -m ballproof.certificate.check FILE NET.onnx SPEC.vnnlib [--deployed] [--exact]

Checks a certificate, or a counterexample in a file of results, without torch and without the rest of ballproof.
Exit code 0: the claim is proven. 1: it is not. 2: the files could not be read, or hold what the checker has no rule for.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ballproof.certificate.checker.arithmetic import NotModelledError, RefusedError
from ballproof.certificate.checker.point import check_file


def main(arguments: list[str]) -> int:
    """The command; returns the exit code."""
    files = [a for a in arguments if not a.startswith("--")]
    if len(files) != 3 or set(arguments) - set(files) - {"--deployed", "--exact"}:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        found = check_file(Path(files[0]), Path(files[1]), Path(files[2]), "--deployed" in arguments, "--exact" in arguments)
    except RefusedError as error:
        print(f"refused: {error}")
        return 1
    except (NotModelledError, OSError) as error:
        print(f"not checked: {error}", file=sys.stderr)
        return 2
    print(f"proven: {found.claim}")
    print(f"network  sha256 {found.network}\nproperty sha256 {found.asked}")
    print(f"semantics: {found.semantics}; {found.arithmetic}; {found.lines} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
