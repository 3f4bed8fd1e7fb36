"""The map of :func:`repatient.tl.evaluate_views`: errors over numbers of labels and of measured pairs, and what to take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from repatient._checks import check_integer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from repatient.views import Advice, Comparison

# Arms of one training each; measured pairs come on top, number by number.
MAP_ARMS = ("raw", "single", "shuffled", "translation", "spi", "authentic_all")
# A single number stands for itself and for these times as many.
_AROUND = (0.4, 1.0, 4.0)
_ALL = "linear"


class Grid(NamedTuple):
    """Numbers of labels and of pairs, rising."""

    labels: list[int]
    pairs: list[int]

    @classmethod
    def of(cls, n_labels: int | Sequence[int], n_pairs: int | Sequence[int]) -> Grid:
        """Of numbers as they were passed."""
        return cls(_numbers(n_labels, "n_labels", 1), _numbers(n_pairs, "n_pairs", 2))


def _numbers(value: int | Sequence[int], argument: str, minimum: int) -> list[int]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not value:
            msg = f"`{argument}` is empty; name at least one number."
            raise ValueError(msg)
        return sorted({check_integer(number, argument, minimum=minimum) for number in value})
    one = check_integer(value, argument, minimum=minimum)
    return sorted({max(round(factor * one), minimum) for factor in _AROUND})


def map_errors(
    comparison: Comparison, grid: Grid, budgets: Sequence[float], encoder: Mapping[str, Any], seed: int
) -> Iterator[dict[str, Any]]:
    """Errors of one seed, one row an arm and number of labels; every encoder is trained once."""
    from repatient.views import represent_arms

    labelled = int(comparison.training.labelled.sum())
    few = [n for n in grid.labels if n < labelled]
    settings: dict[str, Any] = {"budgets": budgets, "encoder": encoder, "random_state": seed}
    made = [*represent_arms(comparison, arms=MAP_ARMS, **settings)]
    for n in grid.pairs:
        if n < len(comparison.paired):
            made += [
                (f"authentic_{n}", found)
                for _, found in represent_arms(comparison, arms=["authentic_few"], n_pairs=n, **settings)
            ]
    for arm, representations in made:
        for n in few or [labelled]:
            errors = [comparison.errors(one, n_labels=n, random_state=seed) for one in representations]
            if n in few:
                value = min(error["linear_few"] for error in errors)
                yield {"arm": arm, "seed": seed, "metric": f"linear_{n}", "value": value}
        yield {"arm": arm, "seed": seed, "metric": _ALL, "value": min(error["linear"] for error in errors)}


def advised(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """What to take with each number of labels, and the same in words; all bounds hold together."""
    from repatient.views import CANDIDATES, advise

    metrics = list(dict.fromkeys(frame["metric"]))
    n_comparisons = len(metrics) * (len(CANDIDATES) - 1)
    found: dict[str, Advice] = {name: advise(frame, name, n_comparisons=n_comparisons) for name in metrics}
    tables = [one.table.assign(metric=name, take=one.take, certain=one.certain) for name, one in found.items()]
    sentences = [f"With {_labels(name)}: {one.sentence}" for name, one in found.items()]
    return pd.concat(tables, ignore_index=True), " ".join(sentences)


def _labels(metric: str) -> str:
    return "all labels" if metric == _ALL else f"{metric.removeprefix('linear_')} labels"
