from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._checks import check_integer, check_option
from repatient._docs import shared_docs
from repatient.pl._axes import check_axes, finish, new_figure
from repatient.pl._views_bars import draw_errors, draw_groups_fidelity
from repatient.pl._views_examples import draw_images, draw_vectors
from repatient.pl._views_maps import draw_maps, n_maps
from repatient.pl._views_read import nearest_measured, read_views

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save
    from repatient.views import Translator

METRICS = ("linear", "linear_few", "knn")
_ROW_HEIGHT = 3.4


@shared_docs
def views(
    data: AnnData | MuData,
    source: str,
    target: str,
    *,
    target_data: AnnData | None = None,
    translator: Translator | None = None,
    source_rep: str | None = None,
    target_rep: str | None = None,
    basis: str | None = None,
    color: str | None = None,
    n_examples: int = 6,
    metric: str = "linear_few",
    synthetic_key: str | None = None,
    views_key: str = _store.keys.VIEWS,
    random_state: int = 0,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw translated observations beside their source and the nearest measured one, and how far to trust them.

    Parameters
    ----------
    %(data)s
    source, target
        Modalities, as for :func:`repatient.tl.synthesize`.
    target_data
        AnnData of the target, where ``data`` is that of the source.
    translator
        Makes the synthetic view, where it was not stored (images).
    source_rep, target_rep
        View of each modality: a key of ``obsm``. ``None``: ``X``.
    basis
        Map of each modality, a key of ``obsm``. ``None``: ``X_umap``. Modalities without it are not mapped. Translated
        observations are where the nearest measured ones are.
    color
        Categorical column of ``obs`` of the source to colour the maps by. ``None``: the ``groupby`` of the translator.
    n_examples
        Observations to show, drawn at random.
    metric
        Error to draw where :func:`repatient.tl.evaluate_views` has run: ``"linear"``, ``"linear_few"`` or ``"knn"``; of a
        map ``"linear"``, which stands for ``"linear_few"`` there, or ``f"linear_{n}"``.
    synthetic_key
        Where :func:`repatient.tl.synthesize` stored its results. ``None``: ``f"X_{target}_synthetic"``.
    views_key
        Where :func:`repatient.tl.evaluate_views` stored its results.
    random_state
        Seed of the examples.
    show, save
        As for :func:`repatient.pl.embedding`. There is no ``ax``: the figure has several.

    Returns
    -------
    The first axes; all are in ``ax.figure.axes``. The first row of the figure shows the examples; below are, as far as there is something to show, maps of both
    modalities, the fidelity of each group, and the error of each arm with its standard deviation over seeds.

    Raises
    ------
    KeyError
        If a modality or view does not exist, or nothing was synthesized.
    ValueError
        If the synthetic view was not stored and no translator is given, the target is missing, or an option is unknown.
    TypeError
        If an argument is of a wrong type.

    Examples
    --------
    %(example_views)s
    >>> translator = rp.tl.synthesize(mdata, "panel", "rna", pairs="obs_names", n_steps=5)
    >>> ax = rp.pl.views(mdata, "panel", "rna")
    """
    check_axes(None, show, save)
    evaluated: Any = data.uns.get(views_key, {}) if hasattr(data, "uns") else {}
    results = evaluated.get("results") if hasattr(evaluated, "get") else None
    there = METRICS if results is None else tuple(dict.fromkeys(results["metric"].astype(str)))
    if metric == "linear_few" and metric not in there:
        metric = "linear"
    check_option(metric, "metric", there)
    check_integer(n_examples, "n_examples", minimum=1)
    pair = read_views(data, (source, target), target_data, (source_rep, target_rep), synthetic_key, translator)
    rng = np.random.default_rng(random_state)
    rows = np.sort(rng.permutation(len(pair.source))[:n_examples])
    entry = pair.entry
    by_group = entry.get("by_group")
    below = [n_maps(pair, basis or "X_umap"), int(by_group is not None), int(results is not None)]
    n_below = sum(below)
    figure = new_figure(max(6.4, 3.2 * n_below), _ROW_HEIGHT * (1 + (n_below > 0)))
    parts = figure.add_gridspec(1 + (n_below > 0), 1)
    draw = draw_images if pair.synthetic.ndim == 4 else draw_vectors
    draw(figure, parts[0], pair, rows, nearest_measured(pair, rows))
    first: Axes = figure.axes[0]
    if not n_below:
        return finish(first, "views", show=show, save=save)
    axes = list(parts[1].subgridspec(1, n_below).subplots(squeeze=False)[0])
    if below[0]:
        groups = color if color is not None else entry["params"].get("groupby")
        draw_maps([axes.pop(0) for _ in range(below[0])], pair, basis or "X_umap", groups)
    if by_group is not None:
        draw_groups_fidelity(axes.pop(0), by_group)
    if results is not None:
        draw_errors(axes.pop(0), results, metric)
    return finish(first, "views", show=show, save=save)
