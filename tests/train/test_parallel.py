"""Two processes that torchrun starts train what one does, up to rounding."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from ballproof.cli import main
from ballproof.cli.train import _Ask, _loaded
from ballproof.train.objective import RANK
from ballproof.train.parallel import Ranks

SOURCE = Path(__file__).parents[2] / "src"
ASKED = ["--data", "digits", "--model", "mlp", "--eps", "0.02", "--epochs", "2", "--eps-until", "1", "--limit", "300"]
ASKED += ["--batch", "64", "--threads", "1", "--json", "--device", "cpu"]


def started(count: int, *tokens: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m", "ballproof"]
    source = str(SOURCE)
    paths = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", ""))))
    return subprocess.run(
        [*run, *tokens], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths}, timeout=170
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["interval", "crown-interval"])
def test_two_processes_train_what_one_does(tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The last batch of 270 examples by 64 has 14: shares of 32 and 7 each."""
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert main(["train", *ASKED, "--method", method, "--out", str(alone)]) == 0
    capsys.readouterr()
    found = started(2, "train", *ASKED, "--method", method, "--out", str(both))
    assert found.returncode == 0, found.stderr[-2000:]
    assert len([line for line in found.stdout.splitlines() if line.startswith("{")]) == 1
    one, two = (load_file(p / "model.safetensors") for p in (alone, both))
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=2e-4), name
    logs = [[json.loads(line) for line in (p / "log.jsonl").read_text().splitlines()] for p in (alone, both)]
    for a, b in zip(*logs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["certified_error"] == pytest.approx(b["certified_error"], abs=0.08)


@pytest.mark.slow
def test_a_training_goes_on_with_another_number_of_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two processes are killed after an epoch or more; one goes on to the losses that nobody disturbed."""
    alone, cut = tmp_path / "alone", tmp_path / "cut"
    asked = ["train", *ASKED, "--method", "interval", "--out"]
    asked[asked.index("--epochs") + 1] = "12"
    assert main([*asked, str(alone)]) == 0
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ballproof"]
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(SOURCE), os.environ.get("PYTHONPATH", ""))))}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": around}
    both = subprocess.Popen([*run, *asked, str(cut)], **quiet)  # type: ignore[call-overload]
    try:
        while both.poll() is None and not (cut / "log.jsonl").is_file():
            time.sleep(0.005)
    finally:
        family = [*psutil.Process(both.pid).children(recursive=True), psutil.Process(both.pid)]
        for process in family:
            process.kill()
        both.wait()
        psutil.wait_procs(family, timeout=20)
    done = len((cut / "log.jsonl").read_text().splitlines())
    assert 0 < done < 12
    assert main([*asked, str(cut), "--resume"]) == 0
    capsys.readouterr()
    logs = [[json.loads(line)["loss"] for line in (p / "log.jsonl").read_text().splitlines()] for p in (alone, cut)]
    assert logs[0] == pytest.approx(logs[1], abs=1e-5)


@pytest.mark.slow
def test_an_uneven_number_of_processes_weighs_examples_equally(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """64 examples in three shares of 22, 21 and 21: without weights the first share's would count less."""
    alone, three = tmp_path / "alone", tmp_path / "three"
    sgd = ["--method", "interval", "--optimizer", "sgd", "--lr", "0.05"]
    assert main(["train", *ASKED, *sgd, "--out", str(alone)]) == 0
    capsys.readouterr()
    found = started(3, "train", *ASKED, *sgd, "--out", str(three))
    assert found.returncode == 0, found.stderr[-2000:]
    one, two = (load_file(p / "model.safetensors") for p in (alone, three))
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=1e-5), name


def test_processes_need_one_folder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", *ASKED]) == 2
    assert "`out` is missing" in capsys.readouterr().err


def test_processes_draw_numbers_of_their_own() -> None:
    """torch's generator takes the lowest 32 bits of a seed."""
    drawn = [torch.rand(4, generator=torch.Generator().manual_seed(7 + rank * RANK)).tolist() for rank in range(16)]
    assert len({tuple(d) for d in drawn}) == 16


def test_one_process_of_torchrun_needs_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert main(["train", *ASKED, "--method", "interval"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_process_fetches_while_the_others_wait(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[object] = []

    class Watched(Ranks):
        def wait(self) -> None:
            order.append("wait")

    def load(*_: object, fetch: bool = False) -> str:
        order.append(fetch)
        return "data"

    monkeypatch.setattr("ballproof.data.load", load)
    assert _loaded(_Ask(None, {}, None, True, 1, False, Watched(rank, 2)), "mnist") == "data"  # type: ignore[comparison-overlap]
    assert order == ([True, "wait"] if rank == 0 else ["wait", False])


AGREE = """
import torch
from ballproof.train.parallel import joined
with joined("cpu") as ranks:
    mine = torch.tensor([True, False, ranks.rank == 1, ranks.rank == 0])
    print("told", ranks.rank, ranks.agreed(mine).tolist(), flush=True)
"""


def test_processes_go_on_with_the_first_ones_mask(tmp_path: Path) -> None:
    (tmp_path / "agree.py").write_text(AGREE)
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    around = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    around["PYTHONPATH"] = os.pathsep.join(filter(None, (str(SOURCE), os.environ.get("PYTHONPATH", ""))))
    free.close()
    both = [
        subprocess.Popen([sys.executable, tmp_path / "agree.py"], env={**around, "RANK": r}, stdout=subprocess.PIPE, text=True)
        for r in ("0", "1")
    ]
    for rank, process in enumerate(both):
        assert f"told {rank} [True, False, False, True]" in process.communicate(timeout=60)[0]
