from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient import _store
from repatient._docs import shared_docs
from repatient.evaluation import by_split, compare, method_label
from repatient.pl._axes import SMALL, axes_or_new, check_axes, finish, open_frame, shortened, verbatim
from repatient.pl._palette import CLASS_COLOURS

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from repatient.pl._axes import Save

_NAMES = {
    "auroc": "AUROC",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "brier": "Brier score",
    "log_loss": "log loss (nats)",
}
_LESS_IS_BETTER = ("brier", "log_loss")
_BETTER, _WORSE, _OPEN = CLASS_COLOURS[0], CLASS_COLOURS[1], "#555555"
_SPLITS = "#bdbdbd"


@shared_docs
def evaluation(
    data: AnnData | MuData,
    metric: str = "auroc",
    *,
    baseline: str | None = None,
    confidence: float = 0.95,
    evaluation_key: str = _store.keys.EVALUATION,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Save = None,
) -> Axes:
    """Draw what each method reaches, and how it differs from a baseline, split by split.

    Parameters
    ----------
    %(data)s
    metric
        ``"auroc"``, ``"balanced_accuracy"``, ``"macro_f1"``, ``"brier"`` or ``"log_loss"``.
    baseline
        Method that the others are compared with. ``None``: that of the evaluation, or the first method where it was not
        run.
    confidence
        Of the intervals.
    evaluation_key
        Where :func:`repatient.tl.evaluate` stored its results.
    %(ax)s The values stand to its right.

    Returns
    -------
    The axes with the differences, one row a method, in the order of the evaluation: small dots for the splits, a large one
    for their mean, with its interval by the corrected resampled t-test (:func:`repatient.evaluation.compare`), filled
    where the interval excludes 0. What cannot be measured says so. Axes beside it (``ax.child_axes[0]``) show the values
    themselves, with a bar at their mean; numbers are mean and standard deviation over the splits.

    Raises
    ------
    KeyError
        If there was no evaluation.
    ValueError
        If the metric or the baseline is not among its results, or ``confidence`` is no share below 1.
    TypeError
        If an argument is of a wrong type.

    Examples
    --------
    %(example_evaluated)s
    >>> ax = rp.pl.evaluation(adata)
    """
    _store.check_data(data)
    check_axes(ax, show, save)
    entry = _store.uns_entry(data, evaluation_key, "evaluation_key", "evaluate")
    result = compare(entry, baseline=baseline, metric=metric, confidence=confidence)
    values = by_split(entry["results"], metric)
    if baseline is None:
        usual = str(entry["params"].get("baseline"))
        baseline = usual if usual in values else str(values.columns[0])

    ax = axes_or_new(ax, 8.6, 1.4 + 0.36 * len(result))
    beside = ax.inset_axes((1.05, 0, 0.62, 1), sharey=ax)
    ax.axvline(0, color="#777777", linewidth=1, zorder=1)
    beside.axvline(values[baseline].mean(), color="#777777", linestyle=":", linewidth=1, zorder=1)
    jitter = np.random.default_rng(0).uniform(-0.22, 0.22, size=values.shape)
    less = metric in _LESS_IS_BETTER
    for row, name in enumerate(result.index):
        places = row + jitter[:, row]
        _draw_values(beside, values[name], row, places)
        if name == baseline:
            _remark(ax, row, "compared with this one")
            continue
        ax.scatter(values[name] - values[baseline], places, s=9, color=_SPLITS, linewidths=0, zorder=2)
        _draw_difference(ax, result.loc[name], row, less_is_better=less)
    ax.set_ylim(len(result) - 0.5, -0.5)
    ax.set_yticks(range(len(result)), [verbatim(shortened(method_label(name), 40)) for name in result.index])
    ax.tick_params(axis="y", length=0)
    beside.tick_params(axis="y", length=0, labelleft=False)
    name = _NAMES.get(metric, metric)
    ax.set_xlabel(
        f"Difference in {name} from\n{verbatim(shortened(method_label(baseline), 40))}, {confidence:.0%} interval"
        + (", less is better" if less else "")
    )
    beside.set_xlabel(f"{name[0].upper()}{name[1:]}\nin {len(values)} splits")
    for panel in (ax, beside):
        panel.locator_params(axis="x", nbins=5)
        open_frame(panel)
    return finish(ax, "evaluation", show=show, save=save)


def _draw_values(ax: Axes, values: pd.Series, row: int, places: np.ndarray) -> None:
    """One method's values, a bar at their mean, and both as numbers."""
    ax.scatter(values, places, s=9, color=_SPLITS, linewidths=0, zorder=2)
    ax.plot([values.mean()] * 2, [row - 0.3, row + 0.3], color="#333333", linewidth=2, zorder=3)
    number = f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"
    ax.text(1.03, row, number, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL, color="#555555")


def _draw_difference(ax: Axes, values: pd.Series, row: int, *, less_is_better: bool) -> None:
    """Mean difference with its interval, filled where that excludes 0."""
    lower, upper, difference = (float(values[name]) for name in ("lower", "upper", "difference"))
    if not values["measurable"]:
        _remark(ax, row, "not measurable")
    certain = lower > 0 or upper < 0
    better = (difference < 0) if less_is_better else (difference > 0)
    colour = (_BETTER if better else _WORSE) if certain else _OPEN
    ax.plot([lower, upper], [row, row], color=colour, linewidth=1.8, zorder=3)
    face = colour if certain else "white"
    ax.plot(difference, row, "o", markersize=6.5, markeredgecolor=colour, markerfacecolor=face, zorder=4)


def _remark(ax: Axes, row: int, text: str) -> None:
    ax.text(0.99, row - 0.3, text, transform=ax.get_yaxis_transform(), ha="right", va="center", fontsize=7, color=_OPEN)
