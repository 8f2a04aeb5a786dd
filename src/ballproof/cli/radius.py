"""`ballproof radius`: how far each example is proven robust, and how near it is broken."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from ballproof.cli.common import (
    Clip,
    DataDir,
    Download,
    Json,
    Limit,
    Out,
    Resume,
    Threads,
    folder,
    limited,
    reported,
    rows_line,
    tell,
    use_threads,
)
from ballproof.cli.progress import progress


def radius(
    model: Annotated[str, Parameter(help="An ONNX file, a run folder, or module.py:function.")],
    *,
    data: str,
    norm: Annotated[Literal["linf", "l2", "l1", "l0"], Parameter(help="l0: radii are numbers of pixels.")] = "linf",
    method: Annotated[str, Parameter(help="A method of bounds, as in `certify`.")] = "crown",
    attack: Annotated[
        Literal["pgd", "apgd", "auto", "saliency", "sparse-rs", "fab", "cw", "ddn"], Parameter(help="As in `attack`.")
    ] = "apgd",
    steps: Annotated[int | None, Parameter(help="Of the attack.")] = None,
    largest: Annotated[
        float | None, Parameter(help="Radii above it are not looked at; default 0.5 (linf), 5 (l2), 50 (l1), 100 (l0).")
    ] = None,
    halvings: Annotated[int, Parameter(help="Rounds of bisection on either side.")] = 12,
    clip: Clip = True,
    split: Literal["test", "train"] = "test",
    limit: Limit = 0,
    batch: int = 100,
    memory: Annotated[int, Parameter(help="Working memory of the bounds in MiB.")] = 512,
    seed: int = 0,
    data_dir: DataDir = None,
    download: Download = False,
    out: Out = None,
    resume: Resume = False,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Find, example by example, the largest eps that is proven and the smallest at which a point breaks the answer.

    Writes rows, results.json and radii.svg.

    Example: ballproof radius digits-robust --data digits --limit 20
    """
    from ballproof.data import load
    from ballproof.evaluate import load_model
    from ballproof.evaluate.identity import identify
    from ballproof.evaluate.radius import RadiusSettings, radii, totals
    from ballproof.evaluate.results import write_rows
    from ballproof.report.radii import radius_chart
    from ballproof.report.section import unit
    from ballproof.runs import TOTALS, Run

    use_threads(threads)
    examples = limited(load(data, split, data_dir, fetch=download), limit)
    network = load_model(model, examples)
    settings = RadiusSettings(
        norm=norm,
        clip=(0.0, 1.0) if clip else None,
        method=method,
        attack=attack,
        attack_settings={"seed": seed, **({} if steps is None else {"steps": steps})},
        largest={"linf": 0.5, "l2": 5.0, "l1": 50.0, "l0": 100.0}[norm] if largest is None else largest,
        halvings=halvings,
        batch=batch,
        memory=memory * 2**20,
    )
    asked = {**settings.as_dict(), "model": model, "data": data, "split": split, "n": len(examples.labels)}
    del asked["batch"], asked["memory"]
    run = Run.start(folder(out, "radius"), "radius", asked, resume)
    identify(run, [model], [network], examples)
    with progress(len(examples.labels), "radius") as show:
        rows = radii(network, examples, settings, run, lambda done: show(done, ""))
    told = totals(rows, settings)
    write_rows(run, rows)
    run.write_json(TOTALS, {**told, "settings": asked})
    chart = run.write_bytes("radii.svg", radius_chart(rows, settings.largest, norm).encode())
    told |= reported(run)
    lines = [
        f"{told['n']} examples, {norm} balls in {unit(norm)}, radii up to {settings.largest:g}",
        f"certified radius  mean {told['certified_mean']:.5f}, median {told['certified_median']:.5f}   (proven by `{method}`)",
        f"attacked radius   mean {told['attacked_mean']:.5f}, median {told['attacked_median']:.5f}   (found by {attack})",
        f"not broken        {told['unbroken']}",
        rows_line(run),
        f"chart: {chart}",
        f"report: {told['report']}",
    ]
    tell(json, {**told, "chart": str(chart)}, lines)
