"""One step of LSTM, GRU and RNN, with the gates in the order of ONNX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ballproof.networks import composed
from ballproof.networks.onnx_operators.site import Array, Site
from ballproof.networks.onnx_operators.sketch import OnnxSketch
from ballproof.operations import Operation
from ballproof.operations.arithmetic import Add, Subtract
from ballproof.operations.linear import Linear
from ballproof.operations.slice import Slice


@dataclass(frozen=True)
class Cell:
    """One direction of one node at one time. Values are rows `(1, hidden)`; states are None where they are 0.

    weight, bias: of the state, `(gates * hidden, hidden)`; the bias of the input stands with the input already. made: their
    parts as nodes, the same ones at every time.
    """

    site: Site
    name: str
    hidden: int
    functions: tuple[Operation, ...]
    weight: Array
    bias: Array
    made: dict[tuple[str, int, int], str]

    def add(self, operation: Operation, *inputs: str, part: str) -> str:
        return self.site.add(operation, *inputs, part=f"{self.name}_{part}")

    def product(self, a: str, b: str, part: str) -> str:
        return composed.product(OnnxSketch(self.site), a, b, f"{self.name}_{part}")

    def of_state(self, state: str, gates: slice, part: str) -> str:
        """The linear layer of the state, for some gates."""
        return self.add(Linear(), state, self.part_of("weight", gates), self.part_of("bias", gates), part=part)

    def part_of(self, kind: str, gates: slice) -> str:
        """The rows of some gates, of the weight or of the bias."""
        key = kind, gates.start, gates.stop
        if key not in self.made:
            rows = slice(gates.start * self.hidden, gates.stop * self.hidden)
            array = (self.weight if kind == "weight" else self.bias)[rows]
            self.made[key] = self.site.tensor(array, f"{self.site.label}.state_{kind}")
        return self.made[key]

    def gate(self, gates: str, k: int) -> str:
        return self.add(Slice(2, k * self.hidden, (k + 1) * self.hidden), gates, part=f"gate_{k}")


States = tuple[str, ...]
Step = Callable[[Cell, str, States | None], States]


def _with_state(cell: Cell, x: str, state: States | None, gates: slice, part: str = "sum") -> str:
    """The gates of the input, and of the state where there is one; its bias in any case."""
    start, stop = gates.start * cell.hidden, gates.stop * cell.hidden
    own = x if stop - start == cell.bias.size else cell.add(Slice(2, start, stop), x, part=f"{part}_x")
    if state is None:
        return cell.add(Add(), own, cell.part_of("bias", gates), part=part)
    return cell.add(Add(), own, cell.of_state(state[0], gates, f"{part}_h"), part=part)


def lstm(cell: Cell, x: str, state: States | None) -> States:
    """Gates in the order i, o, f, c."""
    f, g, h = cell.functions
    total = _with_state(cell, x, state, slice(0, 4))
    take, out, keep = (cell.add(f, cell.gate(total, k), part=f"open_{k}") for k in range(3))
    memory = cell.product(take, cell.add(g, cell.gate(total, 3), part="fresh"), "taken")
    if state is not None:
        memory = cell.add(Add(), cell.product(keep, state[1], "kept"), memory, part="memory")
    return cell.product(out, cell.add(h, memory, part="shown"), "state"), memory


def gru(cell: Cell, x: str, state: States | None) -> States:
    """Gates in the order z, r, h."""
    f, g = cell.functions
    both = _with_state(cell, x, state, slice(0, 2), "zr")
    update, reset = (cell.add(f, cell.gate(both, k), part=f"open_{k}") for k in range(2))
    own = cell.add(Slice(2, 2 * cell.hidden, 3 * cell.hidden), x, part="own")
    last = slice(2, 3)
    bias = cell.part_of("bias", last)
    if cell.site.flag("linear_before_reset"):
        hidden = bias if state is None else cell.of_state(state[0], last, "h")
        given = cell.product(reset, hidden, "reset")
    elif state is None:
        given = bias
    else:
        given = cell.of_state(cell.product(reset, state[0], "reset"), last, "h")
    fresh = cell.add(g, cell.add(Add(), own, given, part="sum"), part="fresh")
    if state is None:
        return (cell.add(Subtract(), fresh, cell.product(update, fresh, "held"), part="state"),)
    change = cell.product(update, cell.add(Subtract(), state[0], fresh, part="difference"), "change")
    return (cell.add(Add(), fresh, change, part="state"),)


def rnn(cell: Cell, x: str, state: States | None) -> States:
    return (cell.add(cell.functions[0], _with_state(cell, x, state, slice(0, 1)), part="state"),)


STEPS: dict[str, Step] = {"LSTM": lstm, "GRU": gru, "RNN": rnn}
