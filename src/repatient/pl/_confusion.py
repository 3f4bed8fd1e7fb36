from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._docs import shared_docs
from repatient.pl._axes import SMALL, axes_or_new, check_axes, finish, shortened, verbatim
from repatient.pl._held_out import read_held_out

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save


@shared_docs
def confusion(
    data: AnnData | MuData,
    method: str | None = None,
    *,
    evaluation_key: str = _store.keys.EVALUATION,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw which class held-out patients of each class were predicted as.

    Parameters
    ----------
    %(data)s
    method
        Method of the evaluation, as for :func:`repatient.get.scores`.
    evaluation_key
        Where :func:`repatient.tl.evaluate` stored its results.
    %(ax)s

    Returns
    -------
    The axes: true classes as rows with their numbers of patients, the most probable class as columns. Each cell has the
    share of its row in percent and below it the number of predictions; those of all splits are counted.

    Raises
    ------
    KeyError
        If there was no evaluation, or it kept no predictions.
    TypeError
        If an argument is of a wrong type.
    ValueError
        If the method was not run.

    Examples
    --------
    %(example_evaluated)s
    >>> ax = rp.pl.confusion(adata, "mean")
    """
    check_axes(ax, show, save)
    held_out = read_held_out(data, method, evaluation_key)
    classes, table = held_out.classes, held_out.table
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (held_out.codes, held_out.probabilities.argmax(axis=1)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    side = 1.0 + 0.72 * len(classes)
    ax = axes_or_new(ax, side + 2.0, side + 0.9)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(counts.shape):
        colour = "white" if shares[i, j] > 0.55 else "black"
        share, count = f"{shares[i, j]:.0%}", str(counts[i, j])
        place: dict[str, Any] = {
            "xy": (j, i),
            "textcoords": "offset points",
            "ha": "center",
            "va": "center",
            "color": colour,
        }
        ax.annotate(share, xytext=(0, 4), **place)
        ax.annotate(count, xytext=(0, -9), fontsize=7, **place)
    names = [verbatim(shortened(name, 22)) for name in classes]
    n_patients = table.groupby("label", observed=False)["patient"].nunique()
    slant: dict[str, Any] = (
        {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 8 else {}
    )
    ax.set_xticks(range(len(classes)), names, fontsize=SMALL, **slant)
    rows = [f"{name}\n(n = {n})" for name, n in zip(names, n_patients, strict=True)]
    ax.set_yticks(range(len(classes)), rows, fontsize=SMALL)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("Predicted while held out")
    ax.set_ylabel("True class (patients)")
    method_name = verbatim(held_out.short_method(30))
    ax.set_title(f"{method_name}\n{len(table)} predictions, {held_out.n_splits} splits", fontsize=SMALL + 1)
    return finish(ax, "confusion", show=show, save=save)
