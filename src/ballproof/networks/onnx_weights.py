"""The tensors of an ONNX file as NumPy arrays: finite, of a known type, from the file or from its own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ballproof.errors import InputError, UnsupportedError

Array = np.ndarray[Any, Any]

FLOATS = ("FLOAT", "FLOAT16", "DOUBLE")
WHOLE = ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8")
"""The types that NumPy and torch both have."""


def read_tensor(tensor: onnx.TensorProto, file: str, folder: Path | None) -> Array:
    """The array of a tensor. folder: where external data may lie; None refuses it.

    -infinity is let through, as masks hold it; whoever uses it otherwise is refused.
    """
    name = tensor.name or "a constant"
    types = TensorProto.DataType
    kind = types.Name(tensor.data_type) if tensor.data_type in types.values() else str(tensor.data_type)
    if kind not in (*FLOATS, *WHOLE):
        raise UnsupportedError(f"{file}: `{name}` has type {kind}; supported: {', '.join((*FLOATS, *WHOLE))}")
    if tensor.data_location == TensorProto.EXTERNAL:
        tensor = _with_external(tensor, name, file, folder)
    try:
        array: Array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{file}: `{name}` is damaged: {str(error).splitlines()[0]}") from error
    if kind in FLOATS and not (np.isfinite(array) | (array == -np.inf)).all():
        raise InputError(f"{file}: the weights `{name}` hold NaN or infinities")
    return array


def _with_external(tensor: onnx.TensorProto, name: str, file: str, folder: Path | None) -> onnx.TensorProto:
    """The tensor with its bytes, read from a file that lies in the folder, links resolved."""
    told = {e.key: e.value for e in tensor.external_data}
    location = told.get("location", "")
    if folder is None:
        raise UnsupportedError(f"{file} keeps `{name}` in the external file {location!r}; give the path instead of the bytes")
    path = (folder / location).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"{file} keeps `{name}` in {location!r}, outside its own folder: refused")
    if not path.is_file():
        raise InputError(f"{file} keeps `{name}` in {location!r}, and there is no such file beside it")
    try:
        start, length = int(told.get("offset", 0)), int(told.get("length", -1))
        with path.open("rb") as content:
            content.seek(start)
            data = content.read(length)
    except (ValueError, OSError) as error:
        raise InputError(f"{file}: the external data of `{name}` in {location!r} cannot be read: {error}") from error
    if length >= 0 and len(data) != length:
        raise InputError(f"{file}: {location!r} is truncated: `{name}` needs {length} bytes, {len(data)} are there")
    return TensorProto(name=name, data_type=tensor.data_type, dims=tensor.dims, raw_data=data)
