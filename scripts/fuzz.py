"""Damaged files for every reader, guided by the lines that they reach: python scripts/fuzz.py MINUTES [FORMAT ...] [--seed N]

A finding is anything but an answer or a refusal: another exception, more than 10 s, more than 1 GiB. Findings are written to
fuzz-findings/, one file each, and told; the exit code is 1 if there are any. Needs the installation for development.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "fuzz"), str(ROOT / "src")]

from corpus import FORMATS, REFUSALS, Format, damaged  # type: ignore[import-not-found]  # noqa: E402

SECONDS, MEMORY = 10.0, 2**30
"""What an input may take. Memory counts on top of what the process has when it begins."""

ROUND = 300
"""Inputs of a process: its end frees what libraries keep, and a crash costs one round."""

OURS = str(ROOT / "src" / "ballproof")


class Slow(BaseException):
    """The time of an input is over."""


class Reached:
    """The lines of our own code that were ever reached."""

    def __init__(self) -> None:
        self.lines: set[tuple[CodeType, int]] = set()
        self.fresh = False

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        place = (frame.f_code, frame.f_lineno)
        if place not in self.lines:
            self.lines.add(place)
            self.fresh = True
        return self.trace


def one(form: Format, path: Path, reached: Reached) -> str:
    """What went wrong with the file at `path`, or nothing."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    sys.settrace(reached.trace)
    try:
        form.read(path)
    except REFUSALS as error:
        return "" if str(error) else "a refusal without words"
    except Slow:
        return f"more than {SECONDS:g} s"
    except MemoryError:
        return "more memory than allowed"
    except Exception:  # noqa: BLE001 - that is what is looked for
        return traceback.format_exc()
    finally:
        sys.settrace(None)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def rounds(name: str, folder: Path, kept: Path, seed: int, until: float) -> None:
    """One process: damages what is kept, keeps what reaches new lines, writes what goes wrong."""
    warnings.simplefilter("ignore")
    logging.disable()
    form, draw, reached = FORMATS[name], random.Random(seed), Reached()  # noqa: S311
    path = folder / form.name

    def ring(*_: object) -> None:
        raise Slow

    signal.signal(signal.SIGALRM, ring)
    for file in sorted(kept.iterdir()):
        path.write_bytes(file.read_bytes())
        one(form, path, reached)
    size = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (size + MEMORY, size + MEMORY))
    for _ in range(ROUND):
        if time.monotonic() > until:
            return
        pool = sorted(kept.iterdir())
        content = damaged(draw.choice(pool).read_bytes(), draw, form.words, draw.choice(pool).read_bytes())
        path.write_bytes(content)
        reached.fresh = False
        told = one(form, path, reached)
        digest = hashlib.sha256(content).hexdigest()[:12]
        if told:
            note(name, digest, content, told)
        elif reached.fresh:
            (kept / digest).write_bytes(content)


def note(name: str, digest: str, content: bytes, told: str) -> None:
    """Keep a finding; one for each place in the code."""
    findings = Path("fuzz-findings")
    findings.mkdir(exist_ok=True)
    place = hashlib.sha256("".join(told.splitlines()[-3:-1] or told).encode()).hexdigest()[:8]
    stem = f"{name.replace(' ', '-')}-{place}"
    if not (findings / f"{stem}.txt").exists():
        (findings / stem).write_bytes(content)
        (findings / f"{stem}.txt").write_text(told)
        print(f"finding in {name} ({digest}): {told.splitlines()[-1]}", flush=True)


def main(arguments: list[str]) -> int:
    seed = int(arguments.pop(arguments.index("--seed") + 1)) if "--seed" in arguments else 0
    arguments = [a for a in arguments if a != "--seed"]
    if not arguments or set(arguments[1:]) - set(FORMATS):
        print(__doc__, "\nFormats:", ", ".join(FORMATS), file=sys.stderr)
        return 2
    minutes, names = float(arguments[0]), arguments[1:] or list(FORMATS)
    until, count = time.monotonic() + 60 * minutes, dict.fromkeys(names, 0)
    with tempfile.TemporaryDirectory() as place:
        folders = {name: Path(place) / name.replace(" ", "-") for name in names}
        for name, folder in folders.items():
            (folder / "kept").mkdir(parents=True)
            for number, content in enumerate(FORMATS[name].seeds(folder)):
                (folder / "kept" / f"seed{number}").write_bytes(content)
        while time.monotonic() < until:
            for name, folder in folders.items():
                seed += 1
                if child := os.fork():
                    _, status = os.waitpid(child, 0)
                    if status:
                        note(name, "", (folder / FORMATS[name].name).read_bytes(), f"the process died: status {status}")
                    count[name] += ROUND
                    continue
                rounds(name, folder, folder / "kept", seed, until)
                os._exit(0)
        kept = {name: len(list((folder / "kept").iterdir())) for name, folder in folders.items()}
    found = sorted(Path("fuzz-findings").glob("*.txt")) if Path("fuzz-findings").is_dir() else []
    for name in names:
        print(f"{name:26} about {count[name]:7} inputs, {kept[name]:4} kept")
    print(f"{sum(count.values())} inputs at most in {minutes:g} minutes, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
