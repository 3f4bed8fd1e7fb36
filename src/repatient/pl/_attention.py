from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from repatient import _store
from repatient._checks import listed, name_of
from repatient._docs import shared_docs
from repatient.pl._axes import (
    CONTEXT,
    SMALL,
    check_axes,
    figure_of,
    finish,
    in_percent,
    map_and_bars,
    open_frame,
    verbatim,
)
from repatient.pl._colours import component_colours
from repatient.pl._focus import cells_with
from repatient.pl._map import draw_cells, frame, name_axes, point_size
from repatient.pl._places import finish_places, read_places

if TYPE_CHECKING:
    from typing import Any

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save
    from repatient.pl._colours import Palette

_STRONGEST = 100.0
_SHARE_OF_CELLS = "#bdbdbd"


@shared_docs
def attention(
    data: AnnData | MuData,
    patient: str,
    *,
    basis: str | None = None,
    size: float | None = None,
    palette: Palette | None = None,
    mil_key: str = _store.keys.MIL,
    gmm_key: str = _store.keys.GMM,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw which cells of a patient the classifier looked at.

    On the left the map of all cells in grey, and on it the patient's cells by their attention, relative to what each
    would have if all had the same. On the right the share of each component in the patient's attention and in its
    cells: where the attention is larger, the classifier looks at that component.

    Parameters
    ----------
    %(data)s
    patient
        The patient, as in the column that the classifier was trained with.
    basis
        Map to draw on: a key of ``obsm``, with or without its ``X_``; of more dimensions, the first two. In a
        MuData also ``"modality:key"``. ``"spatial"``: the patient's slides, side by side where ``obs["slide"]`` tells
        several. ``None``: ``X_umap``, else ``X_tsne``, else ``X_pca``.
    size
        Area of a point of the patient in square points; the others have a third of it. ``None``: the smaller, the more
        cells there are.
    palette
        Colours of the components: a list, a dictionary by number, or the name of a colormap. ``None``: those in
        ``uns``.
    mil_key
        Where :func:`repatient.tl.mil` stored its results.
    %(gmm_key)s
    %(ax)s On axes of yours, the map alone.

    Returns
    -------
    The axes of the map; the bars are ``ax.figure.axes[1]``. The colours of the components that were used are in
    ``uns[f"{gmm_key}_colors"]``.

    Raises
    ------
    KeyError
        If there is no such patient or map, no mixture, or no classifier was trained.
    TypeError
        If an argument is of a wrong type.
    ValueError
        If names of observations are not unique, the map has NaN or infinity, or the palette is unknown or too short.

    Examples
    --------
    %(example_mixture)s
    >>> model = rp.tl.mil(adata, patient_key="patient", label_key="label", model=rp.mil.Attention(n_steps=5))
    >>> ax = rp.pl.attention(adata, "patient_000")
    """
    _store.check_data(data)
    check_axes(ax, show, save)
    entry = _store.uns_entry(data, mil_key, "mil_key", "mil")
    patient = name_of(patient, list(map(str, entry["predictions"].index))) or str(patient)
    inside = _cells_of(data, patient, entry)
    xy, axis_names, on_slide = read_places(data, basis, inside)
    weights = _store.obs_column(data, _store.keys.attention(mil_key), "mil_key").to_numpy(dtype=np.float64)[inside]
    groups, n_components = _store.read_components(data, gmm_key)
    colours = component_colours(data, gmm_key, n_components, palette)

    shares = pd.DataFrame(
        {
            "attention": np.bincount(groups[inside], weights, minlength=n_components),
            "cells": np.bincount(groups[inside], minlength=n_components) / inside.sum(),
        },
        index=[str(k) for k in range(n_components)],
    )
    shares = shares[shares["cells"] > 0].sort_values("attention", kind="stable")
    names = _store.component_names(data, gmm_key)
    title = _title(patient, entry["predictions"])
    on_map, beside = map_and_bars(ax, 10.0, max(4.6, 1.2 + 0.22 * len(shares)), (6, 3.2))
    shown = inside[on_slide]
    _draw_map(on_map, xy[on_slide], shown, weights * inside.sum(), point_size(len(shown), size))
    finish_places(on_map, basis)
    name_axes(on_map, axis_names)
    if beside is None:
        on_map.set_title(verbatim(title), fontsize="medium")
    else:
        figure_of(on_map).suptitle(verbatim(title), fontsize="large")
        _draw_shares(beside, shares, colours.of, names)
    colours.store(data)
    return finish(on_map, "attention", show=show, save=save)


def _cells_of(data: AnnData | MuData, patient: str, entry: dict[str, Any]) -> np.ndarray:
    """Whether each cell is the patient's, (n_obs,)."""
    names = entry["predictions"].index
    inside = cells_with(data, entry["params"]["patient_key"], patient, "mil_key")
    if patient not in names or not inside.any():
        msg = f"`patient`: the classifier has not seen {patient!r}; there are {listed(names)}."
        raise KeyError(msg)
    return inside


def _draw_map(ax: Axes, xy: np.ndarray, inside: np.ndarray, relative: np.ndarray, size: float) -> None:
    """Cells of high attention on top; the scale is logarithmic and has uniform attention in its middle."""
    draw_cells(ax, xy[~inside], CONTEXT, size / 3)
    frame(ax, xy)
    order = np.argsort(relative, kind="stable")
    reach = float(np.clip(np.abs(np.log(np.maximum(relative, 1 / _STRONGEST))).max(), np.log(2), np.log(_STRONGEST)))
    points = draw_cells(
        ax,
        xy[inside][order],
        np.maximum(relative[order], 1 / _STRONGEST),
        2 * size,
        norm=LogNorm(np.exp(-reach), np.exp(reach)),
        cmap="viridis",
    )
    bar = ax.figure.colorbar(points, ax=ax, pad=0.02, aspect=25, shrink=0.8)
    bar.set_label("Attention relative to uniform", fontsize=SMALL)
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.ax.tick_params(labelsize=SMALL)


def _draw_shares(ax: Axes, shares: pd.DataFrame, colours: dict[str, str], names: dict[str, str]) -> None:
    """Attention of each component as a bar in its colour, over a wider grey one for its cells."""
    y = np.arange(len(shares))
    ax.barh(y, shares["cells"], 0.8, color=_SHARE_OF_CELLS, label="of the cells")
    ax.barh(y, shares["attention"], 0.4, color=[colours[name] for name in shares.index], label="of the attention")
    ax.set_yticks(y, [verbatim(names.get(name, name)) for name in shares.index], fontsize=SMALL)
    ax.set_ylim(-0.6, len(y) - 0.4)
    in_percent(ax.xaxis)
    ax.set_ylabel("Component")
    ax.set_xlabel("Share of the patient's cells (wide, grey)\nand of its attention (narrow, coloured)")
    open_frame(ax)


def _title(patient: str, predictions: pd.DataFrame) -> str:
    prediction = predictions.loc[patient]
    if "aleatoric" in prediction:
        title = f"{patient}: predicted {prediction['predicted']:.3g} ± {prediction['uncertainty']:.2g}"
        return title if pd.isna(prediction["label"]) else f"{title}, known as {prediction['label']:.3g}"
    classes = [str(name) for name in predictions["predicted"].cat.categories]
    column = _store.keys.probability_columns(classes)[classes.index(str(prediction["predicted"]))]
    title = f"{patient}: predicted {prediction['predicted']} (p = {prediction[column]:.2f})"
    return title if pd.isna(prediction["label"]) else f"{title}, labelled {prediction['label']}"
