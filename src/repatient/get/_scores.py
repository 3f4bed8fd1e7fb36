from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_number
from repatient._docs import shared_docs
from repatient.get._out_of_fold import out_of_fold

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@shared_docs
def scores(
    data: AnnData | MuData,
    method: str | None = None,
    *,
    interval: float = 0.9,
    evaluation_key: str = _store.keys.EVALUATION,
) -> pd.DataFrame:
    """Summarise what each patient was predicted as while it was held out.

    Parameters
    ----------
    %(data)s
    method
        Method of the evaluation. ``None``: ``"auto"`` where it was run, else the baseline of the evaluation, else its
        first method.
    interval
        Share of the splits whose probability lies within ``lower`` and ``upper``. It says how much the score depends on
        who else was trained on; it is no confidence interval.
    evaluation_key
        Where :func:`repatient.tl.evaluate` stored its results.

    Returns
    -------
    One row a patient that was held out at least once, the patients as index, with

    ``label``, ``predicted``
        Its class, and the one whose mean probability is highest.
    ``n_splits``, ``share_correct``
        In how many splits it was held out, and in which share of them its class was the most probable one.
    ``probability_<class>``, ``lower_<class>``, ``upper_<class>``
        Mean probability over these splits, and the interval; NaN where there was one split only. "/" in the name of a
        class is written "|".

    Raises
    ------
    KeyError
        If there was no evaluation, or it kept no predictions.
    TypeError
        If an argument is of a wrong type.
    ValueError
        If the method was not run, or ``interval`` is no share above 0 and up to 1.

    Examples
    --------
    %(example_evaluated)s
    >>> rp.get.scores(adata, "mean")["share_correct"].between(0, 1).all()
    np.True_
    """
    check_number(interval, "interval", above=0, maximum=1)
    table = out_of_fold(data, method=method, evaluation_key=evaluation_key)
    classes = table["label"].cat.categories
    columns = _store.keys.probability_columns([str(name) for name in classes])
    probabilities = table[columns]
    of_patient = probabilities.groupby(table["patient"], observed=True)
    mean, n_splits = of_patient.mean(), of_patient.size()
    right = pd.Series(probabilities.to_numpy().argmax(axis=1) == table["label"].cat.codes.to_numpy())
    ends = {"lower": (1 - interval) / 2, "upper": (1 + interval) / 2}
    bounds = {end: of_patient.quantile(share).where(n_splits > 1) for end, share in ends.items()}
    result = pd.DataFrame(
        {
            "label": table.groupby("patient", observed=True)["label"].first(),
            "predicted": pd.Categorical.from_codes(mean.to_numpy().argmax(axis=1), dtype=table["label"].dtype),
            "n_splits": n_splits.astype(np.int64),
            "share_correct": right.groupby(table["patient"], observed=True).mean(),
        }
    )
    for column in columns:
        result[column] = mean[column]
        for end, values in bounds.items():
            result[column.replace("probability", end, 1)] = values[column]
    result.index = pd.Index(result.index.astype(str), name="patient")
    return result
