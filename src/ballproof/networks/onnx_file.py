"""ONNX files, read straight into a graph: opsets 7 to 22, constants folded, one varying input and output."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from ballproof.errors import InputError, UnsupportedError
from ballproof.graph import Graph, GraphBuilder
from ballproof.networks.onnx_operators import TRANSLATORS
from ballproof.networks.onnx_operators.site import Site

OPSETS = range(7, 23)
MOST_BYTES = 2**31


def read_onnx(source: Path | str | bytes, dtype: torch.dtype = torch.float32) -> Graph:
    """The network in an ONNX file (`.onnx` or `.onnx.gz`) or in its bytes, with weights in `dtype`.

    The first axis of the input is the batch; an input of one axis is taken as one example without a batch axis.
    Everything that is not modelled is refused by name, before any bound is computed. Weights do not require gradients.
    """
    name = "the bytes" if isinstance(source, bytes) else str(source)
    model = _parse(source if isinstance(source, bytes) else _content(Path(source)), name)
    return _Reader(model, name, dtype).graph()


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"no file {path}")
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        with gzip.open(path) as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is truncated or no gzip file: {error}") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} unpacks to more than {MOST_BYTES} bytes")
    return content


def _parse(content: bytes, name: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} is truncated or no ONNX file: {str(error).splitlines()[0]}") from error
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{name} is no ONNX model: it has no nodes or no opset")
    return model


class _Reader:
    """One pass over the nodes of one file."""

    def __init__(self, model: onnx.ModelProto, name: str, dtype: torch.dtype) -> None:
        self.model, self.name, self.dtype = model, name, dtype
        self.opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
        if self.opset not in OPSETS:
            raise UnsupportedError(f"{name} has opset {self.opset}; supported: {OPSETS[0]} to {OPSETS[-1]}")
        self.constants = {i.name: self._array(i) for i in model.graph.initializer}

    def _array(self, tensor: onnx.TensorProto) -> np.ndarray[Any, Any]:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise UnsupportedError(f"{self.name} keeps `{tensor.name}` in an external file; supported: weights inside")
        array = numpy_helper.to_array(tensor)
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise InputError(f"{self.name}: the weights `{tensor.name}` hold NaN or infinities")
        return array

    def graph(self) -> Graph:
        varying = [i for i in self.model.graph.input if i.name not in self.constants]
        outputs = self.model.graph.output
        if len(varying) != 1 or len(outputs) != 1:
            names = f"inputs {[i.name for i in varying]} and outputs {[o.name for o in outputs]}"
            raise UnsupportedError(f"{self.name} has {names}; supported: one of each")
        shape, lone = self._input_shape(varying[0])
        self.builder = GraphBuilder(shape, fold=True)
        self.known: dict[str, str] = {varying[0].name: self.builder.input}
        self.lone = lone
        for index, node in enumerate(self.model.graph.node):
            self._node(node, index)
        output = outputs[0].name
        if output not in self.known:
            raise InputError(f"{self.name}: the output `{output}` does not depend on the input")
        return self.builder.build(self.known[output])

    def _input_shape(self, value: onnx.ValueInfoProto) -> tuple[tuple[int, ...], bool]:
        """The shape of one example, and whether the file has no batch axis."""
        dims = [d.dim_value if d.HasField("dim_value") else 0 for d in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            raise UnsupportedError(f"{self.name}: the input `{value.name}` is not float or double")
        lone = len(dims) == 1
        batch, rest = (1, dims) if lone else (dims[0] if dims else 0, dims[1:])
        if not rest or any(d <= 0 for d in rest) or batch not in (0, 1):
            told = "a batch axis (free or 1) and fixed others"
            raise UnsupportedError(f"{self.name}: the input `{value.name}` has shape {dims}; supported: {told}")
        return tuple(rest), lone

    def _node(self, node: onnx.NodeProto, index: int) -> None:
        label = node.name or f"{node.op_type}_{index}"
        for name in node.input:
            if name and name not in self.known and name not in self.constants:
                raise InputError(f"{self.name}: node `{label}` ({node.op_type}) takes `{name}`, which nothing gives")
        if node.domain not in ("", "ai.onnx") or node.op_type not in TRANSLATORS:
            told = f"node `{label}`: operator {node.domain or 'ai.onnx'}.{node.op_type} (opset {self.opset}) is not modelled"
            hint = "to add one, write a translator in ballproof/networks/onnx_operators/"
            raise UnsupportedError(f"{self.name}: {told}; supported: {', '.join(sorted(TRANSLATORS))}; {hint}")
        site = Site(node, label, self.opset, self.builder, self.known, self.constants, self.dtype)
        try:
            found = TRANSLATORS[node.op_type](site)
        except UnsupportedError as error:
            raise UnsupportedError(f"{self.name}: node `{label}` ({node.op_type}): {error}") from error
        except (IndexError, ValueError, RuntimeError, KeyError) as error:
            told = str(error).splitlines()[0]
            raise InputError(f"{self.name}: node `{label}` ({node.op_type}) does not fit its arguments: {told}") from error
        self._keep(node, label, found if isinstance(found, tuple) else (found,))

    def _keep(self, node: onnx.NodeProto, label: str, found: Sequence[str | np.ndarray[Any, Any]]) -> None:
        used = {i for n in self.model.graph.node for i in n.input} | {o.name for o in self.model.graph.output}
        for name, value in zip(node.output, found, strict=False):
            if isinstance(value, str):
                self.known[name] = value
            else:
                self.constants[name] = np.asarray(value)
        missing = [name for name in node.output[len(found) :] if name in used]
        if missing:
            raise UnsupportedError(f"{self.name}: node `{label}` ({node.op_type}): its output `{missing[0]}` is not modelled")
