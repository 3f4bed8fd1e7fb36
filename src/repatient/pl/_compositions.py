from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from repatient import _store, get
from repatient._docs import shared_docs
from repatient.pl._axes import axes_or_new, check_axes, finish, legend_beside, open_frame, written
from repatient.pl._colours import class_colours
from repatient.pl._shapes import class_shapes, give_shapes
from repatient.pl._values import draw_scale, scale_of
from repatient.recipe import ordinate

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save
    from repatient.pl._colours import Palette

_LEAST_PATIENTS = 3
_UNKNOWN = "#8c8c8c"


@shared_docs
def compositions(
    data: AnnData | MuData,
    *,
    recipes_key: str = _store.keys.RECIPES,
    generated_key: str | None = _store.keys.GENERATED,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw real and generated patients by their compositions.

    The axes are the principal components of the real patients' log-ratios :cite:p:`Aitchison1983`, with half a cell
    added to each component; generated patients are projected on them. Good ones lie among the real patients of their
    class, and are as far apart. With fewer than three real patients, the axes are those of real and generated ones.

    Parameters
    ----------
    %(data)s
    %(recipes_key)s
    %(generated_key)s ``None``: real patients only.
    palette
        Colours of the classes: a list, a dictionary by name, or the name of a colormap. ``None``: those in ``uns``.
        For recipes of a value, the name of a colormap.
    %(ax)s

    Returns
    -------
    The axes, with a filled marker for each real patient and an open one for each generated patient, in the colour and
    the shape of its class. The colours of classes that were used are in ``uns[f"{label_key}_colors"]``.

    Raises
    ------
    KeyError
        If there are no recipes, or no generated patients.
    ValueError
        If there are fewer than three patients in all or three components, recipes or generated patients are of a mixture
        that was refitted since, or the palette is unknown or too short.
    TypeError
        If an argument is of a wrong type.

    Examples
    --------
    %(example_generated)s
    >>> ax = rp.pl.compositions(adata)
    """
    check_axes(ax, show, save)
    counts = get.compositions(data, recipes_key=recipes_key, generated_key=generated_key)
    labels = counts.index.get_level_values("label")
    is_generated = counts.index.get_level_values("is_generated").to_numpy(dtype=bool)
    values = counts.to_numpy(dtype=np.float64)
    few = (~is_generated).sum() < _LEAST_PATIENTS
    ordination = ordinate(values if few else values[~is_generated], values)
    points = ordination.projected
    params = data.uns[recipes_key]["params"]
    if _store.is_continuous(params):
        numbers = labels.to_numpy(dtype=np.float64)
        colour_scale = scale_of(numbers, palette)
        of_patients = np.where(
            np.isnan(numbers), _UNKNOWN, [to_hex(colour) for colour in colour_scale.to_rgba(numbers)]
        )
        shown, shapes = {}, {}
    else:
        classes = list(dict.fromkeys([*map(str, data.uns[recipes_key]["classes"]), *map(str, labels.dropna())]))
        colours = class_colours(data, params["label_key"], classes, palette)
        of_patients = np.array([colours.of[str(label)] if pd.notna(label) else _UNKNOWN for label in labels])
        shown = {name: colours.of[name] for name in classes if name in set(labels.dropna().astype(str))}
        shapes = class_shapes(colours.of)

    ax = axes_or_new(ax, 6.0, 4.2)
    # The fewer lie on top of the many, and a crowd is drawn smaller.
    real_on_top = is_generated.sum() >= len(values) / 2
    scale = min(1.0, (150 / len(values)) ** 0.5)
    generated = ax.scatter(
        points[is_generated, 0],
        points[is_generated, 1],
        s=22 * max(scale, 0.5),
        facecolors="none",
        edgecolors=of_patients[is_generated],
        linewidths=0.8,
        zorder=2 if real_on_top else 4,
    )
    real = ax.scatter(
        points[~is_generated, 0],
        points[~is_generated, 1],
        s=48 * scale,
        c=of_patients[~is_generated],
        edgecolors="white",
        linewidths=0.7 * scale,
        alpha=1.0 if real_on_top else 0.5,
        zorder=3,
    )
    if shapes:
        of_labels = np.array([str(label) if pd.notna(label) else None for label in labels], dtype=object)
        give_shapes(generated, of_labels[is_generated].tolist(), shapes)
        give_shapes(real, of_labels[~is_generated].tolist(), shapes)
    for axis, number, share in zip((ax.xaxis, ax.yaxis), (1, 2), ordination.explained, strict=True):
        axis.set_label_text(f"Log-ratio PC {number} ({share:.0%} of the variance)")
    open_frame(ax)
    of_values = _store.is_continuous(params)
    of_real = labels[~is_generated]
    numbers = of_real.dropna().astype(str).value_counts()
    entries = [(name, colour, shapes[name], int(numbers.get(name, 0))) for name, colour in shown.items()]
    if labels.isna().any():
        entries.append(("no value" if of_values else "no class", _UNKNOWN, "o", int(of_real.isna().sum())))
    _legend(ax, entries, has_generated=bool(is_generated.any()))
    if of_values:
        draw_scale(ax, colour_scale, str(params["label_key"]))
    else:
        colours.store(data)
    return finish(ax, "compositions", show=show, save=save)


def _legend(ax: Axes, entries: list[tuple[str, str, str, int]], *, has_generated: bool) -> None:
    def dot(marker: str = "o", **kwargs: Any) -> Line2D:
        return Line2D([], [], linestyle="none", marker=marker, **kwargs)

    handles = [dot(shape, color=colour, markersize=6) for _, colour, shape, _ in entries]
    labels = [f"{written(name)} (n={number})" for name, _, _, number in entries]
    if has_generated:
        handles.append(dot(color="#555555", markersize=6))
        handles.append(dot(markerfacecolor="none", markeredgecolor="#555555", markersize=4.5))
        labels += ["real", "generated"]
    legend_beside(ax, handles, labels)
