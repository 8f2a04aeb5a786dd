"""`ballproof certify`: proofs for a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ballproof.cli.common import (
    Clip,
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
    rows_line,
    switch,
    tell,
)
from ballproof.cli.progress import progress, waiting
from ballproof.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from ballproof.certificate.rigorous import Rigorous
    from ballproof.data import Dataset
    from ballproof.evaluate import CertifySettings
    from ballproof.graph import Graph

METHOD_HELP = (
    "interval (ibp), zonotope (deepz, ai2), dual (wong-kolter, convex-adversarial, fast-lin), crown (deeppoly), dual-interval, "
    "crown-interval (crown-ibp), alpha (alpha-crown), alpha-all, lp (planet, triangle), lp-all (convex-barrier), sdp; "
    "searches for what cheaper bounds leave: bab, milp, smt; joined by + for the tightest of several."
)
"""A test holds it against the table of methods, which would take two seconds to import here."""


def certify(
    model: Annotated[str, Parameter(help="An ONNX file, a run folder, or module.py:function.")],
    *,
    data: str,
    eps: float,
    then: Annotated[
        tuple[str, ...], Parameter(negative="", show_default=False, help="Further stages of a cascade, asked in this order.")
    ] = (),
    method: Annotated[str, Parameter(help=METHOD_HELP)] = "dual",
    norm: Annotated[Literal["linf", "l2", "l1", "l0"], Parameter(help="l0: eps counts pixels.")] = "linf",
    clip: Clip = True,
    split: Literal["test", "train"] = "test",
    limit: Limit = 0,
    batch: int = 100,
    limit_each: Annotated[float, Parameter(help="Seconds for each example that a search gets.")] = 10.0,
    attack_steps: Annotated[int | None, Parameter(help="Steps of PGD, 0 for no attack; default 40.")] = None,
    attack_restarts: int = 1,
    curve: Annotated[int | None, Parameter(help="Examples behind the curve of accuracy against eps; default 100.")] = None,
    memory: Annotated[int, Parameter(help="Working memory of the bounds in MiB.")] = 512,
    rigorous: Annotated[
        bool,
        switch("Count only what the checker proves, with all rounding taken off."),
    ] = False,
    deployed: Annotated[
        bool,
        switch("With --rigorous: for every float32 evaluation order."),
    ] = False,
    certificates: Annotated[
        Path | None, Parameter(help="With --rigorous: write property and certificate of each proof.")
    ] = None,
    seed: int = 0,
    data_dir: DataDir = None,
    download: Download = False,
    out: Out = None,
    resume: Resume = False,
    workers: WorkerCount = 0,
    cluster: Cluster = "",
    worker_memory: WorkerMemory = 0,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Prove, example by example, that no point of the ball changes the answer; attack the rest.

    eps is in the units of the data, [0, 1] pixels. In a cascade (`--then`, or the folder of `train --stages`) the first network
    that certifies its own prediction answers; its figure says that this network is constant on the ball. It is not attacked.

    Example: ballproof certify digits-robust --data digits --eps 0.06 --method crown --limit 100
    """
    from ballproof.data import load
    from ballproof.evaluate import CertifySettings, load_model
    from ballproof.evaluate import certify as certify_data
    from ballproof.evaluate.cascade import certify_cascade
    from ballproof.evaluate.identity import identify
    from ballproof.evaluate.results import write_results
    from ballproof.evaluate.tightness import TIGHTNESS, tightness
    from ballproof.evaluate.twins import save_twins
    from ballproof.networks import as_graph
    from ballproof.problems import ball
    from ballproof.report import write_report
    from ballproof.runs import CONFIG, Run
    from ballproof.train.cascade import stages_in

    many = helpers(workers, cluster, threads, worker_memory)
    chain = [*(str(p) for p in stages_in(Path(model))), *then] if stages_in(Path(model)) else [model, *then]
    cascade = len(chain) > 1
    for option, asked_for in (("attack_steps", attack_steps), ("curve", curve)):
        if cascade and asked_for:
            raise InputError(f"`{option}` is {asked_for}: a cascade is certified without an attack; leave it out")
    if cascade and not many.alone:
        raise InputError("a cascade is certified by this process alone; leave `workers` and `cluster` out")
    attack_steps = (0 if cascade else 40) if attack_steps is None else attack_steps
    curve = (0 if cascade else 100) if curve is None else curve
    examples = limited(load(data, split, data_dir, fetch=download), limit)
    stages = [load_model(name, examples) for name in chain]
    network = stages[0]
    settings = CertifySettings(
        eps=eps,
        norm=norm,
        clip=(0.0, 1.0) if clip else None,
        method=method,
        attack_steps=attack_steps,
        attack_restarts=attack_restarts,
        batch=batch,
        memory=memory * 2**20,
        seed=seed,
        limit_each=limit_each,
    )
    as_graph(network, ball(norm, examples.inputs[:1], eps, settings.clip))  # refuses before anything is written
    asked = {**settings.as_dict(), "model": named(chain[0]), "data": data, "split": split, "n": len(examples.labels)}
    checker = _checker(chain, settings, deployed, certificates) if rigorous or deployed or certificates else None
    asked |= {"rigorous": "deployed" if deployed else "real"} if checker else {}
    asked |= {"then": [named(name) for name in chain[1:]]} if cascade else {}
    del asked["batch"], asked["memory"]
    run = Run.start(folder(out, "certify"), "certify", {**asked, "curve": curve}, resume, CertifySettings(eps).as_dict())
    identify(run, chain, stages, examples)
    with progress(len(examples.labels), "certify") as show:
        watch = lambda done: show(done, "")  # noqa: E731
        if cascade:
            table = certify_cascade(stages, examples, settings, run, watch)
        else:
            table = certify_data(network, examples, settings=settings, run=run, watch=watch, rigorous=checker, workers=many)
    points = _curve(network, examples, settings, curve)
    with waiting("report"):
        if not cascade:
            save_twins(network, examples, table, run)
            run.write_json(TIGHTNESS, tightness(network, examples, settings))
        totals = write_results(run, table, points)
        page = write_report([run.path, *(Path(n) for n in chain if (Path(n) / CONFIG).is_file())], run.path / "report.html")
    told = {**totals, "report": str(page)}
    tell(json, told, [*_lines(told, clip, cascade), rows_line(run)])


def _curve(network: nn.Module | Graph, examples: Dataset, settings: CertifySettings, count: int) -> list[dict[str, Any]]:
    from ballproof.evaluate.curve import STEPS, accuracy_curve

    if not count:
        return []
    with progress(len(STEPS), "curve") as show:
        return accuracy_curve(network, examples, settings, count, lambda done: show(done, ""))


def _checker(named: list[str], settings: CertifySettings, deployed: bool, folder: Path | None) -> Rigorous:
    from ballproof.certificate.checker.arithmetic import NotModelledError
    from ballproof.certificate.rigorous import Rigorous

    path = Path(named[0])
    if len(named) > 1 or settings.norm != "linf" or not path.is_file() or ".onnx" not in path.name:
        raise InputError("`rigorous` is for one ONNX file and a linf ball: the checker reads nothing else")
    try:
        return Rigorous.of(path, settings.eps, settings.clip, deployed, folder, settings.limit_each)
    except NotModelledError as error:
        raise InputError(f"`rigorous`: the checker has no rule for {error}") from error


def named(model: str) -> str:
    """The model as it was named; absolute where it is a file, so that a resumed run means the same one."""
    path = Path(model)
    return str(path.resolve()) if path.exists() else model


def _lines(told: dict[str, object], clip: bool, cascade: bool) -> list[str]:
    said = "the answering network stays so; no bound for the cascade" if cascade else "a lower bound"
    cut, units = "cut with [0, 1]" if clip else "not cut", "pixels" if told["norm"] == "l0" else "the units of the data"
    share = {k: f"{100 * float(str(v)):.2f} %" for k, v in told.items() if k.endswith("_accuracy") and v is not None}
    attacked = share.get("attacked_accuracy")
    broken = f"{attacked:>9}   (an upper bound: what was not broken)" if attacked else "not measured"
    return [
        f"{told['n']} examples, {told['norm']} ball of radius {told['eps']} in {units}, {cut}",
        f"clean accuracy      {share['clean_accuracy']:>9}",
        f"attacked accuracy   {broken}",
        f"certified accuracy  {share['certified_accuracy']:>9}   ({said}: proven by `{told['method']}`)",
        *([f"lost by rounding    {told['lost_by_rounding']:>9}"] if "lost_by_rounding" in told else []),
        f"report: {told['report']}",
    ]
