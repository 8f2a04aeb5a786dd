"""`python -m ballproof.cli`."""

from ballproof.cli.start import entry

entry()
