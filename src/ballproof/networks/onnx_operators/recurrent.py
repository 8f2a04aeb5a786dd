"""LSTM, GRU and RNN of a file, unrolled: one example, its states from constants, activations as the standard has them."""

from __future__ import annotations

import numpy as np

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.onnx_operators.cells import STEPS, Cell, States
from ballproof.networks.onnx_operators.site import BatchAxisError, Site, Value
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations import Operation
from ballproof.operations.concat import Concat
from ballproof.operations.linear import Linear
from ballproof.operations.relu import Relu
from ballproof.operations.reshape import Reshape
from ballproof.operations.sigmoid import Sigmoid
from ballproof.operations.slice import Slice
from ballproof.operations.tanh import Tanh

SETTINGS = ("activations", "direction", "hidden_size", "layout", "clip", "input_forget", "linear_before_reset")
FUNCTIONS: dict[str, Operation] = {"sigmoid": Sigmoid(), "tanh": Tanh(), "relu": Relu()}
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@translates(*STEPS, settings=SETTINGS, folds=True)
def recurrent(site: Site) -> tuple[Value, ...]:
    """Y, Y_h and, for LSTM, Y_c. The batch, axis 1 of layout 0, must be one example."""
    _refuse_settings(site)
    x, batch_first = _sequence(site)
    sides = [_side(site, x, k, reverse) for k, reverse in enumerate(_directions(site))]
    hidden = len(sides), site.builder.shape(sides[0][1][0])[-1]
    times = site.builder.shape(sides[0][0])[0]
    whole = sides[0][0] if len(sides) == 1 else site.add(Concat(2), *(s[0] for s in sides), part="sides")
    lasts = [
        states[0] if len(states) == 1 else site.add(Concat(1), *states, part=f"last_{k}")
        for k, states in enumerate(zip(*(s[1] for s in sides), strict=True))
    ]
    if batch_first:
        found = [Value(site.add(Reshape((times, *hidden)), whole, part="times"), True)]
        return (*found, *(Value(last, True) for last in lasts))
    shape = (times, hidden[0], 1, hidden[1])
    found = [Value(site.add(Reshape(shape), whole, part="times"), False)]
    return (*found, *(Value(site.add(Reshape((hidden[0], 1, hidden[1])), last, part="last"), False) for last in lasts))


def _sequence(site: Site) -> tuple[str, bool]:
    """The input as a node of shape `(time, features)` an example, and whether the results have the batch in front."""
    if not site.varies(0):
        raise UnsupportedError("a constant sequence; supported: one that depends on the input")
    value, shape, layout = site.value(0), site.shape(0), site.attribute("layout", 0)
    if len(shape) != 3 or layout not in (0, 1):
        raise InputError(f"a sequence of shape {shape} and layout {layout}, expected three axes and 0 or 1")
    if layout == 0 and value.batched:
        raise BatchAxisError("the first axis, the batch, is the time in layout 0; supported: a Transpose before, or layout 1")
    if shape[1 - layout] != 1:
        raise UnsupportedError(f"a sequence of shape {shape}: {shape[1 - layout]} examples at once; supported: one")
    if value.batched:
        return value.node, True
    wanted = (shape[layout], shape[2])
    return site.add(Reshape(wanted), value.node, part="sequence"), layout == 1


def _side(site: Site, x: str, k: int, reverse: bool) -> tuple[str, States]:
    """One direction: its state at every time `(time, hidden)`, in the order of time, and its last states."""
    kind = site.node.op_type
    weight, recurrence = site.array(1, "a weight")[k], site.array(2, "a recurrence weight")[k]
    hidden, rows = recurrence.shape[-1], GATES[kind] * recurrence.shape[-1]
    times, features = site.builder.shape(x)
    if weight.shape != (rows, features) or recurrence.shape != (rows, hidden):
        raise InputError(f"weights of shapes {weight.shape} and {recurrence.shape} for {features} features")
    bias = site.array(3, "a bias")[k] if site.given(3) else np.zeros(2 * rows, weight.dtype)
    if bias.shape != (2 * rows,):
        raise InputError(f"a bias of shape {bias.shape}, expected ({2 * rows},)")
    inner, outer = site.tensor(weight, f"{site.label}.weight_{k}"), site.tensor(bias[:rows], f"{site.label}.bias_{k}")
    given = site.add(Linear(), x, inner, outer, part=f"gates_{k}")
    state = _start(site, k, hidden)
    found: dict[int, str] = {}
    made: dict[tuple[str, int, int], str] = {}
    for time in range(times)[:: -1 if reverse else 1]:
        row = site.add(Slice(1, time, time + 1), given, part=f"row_{k}_{time}") if times > 1 else given
        cell = Cell(site, f"{k}_{time}", hidden, _functions(site, k), recurrence, bias[rows:], made)
        state = STEPS[kind](cell, row, state)
        found[time] = state[0]
    assert state is not None, "a sequence has at least one step"
    rows_in_order = [found[t] for t in range(times)]
    return (site.add(Concat(1), *rows_in_order, part=f"side_{k}") if times > 1 else rows_in_order[0]), state


def _start(site: Site, k: int, hidden: int) -> States | None:
    """The constant states before the first step; None where they are 0."""
    count = 2 if site.node.op_type == "LSTM" else 1
    layout = site.attribute("layout", 0)
    arrays = []
    for i in range(5, 5 + count):
        array = site.array(i, "an initial state") if site.given(i) else None
        if array is not None and array.shape[1 - layout] != 1:
            raise UnsupportedError(f"an initial state of shape {array.shape}; supported: of one example")
        own = np.zeros((1, hidden), np.float32) if array is None else (array[k] if layout == 0 else array[:, k])
        if own.shape != (1, hidden):
            raise InputError(f"an initial state of shape {array.shape if array is not None else ()} for {hidden} numbers")
        arrays.append(own)
    if not any(a.any() for a in arrays):
        return None
    return tuple(site.tensor(a, f"{site.label}.start_{k}_{i}") for i, a in enumerate(arrays))


def _functions(site: Site, k: int) -> tuple[Operation, ...]:
    kind = site.node.op_type
    count, named = len(DEFAULTS[kind]), [n.decode().lower() for n in site.attribute("activations", ())]
    own = named[k * count : (k + 1) * count] if named else [n.lower() for n in DEFAULTS[kind]]
    if len(own) != count or not set(own) <= set(FUNCTIONS):
        raise UnsupportedError(f"activations {own}; supported: {count} for each direction, of Sigmoid, Tanh, Relu")
    return tuple(FUNCTIONS[n] for n in own)


def _directions(site: Site) -> tuple[bool, ...]:
    """Whether each direction runs from the end."""
    told = site.attribute("direction", "forward")
    known = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    if told not in known or len(site.array(1, "a weight")) != len(known[told]):
        raise InputError(f"direction {told!r} with a weight of shape {site.array(1, 'a weight').shape}")
    return known[told]


def _refuse_settings(site: Site) -> None:
    if site.attribute("clip") is not None or site.flag("input_forget"):
        raise UnsupportedError("clip or input_forget; supported: without")
    if site.given(7) and site.array(7, "peepholes").any():
        raise UnsupportedError("peepholes that are not 0; supported: without")
    for i in (5, 6):
        if site.varies(i):
            raise UnsupportedError("an initial state that depends on the input; supported: zero or another constant")
    if site.given(4) and (site.array(4, "lengths") != site.shape(0)[site.attribute("layout", 0)]).any():
        raise UnsupportedError(f"lengths {site.array(4, 'lengths').tolist()}; supported: the whole sequence")
