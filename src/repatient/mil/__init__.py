"""Multiple-instance learning: a patient is a bag of cells.

A :class:`Bags` is a set of slices of one array of cells. A :class:`MILClassifier` learns from such bags, real and
generated, and predicts the class of patients; a :class:`MILOrdinalClassifier` predicts an ordered grade and a
:class:`MILRegressor` a value. An :class:`Augmenter` makes the bags of every gradient step anew, through its
:class:`Sampler`. :func:`total_entropy`, :func:`epistemic` and :func:`margin` of classes and grades, and
:func:`predictive_sd` of values, say how unsure Monte-Carlo passes are. :func:`load_model` reads what was saved.

.. data:: PREDICTORS

    Predictors by name, described in the guide, :doc:`/guide/names`; :func:`register_predictor` adds one.
"""

from __future__ import annotations

from repatient.mil._attention import Attention
from repatient.mil._augment import Augmenter, Sampler
from repatient.mil._bags import Bags
from repatient.mil._cells import Cells
from repatient.mil._centroid import Centroid
from repatient.mil._classifier import MILClassifier
from repatient.mil._cloudpred import CloudPred
from repatient.mil._ensemble import Ensemble
from repatient.mil._likelihood import Likelihood
from repatient.mil._linear import Linear
from repatient.mil._load import load_model
from repatient.mil._moved import Moved
from repatient.mil._ordinal import MILOrdinalClassifier
from repatient.mil._predictor import BasePredictor, Predictor
from repatient.mil._registry import PREDICTORS, make_predictor, register_predictor
from repatient.mil._regressor import MILRegressor
from repatient.mil._shared import fit_once, sharing
from repatient.mil._uncertainty import PredictiveSD, epistemic, margin, predictive_sd, total_entropy

__all__ = [
    "PREDICTORS",
    "Attention",
    "Augmenter",
    "Bags",
    "BasePredictor",
    "Cells",
    "Centroid",
    "CloudPred",
    "Ensemble",
    "Likelihood",
    "Linear",
    "MILClassifier",
    "MILOrdinalClassifier",
    "MILRegressor",
    "Moved",
    "PredictiveSD",
    "Predictor",
    "Sampler",
    "epistemic",
    "fit_once",
    "load_model",
    "make_predictor",
    "margin",
    "predictive_sd",
    "register_predictor",
    "sharing",
    "total_entropy",
]
