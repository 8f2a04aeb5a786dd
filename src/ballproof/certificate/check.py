"""python -m ballproof.certificate.check FILE NET.onnx SPEC.vnnlib [--deployed] [--exact] [--time-limit=SECONDS]

Checks a certificate, or a counterexample in a file of results, without torch and without the rest of ballproof.
Exit code 0: the claim is proven. 1: it is not. 2: the files could not be read, or hold what the checker has no rule for.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ballproof.certificate.checker.arithmetic import NotModelledError, RefusedError
from ballproof.certificate.checker.certificate import LONGEST, check


def main(arguments: list[str]) -> int:
    """The command; returns the exit code."""
    files, flags = [a for a in arguments if not a.startswith("--")], {a for a in arguments if a.startswith("--")}
    limits = {a for a in flags if re.fullmatch(r"--time-limit=[0-9]{1,9}(\.[0-9]{1,9})?", a)}
    if len(files) != 3 or flags - limits - {"--deployed", "--exact"} or len(limits) > 1:
        print(__doc__, file=sys.stderr)
        return 2
    seconds = float(limits.pop().partition("=")[2]) if limits else LONGEST
    try:
        certificate, network, property_ = map(Path, files)
        found = check(certificate, network, property_, "--deployed" in flags, "--exact" in flags, seconds)
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
