from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch
from sklearn.metrics import auc, roc_curve

from repatient import _store
from repatient._checks import check_number
from repatient._docs import shared_docs
from repatient.pl._axes import SMALL, axes_or_new, check_axes, finish, open_frame, shortened, verbatim
from repatient.pl._held_out import read_held_out
from repatient.pl._palette import CLASS_COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData
    from numpy.typing import NDArray

    from repatient.pl._axes import Save
    from repatient.pl._colours import Palette
    from repatient.pl._held_out import HeldOut

_GRID = np.linspace(0, 1, 401)
_DASHES = ("-", "--", "-.", ":", (0, (6, 1.5)), (0, (3, 1, 1, 1)))
_WIDE_BAND = 3


@shared_docs
def roc(
    data: AnnData | MuData,
    method: str | Sequence[str] | None = None,
    *,
    interval: float = 0.9,
    palette: Palette | None = None,
    evaluation_key: str = _store.keys.EVALUATION,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw receiver operating characteristics of held-out patients, averaged over the splits.

    Parameters
    ----------
    %(data)s
    method
        Method of the evaluation, as for :func:`repatient.get.scores`; of two classes also several, one curve each.
    interval
        Share of the splits within the band, sensitivity by sensitivity.
    palette
        Colours of the classes, where each has a curve: a list, a dictionary by name, or the name of a colormap.
        ``None``: those in ``uns``.
    evaluation_key
        Where :func:`repatient.tl.evaluate` stored its results.
    %(ax)s

    Returns
    -------
    The axes: the mean over the splits of the sensitivity at each false positive rate, with a band over them (of up to
    three curves), and in the legend the mean AUROC and its standard deviation over the splits. Of two classes the second
    is the positive one; of more, each has a curve against the rest.

    Raises
    ------
    KeyError
        If there was no evaluation, or it kept no predictions.
    TypeError
        If an argument is of a wrong type.
    ValueError
        If a method was not run, several are given for more than two classes, ``interval`` is no share, or the palette is
        unknown or too short.

    Examples
    --------
    %(example_evaluated)s
    >>> ax = rp.pl.roc(adata, "mean")
    """
    check_axes(ax, show, save)
    check_number(interval, "interval", above=0, maximum=1)
    names = [method] if method is None or isinstance(method, str) else list(method)
    drawn = [read_held_out(data, name, evaluation_key) for name in names]
    if not drawn:
        msg = "`method` is empty; name one or more methods, or leave it out."
        raise ValueError(msg)
    classes = drawn[0].classes
    if len(classes) > 2 and len(drawn) > 1:
        msg = f"`method`: {len(drawn)} methods; of {len(classes)} classes each has a curve, so that one method can be drawn."
        raise ValueError(msg)
    if len(classes) == 2:
        curves = {one.method: _curves(one, classes[1]) for one in drawn}
        colours = dict(zip(curves, [CLASS_COLOURS[i % len(CLASS_COLOURS)] for i in range(len(curves))], strict=True))
        title, kept = f"{shortened(classes[1], 24)} against {shortened(classes[0], 24)}", None
    else:
        curves = {name: _curves(drawn[0], name) for name in classes}
        kept = drawn[0].colours(data, palette)
        colours, title = kept.of, f"{drawn[0].method}, each class against the rest"

    ax = axes_or_new(ax, 4.6, 4.9)
    ax.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, zorder=1)
    ends = ((1 - interval) / 2, (1 + interval) / 2)
    for i, (name, (sensitivity, areas)) in enumerate(curves.items()):
        style = _DASHES[i % len(_DASHES)]
        spread = f" ± {areas.std(ddof=1):.2f}" if len(areas) > 1 else ""
        text = f"{shortened(name, 28)}: AUROC {areas.mean():.2f}{spread}"
        mean = sensitivity.mean(axis=0)
        ax.plot(_GRID, mean, color=colours[name], linestyle=style, linewidth=2, label=verbatim(text), zorder=3)
        if len(curves) <= _WIDE_BAND and len(areas) > 1:
            band = np.quantile(sensitivity, ends, axis=0)
            ax.fill_between(_GRID, *band, color=colours[name], alpha=0.16, linewidth=0, zorder=2)
    ax.set_xlim(-0.01, 1.01)
    ax.set_ylim(-0.01, 1.01)
    ax.set_aspect("equal")
    ax.set_xlabel("False positive rate (1 - specificity)")
    ax.set_ylabel("True positive rate (sensitivity)")
    ax.set_title(verbatim(title), fontsize=SMALL + 1, loc="left")
    handles = ax.get_legend_handles_labels()[0]
    if ax.collections:
        handles.append(Patch(color="#dddddd", label=f"{interval:.0%} of {len(areas)} splits"))
    ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0, frameon=False, fontsize=SMALL
    )
    open_frame(ax)
    if kept is not None:
        kept.store(data)
    return finish(ax, "roc", show=show, save=save)


def _curves(held_out: HeldOut, label: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sensitivity over the grid in each split that has patients on both sides, and the areas under the curves."""
    sensitivity, areas = [], []
    column = held_out.columns[label]
    for _, of_split in held_out.table.groupby("split"):
        actual = (of_split["label"] == label).to_numpy()
        if actual.all() or not actual.any():
            continue
        false, true, _ = roc_curve(actual, of_split[column], drop_intermediate=False)
        areas.append(auc(false, true))
        sensitivity.append(np.r_[0.0, np.interp(_GRID[1:], false, true)])
    if not areas:
        msg = f"`method`: no split has held-out patients both of {label!r} and of others."
        raise ValueError(msg)
    return np.array(sensitivity), np.array(areas)
