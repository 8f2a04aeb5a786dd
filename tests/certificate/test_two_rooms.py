"""The checker's two rooms: what proves is short and knows one door of what reads; no room knows the rest of the package."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "src" / "ballproof" / "certificate"
PROVING, READING = sorted((FOLDER / "checker").glob("*.py")), sorted((FOLDER / "checker" / "reading").glob("*.py"))
COMMAND = [FOLDER / "check.py"]
OWN = "ballproof.certificate.checker"
DOOR = f"{OWN}.reading.problems"
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(text: str) -> int:
    """Lines that hold a token, without comments and docstrings."""
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type not in SILENT]
    told = {line for t in tokens for line in range(t.start[0], t.end[0] + 1)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            told -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(told)


def imported(text: str) -> set[str]:
    """Names of all modules that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level and node.module
            found.add(node.module)
    return found


def strangers(text: str, room: str) -> set[str]:
    """What a file of this room should not import."""
    allowed = {"proving": {"numpy"}, "reading": {"numpy", "onnx", "google"}, "command": {"numpy"}}[room]
    found = {name for name in imported(text) if name.split(".")[0] not in sys.stdlib_module_names | allowed}
    own = {name for name in found if name.startswith(f"{OWN}.")}
    return (found - own) | {name for name in own if room != "reading" and name.startswith(f"{OWN}.reading") and name != DOOR}


def test_lines_of_code_are_counted_as_a_reader_would() -> None:
    assert code_lines('"""Doc."""\n\nx = 1  # why\n# note\ndef f():\n    """Doc.\n\n    More."""\n    return """a\nb"""\n') == 4


@pytest.mark.parametrize(
    ("text", "room", "wrong"),
    [
        ("import torch", "reading", {"torch"}),
        ("import onnx", "proving", {"onnx"}),
        ("from ballproof.values import Interval", "reading", {"ballproof.values"}),
        ("def f():\n    import ballproof.certificate.writer", "proving", {"ballproof.certificate.writer"}),
        (f"from {OWN}.reading.operators import read_network", "proving", {f"{OWN}.reading.operators"}),
        (f"from {DOOR} import Problem\nimport json, numpy", "proving", set()),
    ],
)
def test_strangers_are_seen(text: str, room: str, wrong: set[str]) -> None:
    assert strangers(text, room) == wrong


def test_what_proves_is_short() -> None:
    """Counterexamples and the command among it."""
    assert sum(code_lines(f.read_text()) for f in PROVING + COMMAND) < 800


def test_the_whole_checker_is_short() -> None:
    assert sum(code_lines(f.read_text()) for f in PROVING + READING + COMMAND) < 1450


@pytest.mark.parametrize(
    ("file", "room"),
    [*((f, "proving") for f in PROVING), *((f, "reading") for f in READING), *((f, "command") for f in COMMAND)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_rooms_import_no_strangers(file: Path, room: str) -> None:
    assert not strangers(file.read_text(), room)


def test_the_door_is_used_by_one_file_of_what_proves() -> None:
    assert [f.name for f in PROVING if DOOR in imported(f.read_text())] == ["certificate.py"]


def test_the_checker_needs_neither_torch_nor_the_rest_of_ballproof() -> None:
    text = "import sys, ballproof.certificate.check; print([m for m in sys.modules if m.startswith(('torch', 'ballproof'))])"
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    own = ("ballproof", "ballproof.certificate", "ballproof.certificate.check")
    assert all(n in own or n.startswith(OWN) for n in ast.literal_eval(found.stdout))
