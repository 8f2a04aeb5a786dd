"""A certified run and its page, for all tests of reports."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ballproof.data import load
from ballproof.evaluate import CertifySettings, certify
from ballproof.evaluate.curve import accuracy_curve
from ballproof.evaluate.identity import identify
from ballproof.evaluate.results import write_results
from ballproof.evaluate.tightness import TIGHTNESS, tightness
from ballproof.evaluate.twins import save_twins
from ballproof.networks.architectures import build
from ballproof.report import write_report
from ballproof.runs import Run

HOSTILE = "<script>alert(1)</script>`|*_[x](javascript:y)"


@pytest.fixture(scope="package")
def certified_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = load("digits", "test").subset(list(range(40)))
    torch.manual_seed(0)
    module = build("mlp", data.shape, data.classes)
    asked = {"data": "digits", "split": "test", "model": HOSTILE, "n": 40, "clip": [0, 1], "attack_steps": 3, "eps": 0.01}
    run = Run.start(tmp_path_factory.mktemp("runs") / "c", "certify", {**asked, "norm": "linf", "seed": 7}, resume=False)
    settings = CertifySettings(eps=0.01, attack_steps=3, method="crown")
    identify(run, [HOSTILE], [module], data)
    table = certify(module, data, settings=settings, run=run)
    save_twins(module, data, table, run)
    run.write_json(TIGHTNESS, tightness(module, data, settings))
    write_results(run, table, accuracy_curve(module, data, settings, 10))
    return run.path


@pytest.fixture(scope="package")
def certified_page(certified_run: Path) -> str:
    return write_report([certified_run], certified_run / "report.html").read_text()
