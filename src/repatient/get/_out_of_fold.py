from __future__ import annotations

from typing import TYPE_CHECKING

from repatient import _store
from repatient._checks import check_option
from repatient._docs import shared_docs

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


@shared_docs
def out_of_fold(
    data: AnnData | MuData, *, method: str | None = None, evaluation_key: str = _store.keys.EVALUATION
) -> pd.DataFrame:
    """Hand out what one method predicted of patients that it had not seen.

    Parameters
    ----------
    %(data)s
    method
        Method of the evaluation. ``None``: ``"auto"`` where it was run, else the baseline of the evaluation, else its
        first method; never the one that did best, whose scores would flatter.
    evaluation_key
        Where :func:`repatient.tl.evaluate` stored its results.

    Returns
    -------
    One row a split and held-out patient, with the columns ``method``, ``split``, ``patient``, ``label`` (its categories
    are the classes) and ``probability_<class>`` for each class in that order ("/" in a name is written "|").

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
    >>> rp.get.out_of_fold(adata, method="mean")["split"].nunique()
    3
    """
    _store.check_data(data)
    entry = _store.uns_entry(data, evaluation_key, "evaluation_key", "evaluate")
    if "predictions" not in entry:
        msg = (
            f"`evaluation_key`: `uns[{evaluation_key!r}]` has no 'predictions' of held-out patients; they are written by "
            "`rp.tl.evaluate`. Call it again."
        )
        raise KeyError(msg)
    table = entry["predictions"]
    methods = [str(name) for name in dict.fromkeys(table["method"])]
    if method is None:
        method = next((name for name in ("auto", str(entry["params"].get("baseline"))) if name in methods), methods[0])
    check_option(method, "method", methods)
    return table[table["method"] == method].reset_index(drop=True)
