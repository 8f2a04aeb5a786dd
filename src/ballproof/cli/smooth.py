"""`ballproof smooth`: randomized smoothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from ballproof.cli.common import DataDir, Download, Json, Out, Resume, Threads, folder, limited, reported, tell, use_threads
from ballproof.cli.progress import progress
from ballproof.cli.smooth_rows import NoiseName, certify, predict

HELP = """Randomized smoothing: radii that hold with a stated probability, for networks of any size.

Example: ballproof smooth certify runs/noisy --data digits --sigma 0.25 --limit 50
"""

smooth = App(name="smooth", help=HELP)


@smooth.command
def train(
    *,
    recipe: Annotated[str | None, Parameter(help="A TOML file, or mnist-0.25 or digits-0.25.")] = None,
    data: str | None = None,
    model: str | None = None,
    noise: NoiseName | None = None,
    sigma: Annotated[float | None, Parameter(help="Standard deviation of Gaussian noise, in the units of the data.")] = None,
    width: Annotated[float | None, Parameter(help="Uniform noise on [-width, width].")] = None,
    keep: Annotated[int | None, Parameter(help="Pixels that ablation keeps.")] = None,
    draws: Annotated[int | None, Parameter(help="Noisy copies of an example in a step.")] = None,
    adversary_eps: Annotated[float | None, Parameter(help="L2 radius of SmoothAdv's attack.")] = None,
    adversary_steps: Annotated[int | None, Parameter(help="Steps of that attack.")] = None,
    consistency: Annotated[float | None, Parameter(help="Weight of the consistency term; needs 2 draws or more.")] = None,
    epochs: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    optimizer: Literal["adam", "adamw", "radam", "sgd"] | None = None,
    seed: int | None = None,
    limit: Annotated[int | None, Parameter(help="Only the first N training examples.")] = None,
    data_dir: DataDir = None,
    download: Download = False,
    out: Out = None,
    resume: Resume = False,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Train a network on noisy copies, by SmoothAdv or with consistency where asked for, into a run folder.

    Every other setting goes into a recipe; options given here win over it. Held-out errors are estimates.

    Example: ballproof smooth train --recipe digits-0.25 --out runs/noisy
    """
    from ballproof.data import load
    from ballproof.runs import Run
    from ballproof.smooth.config import make_smooth_config
    from ballproof.smooth.noise import seen_by
    from ballproof.smooth.training import SmoothTrainer
    from ballproof.train import read_recipe
    from ballproof.train.cascade import first_weights
    from ballproof.train.checkpoint import WEIGHTS

    use_threads(threads)
    given: dict[str, Any] = {"data": data, "model": model, "noise": noise, "sigma": sigma, "width": width, "keep": keep}
    given |= {"draws": draws, "adversary_eps": adversary_eps, "adversary_steps": adversary_steps, "consistency": consistency}
    given |= {"epochs": epochs, "batch": batch, "lr": lr, "optimizer": optimizer, "seed": seed, "limit": limit}
    settings = read_recipe(recipe, "smooth") if recipe else {}
    chosen = {**settings, **{k: v for k, v in given.items() if v is not None}}
    config = make_smooth_config(chosen, f"recipe `{recipe}`" if recipe else "the options")
    everything = limited(load(config.data, "train", data_dir, fetch=download), config.limit)
    training, validation = everything.validation_split(config.validation, config.seed)
    module = first_weights(config.training, seen_by(config.law, training))
    run = Run.start(folder(out, "smooth-train"), "smooth train", config.as_dict(), resume)
    steps = -(-len(training) // config.batch)
    with progress(config.epochs * steps, "smooth train") as show:
        trainer = SmoothTrainer(config.training, module, training, validation, run, smooth=config)
        trainer.watch = lambda p: show(p.epoch * steps + p.step, f"epoch {p.epoch + 1} loss {p.loss:.3f}")
        log = trainer.fit()
    last = log[-1]
    told = {"epochs": len(log), "clean_accuracy": 1 - last["clean_error"], "noisy_accuracy": 1 - last["noisy_error"]}
    told |= {"noise": config.noise, "sigma": config.sigma, "checkpoint": str(run.path / WEIGHTS), "seconds": last["seconds"]}
    told |= reported(run)
    lines = [
        f"{told['epochs']} epochs in {told['seconds']:.0f} s; on held-out examples, estimates both:",
        f"accuracy without noise       {100 * told['clean_accuracy']:6.2f} %",
        f"accuracy on one noisy copy   {100 * told['noisy_accuracy']:6.2f} %",
        f"weights: {told['checkpoint']}",
        f"report: {told['report']}",
    ]
    tell(json, told, lines)


smooth.command(predict)
smooth.command(certify)
