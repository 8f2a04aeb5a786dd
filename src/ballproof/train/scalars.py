"""The log once more as TensorBoard reads it, where `tensorboardX` is installed (extra `tensorboard`)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from ballproof.errors import InputError
from ballproof.runs import Run

FOLDER = "tensorboard"


def write_scalars(run: Run, row: dict[str, Any]) -> None:
    """Add the numbers of one epoch to `RUN/tensorboard`; nothing without the package. The JSON lines are the log itself."""
    if find_spec("tensorboardX") is None:
        return
    from tensorboardX import SummaryWriter

    folder = run.path / FOLDER
    try:
        with SummaryWriter(str(folder), purge_step=row["epoch"], filename_suffix=f".{row['epoch']:06d}") as writer:
            for name, value in row.items():
                if isinstance(value, float) and name != "seconds":
                    writer.add_scalar(name, value, row["epoch"])
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from error
