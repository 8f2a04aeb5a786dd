"""`ballproof train`: a provably robust network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

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
    progress,
    tell,
    use_threads,
)
from ballproof.errors import InputError

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

    eps is in the units of the data. Every other setting goes into a recipe; options given here win over it.
    """
    given = {"data": data, "model": model, "eps": eps, "method": method, "norm": norm, "epochs": epochs, "batch": batch}
    given |= {"lr": lr, "optimizer": optimizer, "eps_until": eps_until, "seed": seed, "limit": limit}
    chosen = {k: v for k, v in given.items() if v is not None} | ({} if clip else {"clip": False})
    if min(stages, seeds) < 1:
        raise InputError(f"`stages` is {stages} and `seeds` is {seeds}, expected at least 1 each")
    use_threads(threads)
    path, source = folder(out, "train"), (data_dir, download)
    if seeds == 1:
        told = _train(recipe, chosen, source, path, resume, stages, device)
        tell(json, told, _lines(told))
        return
    first = int(chosen.get("seed", 0))
    one = lambda s: _train(recipe, {**chosen, "seed": s}, source, path / f"seed{s}", resume, stages, device)  # noqa: E731
    each = [one(first + i) for i in range(seeds)]
    spread = {k: _interval([float(t[k]) for t in each]) for k in each[0] if k.endswith("_accuracy")}
    lines = [f"{seeds} seeds; mean and 95 % interval on held-out examples, at eps {each[0]['eps']}:"]
    lines += [f"{k.replace('_', ' '):20s}{100 * m:6.2f} % +- {100 * w:.2f}" for k, (m, w) in spread.items()]
    tell(json, {"seeds": each, **{k: {"mean": m, "half_width": w} for k, (m, w) in spread.items()}}, lines)


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


def _train(
    recipe: str | None,
    chosen: dict[str, Any],
    source: tuple[Path | None, bool],
    path: Path,
    resume: bool,
    stages: int,
    device: str,
) -> dict[str, Any]:
    import torch

    from ballproof.data import load
    from ballproof.report import write_report
    from ballproof.runs import Run
    from ballproof.train import make_config, read_recipe
    from ballproof.train.cascade import first_weights, of_stage, stage_folder, uncertified
    from ballproof.train.checkpoint import WEIGHTS

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("`device` is cuda, and torch finds no GPU")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    settings = read_recipe(recipe) if recipe else {}
    config = make_config({**settings, **chosen}, f"recipe `{recipe}`" if recipe else "the options")
    everything = limited(load(config.data, "train", source[0], fetch=source[1]), config.limit)
    training, validation = everything.validation_split(config.validation, config.seed)
    logs, examples, seconds = [], [], 0.0
    paths: list[Path] = []
    for stage in range(stages):
        own = of_stage(config, stage)
        if stage and len(training.labels) < own.batch:
            break
        module = first_weights(own, training).to(device)  # refuses before anything is written
        paths.append(stage_folder(path, stage) if stages > 1 else path)
        run = Run.start(paths[-1], "train", own.as_dict(), resume)
        log = _fit(own, module, training, validation, run)
        logs.append(log)
        examples.append(len(training.labels))
        seconds += log[-1]["seconds"]
        training = uncertified(module, training, own) if stage + 1 < stages else training
    page = write_report(paths, path / "report.html")
    last = logs[0][-1]
    told = {
        "epochs": len(logs[0]),
        "clean_accuracy": 1 - last["clean_error"],
        "certified_accuracy": 1 - last["certified_error"],
    }
    told |= {"attacked_accuracy": 1 - last["pgd_error"], "certify_method": last["certify_method"], "examples": examples}
    told |= {"eps": config.eps, "method": config.method, "checkpoint": str(paths[0] / WEIGHTS)}
    return told | {"seconds": seconds, "report": str(page)}


def _fit(config: Any, module: Any, training: Any, validation: Any, run: Any) -> list[dict[str, Any]]:
    """The log of one network's training, from its first weights or from where its run left off."""
    from ballproof.report import training_chart
    from ballproof.train import Trainer

    steps = -(-len(training.labels) // config.batch)
    with progress(config.epochs * steps, "train") as show:
        trainer = Trainer(config, module, training, validation, run)
        trainer.watch = lambda p: show(p.epoch * steps + p.step, f"epoch {p.epoch + 1} loss {p.loss:.3f} eps {p.eps:.4f}")
        log = trainer.fit()
    run.write_bytes("curve.svg", training_chart(log).encode())
    return log
