"""List the pages of benchmarks/pages.py: those of speed on one page of the site, all others on another."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PLACEHOLDER = "(the pages)"


def speed_names(script: Path) -> tuple[str, ...]:
    """What the script that writes the pages counts as a benchmark of speed."""
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SPEED":
            return tuple(ast.literal_eval(node.value))
    msg = f"{script} defines no SPEED."
    raise LookupError(msg)


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the names in place of the placeholder."""
    if docname not in ("performance", "evaluation"):
        return
    root = Path(app.srcdir)
    speed = speed_names(root.parent / "benchmarks" / "pages.py")
    names = sorted(page.stem for page in (root / "benchmarks").glob("*.md"))
    chosen = [name for name in names if (name in speed) == (docname == "performance")]
    source[0] = source[0].replace(PLACEHOLDER, "\n".join(f"benchmarks/{name}" for name in chosen))


def setup(app: Sphinx) -> dict[str, bool]:
    """Fill pages when they are read."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
