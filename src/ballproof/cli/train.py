"""`ballproof train`: a provably robust network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ballproof.cli.common import (
    Clip,
    DataDir,
    Download,
    Json,
    Out,
    Resume,
    Threads,
    folder,
    limited,
    tell,
    use_threads,
)
from ballproof.cli.progress import progress, waiting
from ballproof.errors import InputError

if TYPE_CHECKING:
    from torch.nn import Module

    from ballproof.data import Dataset
    from ballproof.runs import Run
    from ballproof.train import TrainConfig
    from ballproof.train.parallel import Ranks

TrainMethod = Literal[
    "standard",
    "pgd",
    "trades",
    "sabr",
    "taps",
    "staps",
    "cc-ibp",
    "mtl-ibp",
    "exp-ibp",
    "interval",
    "dual",
    "dual-projected",
    "crown",
    "dual-interval",
    "crown-interval",
    "crown-ibp",
    "crown-ibp-fused",
    "hybrid-zonotope",
    "sdp",
    "mmr",
]


def train(
    *,
    recipe: Annotated[str | None, Parameter(help="A TOML file, or the name of a recipe that ships with ballproof.")] = None,
    data: str | None = None,
    model: str | None = None,
    eps: float | None = None,
    method: TrainMethod | None = None,
    norm: Literal["linf", "l2", "l1"] | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    optimizer: Literal["adam", "adamw", "radam", "sgd"] | None = None,
    eps_until: Annotated[float | None, Parameter(help="Epoch at which the ball has its full radius.")] = None,
    seed: int | None = None,
    stages: Annotated[int, Parameter(help="Networks of a cascade, each trained on what those before it cannot certify.")] = 1,
    seeds: Annotated[int, Parameter(help="Trainings with seeds that follow each other; mean and 95 % interval are told.")] = 1,
    limit: Annotated[int | None, Parameter(help="Only the first N training examples.")] = None,
    clip: Clip = True,
    device: Annotated[Literal["auto", "cpu", "cuda"], Parameter(help="auto: a GPU if there is one.")] = "auto",
    data_dir: DataDir = None,
    download: Download = False,
    out: Out = None,
    resume: Resume = False,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Train a network for which proofs exist, and watch clean, attacked and certified error on held-out examples.

    eps is in the units of the data. Every other setting goes into a recipe; options given here win over it. Started by torchrun
    (`torchrun --nproc-per-node N -m ballproof train ... --out DIR`) N processes share every batch.

    Example: ballproof train --data digits --model digits-cnn --eps 0.06 --epochs 7 --out runs/mine
    """
    given = {"data": data, "model": model, "eps": eps, "method": method, "norm": norm, "epochs": epochs, "batch": batch}
    given |= {"lr": lr, "optimizer": optimizer, "eps_until": eps_until, "seed": seed, "limit": limit}
    chosen = {k: v for k, v in given.items() if v is not None} | ({} if clip else {"clip": False})
    if min(stages, seeds) < 1:
        raise InputError(f"`stages` is {stages} and `seeds` is {seeds}, expected at least 1 each")
    use_threads(threads)
    if out is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("`out` is missing: processes started by torchrun need to agree on it")
    path = folder(out, "train")
    with _joined(device) as ranks:
        ask = _Ask(recipe, chosen, data_dir, download, stages, resume, ranks)
        told, lines = _one(ask, path) if seeds == 1 else _several(ask, path, seeds)
        if ranks.lead:
            tell(json, told, lines)


@dataclass(frozen=True)
class _Ask:
    """What is the same for every training of one command."""

    recipe: str | None
    chosen: dict[str, Any]
    data_dir: Path | None
    download: bool
    stages: int
    resume: bool
    ranks: Ranks


@contextmanager
def _joined(device: str) -> Iterator[Ranks]:
    import torch

    from ballproof.train.parallel import joined

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("`device` is cuda, and torch finds no GPU")
    with joined(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device) as ranks:
        yield ranks


def _one(ask: _Ask, path: Path) -> tuple[dict[str, Any], list[str]]:
    told = _train(ask, path)
    return told, _lines(told)


def _several(ask: _Ask, path: Path, seeds: int) -> tuple[dict[str, Any], list[str]]:
    first = int(ask.chosen.get("seed", 0))
    each = [_train(replace(ask, chosen={**ask.chosen, "seed": s}), path / f"seed{s}") for s in range(first, first + seeds)]
    spread = {k: _interval([float(t[k]) for t in each]) for k in each[0] if k.endswith("_accuracy")}
    lines = [f"{seeds} seeds; mean and 95 % interval on held-out examples, at eps {each[0]['eps']}:"]
    lines += [f"{k.replace('_', ' '):20s}{100 * m:6.2f} % +- {100 * w:.2f}" for k, (m, w) in spread.items()]
    return {"seeds": each, **{k: {"mean": m, "half_width": w} for k, (m, w) in spread.items()}}, lines


def _lines(told: dict[str, Any]) -> list[str]:
    further = [f"stage {i}: trained on {n:,} examples" for i, n in enumerate(told["examples"]) if i]
    whose = " of stage 0 alone" if len(told["examples"]) > 1 else ""
    return [
        f"{told['epochs']} epochs in {told['seconds']:.0f} s; on held-out examples{whose}, at eps {told['eps']}:",
        f"clean accuracy      {100 * told['clean_accuracy']:6.2f} %",
        f"certified accuracy  {100 * told['certified_accuracy']:6.2f} %   (by `{told['certify_method']}`)",
        *further,
        f"weights: {told['checkpoint']}",
        f"report: {told['report']}",
    ]


def _interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half of the 95 % interval of Student's t."""
    from statistics import mean, stdev

    from scipy.stats import t

    return mean(values), float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5


def _train(ask: _Ask, path: Path) -> dict[str, Any]:
    from ballproof.report import write_report
    from ballproof.train import make_config, read_recipe
    from ballproof.train.cascade import first_weights, of_stage, stage_folder, uncertified
    from ballproof.train.checkpoint import WEIGHTS

    settings = read_recipe(ask.recipe) if ask.recipe else {}
    config = make_config({**settings, **ask.chosen}, f"recipe `{ask.recipe}`" if ask.recipe else "the options")
    everything = limited(_loaded(ask, config.data), config.limit)
    training, validation = everything.validation_split(config.validation, config.seed)
    logs, examples, seconds = [], [], 0.0
    paths: list[Path] = []
    for stage in range(ask.stages):
        own = of_stage(config, stage)
        if stage and len(training.labels) < own.batch:
            break
        module = first_weights(own, training).to(ask.ranks.device)  # refuses before anything is written
        paths.append(stage_folder(path, stage) if ask.stages > 1 else path)
        log = _fit(own, module, training, validation, _run(ask, paths[-1], own), ask.ranks)
        logs.append(log)
        examples.append(len(training.labels))
        seconds += log[-1]["seconds"]
        if stage + 1 < ask.stages:
            with waiting(f"what stage {stage} cannot certify"):
                training = uncertified(module, training, own, ranks=ask.ranks)
    page = path / "report.html"
    if ask.ranks.lead:
        with waiting("report"):
            write_report(paths, page)
    last = logs[0][-1]
    told = {
        "epochs": len(logs[0]),
        "clean_accuracy": 1 - last["clean_error"],
        "certified_accuracy": 1 - last["certified_error"],
    }
    told |= {"attacked_accuracy": 1 - last["pgd_error"], "certify_method": last["certify_method"], "examples": examples}
    told |= {"eps": config.eps, "method": config.method, "checkpoint": str(paths[0] / WEIGHTS)}
    return told | {"seconds": seconds, "report": str(page)}


def _loaded(ask: _Ask, name: str) -> Dataset:
    """The training set; the first process fetches what is missing while the others wait."""
    from ballproof.data import load

    found = load(name, "train", ask.data_dir, fetch=ask.download) if ask.ranks.lead else None
    ask.ranks.wait()
    return load(name, "train", ask.data_dir) if found is None else found


def _run(ask: _Ask, path: Path, config: TrainConfig) -> Run:
    """The run folder, which the first process makes."""
    from ballproof.runs import Run

    own = Run.start(path, "train", config.as_dict(), ask.resume, type(config)().as_dict()) if ask.ranks.lead else None
    ask.ranks.wait()
    return own or Run.read(path)


def _fit(
    config: TrainConfig, module: Module, training: Dataset, validation: Dataset, run: Run, ranks: Ranks
) -> list[dict[str, Any]]:
    """The log of one network's training, from its first weights or from where its run left off."""
    from ballproof.report import training_chart
    from ballproof.train import Trainer

    steps = -(-len(training.labels) // config.batch)
    with progress(config.epochs * steps, "train") as show:
        trainer = Trainer(config, module, training, validation, run, ranks=ranks)
        trainer.watch = lambda p: show(p.epoch * steps + p.step, f"epoch {p.epoch + 1} loss {p.loss:.3f} eps {p.eps:.4f}")
        log = trainer.fit()
    if ranks.lead:
        run.write_bytes("curve.svg", training_chart(log).encode())
    return log
