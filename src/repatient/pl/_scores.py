from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from repatient import _store, get
from repatient._checks import check_option
from repatient._docs import shared_docs
from repatient.pl._axes import SMALL, axes_or_new, check_axes, finish, legend_above, open_frame, shortened, verbatim
from repatient.pl._held_out import read_held_out

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save
    from repatient.pl._colours import Palette

# More names than these cannot be read.
_MOST_NAMES = 60
_GREY = "#777777"


@shared_docs
def scores(
    data: AnnData | MuData,
    method: str | None = None,
    *,
    label: str | None = None,
    interval: float = 0.9,
    palette: Palette | None = None,
    evaluation_key: str = _store.keys.EVALUATION,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw what each patient was predicted as while it was held out.

    Parameters
    ----------
    %(data)s
    method
        Method of the evaluation, as for :func:`repatient.get.scores`.
    label
        Class whose probability is drawn. ``None``: of two classes the second; of more each patient's own.
    interval
        Share of the splits that the line of a patient spans.
    palette
        Colours of the classes: a list, a dictionary by name, or the name of a colormap. ``None``: those in ``uns``.
    evaluation_key
        Where :func:`repatient.tl.evaluate` stored its results.
    %(ax)s

    Returns
    -------
    The axes, one row a patient, sorted by score within its class: a dot at the mean probability over the splits in which
    it was held out, a line for the interval over them. Filled dots are predicted as their class, open ones as another.
    Names are left out where there are more than 60 patients.

    Raises
    ------
    KeyError
        If there was no evaluation, or it kept no predictions.
    TypeError
        If an argument is of a wrong type.
    ValueError
        If the method was not run, there is no such class, or the palette is unknown or too short.

    Examples
    --------
    %(example_evaluated)s
    >>> ax = rp.pl.scores(adata, "mean")
    """
    check_axes(ax, show, save)
    table = get.scores(data, method, interval=interval, evaluation_key=evaluation_key)
    held_out = read_held_out(data, method, evaluation_key)
    classes = held_out.classes
    if label is None and len(classes) == 2:
        label = classes[1]
    if label is not None:
        check_option(label, "label", classes)
    values = _values(table, label)
    present = [name for name in classes if (table["label"] == name).any()]
    colours = held_out.colours(data, palette)

    named = len(table) <= _MOST_NAMES
    # The name of a class needs the height of a line, however close the patients stand.
    header = 1.0 if named else len(table) / 45
    n_rows = len(table) + header * len(present)
    ax = axes_or_new(ax, 6.0, 1.1 + min(0.17 * n_rows, 9.0))
    row, ticks = 0.0, dict[float, str]()
    for name in present:
        ax.text(
            0.005,
            row + (header - 1) / 2,
            verbatim(_header(name, table)),
            va="center",
            fontsize=SMALL + 1,
            weight="bold",
        )
        of_class = values[(table["label"] == name).to_numpy()].sort_values("mean", kind="stable")
        rows = row + header + np.arange(len(of_class))
        right = table.loc[of_class.index, "predicted"].astype(str).to_numpy() == name
        colour = colours.of[name]
        ax.hlines(rows, of_class["lower"], of_class["upper"], color=colour, linewidth=1.2, zorder=2)
        faces = [colour if correct else "white" for correct in right]
        ax.scatter(of_class["mean"], rows, s=24 if named else 12, facecolors=faces, edgecolors=colour, zorder=3)
        ticks |= dict(zip(rows.tolist(), of_class.index, strict=True))
        row += header + len(of_class)
    ax.axvline(1 / len(classes), color=_GREY, linestyle=":", linewidth=1, zorder=1)
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(n_rows - 0.4, -0.8)
    names = [verbatim(shortened(name, 24)) for name in ticks.values()]
    ax.set_yticks(list(ticks) if named else [], names if named else [], fontsize=7)
    ax.tick_params(axis="y", length=0)
    what = "the patient's own class" if label is None else shortened(label, 30)
    ax.set_xlabel(f"Probability of {verbatim(what)} while held out\n{verbatim(held_out.short_method(50))}")
    if not named:
        ax.set_ylabel(f"{len(table)} patients")
    open_frame(ax)
    handles = _handles(interval)
    legend_above(ax, handles, [str(handle.get_label()) for handle in handles], ax.get_position().width * 6.0)
    colours.store(data)
    return finish(ax, "scores", show=show, save=save)


def _values(table: pd.DataFrame, label: str | None) -> pd.DataFrame:
    """Mean and interval of the probability of one class, or of each patient's own."""
    if label is not None:
        classes = [str(name) for name in table["label"].cat.categories]
        mean = _store.keys.probability_columns(classes)[classes.index(label)]
        columns = {"mean": mean, **{end: mean.replace("probability", end, 1) for end in ("lower", "upper")}}
        return table[list(columns.values())].set_axis(list(columns), axis=1)
    of_class = [
        _values(table[(table["label"] == name).to_numpy()], str(name)) for name in table["label"].cat.categories
    ]
    return pd.concat(of_class).loc[table.index]


def _header(name: str, table: pd.DataFrame) -> str:
    of_class = table["label"] == name
    right = int((of_class & (table["predicted"] == name)).sum())
    return f"{shortened(name, 36)} (n = {int(of_class.sum())}, {right} right)"


def _handles(interval: float) -> list[Line2D]:
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5, "markeredgecolor": _GREY}
    return [
        Line2D([], [], label="predicted right", markerfacecolor=_GREY, **dot),
        Line2D([], [], label="as another class", markerfacecolor="white", **dot),
        Line2D([], [], label=f"{interval:.0%} of splits", color=_GREY, linewidth=1.2),
    ]
