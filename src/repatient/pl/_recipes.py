from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

from repatient import _store
from repatient._checks import check_option
from repatient._docs import shared_docs
from repatient.pl._axes import LETTER, LINE_HEIGHT, axes_or_new, check_axes, finish, width_of, written
from repatient.pl._colours import class_colours, component_colours
from repatient.pl._recipe_bars import draw_bars
from repatient.pl._recipe_difference import draw_difference, inside_components
from repatient.pl._recipe_matrix import draw_dots, draw_heatmap
from repatient.pl._recipe_table import read_recipe_table
from repatient.pl._stacked import draw_stacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save
    from repatient.pl._colours import Palette
    from repatient.pl._recipe_table import RecipeTable

_KINDS = ("bars", "stacked", "heatmap", "dots", "difference")
_COLORMAPS = {"heatmap": "viridis", "dots": "RdBu_r"}


@shared_docs
def recipes(
    data: AnnData | MuData,
    *,
    kind: str = "bars",
    classes: Sequence[str] | None = None,
    order: str | Sequence[str] = "number",
    interval: float = 0.8,
    recipes_key: str = _store.keys.RECIPES,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw the recipes: how much of each component the patients of a class have.

    Parameters
    ----------
    %(data)s
    kind
        ``"bars"``
            For each component a bar a class, with whiskers over the patients.
        ``"stacked"``
            For each class one bar of all components, in their colours.
        ``"heatmap"``
            Classes by components, the mean share as colour, on a square-root scale.
        ``"dots"``
            Classes by components, the mean share as the area of a dot, and as its colour the binary logarithm of its
            ratio to the mean of the classes that are drawn.
        ``"difference"``
            Where two classes differ, a dot a component: across, the binary logarithm of the second class's mean share over
            the first's; upwards, how far its cells lie from those of the first inside the component, the shrunk offset
            (:class:`repatient.recipe.Offsets`) in standard deviations of the component. So a dot to the side differs in
            composition, one above inside, one in a corner in both. The area is the mean share; open dots have fewer
            than two donors of a class, which tells nothing of the inside.
    classes
        Classes to draw, in this order. ``None``: all. Two for ``"difference"``.
    order
        Order of the components: their ``"number"``, their mean ``"share"``, the ``"difference"`` (from those that the
        first class has more of to those that the last has more of), or a list of the components to draw.
    interval
        Share of the patients that the whiskers of ``"bars"`` span.
    %(recipes_key)s
    palette
        Colours of the classes for ``"bars"`` and of the components for ``"stacked"`` and ``"difference"``: a list, a dictionary by
        name, or the name of a colormap. ``None``: those in ``uns``. For ``"heatmap"`` and ``"dots"``, the name of a
        colormap.
    %(ax)s

    Returns
    -------
    The axes. The colours of classes and components that were used are in ``uns[f"{label_key}_colors"]`` and
    ``uns[f"{gmm_key}_colors"]``, where scanpy reads them.

    Raises
    ------
    KeyError
        If there are no recipes.
    ValueError
        If an option, a class, a component or a palette is unknown, ``interval`` is no share, or the palette is too short;
        if ``"difference"`` has not two classes whose offsets were learnt in one cohort.
    TypeError
        If an argument is of a wrong type.

    Examples
    --------
    %(example_recipes)s
    >>> ax = rp.pl.recipes(adata)
    """
    check_option(kind, "kind", _KINDS)
    check_axes(ax, show, save)
    table = read_recipe_table(data, recipes_key, classes=classes, order=order, interval=interval)
    colormap = _colormap(kind, palette)
    inside = inside_components(data, table, recipes_key) if kind == "difference" else None
    of_components = palette if kind in ("stacked", "difference") else None
    components = component_colours(data, table.gmm_key, table.n_components, of_components)
    groups = class_colours(data, table.label_key, table.every_class, palette if kind == "bars" else None)
    ax = axes_or_new(ax, *_size(kind, table))
    if kind == "stacked":
        draw_stacked(ax, table, components.of)
    elif kind == "bars":
        draw_bars(ax, table, groups.of, components.of, interval)
        groups.store(data)
    elif inside is not None:
        draw_difference(ax, table, *inside, components.of)
    elif kind == "heatmap":
        draw_heatmap(ax, table, components.of, colormap)
    else:
        draw_dots(ax, table, components.of, colormap)
    components.store(data)
    return finish(ax, "recipes", show=show, save=save)


def _colormap(kind: str, palette: Palette | None) -> str:
    """Name of the colormap of the kinds that have one."""
    if kind not in _COLORMAPS or palette is None:
        return _COLORMAPS.get(kind, "")
    if not isinstance(palette, str) or palette not in mpl.colormaps:
        msg = f"`palette` is the name of a colormap for kind={kind!r}, not {palette!r}."
        raise ValueError(msg)
    return palette


def _size(kind: str, table: RecipeTable) -> tuple[float, float]:
    """Width and height in inches."""
    n_classes, n_components = table.mean.shape
    if kind == "stacked":
        return 1.6 + 0.7 * n_classes, 5.0
    if kind == "difference":
        return 5.0, 4.2
    names = [written(name) for name in table.classes]
    # Names of components stand upright below the axes.
    below = LETTER * max(map(len, table.written)) if table.names else 0.0
    lines = sum(1 + name.count("\n") for name in names)
    if kind == "bars":
        width = min(max(4.0, 1.0 + n_components * (0.16 + 0.08 * n_classes)), 18.0)
        return width, below + 3.4 + LINE_HEIGHT * (lines if width_of(names) > 1 else 1)
    return 2.6 + width_of(names) + 0.28 * n_components, below + 1.5 + max(
        0.4 * n_classes, 1.2 * LINE_HEIGHT * (lines + n_classes)
    )
