"""The demo from end to end: everything it says is measured while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ballproof.data import load, points
from ballproof.demo import plane_pictures as draw
from ballproof.demo.digits import certify_digits, train_digits
from ballproof.demo.plane import RADIUS, certified, train_plane
from ballproof.report import STORY, write_report
from ballproof.runs import Run
from ballproof.train import make_config, read_recipe

DIGITS_EPS = 0.06
KINDS = ("standard", "robust")


def tell_story(folder: Path, watch: Callable[[str], None], resume: bool = False) -> dict[str, Any]:
    """Runs both parts in the run folder and writes report.html there. Returns the headline numbers."""
    started = time.perf_counter()
    run = Run.start(folder, "demo", {"radius": RADIUS, "digits_eps": DIGITS_EPS}, resume)
    plane, chapters = _plane(watch)
    digits = _digits(run.path, watch)
    run.write_json(STORY, chapters)
    names = ("train-standard", "train-robust", "certify-standard", "certify-robust")
    page = write_report([run.path, *(run.path / n for n in names)], run.path / "report.html")
    return {**plane, **digits, "seconds": time.perf_counter() - started, "report": str(page)}


def steps() -> int:
    """How many different things `tell_story` says that it is doing."""
    return 3 + sum(make_config(read_recipe(f"digits-{kind}"), kind).epochs + 1 for kind in KINDS)


def _plane(watch: Callable[[str], None]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    data = points(radius=RADIUS)
    watch("the plane: a standard network")
    standard = train_plane(data, robust=False, steps=300, lr=5e-3)
    watch("the plane: a robust network")
    robust = train_plane(data, robust=True, steps=800, lr=2e-2)
    watch("the plane: linear programs")
    proven = {"standard": certified(standard.module, data, "lp"), "robust": certified(robust.module, data, "lp")}
    n = len(data.labels)
    count = {k: int(v.sum()) for k, v in proven.items()}
    worst = int((~proven["standard"]).float().argmax()) if count["standard"] < n else 0
    chapters = [
        _chapter(
            f"{n} points, {n} boxes",
            f"Two classes. Whatever the adversary does, it stays in the box of radius {RADIUS} round each point, and no two "
            "boxes meet: a classifier that is right on every whole box exists.",
            draw.draw_points(data),
        ),
        _chapter(
            f"A standard network: {count['standard']} of {n} boxes proven",
            f"Trained by cross-entropy on all {n} points. For each box a linear program over the convex outer polytope asks "
            f"for the worst margin: it is positive for {count['standard']} of {n}. The others are outlined in red: there the "
            "answer may change inside the box, and the picture shows where it does.",
            draw.draw_regions(standard.module, data, proven["standard"]),
        ),
        _chapter(
            "Why a proof is possible: the convex outer polytope",
            "Grey: what the network answers while the input moves through one box. Blue: a polygon that provably encloses it, "
            "each side from one linear program. Orange: the same from the dual network, one backward pass a side: looser, far "
            "cheaper, and differentiable, so that a network can be trained against it.",
            draw.draw_polytope(standard.module, data, worst),
        ),
        _chapter(
            f"A robust network: {count['robust']} of {n} boxes proven",
            "The same architecture, trained by the robust loss: the cross-entropy of the worst answer that the dual bound "
            "still allows. Every box that is not outlined in red lies, provably, on one side of the boundary.",
            draw.draw_regions(robust.module, data, proven["robust"]),
        ),
        _chapter(
            "The same box after robust training",
            "Now the whole polytope lies on the right side of the boundary: that is what the robust loss asked for.",
            draw.draw_polytope(robust.module, data, worst),
        ),
        _chapter(
            "How both learned",
            "The standard network lowers only its solid line; its robust loss (dashed, an upper bound of the loss under any "
            "attack) grows. The robust network lowers the dashed line, and the share of points without a proof falls.",
            draw.draw_training(standard, robust),
        ),
    ]
    return {"plane_points": n, "plane_standard": count["standard"], "plane_robust": count["robust"]}, chapters


def _chapter(title: str, text: str, figure: str) -> dict[str, str]:
    return {"title": title, "text": text, "figure": figure}


def _digits(folder: Path, watch: Callable[[str], None]) -> dict[str, Any]:
    data = load("digits", "test")
    told: dict[str, Any] = {}
    for kind in KINDS:
        train_digits(folder, kind, watch)
        watch(f"digits: proofs for the {kind} network")
        totals = certify_digits(folder, kind, data, DIGITS_EPS)
        told |= {f"digits_{kind}_{k}": totals[k] for k in ("clean_accuracy", "attacked_accuracy", "certified_accuracy")}
    return {**told, "digits_n": len(data.labels), "digits_eps": DIGITS_EPS}
