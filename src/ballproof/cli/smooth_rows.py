"""`ballproof smooth predict` and `ballproof smooth certify`: answers and radii of a data set, by counting draws."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ballproof.cli.certify import named
from ballproof.cli.common import (
    Cluster,
    DataDir,
    Download,
    Json,
    Limit,
    Out,
    Resume,
    Threads,
    WorkerCount,
    WorkerMemory,
    folder,
    helpers,
    limited,
    reported,
    rows_line,
    switch,
    tell,
)
from ballproof.cli.progress import progress
from ballproof.errors import InputError

if TYPE_CHECKING:
    from ballproof.data import Dataset
    from ballproof.runs import Run
    from ballproof.smooth import Noise, Smoothed
    from ballproof.smooth.table import Draws
    from ballproof.spread import Workers

NoiseName = Literal["gaussian", "uniform", "ablation"]

RADII = {"gaussian": (0.0, 0.25, 0.5, 0.75, 1.0), "uniform": (0.0, 0.5, 1.0, 1.5, 2.0), "ablation": (0.0, 1.0, 2.0, 4.0, 8.0)}
UNITS = {"l0": "pixels", "l1": "units of the data, L1", "l2": "units of the data, L2"}


@Parameter(name="*")
@dataclass(frozen=True)
class Asked:
    """What both commands take."""

    data: str
    noise: NoiseName = "gaussian"
    sigma: Annotated[float | None, Parameter(help="Standard deviation of Gaussian noise: L2 radii.")] = None
    width: Annotated[float | None, Parameter(help="Uniform noise on [-width, width]: L1 radii.")] = None
    keep: Annotated[int | None, Parameter(help="Pixels that ablation keeps: L0 radii.")] = None
    denoiser: Annotated[str | None, Parameter(help="module.py:function of a module from noisy to clean images.")] = None
    alpha: Annotated[float, Parameter(help="Probability that the statement on an example may be wrong.")] = 0.001
    joint: Annotated[bool, switch("alpha for all examples at once: each gets alpha / n.")] = False
    seed: int = 0
    split: Literal["test", "train"] = "test"
    limit: Limit = 0
    batch: Annotated[int, Parameter(help="Noisy copies at once; the draws do not depend on it.")] = 250
    data_dir: DataDir = None
    download: Download = False
    out: Out = None
    resume: Resume = False
    workers: WorkerCount = 0
    cluster: Cluster = ""
    worker_memory: WorkerMemory = 0
    threads: Threads = 0
    json: Json = False


def certify(
    model: Annotated[str, Parameter(help="An ONNX file, a run folder, or module.py:function.")],
    *,
    asked: Asked,
    n0: Annotated[int, Parameter(help="Draws that choose the class.")] = 100,
    n: Annotated[int, Parameter(help="Draws that bound its probability.")] = 10_000,
    radii: Annotated[tuple[float, ...], Parameter(help="Where certified accuracy is told.")] = (),
) -> None:
    """Radii in which the smoothed classifier's answer stays, each right with probability at least 1 - alpha over its draws.

    No proof: a probability, for each example alone unless --joint. Writes rows, results.tsv and results.json.

    Example: ballproof smooth certify runs/noisy --data digits --sigma 0.25 --limit 50
    """
    from ballproof.smooth.table import Draws, certify_rows, totals, write_rows

    if any(not r >= 0 for r in radii):
        raise InputError(f"`radii` is {radii}, expected numbers >= 0")
    job = _started("smooth certify", model, asked, Draws(n, asked.alpha, n0, asked.seed, asked.joint), 1)
    with progress(len(job.data), "smooth certify") as show:
        rows = certify_rows(job.smoothed, job.data, job.draws, job.run, lambda done: show(done, ""), job.workers)
    told = {**totals(rows, radii or RADII[asked.noise]), **_common(job, asked)}
    write_rows(job.run, rows, told, job.draws)
    told |= reported(job.run)
    share = {**told["certified_accuracy"]}
    lines = [
        f"{told['n']} examples, {asked.noise} noise; right with probability {told['probability']}",
        f"clean accuracy      {100 * told['clean_accuracy']:6.2f} %   (the class that n0 draws chose; an estimate)",
        f"abstained           {100 * told['abstained']:6.2f} %",
        *(f"certified accuracy  {100 * a:6.2f} %   at radius {r} ({UNITS[told['norm']]})" for r, a in share.items()),
        f"average radius      {told['average_certified_radius']:6.3f}     (0 where not certified)",
        f"table: {job.run.path / 'results.tsv'}",
        rows_line(job.run),
        f"report: {told['report']}",
    ]
    tell(asked.json, told, lines)


def predict(
    model: Annotated[str, Parameter(help="An ONNX file, a run folder, or module.py:function.")],
    *,
    asked: Asked,
    n: Annotated[int, Parameter(help="Draws an example.")] = 1000,
) -> None:
    """The smoothed classifier's answers; wrong or abstaining is told apart, each answer right with probability 1 - alpha.

    An example whose top two classes a two-sided binomial test cannot tell apart at alpha is abstained from.

    Example: ballproof smooth predict runs/noisy --data digits --sigma 0.25 --limit 50
    """
    from ballproof.smooth.table import Draws, predict_rows, write_rows

    job = _started("smooth predict", model, asked, Draws(n, asked.alpha, seed=asked.seed, joint=asked.joint), 2)
    with progress(len(job.data), "smooth predict") as show:
        rows = predict_rows(job.smoothed, job.data, job.draws, job.run, lambda done: show(done, ""), job.workers)
    count = len(rows)
    told: dict[str, Any] = {"n": count, "accuracy": sum(r["correct"] for r in rows) / count}
    told |= {"abstained": sum(r["abstained"] for r in rows) / count, "seconds": sum(r["seconds"] for r in rows)}
    told |= _common(job, asked)
    write_rows(job.run, rows, told, job.draws)
    told |= reported(job.run)
    lines = [
        f"{count} examples, {asked.noise} noise; right with probability {told['probability']}",
        f"right      {100 * told['accuracy']:6.2f} %",
        f"abstained  {100 * told['abstained']:6.2f} %",
        f"table: {job.run.path / 'results.tsv'}",
        rows_line(job.run),
        f"report: {told['report']}",
    ]
    tell(asked.json, told, lines)


@dataclass(frozen=True)
class _Job:
    smoothed: Smoothed
    noise: Noise
    data: Dataset
    draws: Draws
    run: Run
    workers: Workers


def _started(command: str, model: str, asked: Asked, draws: Draws, sides: int) -> _Job:
    """Everything is refused that can be before the folder is made."""
    from ballproof.data import load
    from ballproof.evaluate.identity import identify
    from ballproof.runs import Run
    from ballproof.smooth import Smoothed
    from ballproof.smooth.draws import check_steady
    from ballproof.smooth.network import network_for
    from ballproof.smooth.noise import named_noise

    workers = helpers(asked.workers, asked.cluster, asked.threads, asked.worker_memory)
    noise = named_noise(asked.noise, asked.sigma, asked.width, asked.keep)
    data = limited(load(asked.data, asked.split, asked.data_dir, fetch=asked.download), asked.limit)
    draws.check(len(data), sides)
    network = network_for(model, asked.denoiser, noise, data)
    smoothed = Smoothed(network, noise, batch=asked.batch)
    check_steady(network, noise, data.inputs[0])
    settings = {**asdict(draws), "model": named(model), "noise": repr(noise), "denoiser": asked.denoiser}
    settings |= {"data": asked.data, "split": asked.split, "n_examples": len(data)}
    run = Run.start(folder(asked.out, command.replace(" ", "-")), command, settings, asked.resume)
    identify(run, [model], [network], data)
    return _Job(smoothed, noise, data, draws, run, workers)


def _common(job: _Job, asked: Asked) -> dict[str, Any]:
    told: dict[str, Any] = {"sigma": asked.sigma, "alpha": asked.alpha, "alpha_each": job.draws.each(len(job.data))}
    told |= {"noise": repr(job.noise), "norm": job.noise.norm, "draws": job.draws.n, "seed": asked.seed}
    whose = "all rows at once" if asked.joint else "each row alone, not all rows at once"
    return told | {"probability": f"at least {1 - asked.alpha:g} over the draws, for {whose}; no proof"}
