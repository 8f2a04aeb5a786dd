"""The text of a file as top-level forms, one at a time, and a form as nested lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ballproof.errors import InputError
from ballproof.files import chunks

CHUNK = 2**20
"""Bytes that are read at once."""

MOST_BYTES = 2**31
"""The limit for a file, unpacked; see `files.py` for smaller ones."""

LONGEST = 2**26
"""Bytes of a line."""

DEEPEST = 100
"""Nesting beyond this is refused; files of the field have 5 levels."""

PIECE = re.compile(r"[();]")
TOKEN = re.compile(r"[()]|[^\s();]+")
HEAD = re.compile(r"\(\s*[^\s()]*")
COMMENT = re.compile(r";[^\n]*")

Form = str | list["Form"]


def top_level_forms(path: Path) -> Iterator[str]:
    """The text of every top-level form, without comments; holds one form at a time."""
    kept: list[str] = []
    depth = 0
    for text in _lines(path):
        start = 0
        for found in PIECE.finditer(text):
            depth += 1 if found[0] == "(" else -1
            if depth > DEEPEST:
                raise InputError(f"forms are nested more than {DEEPEST} deep, near `{_near(text, found.start())}`")
            if depth < 0:
                raise InputError(f"{path}: a parenthesis is closed that was never opened, near `{_near(text, found.start())}`")
            if depth == 0:
                kept.append(text[start : found.end()])
                yield "".join(kept).strip()
                kept, start = [], found.end()
        rest = text[start:]
        if depth == 0 and rest.strip():
            raise InputError(f"{path}: `{rest.strip()[:60]}` stands outside every form; is it a VNN-LIB file?")
        kept.append(rest)
    if depth:
        raise InputError(f"{path} is truncated: {depth} parentheses are never closed")


def _lines(path: Path) -> Iterator[str]:
    """The text in pieces that end with a line, without comments."""
    rest = ""
    try:
        for chunk in chunks(path, MOST_BYTES, CHUNK):
            text = rest + chunk.decode("ascii")
            cut = text.rfind("\n") + 1
            rest = text[cut:]
            if len(rest) > LONGEST:
                raise InputError(f"{path}: a line of more than {LONGEST >> 20} MiB")
            yield _bare(text[:cut])
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no VNN-LIB file: it holds bytes that are no ASCII text") from error
    yield _bare(rest)


def _bare(text: str) -> str:
    return COMMENT.sub("", text) if ";" in text else text


def _near(text: str, at: int) -> str:
    return " ".join(text[max(at - 30, 0) : at + 30].split())


def children(text: str) -> Iterator[str]:
    """The direct parts of a form in parentheses, behind its first word: forms and words."""
    head = HEAD.match(text)
    depth, start = 0, head.end() if head else 0
    for found in PIECE.finditer(text):
        if found[0] == "(":
            depth += 1
            if depth == 2:
                yield from text[start : found.start()].split()
                start = found.start()
        else:
            depth -= 1
            if depth == 1:
                yield text[start : found.end()]
                start = found.end()
            elif depth == 0:
                yield from text[start : found.start()].split()


def nested(text: str) -> Form:
    """One form as nested lists of words."""
    stack: list[list[Form]] = [[]]
    for found in TOKEN.finditer(text):
        word = found[0]
        if word == "(":
            if len(stack) > DEEPEST:
                raise InputError(f"forms are nested more than {DEEPEST} deep, near `{_near(text, found.start())}`")
            stack.append([])
        elif word == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(word)
    return stack[0][0]
