"""Recurrent cells, one step of time each."""

from __future__ import annotations

from ballproof.networks import composed
from ballproof.networks.aten.site import Ref, Site
from ballproof.networks.aten.sketch import AtenSketch
from ballproof.networks.aten.table import translates
from ballproof.operations.arithmetic import Add, Subtract
from ballproof.operations.linear import Linear
from ballproof.operations.relu import Relu
from ballproof.operations.sigmoid import Sigmoid
from ballproof.operations.slice import Slice
from ballproof.operations.tanh import Tanh


def _gates(site: Site, x: str, kind: str) -> Ref:
    """The linear layer of the input (`ih`) or of the state (`hh`)."""
    bias = (site.ref(f"b_{kind}"),) if site.given(f"b_{kind}") else ()
    return site.add(Linear(), x, site.ref(f"w_{kind}"), *bias, part=kind)


def _parts(site: Site, gates: Ref, count: int, name: str) -> list[Ref]:
    """The gates one by one, from one layer for all of them."""
    size = site.shape(gates)[-1] // count
    axis = site.rank(gates) - 1
    return [site.add(Slice(axis, i * size, (i + 1) * size, 1), gates, part=f"{name}_{i}") for i in range(count)]


@translates("aten.rnn_tanh_cell.default", "aten.rnn_relu_cell.default")
def plain(site: Site) -> Ref:
    total = site.add(Add(), _gates(site, site.ref("input"), "ih"), _gates(site, site.ref("hx"), "hh"), part="sum")
    return site.add(Tanh() if "tanh" in str(site.function) else Relu(), total)


@translates("aten.gru_cell.default")
def gated(site: Site) -> Ref:
    """n + z * (h - n) for the gates r, z and n = tanh(x_n + r * h_n)."""
    s, state = AtenSketch(site), site.ref("hx")
    x = _parts(site, _gates(site, site.ref("input"), "ih"), 3, "x")
    h = _parts(site, _gates(site, state, "hh"), 3, "h")
    reset, update = (site.add(Sigmoid(), site.add(Add(), x[i], h[i], part=f"sum_{i}"), part=f"gate_{i}") for i in (0, 1))
    kept = composed.product(s, reset, h[2], "kept")
    fresh = site.add(Tanh(), site.add(Add(), x[2], kept, part="sum_2"), part="fresh")
    change = composed.product(s, update, site.add(Subtract(), state, fresh, part="difference"), "change")
    return site.add(Add(), fresh, change)


@translates("aten.lstm_cell.default")
def memory(site: Site) -> list[Ref]:
    """The new state and the new memory, from the gates i, f, g, o."""
    s, (state, old) = AtenSketch(site), site.refs("hx")
    total = site.add(Add(), _gates(site, site.ref("input"), "ih"), _gates(site, state, "hh"), part="sum")
    parts = _parts(site, total, 4, "gate")
    take, keep, out = (site.add(Sigmoid(), parts[i], part=f"sigmoid_{i}") for i in (0, 1, 3))
    fresh = composed.product(s, take, site.add(Tanh(), parts[2], part="tanh"), "fresh")
    new = site.add(Add(), composed.product(s, keep, old, "kept"), fresh, part="memory")
    return [Ref(composed.product(s, out, site.add(Tanh(), new, part="shown"), "state")), new]
