"""The story on digits: a standard and a robust network, attacked and certified."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ballproof.data import Dataset, load
from ballproof.evaluate import CertifySettings, certify, load_model
from ballproof.evaluate.curve import accuracy_curve
from ballproof.evaluate.results import write_results
from ballproof.evaluate.tightness import TIGHTNESS, tightness
from ballproof.evaluate.twins import save_twins
from ballproof.networks.architectures import build
from ballproof.runs import Run
from ballproof.train import Trainer, make_config, read_recipe


def train_digits(folder: Path, kind: str, watch: Callable[[str], None]) -> Path:
    """Train one of the two networks by its recipe, as a run of its own."""
    config = make_config(read_recipe(f"digits-{kind}"), f"recipe `digits-{kind}`")
    training, validation = load(config.data, "train").validation_split(config.validation, config.seed)
    torch.manual_seed(config.seed)
    module = build(config.model, training.shape, training.classes)
    run = Run.start(folder / f"train-{kind}", "train", config.as_dict(), resume=True)
    trainer = Trainer(config, module, training, validation, run)
    trainer.watch = lambda p: watch(f"{kind} network, epoch {p.epoch + 1} of {config.epochs}")
    trainer.fit()
    return run.path


def certify_digits(folder: Path, kind: str, data: Dataset, eps: float) -> dict[str, Any]:
    """Certify and attack one of the two on the test set, as a run of its own; returns the totals."""
    module = load_model(str(folder / f"train-{kind}"), data)
    settings = CertifySettings(eps=eps, method="dual", attack_steps=20)
    asked = {**settings.as_dict(), "model": f"train-{kind}", "data": "digits", "split": "test", "n": len(data.labels)}
    run = Run.start(folder / f"certify-{kind}", "certify", asked, resume=True)
    table = certify(module, data, settings=settings, run=run)
    points = accuracy_curve(module, data, settings, 60)
    save_twins(module, data, table, run, count=8)
    run.write_json(TIGHTNESS, tightness(module, data, settings))
    return write_results(run, table, points)
