"""Data sets: one face, official file layouts, the originals' checksums."""

from ballproof.data.dataset import Dataset
from ballproof.data.load import NAMES, load
from ballproof.data.points import points

load_data = load

__all__ = ["NAMES", "Dataset", "load", "load_data", "points"]
