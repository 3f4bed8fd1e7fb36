from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient._checks import check_option, listed
from repatient._docs import shared_docs
from repatient.pl._audit_dots import PANELS, draw_measures
from repatient.pl._audit_map import draw_patients
from repatient.pl._axes import axes_or_new, check_axes, finish, new_figure
from repatient.pl._colours import class_colours

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save
    from repatient.pl._colours import Palette

_KINDS = ("all", "patients", *PANELS)
_ROW = 0.36


@shared_docs
def audit(
    data: AnnData | MuData,
    *,
    kind: str = "all",
    audit_key: str = _store.keys.AUDIT,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw how realistic generated patients are, and what they give away.

    Parameters
    ----------
    %(data)s
    kind
        ``"patients"``
            Real and generated patients by the means of their cells, on the principal axes of the real ones, and for
            each class the ellipses that hold 80 %% of a normal distribution of their mean and covariance.
        ``"auroc"``
            The AUROCs of the audit, beside .5, where nothing can be told. Shaded is .3 to .7.
        ``"variance"``
            The variance between generated patients over that between real ones, beside 1. Shaded is .6 to 1.4.
        ``"shares"``
            Re-identification beside its chance, the share of the main donor, repeated cells.
        ``"nearest"``
            The distance of generated patients and cells to the nearest real one, over that between those of different
            people, beside 1. 0: copies.
        ``"all"``
            The five as one figure.
    audit_key
        Where :func:`repatient.tl.audit` stored its results.
    palette
        Colours of the classes: a list, a dictionary by name, or the name of a colormap. ``None``: those in ``uns``.
    %(ax)s For ``kind="all"`` there are none to give.

    Returns
    -------
    The axes, for ``kind="all"`` those of the patients; all are in ``ax.figure.axes``. The colours that were used are in ``uns[f"{label_key}_colors"]``.

    Raises
    ------
    KeyError
        If there is no audit.
    ValueError
        If the kind is unknown, axes are given for all of them, or the palette is unknown or too short.
    TypeError
        If an argument is of a wrong type.

    Examples
    --------
    %(example_generated)s
    >>> table = rp.tl.audit(adata, n_permutations=19, n_repeats=1)
    >>> ax = rp.pl.audit(adata)
    """
    _store.check_data(data)
    check_option(kind, "kind", _KINDS)
    check_axes(ax, show, save)
    if kind == "all" and ax is not None:
        msg = f"`ax`: kind='all' draws on five axes of its own; give one of the kinds {listed(_KINDS[1:])} to draw on `ax`."
        raise ValueError(msg)
    entry = _store.uns_entry(data, audit_key, "audit_key", "audit")
    classes = [str(name) for name in entry["patients"]["label"].cat.categories]
    colours = class_colours(data, str(entry["params"]["label_key"]), classes, palette)
    if kind == "all":
        drawn = _draw_all(entry, colours.of)
    elif kind == "patients":
        drawn = axes_or_new(ax, 5.6, 4.2)
        draw_patients(drawn, entry["patients"], entry["explained"], colours.of)
    else:
        drawn = axes_or_new(ax, 5.2, 1.4 + _ROW * len(PANELS[kind].rows))
        draw_measures(drawn, entry["measures"], PANELS[kind], colours.of, classes=colours.of)
    colours.store(data)
    return finish(drawn, "audit", show=show, save=save)


def _draw_all(entry: dict[str, Any], colours: dict[str, str]) -> Axes:
    heights = [1.6 + len(panel.rows) for panel in PANELS.values()]
    figure = new_figure(11.0, max(4.8, _ROW * sum(heights)))
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    first: Axes = figure.add_subplot(grid[:, 0])
    draw_patients(first, entry["patients"], entry["explained"], colours)
    for row, panel in enumerate(PANELS.values()):
        draw_measures(figure.add_subplot(grid[row, 1]), entry["measures"], panel, colours)
    return first
