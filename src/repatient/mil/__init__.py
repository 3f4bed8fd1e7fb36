"""Multiple-instance learning: a patient is a bag of cells.

A :class:`Bags` is a set of slices of one array of cells. A :class:`MILClassifier` learns from such bags, real and
generated, and predicts patients; an :class:`Augmenter` makes the bags of every gradient step anew, through its
:class:`Sampler`. :func:`total_entropy`, :func:`epistemic` and :func:`margin` say how unsure its Monte-Carlo passes are.
"""

from __future__ import annotations

from repatient.mil._augment import Augmenter, Sampler
from repatient.mil._bags import Bags
from repatient.mil._classifier import MILClassifier
from repatient.mil._uncertainty import epistemic, margin, total_entropy

__all__ = ["Augmenter", "Bags", "MILClassifier", "Sampler", "epistemic", "margin", "total_entropy"]
