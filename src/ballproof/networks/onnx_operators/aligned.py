"""Arguments of a node so that the graph broadcasts them as the file does."""

from __future__ import annotations

from collections.abc import Sequence

from ballproof.networks.onnx_operators.site import BatchAxisError, Site
from ballproof.operations.reshape import Reshape


def aligned(site: Site, places: Sequence[int], rank: int = 0) -> list[str]:
    """The nodes of some arguments: the batch axis meets the batch axis alone. rank: of the result, if larger than theirs."""
    rank = max(rank, *(site.rank(i) for i in places))
    if not site.batched:
        return [_ranked(site, i, rank) for i in places]
    for i in places:
        if site.varies(i) and site.rank(i) != rank:
            raise BatchAxisError(f"broadcasting moves the batch axis: shapes {[site.shape(i) for i in places]}")
        if not site.varies(i) and site.rank(i) == rank and site.shape(i)[0] != 1:
            raise BatchAxisError(f"a constant of shape {site.shape(i)} differs between examples")
    return [site.name(i) for i in places]


def _ranked(site: Site, i: int, rank: int) -> str:
    """An argument without a batch axis, with ones in front up to `rank` axes: its axes must not meet the graph's batch."""
    if not site.varies(i) or site.rank(i) == rank:
        return site.name(i)
    return site.add(Reshape((1,) * (rank - site.rank(i)) + site.shape(i)), site.name(i), part="ranked")
