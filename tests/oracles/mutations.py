"""Changes of a certificate's lines, as a fault or a forger would make them."""

from __future__ import annotations

import numpy as np

LINES = [
    *(
        "p",
        "p 0",
        "p 1",
        "p 2",
        "g 0",
        "g 1",
        "s",
        "",
        "{}",
        "\u0000",
        "q",
        "n 0 0",
        "r 0",
        "r 1",
        "9" * 5000,
        '{"format": 1}',
        "[" * 3000,
    ),
    *("k 0 0 0x0p+0", "s 1 0 0x0p+0", "s 0 2 nan", "s 0 1 inf", "s 0 9 0x0p+0", "s 0 -1 0x0p+0", "s 2 0 0x1p+99999"),
    *("s 0 0 0x1p-1074", "k 2 1 0x1p-2"),
    *("s 1 1 0x1p+300", "s 0 0 1e400", "q 0 0x1p+1000", "q 0 nan", "a 0", "a 1", "e", "x", "q 0", "q 1", "n 0 0 1", "n 1 1 0"),
    *("i 0 0 0 1 0x0p+0 - -", "i 1 0 1 -1 0x1p+1000 - -", "i 2 1 0 1 0x1p+0 - - 0 0 0x1p+1000"),
]
WORDS = [
    "nan",
    "inf",
    "-1",
    "0x1p+1000",
    "-0x1p+1000",
    "0x1p-1074",
    "-0x1p-1074",
    "99",
    "1e999",
    "",
    "q",
    "n",
    "a",
    "i",
    "e",
    "x",
    "p",
    "-",
    "0",
    "1",
    "\u0663",
]


def mutated(lines: list[str], rng: np.random.Generator, most: int = 1) -> list[str]:
    """One to `most` changes: a line dropped, doubled, swapped or cut, a word or a letter of it made another."""
    found = list(lines)
    for _ in range(int(rng.integers(1, most + 1))):
        if found:
            _change(found, rng)
    return [line.encode("ascii", "ignore").decode() for line in found]


def _change(found: list[str], rng: np.random.Generator) -> None:
    at, other = (int(v) for v in rng.integers(len(found), size=2))
    words = found[at].split() or [""]
    match int(rng.integers(8)):
        case 0:
            del found[at]
        case 1:
            found.insert(at, found[other])
        case 2:
            found[at], found[other] = found[other], found[at]
        case 3:
            del found[at:]
        case 4:
            found[at] = LINES[int(rng.integers(len(LINES)))]
        case 5:
            found[at] = " ".join(words[: int(rng.integers(len(words)))])
        case 6:
            words[int(rng.integers(len(words)))] = WORDS[int(rng.integers(len(WORDS)))]
            found[at] = " ".join(words)
        case _:
            letters = list(found[at] or " ")
            letters[int(rng.integers(len(letters)))] = chr(int(rng.integers(32, 127)))
            found[at] = "".join(letters)
