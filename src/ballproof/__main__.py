"""`python -m ballproof`."""

from ballproof.cli.start import entry

entry()
