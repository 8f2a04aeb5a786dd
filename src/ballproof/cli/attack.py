"""`ballproof attack`: how much of a data set an attack can break."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ballproof.cli.certify import named
from ballproof.cli.common import (
    Clip,
    Cluster,
    DataDir,
    Download,
    Json,
    Limit,
    OutIfAny,
    Resume,
    Threads,
    WorkerCount,
    WorkerMemory,
    helpers,
    limited,
    reported,
    rows_line,
    switch,
    tell,
)
from ballproof.cli.progress import progress, waiting

if TYPE_CHECKING:
    from ballproof.data import Dataset
    from ballproof.evaluate.limits import Limits


def attack(
    model: Annotated[str, Parameter(help="An ONNX file, a run folder, or module.py:function.")],
    *,
    data: str,
    eps: Annotated[float | None, Parameter(help="The radius of the ball, in the units of the data.")] = None,
    box: Annotated[
        Path | None,
        Parameter(help="In place of --eps: an .npz whose arrays `below` and `above` say how far each coordinate may move."),
    ] = None,
    norm: Annotated[Literal["linf", "l2", "l1", "l0"], Parameter(help="l0: eps counts pixels.")] = "linf",
    attack: Annotated[
        Literal["pgd", "bim", "fgsm", "apgd", "auto", "saliency", "sparse-rs", "fab", "square", "cw", "ddn"],
        Parameter(help="auto: the standard ensemble; it, fab, square, cw and ddn need the extra `attacks`."),
    ] = "pgd",
    towards: Annotated[int | None, Parameter(help="A class to be answered, instead of any wrong one.")] = None,
    steps: Annotated[int | None, Parameter(help="Default 40 for pgd and bim, 100 for apgd and auto.")] = None,
    step_size: Annotated[float | None, Parameter(help="In units of eps; default 2.5 / steps.")] = None,
    restarts: int | None = None,
    momentum: Annotated[float | None, Parameter(help="Of pgd and bim: the share of the former direction that is kept.")] = None,
    diversify: Annotated[int | None, Parameter(help="Of pgd: steps towards random outputs at each start (ODI).")] = None,
    targets: Annotated[int | None, Parameter(help="Classes that apgd, fab, saliency and auto head for in turn.")] = None,
    queries: Annotated[int | None, Parameter(help="Of square, sparse-rs and auto.")] = None,
    loss: Annotated[Literal["margin", "cross-entropy", "dlr"] | None, Parameter(help="Of pgd, bim, fgsm and apgd.")] = None,
    checks: Annotated[
        bool,
        switch("Also ask whether the figure can be believed."),
    ] = False,
    clip: Clip = True,
    split: Literal["test", "train"] = "test",
    limit: Limit = 0,
    batch: int = 500,
    seed: int = 0,
    data_dir: DataDir = None,
    download: Download = False,
    out: OutIfAny = None,
    resume: Resume = False,
    workers: WorkerCount = 0,
    cluster: Cluster = "",
    worker_memory: WorkerMemory = 0,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Search the ball or box round every example for a point that changes the answer. Found points are checked once more.

    With --out the adversarial inputs are kept as adversarial.npz, and a row an example with what broke it.

    Example: ballproof attack digits-robust --data digits --eps 0.06 --attack apgd --checks
    """
    from ballproof.attacks import named_attack
    from ballproof.attacks.doubts import checkable
    from ballproof.attacks.doubts import checks as strength
    from ballproof.data import load
    from ballproof.evaluate import load_model
    from ballproof.evaluate.attacked import attack_data
    from ballproof.evaluate.identity import identify
    from ballproof.evaluate.limits import Limits
    from ballproof.problems import ball
    from ballproof.runs import Run

    many = helpers(workers, cluster, threads, worker_memory)
    valid = (0.0, 1.0) if clip else None
    examples = limited(load(data, split, data_dir, fetch=download), limit)
    network = load_model(model, examples)
    examples = examples if towards is None else others_than(towards, examples)
    asked_for = {
        "steps": steps,
        "step_size": step_size,
        "restarts": restarts,
        "momentum": momentum,
        "diversify": diversify,
        "targets": targets,
        "queries": queries,
        "loss": loss,
    }
    given = {k: v for k, v in asked_for.items() if v is not None}
    method = named_attack(attack, **given, **({} if attack == "fgsm" else {"seed": seed}))
    extent, shape, farthest = adversary(eps, box, norm, checks, examples)
    if not isinstance(extent, Limits):
        ball(norm, examples.inputs[:1], extent, valid)  # refuses a bad eps before anything is written
    if checks:
        checkable(norm)
    asked = {
        "model": named(model),
        "data": data,
        "split": split,
        "attack": repr(method),
        "eps": farthest,
        "norm": shape,
        "clip": clip,
    }
    asked |= {"box": extent.digest} if isinstance(extent, Limits) else {}
    asked |= {"n": len(examples), "batch": batch} | ({} if towards is None else {"towards": towards})
    run = Run.start(out, "attack", asked, resume) if out is not None else None
    if run:
        identify(run, [model], [network], examples)
    started = time.perf_counter()
    with progress(len(examples.labels), attack) as show:
        watch = lambda done: show(done, "")  # noqa: E731
        found = attack_data(network, examples, method, extent, norm, valid, batch, run, attack, watch, towards, many)
    told = {**found, "attack": attack, "eps": farthest, "norm": shape, "seconds": time.perf_counter() - started}
    with waiting("checks") if checks else nullcontext():
        doubts = (
            strength(network, examples.inputs, examples.labels, farthest, norm, valid, loss or "margin", seed) if checks else []
        )
    told |= {"checks": [asdict(check) for check in doubts]} if checks else {}
    if run:
        run.write_json("results.json", told)
        told |= reported(run)
    unit = "pixels" if norm == "l0" else "in the units of the data"
    stands = "attacked accuracy" if towards is None else f"not made a {towards}"
    lines = [
        f"{told['n']} examples, {shape if shape == 'box' else f'{shape} ball'} of radius {farthest:g} {unit}",
        f"clean accuracy     {100 * told['clean_accuracy']:6.2f} %",
        f"{stands:<18} {100 * told['attacked_accuracy']:6.2f} %   (what {method!r} could not break)",
        "broken by           " + (", ".join(f"{name} {count}" for name, count in found["by"].items()) or "nothing"),
    ]
    lines += [rows_line(run), f"report: {told['report']}"] if run else []
    tell(json, told, lines + [str(check) for check in doubts])


def others_than(towards: int, examples: Dataset) -> Dataset:
    """The examples of other classes: those that can be brought to the class."""
    from ballproof.errors import InputError

    if not 0 <= towards < examples.classes:
        raise InputError(f"`towards` is {towards}, {examples.name} has the classes 0 to {examples.classes - 1}")
    return examples.subset((examples.labels != towards).nonzero().flatten().tolist())


def adversary(
    eps: float | None, box: Path | None, norm: str, checks: bool, examples: Dataset
) -> tuple[float | Limits, str, float]:
    """The radius or the box that was asked for, the name of its shape, and the farthest that a coordinate moves in it."""
    from ballproof.errors import InputError
    from ballproof.evaluate.limits import Limits

    if box is None and eps is not None:
        return eps, norm, eps
    if box is None or eps is not None:
        raise InputError("give one of `eps`, the radius of a ball, and `box`, a file of how far each coordinate may move")
    if norm != "linf" or checks:
        told = "`checks` asks in growing balls" if checks else f"`norm` is {norm}"
        raise InputError(f"{told}: not with `box`; leave it out")
    limits = Limits.read(box, examples.shape)
    return limits, "box", limits.largest
