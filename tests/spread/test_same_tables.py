"""The four commands give the same table on a cluster of two workers as by one process, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ballproof.cli import main

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "solve"))
from file_problems import SPECS, absolute_net, write

pytest.importorskip("distributed")
CERTIFY = ["certify", "digits-robust", "--data", "digits", "--eps", "0.07", "--limit", "14", "--batch", "4", "--curve", "0"]
CERTIFY += ["--method", "bab", "--limit-each", "60"]
ATTACK = ["attack", "digits-robust", "--data", "digits", "--eps", "0.09", "--limit", "24", "--batch", "5", "--restarts", "2"]
SMOOTH = ["smooth", "certify", "digits-robust", "--data", "digits", "--sigma", "0.25", "--limit", "8", "--n", "200"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler that two workers join."""
    where = tmp_path_factory.mktemp("cluster") / "scheduler.json"
    node = ["worker", "--scheduler-file", str(where), "--nthreads", "1", "--no-dashboard"]
    asked = [["scheduler", "--port", "0", "--scheduler-file", str(where)], node, node]
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    started = [subprocess.Popen([sys.executable, "-m", "dask", *a], env=around, **quiet) for a in asked]  # type: ignore[call-overload]
    try:
        end = time.monotonic() + 60
        while not (where.is_file() and where.stat().st_size):
            assert time.monotonic() < end
            time.sleep(0.1)
        yield json.loads(where.read_text())["address"]
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def table(run: Path) -> list[dict[str, object]]:
    found = pq.read_table(run / "results.parquet").to_pylist()
    return [{k: v for k, v in row.items() if k != "seconds"} for row in found]


@pytest.mark.slow
@pytest.mark.parametrize("asked", [CERTIFY, ATTACK, SMOOTH], ids=["certify", "attack", "smooth"])
def test_a_cluster_gives_the_same_table(
    asked: list[str], cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, many = tmp_path / "one", tmp_path / "many"
    assert main([*asked, "--workers", "1", "--out", str(one)]) == 0
    assert main([*asked, "--cluster", cluster, "--out", str(many)]) == 0
    capsys.readouterr()
    assert repr(table(one)) == repr(table(many))
    if asked is ATTACK:
        arrays = [np.load(run / "adversarial.npz") for run in (one, many)]
        for name in ("inputs", "predictions", "labels", "indices"):
            assert np.array_equal(arrays[0][name], arrays[1][name])
            assert len(arrays[0][name]) == 24
        for each in arrays:
            each.close()


@pytest.mark.slow
def test_a_cluster_decides_the_same_problems(cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bench"
    (folder / "onnx").mkdir(parents=True)
    (folder / "vnnlib").mkdir()
    absolute_net(folder / "onnx" / "net.onnx")
    names = ["out of reach", "just in reach", "an empty box"]
    for number, name in enumerate(names):
        write(folder / "vnnlib", SPECS[name][0], f"p{number}.vnnlib")
    lines = [f"onnx/net.onnx,vnnlib/p{n}.vnnlib,{60 + n}" for n in range(len(names))]
    (folder / "instances.csv").write_text("\n".join(lines) + "\n")
    assert main(["vnncomp", str(folder), "--cluster", cluster, "--out", str(tmp_path / "run"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert (told["n"], told["unsat"], told["sat"]) == (3, 2, 1)


def test_workers_need_the_extra_and_a_cluster_that_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("distributed", "dask", "cloudpickle", "ballproof.spread.cluster"):
        monkeypatch.setitem(sys.modules, name, None)
    asked = [*ATTACK, "--attack", "fgsm"][:-2]
    assert main([*asked, "--workers", "2", "--out", str(tmp_path / "a")]) == 2
    assert "ballproof[cluster]" in capsys.readouterr().err
    assert main([*asked, "--workers", "1", "--steps", "2", "--out", str(tmp_path / "b")]) == 0
