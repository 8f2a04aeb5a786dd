"""What the checker says no with."""

from __future__ import annotations


class RefusedError(Exception):
    """The certificate does not prove its claim, or is no certificate; the message is one line."""


class NotModelledError(Exception):
    """The network or the property has a part that this checker has no rule for."""
