"""The documentation's site: `python -m sphinx -W docs build/docs`. Its notebooks run while it is built; an error stops it."""

import os
from importlib.metadata import version as version_of
from typing import Any

project = "ballproof"
author = "the ballproof authors"
copyright = author
version = release = version_of("ballproof")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "ballproof"
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the notebooks: small networks gain nothing from more

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "undoc-members": False}
python_use_unqualified_type_names = True
nitpicky = False


def as_literals(app: Any, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:
    """Docstrings write `code` as Markdown does, and bars and stars for what they are."""
    for i, line in enumerate(lines):
        parts = line.split("`")
        outside = [part.replace("|", "\\|").replace("*", "\\*") for part in parts[::2]]
        inside = [f"``{part}``" for part in parts[1::2]]
        lines[i] = "".join(a + b for a, b in zip(outside, [*inside, ""], strict=True)) if len(parts) % 2 else line


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", as_literals)
