"""The rooms of the package: a room imports only from those above it in the table of docs/architecture.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "ballproof"
DOORS = {"__init__.py", "__main__.py"}
"""Files of the package itself, which may import every room and which no room imports."""

MODULE_NAME = re.compile(r"ballproof(\.\w+)+")


def named_rooms(text: str) -> list[str]:
    """The rooms in the first column of the table under the heading `Rooms`, top to bottom, without `.py` and `/`."""
    section = re.split(r"^## ", text, flags=re.MULTILINE)
    (rooms,) = [part for part in section if part.startswith("Rooms")]
    return [m.group(1).removesuffix("/").removesuffix(".py") for m in re.finditer(r"^\| `([\w./]+)` \|", rooms, re.MULTILINE)]


ROOMS = named_rooms((ROOT / "docs" / "architecture.md").read_text())
FILES = sorted(f for f in SOURCE.rglob("*.py") if str(f.relative_to(SOURCE)) not in DOORS)


def imported_modules(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all of ballproof that a file imports, inside functions too, or names in a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*base, *([node.module] if node.module else [])])
            found = [f"{origin}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE_NAME.fullmatch(node.value):
            found = [node.value]
        else:
            continue
        yield from ((node.lineno, name) for name in found if name.split(".")[0] == "ballproof")


def wrong_imports(text: str, place: tuple[str, ...], rooms: list[str]) -> list[str]:
    """What is wrong with the imports of a file of this text at `place`, the parts of its path under the package."""
    own = place[0].removesuffix(".py")
    allowed = rooms[: rooms.index(own) + 1]
    wrong = []
    for line, name in imported_modules(ast.parse(text), ("ballproof", *place[:-1])):
        room = [*name.split("."), "the package itself"][1]
        if room not in allowed:
            wrong.append(f"line {line}: `{own}` imports `{name}`; `{room}` is not above it")
    return wrong


def test_every_room_is_in_the_table_and_every_name_in_it_is_a_room() -> None:
    inside = {p.name for p in SOURCE.iterdir() if p.is_dir() and any(p.rglob("*.py"))}
    files = {p.name for p in SOURCE.glob("*.py")} - DOORS
    assert sorted(ROOMS) == sorted(inside | {f.removesuffix(".py") for f in files})


def test_the_table_holds_the_order_of_the_design() -> None:
    fixed = "errors values operations graph networks problems verdict bounds attacks data train evaluate report cli".split()
    assert [room for room in ROOMS if room in fixed] == fixed and ROOMS[-1] == "cli"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_a_room_imports_only_from_those_above_it(file: Path) -> None:
    wrong = wrong_imports(file.read_text(), file.relative_to(SOURCE).parts, ROOMS)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "from ballproof.bounds import margins",
        "import ballproof.bounds.face",
        "from ballproof import bounds",
        "from ..bounds import margins",
        "from .. import bounds",
        "def f():\n    from ballproof.bounds import margins",
        "def f():\n    return import_module('ballproof.bounds')",
        "if TYPE_CHECKING:\n    from ballproof.bounds import margins",
        "import ballproof",
        "from ballproof import margins",
    ],
)
def test_every_way_to_import_from_below_is_seen(text: str) -> None:
    assert len(wrong_imports(text, ("graph", "node.py"), ["values", "graph", "bounds"])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "from ballproof.values import Interval",
        "from ballproof.graph.node import Node",
        "from . import node",
        "import os",
    ],
)
def test_imports_from_above_and_from_the_same_room_are_allowed(text: str) -> None:
    assert wrong_imports(text, ("graph", "node.py"), ["values", "graph", "bounds"]) == []
