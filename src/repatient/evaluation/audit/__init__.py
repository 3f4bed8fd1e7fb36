"""Realism and privacy of generated patients: every measure of every class, from arrays.

.. data:: POOL, KNOWN, HELD_OUT

    What a real patient was to the generated ones: its cells could be drawn; its recipe or donor was known; neither.
"""

from repatient.evaluation.audit._measures import Effort
from repatient.evaluation.audit._nearest import nearest_cell_ratio, nearest_patient_ratio
from repatient.evaluation.audit._patients import HELD_OUT, KNOWN, POOL, GeneratedPatients, RealPatients
from repatient.evaluation.audit._table import Audit, audit_patients

__all__ = [
    "HELD_OUT",
    "KNOWN",
    "POOL",
    "Audit",
    "Effort",
    "GeneratedPatients",
    "RealPatients",
    "audit_patients",
    "nearest_cell_ratio",
    "nearest_patient_ratio",
]
