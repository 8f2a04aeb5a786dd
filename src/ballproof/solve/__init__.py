"""Complete verification: engines that decide one problem, and the strategy that gives them their turns."""

from ballproof.solve.verify import verify

__all__ = ["verify"]
