"""`ballproof doctor`: what is there, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ballproof.cli.common import DataDir, Json, tell
from ballproof.cli.progress import waiting

PACKAGES = ("ballproof", "torch", "numpy", "scipy", "onnx", "matplotlib", "cyclopts", "rich")

SOLVERS = {
    "HiGHS": ("highspy", "", "linear and mixed integer programs"),
    "Clarabel": ("clarabel", "lp", "linear programs through cvxpy"),
    "SCS": ("scs", "lp", "linear programs through cvxpy"),
    "Z3": ("z3-solver", "smt", "exact rationals"),
    "ONNX Runtime": ("onnxruntime", "runtime", "replaying counterexamples"),
}
"""By name: the package that brings it, the extra that installs it, what it is for."""


def doctor(*, data_dir: DataDir = None, json: Json = False) -> None:
    """Tell versions, solvers, GPU, data sets and extras: what is found, and how to get what is not.

    Example: ballproof doctor --json
    """
    with waiting("looking"):
        told: dict[str, Any] = {"versions": _versions(), "solvers": {n: _found(p) for n, (p, _, _) in SOLVERS.items()}}
        told |= {"gpu": _gpu(), **_machine(), **_data(data_dir), "missing": missing_extras()}
    lines = ["versions", *(_line(name, version or "not found") for name, version in told["versions"].items())]
    lines += ["solvers", *(_line(name, _solver(name, version)) for name, version in told["solvers"].items())]
    lines += ["machine", _line("GPU", told["gpu"] or "none that torch can use"), _line("CPU threads", str(told["threads"]))]
    lines += [f"data sets in {told['data_dir'] or 'no folder: say where with --data-dir or $BALLPROOF_DATA'}"]
    lines += [_line(name, d["reason"] or f"{d['test_examples']:,} test examples") for name, d in told["data"].items()]
    lines += [
        "extras",
        *(_line(extra, f"missing {', '.join(names)}: {pip(extra)}") for extra, names in told["missing"].items()),
    ]
    tell(json, told, lines + ([] if told["missing"] else ["  all installed"]))


def pip(extra: str) -> str:
    """The line that installs an extra."""
    return f"pip install 'ballproof[{extra}]'"


def _line(name: str, said: str) -> str:
    return f"  {name:<15} {said}"


def _solver(name: str, version: str | None) -> str:
    _, extra, use = SOLVERS[name]
    return f"{version}, for {use}" if version else f"not found, for {use}: {pip(extra) if extra else 'install ballproof anew'}"


def _found(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _versions() -> dict[str, str | None]:
    import platform

    return {"python": platform.python_version(), **{name: _found(name) for name in PACKAGES}}


def _gpu() -> str | None:
    import torch

    if not torch.cuda.is_available():
        return None
    found = torch.cuda.get_device_properties(0)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"


def _machine() -> dict[str, Any]:
    import platform

    import torch

    return {"system": platform.platform(), "threads": torch.get_num_threads()}


def _data(data_dir: Path | None) -> dict[str, Any]:
    """Which data sets can be read, by reading them."""
    from ballproof.data import load
    from ballproof.data.load import NAMES, folder
    from ballproof.errors import InputError

    found: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        try:
            found[name] = {"test_examples": len(load(name, "test", data_dir)), "reason": ""}
        except (InputError, ImportError) as error:
            found[name] = {"test_examples": None, "reason": " ".join(str(error).split())}
    try:
        where: str | None = str(folder("any", data_dir))
    except InputError:
        where = None
    return {"data_dir": where, "data": found}


def missing_extras() -> dict[str, list[str]]:
    """The extras of ballproof that are not wholly installed, with the packages that are missing."""
    import re
    from importlib.metadata import PackageNotFoundError, requires

    try:
        wanted = requires("ballproof") or []
    except PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for line in wanted:
        marked = re.match(r"([\w.-]+).*;.*extra == ['\"]([\w-]+)['\"]", line)
        if marked and marked[2] != "dev" and marked[1] != "ballproof" and _found(marked[1]) is None:
            found.setdefault(marked[2], []).append(marked[1])
    return found
