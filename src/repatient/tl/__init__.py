"""Tools: fit the mixture, learn recipes, generate patients, train and select."""

from repatient.tl._assign import assign
from repatient.tl._generate import generate
from repatient.tl._gmm import gmm
from repatient.tl._mil import mil
from repatient.tl._patient_classifier import PatientClassifier
from repatient.tl._recipes import recipes
from repatient.tl._select import select

__all__ = ["PatientClassifier", "assign", "generate", "gmm", "mil", "recipes", "select"]
