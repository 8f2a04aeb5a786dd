"""A proof is written while it is searched for: what a killed run leaves says that it is partial, and how much is open."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from ballproof.certificate.check import main
from ballproof.certificate.checker.arithmetic import RefusedError
from ballproof.certificate.checker.certificate import check
from oracles.onnx_nets import dense, write_dense, write_property

SEARCH = """import sys
from pathlib import Path
from ballproof.certificate.writer import write_certificate

write_certificate(*map(Path, sys.argv[1:4]), 100)
"""


def test_a_killed_run_leaves_a_partial_proof_that_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = write_dense(tmp_path / "net.onnx", dense(0, 3, 16, 16, 16, 2, size=1.6))
    claim = write_property(tmp_path / "p.vnnlib", np.full(3, -1.0), np.full(3, 1.0), 2, "(<= Y_0 0)")
    proof = tmp_path / "c.gz"
    run = subprocess.Popen([sys.executable, "-c", SEARCH, str(proof), str(net), str(claim)])
    try:
        until = time.monotonic() + 150
        while (not proof.exists() or lines(proof) < 5) and time.monotonic() < until and run.poll() is None:
            time.sleep(0.1)
    finally:
        run.kill()
        run.wait()
    assert run.returncode < 0, "the search was over before it was killed"
    with pytest.raises(RefusedError, match="partial: a tree ends with"):
        check(proof, net, claim)
    assert main([str(proof), str(net), str(claim)]) == 1
    told = capsys.readouterr().out
    (share,) = re.findall(r"with ([0-9.e-]+) % of its box open", told)
    assert told.startswith("refused: ") and 0 < float(share) <= 100


def lines(path: Path) -> int:
    return zlib.decompressobj(wbits=31).decompress(path.read_bytes()).count(b"\n")
