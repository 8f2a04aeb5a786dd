"""The help of `certify` names every method and every alias."""

from __future__ import annotations

import re

from ballproof.bounds import ALIASES, METHODS
from ballproof.cli.certify import METHOD_HELP
from ballproof.evaluate.staged import SEARCHES


def test_the_help_lists_every_method_and_alias() -> None:
    told = set(re.findall(r"[a-z0-9-]+", METHOD_HELP.split("; ")[0]))
    assert told == set(METHODS) | set(ALIASES)


def test_the_help_lists_every_search() -> None:
    assert METHOD_HELP.split("; ")[1].endswith("leave: " + ", ".join(SEARCHES))
