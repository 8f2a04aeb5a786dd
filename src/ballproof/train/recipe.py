"""The recipes that ship with the package, and those of a user's own: settings in TOML files."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from ballproof.errors import InputError
from ballproof.files import text_of

MOST_BYTES = 2**14
"""Of a recipe, which has some hundreds."""


def recipe_names(room: str = "train") -> list[str]:
    """The recipes that ship with the package for `ballproof train`, or for another room's command."""
    folder = resources.files("ballproof") / room / "recipes"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def read_recipe(name: str, room: str = "train") -> dict[str, Any]:
    """The settings in a recipe: a path to a TOML file, or the name of one that ships with the package."""
    path = Path(name)
    if not path.is_file() and name in recipe_names(room):
        text = (resources.files("ballproof") / room / "recipes" / f"{name}.toml").read_text()
    elif path.is_file():
        text = text_of(path, MOST_BYTES)
    else:
        raise InputError(f"no recipe `{name}`: neither a file nor one of {', '.join(recipe_names(room))}")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"recipe `{name}` is not TOML: {error}") from error
