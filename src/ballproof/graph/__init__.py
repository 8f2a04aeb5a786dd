"""The network as a frozen, flat, ordered list of nodes."""

from ballproof.graph.builder import GraphBuilder
from ballproof.graph.graph import Graph
from ballproof.graph.node import Node
from ballproof.graph.snapshot import Snapshot

__all__ = ["Graph", "GraphBuilder", "Node", "Snapshot"]
