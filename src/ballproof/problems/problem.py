"""`Problem`: network, region, property."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ballproof.errors import InputError
from ballproof.graph import Graph
from ballproof.problems.label import Label
from ballproof.problems.property import Property
from ballproof.problems.region import Region


@dataclass(frozen=True, eq=False)
class Problem:
    """Does the property hold for every output of the network on the region?

    A property that is stated for single examples must be stated for as many as the region holds.
    """

    network: Graph | nn.Module
    region: Region
    property: Property | Label

    def __post_init__(self) -> None:
        stated = len(self.property.labels) if isinstance(self.property, Label) else self.property.batch
        if stated not in (1, self.region.batch):
            raise InputError(f"`property` is stated for {stated} examples, `region` holds {self.region.batch}")
