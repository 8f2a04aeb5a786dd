"""A local page: draw or pick an input, move the radius, and see what is proven and what is broken."""

from ballproof.serve.lens import Lens
from ballproof.serve.plane import Plane
from ballproof.serve.server import serving

__all__ = ["Lens", "Plane", "serving"]
