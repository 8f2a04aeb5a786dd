"""The command line end to end: the promised keys, exit codes, one clear line, nothing half-written, resuming."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ballproof.cli import main

TINY = ["--data", "digits", "--model", "mlp", "--method", "interval", "--eps", "0.05", "--epochs", "3", "--limit", "400"]


def run(capsys: pytest.CaptureFixture[str], *tokens: str) -> dict[str, Any]:
    assert main([*tokens, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out.splitlines()[-1])  # type: ignore[no-any-return]


def refused(capsys: pytest.CaptureFixture[str], *tokens: str) -> str:
    assert main(list(tokens)) == 2
    said = capsys.readouterr()
    assert len(said.err.strip().splitlines()) == 1, said.err
    return said.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "train"
    assert main(["train", *TINY, "--lr", "3e-3", "--eps-until", "2", "--out", str(path)]) == 0
    return path


def test_train_keeps_its_promises(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "train", *TINY, "--lr", "3e-3", "--eps-until", "2", "--out", str(trained), "--resume")
    assert {"epochs", "clean_accuracy", "certified_accuracy", "eps", "method", "checkpoint", "seconds"} <= set(told)
    assert told["epochs"] == 3 and 0 <= told["certified_accuracy"] <= told["clean_accuracy"] <= 1
    assert Path(told["checkpoint"]).is_file()
    for name in ("log.jsonl", "report.html", "curve.svg"):
        assert (trained / name).is_file()


@pytest.mark.parametrize("method", ["interval", "dual", "crown"])
def test_certify_keeps_its_promises(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str) -> None:
    asked = ["certify", str(trained), "--data", "digits", "--eps", "0.05", "--method", method, "--limit", "40", "--curve", "10"]
    told = run(capsys, *asked, "--out", str(tmp_path / "c"))
    promised = {"n", "clean_accuracy", "attacked_accuracy", "certified_accuracy", "method", "eps", "norm", "seconds", "report"}
    assert promised <= set(told)
    assert told["n"] == 40 and told["certified_accuracy"] <= told["attacked_accuracy"] <= told["clean_accuracy"]
    page = Path(told["report"]).read_text()
    assert "Errors and loss by epoch" in page and "Histogram of proven margins" in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page and "<script src" not in page
    assert (tmp_path / "c" / "results.parquet").is_file() and (tmp_path / "c" / "results.json").is_file()
    again = run(capsys, *asked, "--out", str(tmp_path / "c"), "--resume")
    assert again["certified_accuracy"] == told["certified_accuracy"]


@pytest.mark.parametrize("kind", ["pgd", "bim", "fgsm"])
def test_attack_keeps_its_promises(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    asked = ["attack", str(trained), "--data", "digits", "--eps", "0.1", "--attack", kind, "--limit", "40"]
    told = run(capsys, *asked, "--out", str(tmp_path / "a"))
    assert {"n", "clean_accuracy", "attacked_accuracy", "attack", "eps", "norm", "seconds"} <= set(told)
    with np.load(tmp_path / "a" / "adversarial.npz") as found:
        assert found["inputs"].min() >= 0 and found["inputs"].max() <= 1
        assert float((found["predictions"] == found["labels"]).mean()) == pytest.approx(told["attacked_accuracy"])


BAD = {
    "eps negative": ["certify", "RUN", "--data", "digits", "--eps", "-0.1"],
    "eps nan": ["certify", "RUN", "--data", "digits", "--eps", "nan"],
    "data unknown": ["certify", "RUN", "--data", "digitz", "--eps", "0.1"],
    "data missing": ["certify", "RUN", "--data", "mnist", "--eps", "0.1", "--data-dir", "EMPTY"],
    "model missing": ["certify", "nothing.onnx", "--data", "digits", "--eps", "0.1"],
    "model nonsense": ["certify", "nonsense", "--data", "digits", "--eps", "0.1"],
    "shape misfit": ["certify", "RUN", "--data", "points", "--eps", "0.1"],
    "method unknown": ["certify", "RUN", "--data", "digits", "--eps", "0.1", "--method", "dul"],
    "recipe unknown": ["train", "--recipe", "nothing"],
    "model unknown": ["train", "--data", "digits", "--model", "wk-smal"],
    "option unknown": ["train", "--epoch", "3"],
    "attack eps": ["attack", "RUN", "--data", "digits", "--eps", "-1"],
    "limit negative": ["certify", "RUN", "--data", "digits", "--eps", "0.1", "--limit", "-5"],
    "train eps": ["train", "--data", "digits", "--eps", "nan"],
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_input_is_one_line_and_nothing_is_written(
    name: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    tokens = [{"RUN": str(trained), "EMPTY": str(tmp_path / "empty")}.get(t, t) for t in BAD[name]]
    refused(capsys, *tokens, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_python_function_is_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
        "\ndef odd():\n    class Odd(nn.Module):\n        def forward(self, x):\n"
        "            return x.flatten(1).sort(1)[0][:, :10]\n    return Odd()\n"
    )
    asked = ["--data", "digits", "--eps", "0.1", "--limit", "5", "--curve", "0", "--out"]
    told = run(capsys, "certify", f"{file}:make", *asked, str(tmp_path / "ok"))
    assert told["n"] == 5
    said = refused(capsys, "certify", f"{file}:odd", *asked, str(tmp_path / "odd"))
    assert "sort" in said and not (tmp_path / "odd").exists()


def test_help_comes_without_torch() -> None:
    code = "import sys; from ballproof.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_training_resumes_to_the_same_weights(trained: Path, tmp_path: Path, how: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "ballproof",
        "train",
        *TINY,
        "--lr",
        "3e-3",
        "--eps-until",
        "2",
        "--out",
        str(tmp_path / "t"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ})
    log = tmp_path / "t" / "log.jsonl"
    for _ in range(600):
        if log.is_file() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(how)
    process.wait(60)
    assert main([*command[3:], "--resume"]) == 0
    assert (tmp_path / "t" / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
