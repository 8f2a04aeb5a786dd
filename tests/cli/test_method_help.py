"""The help of `certify` names every method and every alias."""

from __future__ import annotations

import re

from ballproof.bounds import ALIASES, METHODS
from ballproof.cli.certify import METHOD_HELP


def test_the_help_lists_every_method_and_alias() -> None:
    told = set(re.findall(r"[a-z0-9-]+", METHOD_HELP.split("; joined")[0]))
    assert told == set(METHODS) | set(ALIASES)
