"""The contract between the functions and the object: key names, reading, writing, validation."""

from repatient._store import _keys as keys
from repatient._store._axes import kept_variance, leading_axes
from repatient._store._cohort import (
    LabelledCells,
    density_quantiles,
    embedding_of_mixture,
    has_embedding,
    held_out_quantiles,
    moments_entry,
    read_cohort,
    read_moments,
    read_recorded_cohort,
    read_spread,
    spread_entry,
)
from repatient._store._covariates import read_covariates
from repatient._store._current import check_recipes
from repatient._store._embedding import read_embedding
from repatient._store._generated import Generated, read_generated, write_generated
from repatient._store._keys import has_own_units
from repatient._store._lazy import in_memory
from repatient._store._mixture import check_mixture, component_names, fingerprint, read_components, write_components
from repatient._store._origin import EmbeddingOrigin, origin_entry, read_origin, stored_projection
from repatient._store._outcomes import (
    OUTCOMES,
    check_outcome,
    check_values,
    is_continuous,
    of_one_class,
    read_classed_patients,
    read_grades,
    read_recorded_patients,
    read_valued_patients,
)
from repatient._store._params import record, storable_mask
from repatient._store._patients import (
    Patients,
    as_categories,
    as_names,
    is_generated,
    is_text,
    of_class,
    patients_frame,
    read_patients,
    real_cells,
    storable_missing_values,
)
from repatient._store._project import (
    Measured,
    describe_model,
    feature_names,
    part_of,
    projected,
    projection_entry,
    read_projection,
    uns_key,
)
from repatient._store._projection import Projection, check_counts, find_features
from repatient._store._recipes import (
    offsets_of,
    read_offsets,
    read_recipes_entry,
    read_reference_recipes,
    recipes_entry,
)
from repatient._store._validate import (
    check_data,
    obs_column,
    read_mask,
    uns_entry,
)

__all__ = [
    "EmbeddingOrigin",
    "Generated",
    "LabelledCells",
    "Measured",
    "OUTCOMES",
    "Patients",
    "Projection",
    "as_categories",
    "as_names",
    "check_counts",
    "check_data",
    "check_mixture",
    "check_outcome",
    "check_recipes",
    "check_values",
    "component_names",
    "density_quantiles",
    "describe_model",
    "embedding_of_mixture",
    "feature_names",
    "find_features",
    "fingerprint",
    "has_embedding",
    "has_own_units",
    "held_out_quantiles",
    "in_memory",
    "is_continuous",
    "is_generated",
    "is_text",
    "kept_variance",
    "keys",
    "leading_axes",
    "moments_entry",
    "obs_column",
    "of_class",
    "of_one_class",
    "offsets_of",
    "origin_entry",
    "part_of",
    "patients_frame",
    "projected",
    "projection_entry",
    "read_classed_patients",
    "read_recorded_patients",
    "read_recorded_cohort",
    "storable_missing_values",
    "read_cohort",
    "read_components",
    "read_covariates",
    "read_embedding",
    "read_generated",
    "read_grades",
    "read_mask",
    "read_moments",
    "read_offsets",
    "read_origin",
    "read_patients",
    "read_projection",
    "read_recipes_entry",
    "read_reference_recipes",
    "read_spread",
    "read_valued_patients",
    "real_cells",
    "recipes_entry",
    "record",
    "spread_entry",
    "storable_mask",
    "stored_projection",
    "uns_entry",
    "uns_key",
    "write_components",
    "write_generated",
]
