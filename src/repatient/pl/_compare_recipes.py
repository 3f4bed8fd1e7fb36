from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from repatient import _store
from repatient._checks import check_option, listed
from repatient._docs import shared_docs
from repatient.pl._axes import SMALL, check_axes, finish, in_percent, new_figure, open_frame, verbatim
from repatient.pl._colours import component_colours
from repatient.pl._recipe_table import chosen_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save
    from repatient.pl._colours import Palette

_EFFECTS = {
    "log2_fold_change": "log₂ fold change of the mean share",
    "difference": "Difference of the mean shares",
    "clr_difference": "Difference of the centred log-ratios (log₂)",
}
_ORDERS = ("number", "effect")
_GREY = "#777777"
_OPEN = "#9a9a9a"


@shared_docs
def compare_recipes(
    data: AnnData | MuData,
    *,
    effect: str = "log2_fold_change",
    classes: Sequence[str] | None = None,
    order: str = "effect",
    significant_only: bool = False,
    comparison_key: str = _store.keys.COMPARISON,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw how much more or less of each component the patients of a class have, with its interval.

    Parameters
    ----------
    %(data)s
    effect
        ``"log2_fold_change"`` or ``"difference"`` of the mean shares of the class's donors, or ``"clr_difference"``, that of
        their centred log-ratios.
    classes
        Classes to draw, each beside its reference, in panels side by side. ``None``: all.
    order
        Order of the components, from the top: by their ``"number"``, or by the ``"effect"`` in the first class drawn.
    significant_only
        Leave out the components in which no class that is drawn differs.
    comparison_key
        Where :func:`repatient.tl.compare_recipes` stored its results.
    palette
        Colours of the components: a list, a dictionary by name, or the name of a colormap. ``None``: those in ``uns``.
    %(ax)s For several classes there are none to give.

    Returns
    -------
    The axes, for several classes those of the first; all are in ``ax.figure.axes``. Each row is a component: its posterior median and credible interval, in its
    colour and filled where the difference is significant, grey and open where it is not, and beside it the mean shares of
    the reference and of the class. An interval that goes beyond the axis, as that of a component which a class has hardly
    a cell of, ends in an arrow. The colours that were used are in ``uns[f"{gmm_key}_colors"]``.

    Raises
    ------
    KeyError
        If there is no comparison.
    TypeError, ValueError
        If an option or a class is unknown, axes are given for several classes, no component is left, or the palette is
        too short.

    Examples
    --------
    %(example_recipes)s
    >>> table = rp.tl.compare_recipes(adata, n_draws=200)
    >>> ax = rp.pl.compare_recipes(adata)
    """
    _store.check_data(data)
    check_option(effect, "effect", list(_EFFECTS))
    check_option(order, "order", _ORDERS)
    check_axes(ax, show, save)
    entry = _store.uns_entry(data, comparison_key, "comparison_key", "compare_recipes")
    results, params = entry["results"], entry["params"]
    every = list(dict.fromkeys(results["class"].astype(str)))
    drawn = chosen_classes(classes, every, "comparison", "compared were")
    if ax is not None and len(drawn) > 1:
        msg = (
            f"`ax`: {len(drawn)} classes take a panel each; name one of {listed(drawn)} in `classes`, or pass no `ax`."
        )
        raise ValueError(msg)
    tables = [results[results["class"].astype(str) == name].set_index("component") for name in drawn]
    rows = _rows(tables, effect, order, significant_only=significant_only)
    colours = component_colours(data, str(params["gmm_key"]), len(tables[0]), palette)

    if ax is None:
        figure = new_figure(2.0 + 3.0 * len(drawn), 1.5 + _height(len(rows)) * len(rows))
        axes = figure.subplots(1, len(drawn), sharex=True, sharey=True, squeeze=False)[0]
    else:
        axes = np.array([ax])
    drawn_rows = [table.loc[rows] for table in tables]
    limits = _limits(pd.concat(drawn_rows), effect)
    for panel, table in zip(axes, drawn_rows, strict=True):
        _draw(panel, table, effect, colours.of, limits)
    _name_rows(axes[0], rows, colours.of, _store.component_names(data, str(params["gmm_key"])))
    _legend(axes[0], params)
    colours.store(data)
    return finish(axes[0], "compare_recipes", show=show, save=save)


def _rows(tables: list[pd.DataFrame], effect: str, order: str, *, significant_only: bool) -> list[str]:
    """Components from the top."""
    first = tables[0] if order == "number" else tables[0].sort_values(effect, ascending=False, kind="stable")
    names = [str(name) for name in first.index]
    if significant_only:
        names = [name for name in names if any(bool(table.loc[name, "significant"]) for table in tables)]
        if not names:
            msg = "`significant_only`: no component differs between the classes that are drawn; draw all of them."
            raise ValueError(msg)
    return names


def _height(n_rows: int) -> float:
    """Height of a row in inches: many rows stand closer."""
    return 0.26 if n_rows <= 15 else 0.19


def _limits(table: pd.DataFrame, effect: str) -> tuple[float, float]:
    """Ends of the axis: it holds all dots, the intervals of all that differ, and nine tenths of the others.

    The interval of a component that a class has hardly a cell of may have no end worth seeing.
    """
    found = table[table["significant"]]
    lows, highs = (pd.concat([table[effect], found[f"{effect}_{end}"]]) for end in ("low", "high"))
    low = min(lows.min(), table[f"{effect}_low"].quantile(0.1), 0)
    high = max(highs.max(), table[f"{effect}_high"].quantile(0.9), 0)
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _draw(ax: Axes, table: pd.DataFrame, effect: str, colours: dict[str, str], limits: tuple[float, float]) -> None:
    """One panel: a row a component, from the top."""
    ax.axvline(0, color=_GREY, linewidth=1, zorder=1)
    for y, (component, row) in enumerate(table.iterrows()):
        found = bool(row["significant"])
        style = _style(colours[str(component)]) if found else _style(_OPEN, is_open=True)
        ax.plot([row[f"{effect}_low"], row[f"{effect}_high"]], [y, y], color=style["color"], linewidth=1.6, zorder=2)
        ax.plot(row[effect], y, **style, zorder=3)
        _mark_cut(ax, y, row[f"{effect}_low"] < limits[0], row[f"{effect}_high"] > limits[1], style["color"])
        shares = f"{100 * row['proportion_reference']:.1f} → {100 * row['proportion']:.1f}%"
        _write(ax, y, shares, color="#222222" if found else "#8a8a8a", va="center")
    _write(ax, -0.7, "mean share", color="#555555", va="bottom")
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlim(limits)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(_EFFECTS[effect], fontsize=SMALL + 1)
    ax.tick_params(axis="x", labelsize=SMALL)
    if effect == "difference":
        in_percent(ax.xaxis)
    first = table.iloc[0]
    ax.set_title(
        verbatim(
            f"{first['class']} (n={first['n_donors']})\nagainst {first['reference']} (n={first['n_donors_reference']})"
        ),
        fontsize=SMALL + 1,
        loc="left",
    )
    open_frame(ax)


def _mark_cut(ax: Axes, y: int, left: bool, right: bool, colour: str) -> None:  # noqa: FBT001
    """Arrows at the ends of the axis that an interval goes beyond."""
    for is_cut, x, arrow in ((left, 0, "<"), (right, 1, ">")):
        if is_cut:
            across = ax.get_yaxis_transform()
            ax.plot(x, y, arrow, markersize=4, color=colour, transform=across, clip_on=False, zorder=4)


def _style(colour: str, *, is_open: bool = False) -> dict[str, Any]:
    """Dot of a component, filled or open."""
    return {
        "color": colour,
        "marker": "o",
        "markersize": 4.5 if is_open else 5.5,
        "markerfacecolor": "white" if is_open else colour,
        "markeredgecolor": colour if is_open else "#333333",
        "markeredgewidth": 1.0 if is_open else 0.6,
    }


def _write(ax: Axes, y: float, text: str, **kwargs: Any) -> None:
    """Write beside a row."""
    ax.text(1.02, y, text, transform=ax.get_yaxis_transform(), fontsize=SMALL - 1, **kwargs)


def _name_rows(ax: Axes, rows: list[str], colours: dict[str, str], names: dict[str, str]) -> None:
    """Component numbers, each beside a patch of its colour."""
    y = np.arange(len(rows))
    ax.set_yticks(y, [verbatim(names.get(name, name)) for name in rows], fontsize=SMALL)
    ax.tick_params(axis="y", pad=12)
    ax.scatter(
        np.zeros(len(rows)),
        y,
        s=24,
        marker="s",
        color=[colours[name] for name in rows],
        transform=ax.get_yaxis_transform() + ScaledTranslation(-7 / 72, 0, ax.figure.dpi_scale_trans),
        clip_on=False,
        zorder=3,
    )
    ax.set_ylabel("Component", fontsize=SMALL + 1)


def _legend(ax: Axes, params: dict[str, Any]) -> None:
    """What filled and open dots are, under the axes."""
    interval = f"{100 * float(params['interval']):g}% interval"
    ax.legend(
        handles=[
            Line2D([], [], label=f"differs at a false discovery rate of {float(params['fdr']):g}", **_style(_GREY)),
            Line2D([], [], label=f"not shown to differ (line: {interval})", **_style(_OPEN, is_open=True)),
        ],
        loc="upper left",
        bbox_to_anchor=(0, 0),
        # A fixed distance below the axes, however tall they are.
        bbox_transform=ax.transAxes + ScaledTranslation(0, -34 / 72, ax.figure.dpi_scale_trans),
        borderaxespad=0,
        frameon=False,
        fontsize=SMALL,
        handlelength=1.6,
    )
