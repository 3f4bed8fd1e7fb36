"""Files: cohorts as people have them, recipes, reports."""

from repatient.io._cohort_table import cohort_table
from repatient.io._export_recipes import export_recipes
from repatient.io._read_features import read_features
from repatient.io._read_recipes import read_recipes
from repatient.io._write_recipes import write_recipes
from repatient.io._write_report import write_report

__all__ = ["cohort_table", "export_recipes", "read_features", "read_recipes", "write_recipes", "write_report"]
