"""`ballproof models`: the trained networks that come with the package."""

from __future__ import annotations

from ballproof.cli.common import Json, tell


def models(*, json: Json = False) -> None:
    """List the networks that come with ballproof, with what was proven of them. Their names are models of every command.

    Example: ballproof models --json
    """
    from dataclasses import asdict

    from ballproof.networks.shipped import shipped

    found = list(shipped().values())
    lines = [f"{'model':15s} {'data':8s} {'ball':14s} {'clean':>8s} {'attacked':>9s} {'certified':>10s}"]
    for m in found:
        ball = f"{m.norm} {m.eps:g}"
        shares = f"{100 * m.clean_accuracy:7.2f} % {100 * m.attacked_accuracy:7.2f} % {100 * m.certified_accuracy:8.2f} %"
        lines.append(f"{m.name:15s} {m.data:8s} {ball:14s} {shares}   by {m.certified_by}, n = {m.n:,}")
    lines.append("accuracy on test images; certified is a proven lower bound, attacked an upper one; eps in pixels of [0, 1]")
    tell(json, {"models": [asdict(m) for m in found]}, lines)
