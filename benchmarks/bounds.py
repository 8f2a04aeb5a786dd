"""Bounds timed on four nets, beside those of auto_LiRPA where it can be imported: seconds, tightness, distance to the floor.

    python benchmarks/bounds.py --out bounds.json [--net convsmall] [--method crown] [--threads 2] [--memory BYTES] [--fresh]

A case is a net, a method and one question: the nine margins of the predicted class for every input of the batch. Weights
are as torch draws them and inputs uniform in [0, 1], both from seed 0, in float32; eps is in units of the input. Both
libraries answer in one process, in turns, after one unmeasured turn each (it reads the net). `floor_seconds` is what the
multiply-adds of `crown` (see bounds/floor.py) would take at the speed of a matrix product measured in the same run. `interval`
is asked of a snapshot of the net, as the peer's module is prepared too, and (`live`) of the module itself.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from bounds.floor import floor
from bounds.nets import NETS
from torch import Tensor, nn

import ballproof as bp
from ballproof.bounds import METHODS

Work = Callable[[], Tensor]
ASKED = {
    "interval": ("interval", "IBP"),
    "crown": ("crown", "CROWN"),
    "alpha": ("alpha", "CROWN-Optimized"),
    "alpha-fixed": ("alpha", "CROWN-Optimized"),
    "alpha-all": ("alpha-all", "CROWN-Optimized"),
}
"""Our method and the peer's. As it is called by default the peer optimises the intermediate bounds too, whatever its option
`fix_interm_bounds` says (its margins are the same to the last digit either way): like `alpha-all`, unlike `alpha`. In
`alpha-fixed` it is given those of its CROWN, which it computes within the time, so that both do the work of `alpha`."""
PEER_OPTIONS = {"optimize_bound_args": {"iteration": 20}}
"""All else as the peer sets it."""
QUICK_SECONDS, QUICK_TURNS = 5, 50
"""Cases that are over sooner go on taking turns until one of these is reached."""


PAIRS = [(net, method) for net in NETS for method in ASKED if not method.startswith("alpha") or net == "convsmall"]


def main() -> None:
    asked = asking()
    torch.set_num_threads(asked.threads)
    pairs = [p for p in PAIRS if asked.net in {None, p[0]} and asked.method in {None, p[1]}]
    rows = [fresh(*p, asked) if asked.fresh else measure(*p, asked) for p in pairs]
    told = {"torch": torch.__version__, "threads": asked.threads, "memory": asked.memory, "who": asked.who, "rows": rows}
    asked.out.write_text(json.dumps(told, indent=1))
    show(rows)


def asking() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--net", choices=NETS)
    parser.add_argument("--method", choices=ASKED)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=int, help="bytes of working memory for ballproof")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each at least; quick ones get more")
    parser.add_argument("--who", choices=("both", "ours", "peer"), default="both")
    parser.add_argument("--fresh", action="store_true", help="a process a case, and one for each library's peak memory")
    return parser.parse_args()


def measure(name: str, method: str, asked: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    case = NETS[name]
    torch.manual_seed(0)
    net, x = case.build().eval().requires_grad_(False), torch.rand(case.batch, *case.shape)
    labels = net(x).argmax(1)
    row: dict[str, Any] = {"net": name, "method": method, "batch": case.batch, "eps": case.eps}
    works: dict[str, Work] = {"forward": lambda: net(x)} if method == "interval" else {}
    if asked.who != "peer" and (own := ASKED[method][0]) in METHODS:
        works |= ours(net, x, labels, case.eps, own, asked.memory)
    if asked.who != "ours" and find_spec("auto_LiRPA"):
        works["peer"] = peer(net, x, labels, case.eps, method)
    row |= {"not_run": [who for who in ("ours", "peer") if who not in works], "start_mib": peak()}
    with torch.set_grad_enabled(method.startswith("alpha")):
        row |= timed(works, asked.repeats)
    row |= {"peak_mib": peak(), "load": os.getloadavg()[0]}
    if method == "crown" and asked.who != "peer":
        row |= floor(net, bp.Linf(x, case.eps))
        row["times_floor"] = row["ours_seconds"] / row["floor_seconds"]
    return row


def peak() -> float:
    """The most memory this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(net: nn.Module, x: Tensor, labels: Tensor, eps: float, method: str, memory: int | None) -> dict[str, Work]:
    """Our question of the module, for `interval` also of a snapshot."""
    live = partial(margins, net, x, labels, eps, method, memory)
    return (
        {"ours": partial(margins, bp.snapshot(net, x), *live.args[1:]), "live": live}
        if method == "interval"
        else {"ours": live}
    )


def margins(net: nn.Module | bp.Graph, x: Tensor, labels: Tensor, eps: float, method: str, memory: int | None) -> Tensor:
    return bp.margins(net, bp.Linf(x, eps), labels, method=method, memory=memory)


def peer(net: nn.Module, x: Tensor, labels: Tensor, eps: float, method: str) -> Work:
    """The same question put to auto_LiRPA."""
    lirpa, perturbations = import_module("auto_LiRPA"), import_module("auto_LiRPA.perturbations")
    model = lirpa.BoundedModule(net, torch.empty_like(x), bound_opts=PEER_OPTIONS)
    rows = bp.classified_as(labels).property(10).coefficients

    def bounds(by: str, **more: Any) -> Tensor:
        ball = lirpa.BoundedTensor(x, perturbations.PerturbationLpNorm(norm=float("inf"), eps=eps))
        return model.compute_bounds(x=(ball,), C=rows, method=by, bound_upper=False, **more)[0].detach()

    def fixed() -> Tensor:
        with torch.no_grad():
            bounds("CROWN")
        inner = [n.inputs[0] for n in model.nodes() if type(n).__name__ == "BoundRelu"]
        return bounds(ASKED[method][1], interm_bounds={n.name: (n.lower, n.upper) for n in inner})

    return fixed if method == "alpha-fixed" else lambda: bounds(ASKED[method][1])


def timed(works: dict[str, Work], repeats: int) -> dict[str, Any]:
    """Least and median seconds of each work, taken in turns, and how their answers differ.

    `cpu` are the processor's seconds of all threads: what is left to compare, with one thread, on a machine that others use.
    """
    answers = {who: work() for who, work in works.items()}
    seconds: dict[str, list[float]] = {who: [] for who in works}
    cpu: dict[str, list[float]] = {who: [] for who in works}
    started, turns = time.perf_counter(), 0
    while turns < repeats or (turns < QUICK_TURNS and time.perf_counter() < started + QUICK_SECONDS):
        turns += 1
        for who, work in works.items():
            before, used = time.perf_counter(), time.process_time()
            work()
            seconds[who].append(time.perf_counter() - before)
            cpu[who].append(time.process_time() - used)
    told: dict[str, Any] = {"turns": turns}
    for who, taken in seconds.items():
        told |= {f"{who}_seconds": min(taken), f"{who}_median_seconds": median(taken), f"{who}_cpu": min(cpu[who])}
    return told | compared(told, answers)


def compared(told: dict[str, Any], answers: dict[str, Tensor]) -> dict[str, Any]:
    """Ratios of least seconds; margins ours minus the peer's, relative to the mean size of the margins: above 0 is tighter."""
    found: dict[str, Any] = {f"{who}_mean_margin": a.mean().item() for who, a in answers.items() if who != "forward"}
    for who, name in (("ours", "forwards"), ("live", "live_forwards")):
        if who in answers and "forward" in answers:
            found[name] = told[f"{who}_seconds"] / told["forward_seconds"]
    if {"ours", "peer"} <= answers.keys():
        gain = (answers["ours"] - answers["peer"]) / answers["peer"].abs().mean()
        found |= {"gain_least": gain.min().item(), "gain_mean": gain.mean().item()}
        found["times_faster"] = told["peer_seconds"] / told["ours_seconds"]
        found["cpu_faster"] = told["peer_cpu"] / told["ours_cpu"]
    return found


def fresh(name: str, method: str, asked: argparse.Namespace) -> dict[str, Any]:
    """A row from a process of its own, with the peak memory of each library from one more process each.

    A process counts its parent's memory at the start as its own peak; the parent computes nothing, so this adds nothing.
    """
    row = apart(name, method, asked, asked.who, asked.repeats)
    for who in ("ours", "peer") if asked.who == "both" else ():
        if who not in row["not_run"]:
            alone = apart(name, method, asked, who, 1)
            row |= {f"{who}_start_mib": alone["start_mib"], f"{who}_peak_mib": alone["peak_mib"]}
    return row


def apart(name: str, method: str, asked: argparse.Namespace, who: str, repeats: int) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        options = ["--net", name, "--method", method, "--who", who, "--repeats", str(repeats), "--threads", str(asked.threads)]
        options += [] if asked.memory is None else ["--memory", str(asked.memory)]
        subprocess.run([sys.executable, __file__, "--out", out.name, *options], check=True, stdout=subprocess.DEVNULL)
        return json.loads(Path(out.name).read_text())["rows"][0]  # type: ignore[no-any-return]


COLUMNS = {
    "ours_seconds": ".4f",
    "peer_seconds": ".4f",
    "times_faster": ".2f",
    "ours_cpu": ".4f",
    "peer_cpu": ".4f",
    "cpu_faster": ".2f",
    "gain_least": ".1e",
    "gain_mean": ".1e",
    "forwards": ".2f",
    "live_seconds": ".4f",
    "live_forwards": ".2f",
    "floor_seconds": ".4f",
    "times_floor": ".1f",
    "ours_peak_mib": ".0f",
    "peer_peak_mib": ".0f",
}


def show(rows: list[dict[str, Any]]) -> None:
    """The table, seconds being the least of all turns."""
    print(f"{'net':10} {'method':11}", *(f"{c:>13}" for c in COLUMNS))
    for row in rows:
        cells = (f"{row[c]:>13{how}}" if c in row else f"{'-':>13}" for c, how in COLUMNS.items())
        print(f"{row['net']:10} {row['method']:11}", *cells)
        if row["not_run"]:
            print(f"  not run: {', '.join(row['not_run'])} (not in METHODS, not importable, or not asked for)")


if __name__ == "__main__":
    main()
