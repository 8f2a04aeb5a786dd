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


@pytest.mark.parametrize("inputs", [3, 20])  # by boxes, by neurons
def test_a_killed_run_leaves_a_partial_proof_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], inputs: int
) -> None:
    net = write_dense(tmp_path / "net.onnx", dense(0, inputs, 16, 16, 16, 2, size=1.6))
    wide, end = (1.0, 0) if inputs == 3 else (0.5, -4.2)  # a long search; at 200,000 corners Y_0 is above -3.73
    claim = write_property(tmp_path / "p.vnnlib", np.full(inputs, -wide), np.full(inputs, wide), 2, f"(<= Y_0 {end})")
    proof = tmp_path / "c.gz"
    run = subprocess.Popen([sys.executable, "-c", SEARCH, str(proof), str(net), str(claim)])
    try:
        until = time.monotonic() + 150
        while (not proof.exists() or not told(proof)) and time.monotonic() < until and run.poll() is None:
            time.sleep(0.1)
    finally:
        run.kill()
        run.wait()
    assert run.returncode < 0, "the search was over before it was killed"
    with pytest.raises(RefusedError, match="the proof is partial"):
        check(proof, net, claim)
    assert main([str(proof), str(net), str(claim)]) == 1
    said = capsys.readouterr().out
    (share,) = re.findall(r"([0-9.e-]+) % of a box", said)
    assert said.startswith("refused: ") and 0 < float(share) < (100 if inputs > 3 else 100.01)


def told(path: Path) -> bool:
    """Whether the file holds some boxes, or proven parts of a box."""
    text = zlib.decompressobj(wbits=31).decompress(path.read_bytes())
    return text.count(b"\n") > 5 and (b"\na " not in text or text.count(b"\nq ") > 1)
