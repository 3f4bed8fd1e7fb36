"""Find what the names in signatures stand for: `AnnData` is `anndata.AnnData`, `Bags` is `repatient.mil.Bags`.

Annotations are written with the names that a module imports, many of them for type checkers only, so that Sphinx cannot
ask Python what they are. Here they are read from the import statements of the sources.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes

import repatient

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

# Packages whose names need not resolve; those of repatient and names that nobody imports must.
EXTERNAL = {"anndata", "matplotlib", "mudata", "numpy", "pandas", "scanpy", "scipy", "sklearn", "torch"}
EXTERNAL |= sys.stdlib_module_names


def imported_names() -> dict[str, str]:
    """What every name that a module of repatient imports from elsewhere stands for."""
    names: dict[str, str] = {}
    for path in Path(repatient.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("repatient"):
                names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                names |= {alias.asname: alias.name for alias in node.names if alias.asname}
    return names


def aliases() -> dict[str, str]:
    """Types that a module gives a name of its own, as they are written there."""
    found: dict[str, str] = {}
    for path in Path(repatient.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias" and node.value:
                found[ast.unparse(node.target)] = ast.unparse(node.value).strip("'\"")
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
                name = ast.unparse(node.targets[0])
                if re.fullmatch("([A-Z][a-z]+)+", name):
                    found[name] = ast.unparse(node.value)
    return found


def public_classes() -> dict[str, str]:
    """Where every class of repatient is public."""
    rooms = [getattr(repatient, room) for room in repatient.__all__ if room != "__version__"]
    return {
        name: f"{room.__name__}.{name}"
        for room in rooms
        for name in room.__all__
        if isinstance(getattr(room, name), type)
    }


def internal_classes() -> set[str]:
    """Classes that verbs hand to public ones, and nobody else makes."""
    found = set()
    for path in Path(repatient.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    return found - set(PUBLIC)


ALIASES = aliases()
IMPORTED = imported_names()
PUBLIC = public_classes()
INTERNAL = internal_classes()


def spell_out(app: Sphinx, domain: str, objtype: str, contentnode: Any) -> None:
    """Write what an alias of types stands for in its place."""
    for types in app.env.current_document.autodoc_annotations.values():
        for parameter, text in types.items():
            spelt = re.sub(r"\w+", lambda word: ALIASES.get(word[0], word[0]), text)
            # A word with an underscore behind it is a link in reStructuredText.
            types[parameter] = spelt.replace("np.bool_", "np.bool")


def resolve(app: Sphinx, env: BuildEnvironment, node: nodes.Element, contnode: nodes.TextElement) -> Any:
    """Give a reference the full name of what it means; if that is repatient's own, find it."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target:
        return None
    if target in ALIASES:
        return nodes.Text(ALIASES[target])
    first, _, rest = target.partition(".")
    last = target.rpartition(".")[2]
    if last in PUBLIC and (target == last or first == "repatient"):
        return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", PUBLIC[last], node, contnode)
    if first in IMPORTED:
        node["reftarget"] = IMPORTED[first] + (f".{rest}" if rest else "")
    return None


def leave_as_text(app: Sphinx, env: BuildEnvironment, node: nodes.Element, contnode: nodes.TextElement) -> Any:
    """What is another package's and was found in no inventory stays text, and so do types that are not public."""
    if node.get("refdomain") != "py":
        return None
    parts = node.get("reftarget", "").split(".")
    return contnode if parts[0] in EXTERNAL or parts[-1] in INTERNAL else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Spell out before autodoc writes types; resolve before intersphinx looks, and give up after it."""
    app.connect("object-description-transform", spell_out, priority=400)
    app.connect("missing-reference", resolve, priority=400)
    app.connect("missing-reference", leave_as_text, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
