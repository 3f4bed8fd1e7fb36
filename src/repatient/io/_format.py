"""The recipes file: what is in it."""

from __future__ import annotations

FORMAT = "repatient recipes"
# 2 added the part "cohort", and sub-types and covariates of recipes; 3 the checksum in front, see `_seal.py`.
VERSION = 3
FIRST_SEALED_VERSION = 3

COHORT = "cohort"
GMM_PARTS = ("weights", "means", "covariances", "log_density_quantiles", "params")
RECIPES_PARTS = (
    "classes",
    "origin",
    "mean",
    "concentration",
    "location",
    "covariance",
    "compositions",
    "composition_class",
    "subtype_weight",
    "subtype_mean",
    "subtype_concentration",
    "subtype_class",
    "covariates",
    "effects",
    "covariate_mean",
    "covariate_low",
    "covariate_high",
    "params",
)


class Refused(ValueError):
    """What was read is no recipes file, or a damaged one; the message says so in full."""
