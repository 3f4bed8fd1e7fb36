"""Hand stored results out as tables and objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repatient.get._augmented import augmented
from repatient.get._bags import bags
from repatient.get._compositions import compositions
from repatient.get._generated import generated
from repatient.get._out_of_fold import out_of_fold
from repatient.get._patients import patients
from repatient.get._recipes import recipes
from repatient.get._scores import scores

if TYPE_CHECKING:
    from repatient.get._patient_bags import PatientBags

__all__ = [
    "PatientBags",
    "augmented",
    "bags",
    "compositions",
    "generated",
    "out_of_fold",
    "patients",
    "recipes",
    "scores",
]


def __getattr__(name: str) -> Any:
    # A dataset of torch needs torch, which nothing else here does.
    if name == "PatientBags":
        from repatient.get._patient_bags import PatientBags

        return PatientBags
    msg = f"module 'repatient.get' has no attribute {name!r}"
    raise AttributeError(msg)
