"""`Problem`: network, region, property."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ballproof.problems.property import Property
from ballproof.problems.region import Region


@dataclass(frozen=True, eq=False)
class Problem:
    """Does the property hold for every output of the network on the region?"""

    network: Any
    region: Region
    property: Property
