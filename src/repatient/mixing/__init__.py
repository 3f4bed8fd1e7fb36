"""Bags made anew for every step of training: RECIPE, and what else there is.

Each class here goes to :meth:`repatient.mil.MILClassifier.fit` as ``augment``. It sees the real training bags alone,
and uses no cell of any other. :func:`fit_with_references` trains with what other cohorts know (:class:`Reference`).

.. data:: TRAVELS

    What may travel from a cohort: ``"recipes"``, ``"offsets"``, ``"model"``, ``"cells"``.
"""

from repatient.mixing._aligned import Aligned, alignment
from repatient.mixing._alternating import Alternating
from repatient.mixing._artefacts import Artefact, artefacts, concern, draw_generated
from repatient.mixing._counterfactual import Counterfactual, CounterfactualGenerator, Moves
from repatient.mixing._generator import DrawnPatients, Gaussians, PatientGenerator, draw_by
from repatient.mixing._insmix import InsMix
from repatient.mixing._mixup import Mixup
from repatient.mixing._oversampling import Oversampling
from repatient.mixing._psemix import PseMix
from repatient.mixing._rankmix import RankMix
from repatient.mixing._recipe_mix import RecipeMix
from repatient.mixing._recipe_sampler import RecipeSampler
from repatient.mixing._reference import TRAVELS, Reference, ReferenceMixture
from repatient.mixing._registry import (
    RegisteredAugmenter,
    augment_settings,
    augmenters,
    find_augmenter,
    make_augmenter,
    parse_augment,
    register_augmenter,
    unregister_augmenter,
)
from repatient.mixing._remix import ReMix
from repatient.mixing._same_class import SameClassMixing
from repatient.mixing._standardized import Standardized
from repatient.mixing._transfer import Transferred, fit_with_references
from repatient.mixing._trust import Trust

__all__ = [
    "TRAVELS",
    "Aligned",
    "Alternating",
    "Artefact",
    "Counterfactual",
    "CounterfactualGenerator",
    "DrawnPatients",
    "Gaussians",
    "InsMix",
    "Mixup",
    "Moves",
    "Oversampling",
    "PatientGenerator",
    "PseMix",
    "RankMix",
    "ReMix",
    "RecipeMix",
    "RecipeSampler",
    "Reference",
    "ReferenceMixture",
    "RegisteredAugmenter",
    "SameClassMixing",
    "Standardized",
    "Transferred",
    "Trust",
    "alignment",
    "artefacts",
    "augment_settings",
    "augmenters",
    "concern",
    "draw_by",
    "draw_generated",
    "find_augmenter",
    "fit_with_references",
    "make_augmenter",
    "parse_augment",
    "register_augmenter",
    "unregister_augmenter",
]
