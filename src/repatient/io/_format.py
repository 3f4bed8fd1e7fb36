"""The recipes file: what is in it."""

FORMAT = "repatient recipes"
VERSION = 1

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
    "params",
)
