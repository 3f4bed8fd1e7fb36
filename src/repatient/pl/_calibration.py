from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from repatient import _store
from repatient._checks import check_integer
from repatient._docs import shared_docs
from repatient.evaluation import calibration_error, reliability
from repatient.pl._axes import SMALL, axes_or_new, check_axes, finish, open_frame, shortened, verbatim
from repatient.pl._held_out import read_held_out

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData
    from numpy.typing import NDArray

    from repatient.pl._axes import Save
    from repatient.pl._colours import Palette

_MARKERS = "osD^vPX"


@shared_docs
def calibration(
    data: AnnData | MuData,
    method: str | None = None,
    *,
    n_bins: int = 10,
    palette: Palette | None = None,
    evaluation_key: str = _store.keys.EVALUATION,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw how often what was predicted of held-out patients came true.

    Parameters
    ----------
    %(data)s
    method
        Method of the evaluation, as for :func:`repatient.get.scores`.
    n_bins
        Bins of equal width that predicted probabilities are gathered in.
    palette
        Colours of the classes: a list, a dictionary by name, or the name of a colormap. ``None``: those in ``uns``.
    evaluation_key
        Where :func:`repatient.tl.evaluate` stored its results.
    %(ax)s

    Returns
    -------
    The axes: of the predictions of all splits together, the share that came true over the mean predicted probability,
    bin by bin, beside the diagonal of perfect calibration. Areas of markers follow the number of predictions. Of two
    classes the second is drawn, with the number of different patients in each bin and a 95 %% interval (Wilson) for so
    many; of more, one curve a class. The expected calibration error stands above
    (:func:`repatient.evaluation.calibration_error`).

    Raises
    ------
    KeyError
        If there was no evaluation, or it kept no predictions.
    TypeError
        If an argument is of a wrong type.
    ValueError
        If the method was not run, ``n_bins`` is below one, or the palette is unknown or too short.

    Examples
    --------
    %(example_evaluated)s
    >>> ax = rp.pl.calibration(adata, "mean")
    """
    check_axes(ax, show, save)
    check_integer(n_bins, "n_bins")
    held_out = read_held_out(data, method, evaluation_key)
    classes, probabilities, y = held_out.classes, held_out.probabilities, held_out.codes
    patients = held_out.table["patient"].astype(str).to_numpy()
    colours = held_out.colours(data, palette)

    ax = axes_or_new(ax, 4.6, 4.9)
    ax.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, zorder=1)
    shown = [1] if len(classes) == 2 else range(len(classes))
    for i in shown:
        curve = reliability(y == i, probabilities[:, i], n_bins=n_bins)
        colour, name = colours.of[classes[i]], verbatim(shortened(classes[i], 28))
        if len(classes) == 2:
            n = np.array([len(np.unique(patients[curve.bins == k])) for k in range(len(curve.counts))])
            ax.vlines(curve.predicted, *_wilson(curve.observed, n), color=colour, linewidth=1, alpha=0.6, zorder=2)
            for x, k in zip(curve.predicted, n, strict=True):
                ax.text(x, -0.07, str(k), ha="center", va="center", fontsize=7, color="#555555")
        ax.plot(curve.predicted, curve.observed, color=colour, linewidth=1.2, zorder=3)
        sizes = 14 + 160 * curve.counts / len(y)
        marker = _MARKERS[i % len(_MARKERS)]
        ax.scatter(
            curve.predicted, curve.observed, s=sizes, marker=marker, color=colour, linewidths=0, label=name, zorder=4
        )
    few = len(classes) == 2
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(-0.12 if few else -0.03, 1.03)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.set_aspect("equal")
    what = shortened(classes[1], 24) if few else "the class"
    ax.set_xlabel(f"Predicted probability of {verbatim(what)}" + ("\n(numbers: different patients)" if few else ""))
    ax.set_ylabel("Share that came true")
    error = calibration_error(y, probabilities, n_bins=n_bins)
    title = f"{held_out.short_method(34)}: calibration error {error:.2f}"
    n_patients = len(np.unique(patients))
    ax.set_title(
        f"{verbatim(title)}\n{len(y)} predictions of {n_patients} patients, {held_out.n_splits} splits",
        fontsize=SMALL + 1,
        loc="left",
    )
    if not few:
        legend = ax.legend(loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0, frameon=False, fontsize=SMALL)
        for handle in legend.legend_handles:
            handle.set_sizes([30])  # type: ignore[union-attr]
    open_frame(ax)
    colours.store(data)
    return finish(ax, "calibration", show=show, save=save)


def _wilson(share: NDArray[np.float64], n: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's 95 % interval of a share of ``n`` patients: however often each was predicted, it is one patient."""
    z = float(stats.norm.ppf(0.975))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half
