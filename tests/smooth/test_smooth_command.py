"""`ballproof smooth` end to end on the data inside the package: keys, files, resuming, refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import ballproof as bp
from ballproof.cli import main
from ballproof.evaluate import load_model
from ballproof.runs import Run
from ballproof.smooth.config import make_smooth_config
from ballproof.smooth.noise import seen_by
from ballproof.smooth.training import SmoothTrainer
from ballproof.train import read_recipe, recipe_names
from ballproof.train.cascade import first_weights

TRAIN = ["--data", "digits", "--model", "mlp", "--epochs", "3", "--lr", "3e-3", "--batch", "50"]


def run(capsys: pytest.CaptureFixture[str], *tokens: str) -> dict[str, Any]:
    assert main(["smooth", *tokens, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out.splitlines()[-1])  # type: ignore[no-any-return]


def refused(capsys: pytest.CaptureFixture[str], *tokens: str) -> str:
    assert main(["smooth", *tokens]) == 2
    said = capsys.readouterr()
    assert len(said.err.strip().splitlines()) == 1, said.err
    return said.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("smooth") / "train"
    assert main(["smooth", "train", *TRAIN, "--sigma", "0.25", "--out", str(path)]) == 0
    return path


def without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_train_certify_predict(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["certify", str(trained), "--data", "digits", "--sigma", "0.25", "--n", "500", "--n0", "20", "--limit", "30"]
    told = run(capsys, *asked, "--out", str(tmp_path / "c"))
    assert {"n", "clean_accuracy", "abstained", "certified_accuracy", "sigma", "alpha", "seconds", "probability"} <= set(told)
    assert told["n"] == 30 and told["sigma"] == 0.25 and "no proof" in told["probability"]
    shares = list(told["certified_accuracy"].values())
    assert shares == sorted(shares, reverse=True) and list(told["certified_accuracy"])[:3] == ["0", "0.25", "0.5"]
    assert 0.5 < shares[0] <= min(told["clean_accuracy"], 1 - told["abstained"])
    rows = pq.read_table(tmp_path / "c" / "results.parquet").to_pylist()
    assert told["average_certified_radius"] == pytest.approx(sum(r["radius"] for r in rows if r["certified"]) / 30)
    with (tmp_path / "c" / "results.tsv").open() as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    assert [float(line["radius"]) for line in lines] == [r["radius"] for r in rows]
    assert [line["counts"] for line in lines] == [",".join(map(str, r["counts"])) for r in rows]

    data = bp.load_data("digits", "test")  # a radius drawn again from what its row says
    row = rows[17]
    smoothed = bp.Smoothed(load_model(str(trained), data), 0.25)
    again = smoothed.certify(data.inputs[17], row["n0"], row["n"], row["alpha"], row["seed"], row["index"])
    assert list(again.counts) == row["counts"] and again.radius == row["radius"]

    guessed = run(capsys, "predict", str(trained), "--data", "digits", "--sigma", "0.25", "--n", "200", "--limit", "20")
    assert guessed["n"] == 20 and 0.5 < guessed["accuracy"] <= 1 - guessed["abstained"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # runs without --out


def test_a_killed_table_goes_on_to_the_same_rows(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["certify", str(trained), "--data", "digits", "--sigma", "0.5", "--n", "300", "--limit", "12"]
    whole = run(capsys, *asked, "--out", str(tmp_path / "whole"))
    run(capsys, *asked, "--out", str(tmp_path / "cut"))
    journal = tmp_path / "cut" / "rows.jsonl"
    text = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(text[:5]) + text[5][:40])  # as a kill in the midst of a row leaves it
    for name in ("results.tsv", "results.parquet", "results.json"):
        (tmp_path / "cut" / name).unlink()
    again = run(capsys, *asked, "--batch", "77", "--out", str(tmp_path / "cut"), "--resume")
    assert {**again, "seconds": 0, "report": ""} == {**whole, "seconds": 0, "report": ""}
    tables = [pq.read_table(tmp_path / name / "results.parquet").to_pylist() for name in ("whole", "cut")]
    assert without_seconds(tables[0]) == without_seconds(tables[1])
    assert "cannot be resumed with other settings" in refused(
        capsys, *asked, "--seed", "1", "--out", str(tmp_path / "cut"), "--resume"
    )


def test_training_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    settings = {"data": "digits", "model": "mlp", "sigma": 0.25, "epochs": 2, "draws": 2, "consistency": 2.0, "normalize": True}
    config = make_smooth_config({**settings, "adversary_eps": 0.2, "limit": 300}, "this test")
    data = bp.load_data("digits", "train").subset(range(300))
    training, validation = data.validation_split(0.1, 0)

    def trainer(name: str, resume: bool) -> SmoothTrainer:
        module = first_weights(config.training, training)
        folder = Run.start(tmp_path / name, "smooth train", config.as_dict(), resume)
        return SmoothTrainer(config.training, module, training, validation, folder, smooth=config)

    whole, cut = trainer("whole", False), trainer("cut", False)
    whole.fit()

    def stop(progress: object) -> None:
        if cut.epoch == 1 and cut.step == 1:
            cut.save()
            raise KeyboardInterrupt

    cut.watch = stop
    with pytest.raises(KeyboardInterrupt):
        cut.fit()
    trainer("cut", True).fit()
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert files[0] == files[1]


@pytest.mark.parametrize(("noise", "size"), [("uniform", ["--width", "0.5"]), ("ablation", ["--keep", "8"])])
def test_other_noises(noise: str, size: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "train", *TRAIN, "--noise", noise, *size, "--out", str(tmp_path / "t"))
    asked = [
        "certify",
        str(tmp_path / "t"),
        "--data",
        "digits",
        "--noise",
        noise,
        *size,
        "--n",
        "300",
        "--limit",
        "20",
        "--joint",
    ]
    told = run(capsys, *asked)
    assert told["norm"] == {"uniform": "l1", "ablation": "l0"}[noise] and told["alpha_each"] == pytest.approx(0.001 / 20)
    assert told["certified_accuracy"]["0"] > 0.1 and told["average_certified_radius"] > 0


def test_a_denoiser_stands_in_front(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "front.py"
    file.write_text(
        "import torch\n"
        "class Black(torch.nn.Module):\n    def forward(self, x):\n        return torch.zeros_like(x)\n"
        "class Wide(torch.nn.Module):\n    def forward(self, x):\n        return torch.cat([x, x], 2)\n"
        "class Pair(torch.nn.Module):\n    def forward(self, x):\n        return x, x\n"
        "def misfit():\n    return torch.nn.Linear(3, 3)\n"
    )
    asked = ["certify", str(trained), "--data", "digits", "--sigma", "0.25", "--n", "100", "--limit", "5"]
    run(capsys, *asked, "--denoiser", f"{file}:Black", "--out", str(tmp_path / "c"))
    rows = pq.read_table(tmp_path / "c" / "results.parquet").to_pylist()
    assert len({r["prediction"] for r in rows}) == 1 and all(max(r["counts"]) == 100 for r in rows)
    assert "gives shape (1, 16, 8)" in refused(capsys, *asked, "--denoiser", f"{file}:Wide")
    assert "gives a tuple" in refused(capsys, *asked, "--denoiser", f"{file}:Pair")
    assert "does not take inputs of shape (1, 8, 8)" in refused(capsys, *asked, "--denoiser", f"{file}:misfit")
    assert "expected module.py:function" in refused(capsys, *asked, "--denoiser", "front")


def test_every_recipe_is_valid() -> None:
    for name in recipe_names("smooth"):
        config = make_smooth_config(read_recipe(name, "smooth"), name)
        assert seen_by(config.law, bp.load_data("digits")).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--sigma", "0"], "`sigma`"),
        (["--sigma", "-1"], "`sigma`"),
        ([], "takes `sigma`"),
        (["--sigma", "1", "--alpha", "0"], "`alpha`"),
        (["--sigma", "1", "--alpha", "nan"], "`alpha`"),
        (["--sigma", "1", "--n0", "0"], "`n0`"),
        (["--sigma", "1", "--n", "9"], "take at least 10"),
        (["--sigma", "1", "--n", "10", "--joint", "--limit", "8"], "take at least 13"),
        (["--sigma", "1", "--noise", "laplace"], "noise"),
        (["--sigma", "1", "--batch", "0"], "`batch`"),
        (["--sigma", "1", "--seed", "-1"], "`seed`"),
        (["--sigma", "1", "--radii", "-1"], "`radii`"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line(trained: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, "certify", str(trained), "--data", "digits", *more)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--sigma", "0"], "`sigma`"),
        (["--sigma", "1", "--consistency", "1"], "`draws`"),
        (["--noise", "uniform", "--width", "1", "--adversary-eps", "1"], "`adversary_eps`"),
        (["--sigma", "1", "--draws", "0"], "`draws`"),
        (["--recipe", "mnist-0.26"], "no recipe"),
    ],
    ids=" ".join,
)
def test_bad_training_is_one_line(more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, "train", *TRAIN, *more)
    assert not Path("runs").exists()


def test_the_report_tells_the_probability_and_never_speaks_of_a_proof(trained: Path, tmp_path: Path) -> None:
    asked = [str(trained), "--data", "digits", "--sigma", "0.25", "--n", "100", "--limit", "5", "--out"]
    for command in ("certify", "predict"):
        assert main(["smooth", command, *asked, str(tmp_path / command)]) == 0
    runs, page = [tmp_path / "certify", tmp_path / "predict", trained], tmp_path / "page.html"
    assert main(["report", *map(str, runs), "--out", str(page)]) == 0
    text = page.read_text()
    assert text.count("with probability at least 0.999 over the draws") == 2 and "radius (l2)" in text
    assert text.count("<strong>Certified accuracy against the radius") == 1 and "noisy copies" in text
    assert "proven" not in text.split("<h2")[1]
