from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm

from repatient import _store
from repatient._checks import check_integer, check_option, listed
from repatient._docs import shared_docs
from repatient.pl._axes import CONTEXT, SMALL, axes_or_new, check_axes, finish, open_frame, verbatim
from repatient.pl._focus import cells_with
from repatient.pl._map import draw_cells, frame, name_axes, point_size
from repatient.pl._places import finish_places, read_places

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save

_KINDS = ("waterfall", "map")
_UP, _DOWN, _TOTAL = "#b2182b", "#2166ac", "#555555"
_COLORMAP = "RdBu_r"
_OTHERS = "others"


@shared_docs
def contributions(
    data: AnnData | MuData,
    patient: str,
    *,
    kind: str = "waterfall",
    n_components: int = 12,
    basis: str | None = None,
    size: float | None = None,
    explanation_key: str = _store.keys.EXPLANATION,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw what a patient's score comes from.

    Parameters
    ----------
    %(data)s
    patient
        The patient, as in the column that :func:`repatient.tl.explain` read.
    kind
        ``"waterfall"``
            From the intercept to the score, a bar a component, the largest contributions first.
        ``"map"``
            The patient's cells by what each contributes, on a map or on its slides.
    n_components
        Components that have a bar of their own; the rest is one bar.
    basis
        For ``"map"``, as for :func:`repatient.pl.attention`; ``"spatial"``: the patient's slides.
    size
        Area of a point of the map in square points. ``None``: the smaller, the more cells there are.
    explanation_key
        Where :func:`repatient.tl.explain` stored its results.
    %(ax)s

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        If there is no such patient, map or explanation.
    TypeError
        If an argument is of a wrong type.
    ValueError
        If ``kind`` is unknown, or the map has NaN or infinity.

    Examples
    --------
    %(example_mixture)s
    >>> model = rp.tl.mil(adata, patient_key="patient", label_key="label", model="mean")
    >>> rp.tl.explain(adata, model)
    >>> ax = rp.pl.contributions(adata, "patient_000")
    """
    _store.check_data(data)
    check_option(kind, "kind", _KINDS)
    check_integer(n_components, "n_components")
    check_axes(ax, show, save)
    entry = _store.uns_entry(data, explanation_key, "explanation_key", "explain")
    patient, table = str(patient), entry["components"]
    if patient not in table.index:
        msg = f"`patient`: {patient!r} was not explained; there are {listed(table.index)}."
        raise KeyError(msg)
    scores = entry["scores"].loc[patient]
    if kind == "waterfall":
        values = pd.Series(table.loc[patient].to_numpy(dtype=float), index=[str(name) for name in entry["names"]])
        bars = _bars(values, n_components)
        ax = axes_or_new(ax, 5.6, 1.6 + 0.24 * (len(bars) + 2))
        _draw_waterfall(ax, bars, float(scores["intercept"]), float(scores["score"]))
        ax.set_xlabel(f"Score of {verbatim(scores['of'])}", fontsize=SMALL + 1)
    else:
        inside = cells_with(data, entry["params"]["patient_key"], patient, "patient")
        xy, axis_names, drawn = read_places(data, basis, inside)
        column = _store.obs_column(data, _store.keys.contribution(explanation_key), "explanation_key")
        ax = axes_or_new(ax, 6.0, 4.8)
        _draw_map(ax, xy[drawn], inside[drawn], column.to_numpy(dtype=float)[inside], size, str(scores["of"]))
        name_axes(ax, axis_names)
        finish_places(ax, basis)
    ax.set_title(verbatim(f"{patient}: score {scores['score']:+.2f}"), fontsize="medium")
    return finish(ax, "contributions", show=show, save=save)


def _bars(values: pd.Series, most: int) -> pd.Series:
    """Contributions, the largest first, those beyond ``most`` as one."""
    values = values[values != 0]
    values = values.iloc[np.argsort(-np.abs(values.to_numpy()), kind="stable")]
    if len(values) <= most:
        return values
    rest = values.iloc[most:]
    return pd.concat([values.iloc[:most], pd.Series({f"{len(rest)} {_OTHERS}": rest.sum()})])


def _draw_waterfall(ax: Axes, bars: pd.Series, intercept: float, score: float) -> None:
    ends = intercept + np.cumsum(bars.to_numpy())
    starts = np.concatenate([[intercept], ends[:-1]])
    y = np.arange(1, len(bars) + 1)
    ax.barh(0, intercept, 0.5, color=_TOTAL)
    ax.barh(y, ends - starts, 0.7, left=starts, color=[_UP if value > 0 else _DOWN for value in bars])
    ax.barh(len(bars) + 1, score, 0.5, color=_TOTAL)
    for at, value, start, end in zip(y, bars, starts, ends, strict=True):
        ax.plot([end, end], [at, at + 1], color=CONTEXT, linewidth=0.8, zorder=0)
        ax.annotate(
            f"{value:+.2f}",
            (max(start, end), at),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL - 1,
        )
    ax.plot([intercept, intercept], [0, 1], color=CONTEXT, linewidth=0.8, zorder=0)
    ax.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    ax.set_yticks(
        np.arange(len(bars) + 2), ["intercept", *(verbatim(name) for name in bars.index), "score"], fontsize=SMALL
    )
    ax.set_ylim(len(bars) + 1.6, -0.6)
    ax.margins(x=0.12)
    ax.tick_params(axis="y", length=0)
    open_frame(ax)


def _draw_map(ax: Axes, xy: np.ndarray, inside: np.ndarray, values: np.ndarray, size: float | None, of: str) -> None:
    """The patient's cells on those of the others in grey, the strongest on top."""
    area = point_size(len(xy), size)
    if not inside.all():
        draw_cells(ax, xy[~inside], CONTEXT, area / 3)
    frame(ax, xy)
    order = np.argsort(np.abs(values), kind="stable")
    # A few cells shall not take the colour from all others.
    reach = max(float(np.quantile(np.abs(values), 0.99)), float(np.finfo(np.float32).tiny))
    style: dict[str, Any] = {"norm": TwoSlopeNorm(0, -reach, reach), "cmap": _COLORMAP}
    points = draw_cells(ax, xy[inside][order], values[order], 2 * area, **style)
    bar = ax.figure.colorbar(points, ax=ax, pad=0.02, aspect=25, shrink=0.8, extend="both")
    bar.set_label(verbatim(f"Contribution to the score of {of}"), fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
