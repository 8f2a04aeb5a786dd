"""The commands of the README: make `.venv` in this checkout, install, and run the demo or the tests.

    python3 scripts/bootstrap.py demo [options of `ballproof demo`]
    python3 scripts/bootstrap.py test [options of pytest]
    python3 scripts/bootstrap.py install        (nothing but the installation, with ONNX Runtime and z3)

Standard library only. What is already installed is not installed again: a stamp in `.venv` remembers for which
`pyproject.toml` and `constraints.txt` it was made. Without an NVIDIA driver the CPU build of torch is taken.
The syntax is that of Python 3.7, so that an older Python than the 3.11 that is needed can say so.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "ballproof-installed.json"
LOG = VENV / "ballproof-install.log"
PYTHON = VENV / ("Scripts" if os.name == "nt" else "bin") / ("python.exe" if os.name == "nt" else "python")
EXTRAS: dict[str, set[str]] = {"demo": set(), "test": {"dev"}, "install": {"runtime", "smt"}}
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
OLDEST = (3, 11)


class SetUpError(Exception):
    """Set-up cannot go on; the message is the one line that a person needs."""


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in EXTRAS:
        print(__doc__, file=sys.stderr)
        return 2
    command, rest = arguments[0], arguments[1:]
    try:
        set_up(EXTRAS[command])
        if command == "install":
            return 0
        return demo(rest) if command == "demo" else test(rest)
    except SetUpError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command goes on")
        return 130


def demo(rest: list[str]) -> int:
    """The main job. Without an `--out` it writes runs/demo in the checkout, and goes on there if it was interrupted."""
    chosen = any(option.split("=")[0] == "--out" for option in rest)
    place = [] if chosen else ["--out", str(ROOT / "runs" / "demo"), "--resume"]
    return subprocess.call([str(PYTHON), "-m", "ballproof", "demo", *place, *rest])


def test(rest: list[str]) -> int:
    """The test suite, one process a core up to four, one thread a process."""
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    workers = ["-n", str(min(4, cores())), "--dist", "loadfile"]
    return subprocess.call([str(PYTHON), "-m", "pytest", *workers, *rest], cwd=ROOT, env={**os.environ, **one_thread})


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_up(extras: set[str]) -> None:
    """`.venv` holds the package with these extras, in the versions of constraints.txt. Raises `SetUpError`."""
    there = installed()
    if there is not None and extras <= there:
        return
    check_python()
    make_environment()
    STAMP.unlink(missing_ok=True)
    LOG.write_text("")
    wanted = sorted(extras | (there or set()))
    say(f"installing into {VENV} (up to 2 GB, some minutes); pip's words go to {LOG}")
    install_torch()
    target = f"{ROOT}[{','.join(wanted)}]" if wanted else str(ROOT)
    pip("installing", "install", "--editable", target, "--constraint", str(ROOT / "constraints.txt"))
    STAMP.write_text(json.dumps({"made_for": made_for(), "extras": wanted}) + "\n")


def made_for() -> str:
    """What an installation depends on: the two files, where the checkout is, and the interpreter in `.venv`."""
    files = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    config = VENV / "pyvenv.cfg"
    interpreter = config.read_bytes() if config.is_file() else b""
    return hashlib.sha256(files + str(ROOT).encode() + interpreter).hexdigest()


def installed() -> set[str] | None:
    """The extras of a whole installation for the present files; None if there is none."""
    try:
        stamp = json.loads(STAMP.read_text())
        return set(stamp["extras"]) if stamp["made_for"] == made_for() and runs(PYTHON) else None
    except (OSError, ValueError, KeyError):
        return None


def check_python() -> None:
    """This interpreter can make the environment."""
    if sys.version_info < OLDEST:
        newer = [name for name in ("python3.13", "python3.12", "python3.11") if shutil.which(name)]
        hint = f"call {newer[0]} scripts/bootstrap.py" if newer else "install Python 3.11, 3.12 or 3.13"
        raise SetUpError(f"Python {platform.python_version()} is too old, 3.11 or newer is needed: {hint}")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetUpError(f"this Python has no venv module to make environments with (Debian: {package})") from None


def make_environment() -> None:
    """A `.venv` whose interpreter and pip run; one that does not is made anew."""
    if runs(PYTHON, "-m", "pip", "--version"):
        return
    asked = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(asked, capture_output=True, text=True, check=False)
    if made.returncode:
        said = (made.stdout + made.stderr).strip().splitlines() or ["no reason given"]
        raise SetUpError(f"no environment could be made in {VENV}: {said[-1]}")


def runs(program: Path, *arguments: str) -> bool:
    """The program starts and ends well."""
    try:
        asked = [str(program), *(arguments or ("-c", ""))]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def install_torch() -> None:
    """The build of torch that fits the machine: the plain package brings gigabytes for NVIDIA cards.

    Without an NVIDIA driver: first what a wheel folder that pip is configured for holds (`find-links`), then the CPU
    wheels of the PyTorch project, asked once; where neither is to be had, the plain package, with a warning.
    """
    version = torch_version()
    if has_nvidia_driver() or sys.platform == "darwin":
        return
    tries = [
        ["--no-index", f"torch=={version}"],
        ["--index-url", CPU_WHEELS, "--retries", "0", "--timeout", "15", f"torch=={version}+cpu"],
    ]
    if any(pip_succeeds("install", "--no-deps", *options) for options in tries):
        return
    say("no CPU build of torch is to be had from here; the plain package may bring about 5 GB for NVIDIA cards")


def torch_version() -> str:
    """The version that constraints.txt names."""
    found = re.search(r"^torch==([0-9.]+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    if found is None:
        raise SetUpError("constraints.txt names no version of torch (a line `torch==...`)")
    return found.group(1)


def has_nvidia_driver() -> bool:
    """An NVIDIA driver is loaded."""
    return Path("/proc/driver/nvidia/version").exists() or runs(Path(shutil.which("nvidia-smi") or "nvidia-smi"), "-L")


def pip_succeeds(*arguments: str) -> bool:
    with LOG.open("a") as log:
        log.write(f"\n$ pip {' '.join(arguments)}\n")
        log.flush()
        asked = [str(PYTHON), "-m", "pip", *arguments, "--no-input"]
        return subprocess.call(asked, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL) == 0


def pip(doing: str, *arguments: str) -> None:
    """Run pip; raises `SetUpError` with the first of its errors."""
    before = LOG.stat().st_size
    if pip_succeeds(*arguments):
        return
    said = LOG.read_bytes()[before:].decode(errors="replace")
    unreachable = re.search(r"NewConnectionError|NameResolutionError|Temporary failure|ConnectTimeout|ProxyError", said)
    errors = [line for line in said.splitlines() if "ERROR:" in line] or ["pip gave no reason"]
    reason = "no package registry can be reached (is there a network?)" if unreachable else errors[0].strip()
    raise SetUpError(f"{doing} failed: {reason}; all of it is in {LOG}")


def say(message: str) -> None:
    print(f"bootstrap: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
