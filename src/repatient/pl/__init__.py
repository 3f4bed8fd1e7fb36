"""Plots: the recipes, the generated patients and the classifier, from what the tools stored."""

from repatient.pl._attention import attention
from repatient.pl._audit import audit
from repatient.pl._calibration import calibration
from repatient.pl._compare_recipes import compare_recipes
from repatient.pl._compositions import compositions
from repatient.pl._confusion import confusion
from repatient.pl._contributions import contributions
from repatient.pl._embedding import embedding
from repatient.pl._evaluation import evaluation
from repatient.pl._history import history
from repatient.pl._recipes import recipes
from repatient.pl._roc import roc
from repatient.pl._scores import scores
from repatient.pl._uncertainty import uncertainty
from repatient.pl._views import views

__all__ = [
    "attention",
    "audit",
    "calibration",
    "compare_recipes",
    "compositions",
    "confusion",
    "contributions",
    "embedding",
    "evaluation",
    "history",
    "recipes",
    "roc",
    "scores",
    "uncertainty",
    "views",
]
