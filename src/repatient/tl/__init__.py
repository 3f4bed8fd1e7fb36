"""Tools: fit the mixture, learn recipes, generate patients, train and select."""

from repatient.tl._assign import assign
from repatient.tl._audit import audit
from repatient.tl._compare_recipes import compare_recipes
from repatient.tl._distill import distill
from repatient.tl._evaluate import evaluate
from repatient.tl._evaluate_views import evaluate_views
from repatient.tl._explain import explain
from repatient.tl._generate import generate
from repatient.tl._gmm import gmm
from repatient.tl._load_model import load_model
from repatient.tl._mil import mil
from repatient.tl._name_components import name_components
from repatient.tl._patient_classifier import PatientClassifier
from repatient.tl._recipes import recipes
from repatient.tl._select import select
from repatient.tl._synthesize import synthesize
from repatient.tl._view_encoder import ViewEncoder

__all__ = [
    "PatientClassifier",
    "ViewEncoder",
    "assign",
    "audit",
    "compare_recipes",
    "distill",
    "evaluate",
    "evaluate_views",
    "explain",
    "generate",
    "gmm",
    "load_model",
    "mil",
    "name_components",
    "recipes",
    "select",
    "synthesize",
]
