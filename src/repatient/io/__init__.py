"""Files of recipes, and reports."""

from repatient.io._export_recipes import export_recipes
from repatient.io._read_recipes import read_recipes
from repatient.io._write_recipes import write_recipes
from repatient.io._write_report import write_report

__all__ = ["export_recipes", "read_recipes", "write_recipes", "write_report"]
