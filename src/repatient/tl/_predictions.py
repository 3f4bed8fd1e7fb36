"""The table of predictions, of models of every outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store

if TYPE_CHECKING:
    from repatient.evaluation import FamiliarityScores
    from repatient.mil import Bags, Predictor


def predictions_of(
    model: Predictor, bags: Bags, names: np.ndarray, *, n_passes: int | None, random_state: int
) -> pd.DataFrame:
    """One row a bag, see :func:`repatient.tl.mil` for the columns."""
    from repatient.mil import sharing

    index = pd.Index(names.astype(str), name="patient")
    options: dict[str, Any] = {"n_passes": n_passes, "random_state": random_state}
    # The passes read what the prediction has computed of the patients.
    with sharing():
        return (_values if model.outcome == "continuous" else _classes)(model, bags, index, options)


def _classes(model: Any, bags: Bags, index: pd.Index, options: dict[str, Any]) -> pd.DataFrame:
    from repatient.mil import epistemic, total_entropy

    probabilities = model.predict_proba(bags)
    passes = model.predict_proba_mc(bags, **options)
    classes, ordered = [str(name) for name in model.classes_], model.outcome == "ordinal"
    frame = pd.DataFrame(probabilities, columns=_store.keys.probability_columns(classes), index=index)
    frame.insert(0, "predicted", pd.Categorical.from_codes(probabilities.argmax(axis=1), classes, ordered=ordered))
    if ordered:
        frame.insert(1, "expected_grade", probabilities @ np.arange(len(classes)))
    frame["uncertainty"] = total_entropy(passes)
    frame["epistemic"] = epistemic(passes)
    return frame


def _values(model: Any, bags: Bags, index: pd.Index, options: dict[str, Any]) -> pd.DataFrame:
    from repatient.mil import predictive_sd

    sd = predictive_sd(*model.predict_mc(bags, **options))
    columns = {"uncertainty": sd.total, "epistemic": sd.epistemic, "aleatoric": sd.aleatoric}
    return pd.DataFrame({"predicted": model.predict(bags), **columns}, index=index)


def familiarity_columns(scores: FamiliarityScores | None) -> dict[str, Any]:
    """Columns that say how familiar patients are; NaN where that is not known."""
    from repatient.evaluation import Familiarity

    names = [f"p_{name}" for name in Familiarity.measures]
    if scores is None:
        return dict.fromkeys(["familiarity", "inside", *names], np.nan)
    return {"familiarity": scores.p, "inside": scores.inside, **dict(zip(names, scores.p_values.T, strict=True))}
