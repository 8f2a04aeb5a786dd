"""`ballproof train`: a provably robust network."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ballproof.cli.common import Clip, DataDir, Json, Out, Resume, Threads, folder, limited, progress, tell, use_threads

TrainMethod = Literal[
    "standard",
    "pgd",
    "trades",
    "sabr",
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
    limit: Annotated[int | None, Parameter(help="Only the first N training examples.")] = None,
    clip: Clip = True,
    data_dir: DataDir = None,
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
    told = _train(recipe, chosen, data_dir, folder(out, "train"), resume, threads)
    lines = [
        f"{told['epochs']} epochs in {told['seconds']:.0f} s; on held-out examples, at eps {told['eps']}:",
        f"clean accuracy      {100 * told['clean_accuracy']:6.2f} %",
        f"certified accuracy  {100 * told['certified_accuracy']:6.2f} %   (by `{told['certify_method']}`)",
        f"weights: {told['checkpoint']}",
        f"report: {told['report']}",
    ]
    tell(json, told, lines)


def _train(recipe: str | None, chosen: dict[str, Any], data_dir: Any, path: Any, resume: bool, threads: int) -> dict[str, Any]:
    import torch

    from ballproof.data import load
    from ballproof.networks.architectures import build
    from ballproof.report import training_chart, write_report
    from ballproof.runs import Run
    from ballproof.train import Trainer, make_config, read_recipe
    from ballproof.train.initial import for_intervals

    use_threads(threads)
    settings = read_recipe(recipe) if recipe else {}
    config = make_config({**settings, **chosen}, f"recipe `{recipe}`" if recipe else "the options")
    everything = limited(load(config.data, "train", data_dir), config.limit)
    training, validation = everything.validation_split(config.validation, config.seed)
    torch.manual_seed(config.seed)
    module = build(config.model, everything.shape, everything.classes)
    if config.init == "interval":
        for_intervals(module)
    run = Run.start(path, "train", config.as_dict(), resume)
    steps = -(-len(training.labels) // config.batch)
    with progress(config.epochs * steps, "train") as show:
        trainer = Trainer(config, module, training, validation, run)
        trainer.watch = lambda p: show(p.epoch * steps + p.step, f"epoch {p.epoch + 1} loss {p.loss:.3f} eps {p.eps:.4f}")
        log = trainer.fit()
    last = log[-1]
    run.write_bytes("curve.svg", training_chart(log).encode())
    page = write_report([run.path], run.path / "report.html")
    told = {"epochs": len(log), "clean_accuracy": 1 - last["clean_error"], "certified_accuracy": 1 - last["certified_error"]}
    told |= {"attacked_accuracy": 1 - last["pgd_error"], "certify_method": last["certify_method"]}
    told |= {"eps": config.eps, "method": config.method, "checkpoint": str(run.path / "model.safetensors")}
    return told | {"seconds": last["seconds"], "report": str(page)}
