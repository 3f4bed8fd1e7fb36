"""List the pages of benchmarks/pages.py: those of speed on one page of the site, all others on another."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PLACEHOLDER = "(the pages)"
LISTS = ("evaluation", "performance")


def speed_names(script: Path) -> tuple[str, ...]:
    """What the script that writes the pages counts as a benchmark of speed."""
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SPEED":
            return tuple(ast.literal_eval(node.value))
    msg = f"{script} defines no SPEED."
    raise LookupError(msg)


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the names in place of the placeholder."""
    if docname not in LISTS:
        return
    root = Path(app.srcdir)
    speed = speed_names(root.parent / "benchmarks" / "pages.py")
    names = sorted(page.stem for page in (root / "benchmarks").glob("*.md"))
    chosen = [name for name in names if (name in speed) == (docname == "performance")]
    source[0] = source[0].replace(PLACEHOLDER, "\n".join(f"benchmarks/{name}" for name in chosen))


def read_again(_app: Sphinx, _env: object, added: set[str], _changed: set[str], removed: set[str]) -> list[str]:
    """The lists, where a page is new or gone since the last build."""
    return [name for name in LISTS if any(page.startswith("benchmarks/") for page in added | removed)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Fill pages when they are read."""
    app.connect("source-read", fill)
    app.connect("env-get-outdated", read_again)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
