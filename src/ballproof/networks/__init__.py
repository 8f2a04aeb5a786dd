"""Readers of networks: an nn.Module or a file becomes a `Graph`."""

from ballproof.networks.cache import active_dropout, as_graph, snapshot
from ballproof.networks.module import read_module

__all__ = ["active_dropout", "as_graph", "read_module", "snapshot"]
