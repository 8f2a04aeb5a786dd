"""Where the user wrote it: `file:line` of the user's own code, for names in messages."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import torch

_FRAME = re.compile(r'"(?P<file>[^"]+)", line (?P<line>\d+), in ')
_FOREIGN = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]), "torch/", "<")


def user_line(stack_trace: str | None) -> str:
    """`net.py:12` of the innermost frame of a recorded stack that is the user's own; empty if there is none."""
    frames = [m for m in _FRAME.finditer(stack_trace or "") if _is_users(m["file"])]
    return f"{Path(frames[-1]['file']).name}:{frames[-1]['line']}" if frames else ""


def user_line_of_error(error: BaseException) -> str:
    """` at net.py:12 (the code)` of the innermost frame of the user's forward in an exception, or nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = next((k for k, f in enumerate(frames) if f.filename == __file__.replace("source.py", "capture.py")), 0)
    own = [f for f in frames[inside + 1 :] if _is_users(f.filename)]
    return f" at {Path(own[-1].filename).name}:{own[-1].lineno} ({own[-1].line})" if own else ""


def _is_users(file: str) -> bool:
    return not file.startswith(_FOREIGN)
