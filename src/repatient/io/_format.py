"""The recipes file: what is in it."""

from __future__ import annotations

FORMAT = "repatient recipes"
# 2 added the part "cohort", and sub-types and covariates of recipes.
VERSION = 2

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
