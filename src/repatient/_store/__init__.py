"""The contract between the functions and the object: key names, reading, writing, validation."""

from repatient._store import _keys as keys
from repatient._store._cohort import (
    Cohort,
    embedding_of_mixture,
    held_out_quantiles,
    moments_entry,
    read_cohort,
    read_moments,
    read_spread,
    spread_entry,
)
from repatient._store._covariates import read_covariates
from repatient._store._embedding import read_embedding
from repatient._store._generated import (
    GaussianPatients,
    gaussian_entry,
    is_gaussian,
    read_gaussian,
    read_generated,
)
from repatient._store._lazy import in_memory
from repatient._store._mixture import check_mixture, fingerprint, read_components, write_components
from repatient._store._outcomes import (
    OUTCOMES,
    check_outcome,
    check_values,
    is_continuous,
    of_one_class,
    read_classed_patients,
    read_grades,
    read_valued_patients,
)
from repatient._store._params import record, storable_mask
from repatient._store._patients import Patients, as_categories, patients_frame, read_patients
from repatient._store._recipes import read_recipes_entry, recipes_entry
from repatient._store._validate import (
    check_data,
    obs_column,
    read_mask,
    uns_entry,
)

__all__ = [
    "OUTCOMES",
    "Cohort",
    "GaussianPatients",
    "Patients",
    "as_categories",
    "check_data",
    "check_mixture",
    "check_outcome",
    "check_values",
    "embedding_of_mixture",
    "fingerprint",
    "gaussian_entry",
    "held_out_quantiles",
    "in_memory",
    "is_continuous",
    "is_gaussian",
    "keys",
    "moments_entry",
    "obs_column",
    "of_one_class",
    "patients_frame",
    "read_classed_patients",
    "read_cohort",
    "read_components",
    "read_covariates",
    "read_embedding",
    "read_gaussian",
    "read_generated",
    "read_grades",
    "read_mask",
    "read_moments",
    "read_patients",
    "read_recipes_entry",
    "read_spread",
    "read_valued_patients",
    "recipes_entry",
    "record",
    "spread_entry",
    "storable_mask",
    "uns_entry",
    "write_components",
]
