"""Recipes that go with a value: one class of patients, whose value counts as a covariate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_option, listed
from repatient.tl._generate_values import VALUE

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def check_outcome(data: AnnData | MuData, outcome: Any, label_key: str, **of_classes: Any) -> None:
    """Refuse an outcome that does not exist, grades without an order, and what values have no use for."""
    check_option(outcome, "outcome", _store.OUTCOMES)
    if outcome == "ordinal":
        _store.read_grades(data, label_key)
    given = [name for name, value in of_classes.items() if value is not None]
    if outcome == "continuous" and given:
        msg = (
            f"`outcome='continuous'` learns one recipe from the patients of this cohort; {listed(given)} speak of "
            "classes. Leave them out."
        )
        raise ValueError(msg)


def read_learnt_patients(
    data: AnnData | MuData,
    outcome: str,
    patient_key: str,
    label_key: str,
    donor_key: str | None,
    mask: np.ndarray | None,
) -> tuple[_store.Patients, pd.Series | None]:
    """Patients with their classes; values are of one class, and come beside, NaN where a patient has none."""
    if outcome != "continuous":
        return _store.read_patients(data, patient_key, label_key, donor_key, mask), None
    patients = _store.read_valued_patients(data, patient_key, label_key, donor_key, mask)
    _store.check_values(patients, label_key)
    numbers = pd.Series(patients.labels.astype(np.float64), index=pd.Index(patients.names.astype(str), name="patient"))
    return _store.of_one_class(patients, label_key), numbers


def with_numbers(covariates: pd.DataFrame | None, numbers: pd.Series | None, label_key: str) -> pd.DataFrame | None:
    """Covariates of the patients with the value, if there is one, as the first of them."""
    if numbers is None:
        return covariates
    if covariates is None:
        return pd.DataFrame({VALUE: numbers})
    if label_key in covariates:
        msg = f"`covariates`: {label_key!r} is the value that the recipe goes with already; leave it out."
        raise ValueError(msg)
    covariates.insert(0, VALUE, numbers)
    return covariates
