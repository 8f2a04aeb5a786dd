"""ballproof: prove that a neural network's answer cannot change anywhere in a ball round its input.

Everything public is importable from here; a name is loaded when it is first used, so that importing costs nothing.
"""

from importlib import import_module
from typing import Any

PUBLIC = {
    "Ablation": "ballproof.smooth",
    "Box": "ballproof.problems",
    "Budget": "ballproof.bounds",
    "Dataset": "ballproof.data",
    "FGSM": "ballproof.attacks",
    "BIM": "ballproof.attacks",
    "Gaussian": "ballproof.smooth",
    "Graph": "ballproof.graph",
    "InputError": "ballproof.errors",
    "Interval": "ballproof.values",
    "L0": "ballproof.problems",
    "L1": "ballproof.problems",
    "L2": "ballproof.problems",
    "Linf": "ballproof.problems",
    "PGD": "ballproof.attacks",
    "Problem": "ballproof.problems",
    "Property": "ballproof.problems",
    "Smoothed": "ballproof.smooth",
    "SoundnessError": "ballproof.errors",
    "Uniform": "ballproof.smooth",
    "UnsupportedError": "ballproof.errors",
    "Verdict": "ballproof.verdict",
    "as_graph": "ballproof.networks",
    "assert_robust": "ballproof.evaluate",
    "attack": "ballproof.attacks",
    "ball": "ballproof.problems",
    "bound": "ballproof.bounds",
    "certify": "ballproof.evaluate",
    "classified_as": "ballproof.problems",
    "linear_bounds": "ballproof.bounds",
    "linear_constraints": "ballproof.problems",
    "load_data": "ballproof.data",
    "lower_bounds": "ballproof.bounds",
    "margins": "ballproof.bounds",
    "minimal_distance": "ballproof.solve.distance",
    "read_onnx": "ballproof.networks.onnx_file",
    "read_vnnlib": "ballproof.problems.vnnlib",
    "robust_loss": "ballproof.train",
    "snapshot": "ballproof.networks",
    "verify": "ballproof.solve",
    "verify_files": "ballproof.solve.files",
}
"""The public names and where they live; a test freezes them."""

__all__ = sorted(PUBLIC)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'ballproof' has no attribute {name!r}")
    value = getattr(import_module(PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *PUBLIC])
