"""The losses by name, each from a `Moment` to a mean over the batch."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ballproof.train.losses.bounds import by_margins, interval
from ballproof.train.losses.crown_ibp import crown_ibp, crown_ibp_fused
from ballproof.train.losses.expressive import cc_ibp, exp_ibp, mtl_ibp
from ballproof.train.losses.hybrid_zonotope import hybrid_zonotope
from ballproof.train.losses.mmr import mmr
from ballproof.train.losses.moment import Moment, worst_cross_entropy
from ballproof.train.losses.plain import pgd, standard, trades
from ballproof.train.losses.projected import dual_projected
from ballproof.train.losses.sabr import sabr
from ballproof.train.losses.sdp import sdp
from ballproof.train.losses.taps import staps, taps

Loss = Callable[[Moment], Tensor]

LOSSES: dict[str, Loss] = {
    "standard": standard,
    "pgd": pgd,
    "trades": trades,
    "interval": interval,
    "dual": by_margins,
    "crown": by_margins,
    "dual-interval": by_margins,
    "crown-interval": by_margins,
    "crown-ibp": crown_ibp,
    "crown-ibp-fused": crown_ibp_fused,
    "hybrid-zonotope": hybrid_zonotope,
    "sdp": sdp,
    "mmr": mmr,
    "dual-projected": dual_projected,
    "sabr": sabr,
    "taps": taps,
    "staps": staps,
    "cc-ibp": cc_ibp,
    "mtl-ibp": mtl_ibp,
    "exp-ibp": exp_ibp,
}
"""`config.PROVEN` names those that are proven bounds of the worst cross-entropy in the ball."""

__all__ = ["LOSSES", "Loss", "Moment", "worst_cross_entropy"]
