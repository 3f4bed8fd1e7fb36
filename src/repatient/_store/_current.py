"""Whether what was stored still holds for the object, which has moved on since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient._checks import listed
from repatient._store._lazy import in_memory
from repatient._store._mixture import check_mixture
from repatient._store._outcomes import is_continuous
from repatient._store._patients import as_categories
from repatient._store._validate import obs_column

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_REMEDY = "Learn them again with `rp.tl.recipes`."


def check_recipes(data: AnnData | MuData, entry: Mapping[str, Any]) -> None:
    """Refuse recipes of another mixture than there is now, or of patients who were of other classes then."""
    params = entry["params"]
    check_mixture(data, params["mixture"], params["gmm_key"], "The recipes", _REMEDY)
    _check_labels(data, entry, "The recipes", _REMEDY)


def check_source(data: AnnData | MuData, params: Mapping[str, Any], labels: pd.Series, key: str, remedy: str) -> None:
    """Refuse generated patients of a mixture, or of classes, that were given up since.

    The recipes that they were drawn from, where they are still there, know the class of each patient.
    """
    what = f"The generated patients of `uns[{key!r}]`"
    check_mixture(data, params["mixture"], params["gmm_key"], what, remedy)
    entry = data.uns.get(params.get("recipes_key"))
    found = entry.get("params") if isinstance(entry, Mapping) else None
    keys = ("mixture", "patient_key", "label_key")
    if (
        not isinstance(found, Mapping)
        or not {"patients", "classes"} <= set(entry)
        or any(found.get(name) != params[name] for name in keys)
    ):
        return
    _check_labels(data, entry, what, remedy)
    if is_continuous(params) or is_continuous(found) or params["label_key"] not in data.obs:
        return
    column = as_categories(obs_column(data, params["label_key"], "label_key"), "label_key")
    known = {*column.categories, *map(str, np.atleast_1d(entry["classes"]))}
    given_up = [name for name in dict.fromkeys(labels.astype(str)) if name not in known]
    if given_up:
        msg = (
            f"`generated_key`: {what} are of the classes {listed(given_up)}, which neither `obs[{params['label_key']!r}]` "
            f"nor the recipes have: {listed(known)}. {remedy}"
        )
        raise ValueError(msg)


def _check_labels(data: AnnData | MuData, entry: Mapping[str, Any], what: str, remedy: str) -> None:
    """Refuse patients who have another class, or value, than they had.

    Patients who are gone, came since, or had or have none are no contradiction.
    """
    params = entry["params"]
    try:
        columns = [obs_column(data, params[key], key) for key in ("patient_key", "label_key")]
    except KeyError:
        return
    before = in_memory(entry["patients"])["label"].dropna()
    patients, labels = (
        as_categories(column, key) for column, key in zip(columns, ("patient_key", "label_key"), strict=True)
    )
    known = (patients.codes >= 0) & (labels.codes >= 0)
    pairs = np.unique(np.stack([patients.codes[known], labels.codes[known]]), axis=1)
    now = pd.DataFrame({"patient": patients.categories[pairs[0]], "label": labels.categories[pairs[1]]})
    now["before"] = before.astype(object).set_axis(before.index.astype(str)).reindex(now["patient"]).to_numpy()
    now = now[now["before"].notna()]
    if is_continuous(params):
        same = np.isclose(now["label"].astype(np.float64), now["before"].astype(np.float64), rtol=1e-5, atol=0)
    else:
        same = (now["label"] == now["before"].astype(str)).to_numpy()
    if same.all():
        return
    changed = now[~same]
    examples = [f"{row.patient} ({row.before!r} then, {row.label!r} now)" for row in changed.iloc[:6].itertuples()]
    msg = (
        f"`label_key`: {what} are stale: {len(changed)} patients have another value of {params['label_key']!r} than they "
        f"had, {', '.join(examples)}{', …' if len(changed) > 6 else ''}. {remedy}"
    )
    raise ValueError(msg)
