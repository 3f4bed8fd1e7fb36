"""Cohorts to try things on, without a download."""

from repatient.datasets._pbmc_cohort import Truth, pbmc_cohort

__all__ = ["Truth", "pbmc_cohort"]
