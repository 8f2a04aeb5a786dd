"""ONNX files, read straight into a graph: opsets 7 to 22, constants folded, one varying input and output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError

from ballproof.errors import InputError
from ballproof.files import content_of
from ballproof.graph import Graph
from ballproof.networks.onnx_nodes import Reader

MOST_BYTES = 2**31
"""The largest message that protobuf reads; also the limit for what a packed file may unpack to."""


def read_onnx(
    source: Path | str | bytes, dtype: torch.dtype = torch.float32, join: bool = False, hidden: Sequence[str] = ()
) -> Graph:
    """The network in an ONNX file (`.onnx` or `.onnx.gz`) or in its bytes, with weights exactly as in the file.

    The first axis of the input is the batch where it is free or 1; an input of one fixed axis, or of a first axis fixed to
    more than 1, is one example without a batch axis, and the graph has that axis in front. Shapes of the graph are those of
    one example, and each example gets what the file computes of it alone, as a batch of one: a shape that is computed from
    the batch's size counts 1, and layers that have the time in front see one example.

    dtype: float32, or float64 for the same weights computed with in double; a file of doubles needs float64.
    join: take several inputs as one vector, their numbers one after another in the order of the file, and several outputs too;
    without it such a file is refused. hidden: the file's names of values that are told behind the outputs, joined to them.
    Everything that is not modelled is refused by name, before any bound is computed. Weights do not require gradients.
    Raises `InputError` for a file that is damaged or inconsistent, `UnsupportedError` for what is not modelled.
    """
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"`dtype` is {dtype}, expected torch.float32 or torch.float64")
    name = "the bytes" if isinstance(source, bytes) else str(source)
    content = source if isinstance(source, bytes) else content_of(Path(source), MOST_BYTES)
    folder = None if isinstance(source, bytes) else Path(source).parent
    try:
        return Reader(_parse(content, name), name, folder, dtype, join, hidden).graph()
    except InputError as error:
        if len(str(error).splitlines()) == 1:
            raise
        raise type(error)(" ".join(str(error).split())) from error  # a name of the file holds line breaks


def _parse(content: bytes, name: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{name} is truncated or no ONNX file: {str(error).splitlines()[0]}") from error
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{name} is truncated or no ONNX model: it has no nodes or no opset")
    return model
