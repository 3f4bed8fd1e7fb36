from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient import _store
from repatient._docs import shared_docs
from repatient.evaluation import by_split, compare
from repatient.pl._axes import SMALL, axes_or_new, check_axes, finish, open_frame, verbatim
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
}
_METHODS = {
    "none": "no augmentation",
    "full": "all classes present",
    "recipe": "RECIPE",
    "recipe+psemix": "RECIPE and PseMix in turn",
    "recipe+psemix+insmix": "RECIPE, PseMix and InsMix in turn",
    "recipe_fixed": "RECIPE, fixed patients",
    "random_selection": "fixed patients, as many at random",
    "same_class_mixing": "same-class mixing",
    "mixup": "Mixup",
    "size_only": "number of cells only",
    "external": "external patients",
    "null": "null: wrong recipes",
    "psemix": "PseMix",
    "rankmix": "RankMix",
    "remix": "ReMix",
    "insmix": "InsMix",
}
_LESS_IS_BETTER = ("brier",)
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
    """Draw how each method differs from a baseline, split by split.

    Parameters
    ----------
    %(data)s
    metric
        ``"auroc"``, ``"balanced_accuracy"``, ``"macro_f1"`` or ``"brier"``.
    baseline
        Method that the others are compared with. ``None``: ``"none"`` or, where a class was missing, ``"full"``; the
        first method where that was not run.
    confidence
        Of the intervals.
    evaluation_key
        Where :func:`repatient.tl.evaluate` stored its results.
    %(ax)s

    Returns
    -------
    The axes, one row a method, in the order of the evaluation: small dots for the differences of the splits, a large one
    for their mean, with its interval by the corrected resampled t-test (:func:`repatient.evaluation.compare`), filled
    where the interval excludes 0. Beside the rows stand the mean and the standard deviation of the metric itself.

    Raises
    ------
    KeyError
        If there was no evaluation.
    ValueError
        If the metric or the baseline is not among its results, or ``confidence`` is no share below 1.
    TypeError
        If an argument is of a wrong type.
    """
    _store.check_data(data)
    check_axes(ax, show, save)
    entry = _store.uns_entry(data, evaluation_key, "evaluation_key", "evaluate")
    frame, params = entry["results"], entry["params"]
    table = by_split(frame, metric)
    if baseline is None:
        usual = str(params["baseline"])
        baseline = usual if usual in table else str(table.columns[0])
    result = compare(
        frame,
        baseline=baseline,
        metric=metric,
        test_fraction=float(params["test_fraction"]),
        confidence=confidence,
    )
    differences = table[result.index].sub(table[baseline], axis=0)

    ax = axes_or_new(ax, 6.4, 1.3 + 0.42 * len(result))
    ax.axvline(0, color="#777777", linewidth=1, zorder=1)
    _draw(ax, differences, result, sign=-1 if metric in _LESS_IS_BETTER else 1)
    _label_rows(ax, result)
    name = _NAMES.get(metric, metric)
    base = table[baseline]
    ax.set_xlabel(
        f"Difference in {name} from {verbatim(_readable(baseline))} ({base.mean():.3f} ± {base.std(ddof=1):.3f})"
        f"\n{len(table)} splits, {confidence:.0%} interval" + (", less is better" if metric in _LESS_IS_BETTER else "")
    )
    open_frame(ax)
    return finish(ax, "evaluation", show=show, save=save)


def _draw(ax: Axes, differences: pd.DataFrame, result: pd.DataFrame, *, sign: int) -> None:
    """Splits, means and intervals, first method on top."""
    rng = np.random.default_rng(0)
    for row, (name, values) in enumerate(result.iterrows()):
        jitter = rng.uniform(-0.22, 0.22, size=len(differences))
        ax.scatter(differences[name], row + jitter, s=9, color=_SPLITS, linewidths=0, zorder=2)
        excludes_zero = values["lower"] > 0 or values["upper"] < 0
        colour = (_BETTER if sign * values["difference"] > 0 else _WORSE) if excludes_zero else _OPEN
        ax.plot([values["lower"], values["upper"]], [row, row], color=colour, linewidth=1.8, zorder=3)
        ax.plot(
            values["difference"],
            row,
            "o",
            markersize=6.5,
            markeredgecolor=colour,
            markerfacecolor=colour if excludes_zero else "white",
            zorder=4,
        )
    ax.set_ylim(len(result) - 0.5, -0.5)


def _label_rows(ax: Axes, result: pd.DataFrame) -> None:
    """Names to the left, the values themselves to the right."""
    ax.set_yticks(range(len(result)), [verbatim(_readable(str(name))) for name in result.index])
    ax.tick_params(axis="y", length=0)
    across = ax.get_yaxis_transform()
    ax.text(1.02, -0.5, "mean ± sd", transform=across, va="bottom", fontsize=SMALL, color="#555555")
    for row, (mean, sd) in enumerate(result[["mean", "sd"]].to_numpy()):
        ax.text(1.02, row, f"{mean:.3f} ± {sd:.3f}", transform=across, va="center", fontsize=SMALL, color="#555555")


def _readable(name: str) -> str:
    return _METHODS.get(name, name.replace("_", " "))
