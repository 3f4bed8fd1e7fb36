"""Views: a second modality of the same rows, measured or synthetic, and encoders that learn from it.

.. data:: ARMS

    Names of the arms of a comparison, described at :func:`repatient.tl.evaluate_views`.

.. data:: CANDIDATES

    Those of them that one would take, the simplest first.
"""

from __future__ import annotations

from repatient.views._advice import CANDIDATES, Advice, advise, simpler_warning
from repatient.views._arms import ARMS, Comparison, Side, as_read, compare_arms, represent_arms
from repatient.views._augmentations import CountAugmentation, ImageAugmentation, VectorAugmentation
from repatient.views._composition_check import compare_clusters, compare_groups, hallucination_warning
from repatient.views._encoder import Encoder
from repatient.views._fidelity import (
    agreement,
    by_group,
    distribution_match,
    feature_correlation,
    foscttm,
    neighbour_overlap,
    read_as,
)
from repatient.views._probes import probe_errors
from repatient.views._ratios import error_ratios
from repatient.views._translator import Translator

__all__ = [
    "ARMS",
    "CANDIDATES",
    "Advice",
    "Comparison",
    "CountAugmentation",
    "Encoder",
    "ImageAugmentation",
    "Side",
    "Translator",
    "VectorAugmentation",
    "advise",
    "agreement",
    "as_read",
    "by_group",
    "compare_arms",
    "compare_clusters",
    "compare_groups",
    "distribution_match",
    "error_ratios",
    "feature_correlation",
    "foscttm",
    "hallucination_warning",
    "neighbour_overlap",
    "probe_errors",
    "read_as",
    "represent_arms",
    "simpler_warning",
]
