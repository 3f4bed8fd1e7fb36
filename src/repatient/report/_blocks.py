"""What a page is made of: text, tables, figures, and calls that would fill a gap."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

# A drawing of very many points is smaller as pixels.
_LARGEST_SVG = 600_000
# Points; wider figures are scrolled on small screens, at three quarters of their size (in pixels, 4 to 3 points).
_WIDE = 430
_LONGEST_VALUE = 160
_LONGEST_LINE = 28
# Of a table, letters side by side that a telephone shows; a column has two for its margin, a long text is broken at so many.
_NARROW, _MARGIN, _BROKEN = 44, 2, 24


@dataclass(frozen=True)
class Block:
    """One piece of a section, by its kind: ``"text"``, ``"note"``, ``"call"``, ``"list"``, ``"table"`` or ``"figure"``."""

    kind: str
    content: Any
    caption: str = ""


@dataclass
class Section:
    """A heading and what stands under it.

    Parameters
    ----------
    anchor
        Where links lead.
    title
        The heading.
    blocks
        In their order.
    """

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)

    def text(self, content: str) -> None:
        """Add a paragraph."""
        self.blocks.append(Block("text", content))

    def note(self, content: str) -> None:
        """Add a paragraph that is not to be overlooked."""
        self.blocks.append(Block("note", content))

    def call(self, why: str, code: str) -> None:
        """Say which call would fill a gap."""
        self.blocks.append(Block("call", {"why": why, "code": code}))

    def items(self, content: list[str]) -> None:
        """Add a list."""
        self.blocks.append(Block("list", content))

    def table(self, frame: pd.DataFrame, caption: str = "") -> None:
        """Add a table whose first column is the index; numbers are written with three digits."""
        rows = zip(frame.index, frame.to_numpy(dtype=object), strict=True)
        head = [str(frame.index.name or ""), *map(str, frame.columns)]
        cells = [[_cell(name), *map(_cell, row)] for name, row in rows]
        self.blocks.append(Block("table", {"head": head, "rows": cells, "cut": _is_wide(head, cells)}, caption))

    def figure(self, draw: Callable[[], Axes | Figure], caption: str) -> None:
        """Draw and add a figure; the caption says what to see and stands in for it where it cannot be seen."""
        with plt.ioff():
            drawn = draw()
            figure = drawn if isinstance(drawn, Figure) else drawn.get_figure(root=True)
            if figure is None:
                msg = "A figure was drawn on axes that belong to none."
                raise RuntimeError(msg)
            try:
                source, narrow = _embedded(figure)
            finally:
                plt.close(figure)
        self.blocks.append(Block("figure", {"source": source, "narrow": narrow}, caption))


def _cell(value: Any) -> tuple[str, str]:
    """Text of a cell and how it is set: short ones in one line."""
    text = written(value)
    return text, "long" if len(text) > _LONGEST_LINE else "short"


def _is_wide(head: list[str], rows: list[list[tuple[str, str]]]) -> bool:
    """Whether a table is wider than a small screen, so that the page says that it scrolls."""
    names = [max(map(len, name.split()), default=0) for name in head]
    texts = [[len(text) if style == "short" else _BROKEN for text, style in row] for row in rows]
    widths = [max(column) for column in zip(names, *texts, strict=True)]
    return sum(widths) + _MARGIN * len(widths) > _NARROW


def written(value: Any) -> str:
    """A value as a reader wants it: three digits, no NaN, long ones cut."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        number = float(value)
        return (
            "–"
            if np.isnan(number)
            else f"{number:.3f}"
            if number == 0 or 1e-3 <= abs(number) < 1e3
            else f"{number:.3g}"
        )
    if isinstance(value, dict):
        text = ", ".join(f"{name}: {written(item)}" for name, item in value.items())
    elif isinstance(value, np.ndarray | list | tuple):
        text = ", ".join(written(item) for item in np.ravel(np.asarray(value, dtype=object))[:40])
    else:
        text = "–" if value is None or value is pd.NA else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _embedded(figure: Figure) -> tuple[str, int]:
    """A figure as a data address, and its width on a small screen in pixels, 0 for all that there is; the same figure gives the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "repatient", "svg.fonttype": "path"}), io.BytesIO() as buffer:
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
        kind, content = "svg+xml", buffer.getvalue()
    size = re.search(rb'width="([\d.]+)pt"', content)
    narrow = round(float(size[1])) if size is not None and float(size[1]) > _WIDE else 0
    if len(content) > _LARGEST_SVG:
        with io.BytesIO() as buffer:
            figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight")
            kind, content = "png", buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}", narrow
