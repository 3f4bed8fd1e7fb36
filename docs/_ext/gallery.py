"""Draw the gallery when the site is built; a function of `rp.pl` without a figure is an error."""

from __future__ import annotations

import ast
import inspect
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils.parsers.rst import Directive
from sphinx.errors import ExtensionError

import repatient as rp

if TYPE_CHECKING:
    from collections.abc import Callable

    from docutils import nodes
    from sphinx.application import Sphinx

FOLDER = "_generated/gallery"


def drawn() -> dict[str, list[Callable[[], Any]]]:
    """The functions of `figures`, in their order, by the function of `rp.pl` that they show."""
    import figures

    found: dict[str, list[Callable[[], Any]]] = {}
    for written, function in vars(figures).items():
        name = written.partition("__")[0]
        if inspect.isfunction(function) and name in rp.pl.__all__:
            found.setdefault(name, []).append(function)
    missing = sorted(set(rp.pl.__all__) - set(found))
    if missing:
        msg = f"docs/_ext/figures.py draws no figure of {', '.join(f'rp.pl.{name}' for name in missing)}."
        raise ExtensionError(msg)
    return found


def draw(app: Sphinx) -> None:
    """Draw and save all figures."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.use("agg")
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for functions in drawn().values():
        for function in functions:
            with warnings.catch_warnings():
                # Cohorts that are drawn in seconds are too small for some measures, and warn.
                warnings.simplefilter("ignore", UserWarning)
                made = function()
            made.figure.savefig(folder / f"{function.__name__}.png", dpi=100, bbox_inches="tight")
            plt.close("all")


def call(function: Callable[[], Any]) -> str:
    """The call that draws a figure, as a user would write it."""
    source = textwrap.dedent(inspect.getsource(function))
    (definition,) = ast.parse(source).body
    written = ast.get_source_segment(source, definition.body[-1].value) or ""  # type: ignore[attr-defined]
    return written.replace("cohort()", "adata").replace("two_views()", "mdata")


class Gallery(Directive):
    """All figures with the calls that drew them and their captions."""

    def run(self) -> list[nodes.Node]:
        """Write the sections as reStructuredText and parse them."""
        lines: list[str] = []
        for name, functions in drawn().items():
            lines += [f"rp.pl.{name}", "-" * (len(name) + 6), "", f":func:`repatient.pl.{name}`", ""]
            for function in functions:
                caption = inspect.getdoc(function) or ""
                lines += [".. code-block:: python", "", f"   {call(function)}", ""]
                lines += [f".. figure:: /{FOLDER}/{function.__name__}.png", f"   :alt: {' '.join(caption.split())}", ""]
                lines += [*textwrap.indent(caption.replace("`", "``"), "   ").splitlines(), ""]
        self.state_machine.insert_input(lines, __file__)
        return []


def setup(app: Sphinx) -> dict[str, bool]:
    """Draw before anything is read."""
    app.connect("builder-inited", draw)
    app.add_directive("gallery", Gallery)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
