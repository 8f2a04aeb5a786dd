"""`ballproof demo`: the whole story in a few minutes, on data inside the package."""

from __future__ import annotations

from ballproof.cli.common import Json, Out, Resume, Threads, folder, tell, use_threads
from ballproof.cli.progress import progress


def demo(*, out: Out = None, resume: Resume = False, threads: Threads = 0, json: Json = False) -> None:
    """Train a standard and a robust network, attack both, prove what can be proven, and write a report to read.

    Example: ballproof demo --out runs/demo
    """
    from ballproof.demo import tell_story
    from ballproof.demo.story import steps

    use_threads(threads)
    with progress(steps(), "demo") as show:
        said: dict[str, None] = {}

        def watch(text: str) -> None:
            said[text] = None
            show(len(said) - 1, text)

        told = tell_story(folder(out, "demo"), watch, resume)
        show(steps(), "")
    lines = [
        f"the plane: {told['plane_standard']} of {told['plane_points']} boxes proven for the standard network,",
        f"  {told['plane_robust']} of {told['plane_points']} for the robust one",
        f"digits: {told['digits_n']} test images, every pixel may move by {told['digits_eps']} (pixels in [0, 1])",
    ]
    for kind in ("standard", "robust"):
        share = [100 * told[f"digits_{kind}_{k}_accuracy"] for k in ("clean", "attacked", "certified")]
        lines.append(f"  {kind:<9} clean {share[0]:5.1f} %, under PGD {share[1]:5.1f} %, proven {share[2]:5.1f} %")
    tell(json, told, [*lines, f"{told['seconds']:.0f} s; report: {told['report']}"])
