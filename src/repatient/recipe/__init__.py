"""Counts of cells over components in, distributions of patients out."""

from repatient.recipe._composition import proportions
from repatient.recipe._recipes import KINDS, Recipes, fit_recipes

__all__ = ["KINDS", "Recipes", "fit_recipes", "proportions"]
