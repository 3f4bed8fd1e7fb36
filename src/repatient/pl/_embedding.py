from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from repatient import _store
from repatient._docs import shared_docs
from repatient.pl._axes import CONTEXT, check_axes, finish, map_and_bars, verbatim
from repatient.pl._basis import read_basis
from repatient.pl._colours import column_colours, component_colours
from repatient.pl._density import SHARES_INSIDE, draw_density
from repatient.pl._focus import cell_weights
from repatient.pl._map import draw_groups, frame, name_axes, name_groups, point_size
from repatient.pl._palette import COMPONENT_START
from repatient.pl._recipe_table import read_recipe_table
from repatient.pl._stacked import draw_stacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save
    from repatient.pl._colours import Colours, Palette

_FADED = 0.35


@shared_docs
def embedding(
    data: AnnData | MuData,
    *,
    basis: str | None = None,
    color: str | None = None,
    density: str | tuple[str, str] | None = None,
    classes: Sequence[str] | None = None,
    size: float | None = None,
    palette: Palette | None = None,
    gmm_key: str = _store.keys.GMM,
    recipes_key: str = _store.keys.RECIPES,
    generated_key: str = _store.keys.GENERATED,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw the map of the cells, and the recipes beside it in the same colours.

    The number of each component stands in the midst of its cells, and in its part of a class's bar. Where the map is
    coloured by something else, the bars are grey: a colour means one thing in a figure. A few cells far from all others
    do not rule the map; how many are beyond its edges is written in its corner.

    Parameters
    ----------
    %(data)s
    basis
        Map to draw on: a key of ``obsm``, with or without its ``X_``; of more dimensions, the first two. In a
        MuData also ``"modality:key"``. ``None``: ``X_umap``, else ``X_tsne``, else ``X_pca``.
    color
        Categorical column of ``obs`` to colour and name the cells by, such as cell types. ``None``: the component.
    density
        A class, a patient or a generated patient: contours within which 25, 50 and 75 %% of its cells are. Where one
        name is of several, say which: ``("class", "1")``, ``("patient", "1")`` or ``("generated", "1")``.
    classes
        Classes whose recipes to draw, in this order. ``None``: all.
    size
        Area of a point in square points. ``None``: the smaller, the more cells there are.
    palette
        Colours of the components: a list, a dictionary by number, or the name of a colormap. ``None``: those in
        ``uns``.
    %(gmm_key)s
    %(recipes_key)s
    %(generated_key)s It is read for ``density`` only.
    %(ax)s On axes of yours, the map alone.

    Returns
    -------
    The axes of the map; the recipes are ``ax.figure.axes[1]``. The colours that were used are in
    ``uns[f"{gmm_key}_colors"]`` and, with ``color``, in ``uns[f"{color}_colors"]``, where scanpy reads them.

    Raises
    ------
    KeyError
        If there is no such map, column, mixture, recipe, class or patient.
    ValueError
        If the recipes are of another mixture, the map has NaN or infinity, the name in ``density`` is that of several, or a
        palette is unknown or too short.
    TypeError
        If ``color`` is a column of numbers, or an argument is of a wrong type.

    Examples
    --------
    %(example_recipes)s
    >>> ax = rp.pl.embedding(adata)
    """
    _store.check_data(data)
    check_axes(ax, show, save)
    xy, axis_names = read_basis(data, basis)
    groups, n_components = _store.read_components(data, gmm_key)
    table = read_recipe_table(data, recipes_key, classes=classes)
    params = data.uns[recipes_key]["params"]
    _store.check_mixture(data, params["mixture"], gmm_key, "The recipes", "Learn them again with `rp.tl.recipes`.")
    components = component_colours(data, gmm_key, n_components, palette)
    cells, names = components, [str(k) for k in range(n_components)]
    if color is not None and color != gmm_key:
        groups, names, cells = _read_groups(data, color)
        written_names = names
    else:
        called = _store.component_names(data, gmm_key)
        written_names = [called.get(name, name) for name in names]
    weights, whose = (None, "") if density is None else cell_weights(data, density, params, generated_key)

    of_bars = 0.9 + 0.65 * len(table.classes)
    on_map, beside = map_and_bars(ax, 6.3 + of_bars, 5.2, (5.5, of_bars))
    point_colours = [cells.of[name] for name in names] + [CONTEXT]
    area = point_size(data.n_obs, size)
    draw_groups(on_map, xy, groups, point_colours, area, alpha=None if weights is None else _FADED)
    frame(on_map, xy)
    if weights is not None:
        draw_density(on_map, xy, weights)
        inside = ", ".join(f"{100 * share:.0f}" for share in SHARES_INSIDE)
        on_map.set_title(f"{verbatim(whose)}\nContours around {inside} % of the cells", fontsize="medium")
    name_groups(on_map, xy, groups, written_names)
    name_axes(on_map, axis_names)
    if beside is not None:
        draw_stacked(beside, table, components.of if cells is components else None)
    components.store(data)
    cells.store(data)
    return finish(on_map, "embedding", show=show, save=save)


def _read_groups(data: AnnData | MuData, color: str) -> tuple[np.ndarray, list[str], Colours]:
    """Group of each cell (-1 for none), the groups' names and their colours."""
    column = _store.obs_column(data, color, "color")
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        msg = f"`color`: {color!r} holds numbers; a categorical column is needed. `scanpy.pl.embedding` draws numbers."
        raise TypeError(msg)
    categories = _store.as_categories(column, "color")
    names = [str(name) for name in categories.categories]
    return (
        np.asarray(categories.codes, dtype=np.int64),
        names,
        column_colours(data, color, names, None, COMPONENT_START),
    )
