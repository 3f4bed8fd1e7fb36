"""Whether a trained model tells generated patients from real ones of the same class.

Where it does, it has learnt how patients are generated, and what it says of a class that only generated patients stand
for cannot be relied on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from repatient._checks import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from repatient.mil import Augmenter, Bags, Predictor

PATIENTS_A_CLASS = 32
# What is told apart: beyond chance, and by more than the noise of a few patients.
SIGNIFICANT, FAR = 0.01, 0.25


@dataclass(frozen=True)
class Artefact:
    """How a model's scores of generated patients of a class compare with those of real ones.

    Parameters
    ----------
    name
        The class.
    n_real, n_generated
        Numbers of patients.
    auroc
        Probability that the model gives the class a higher probability in a generated patient than in a real one; .5
        where it tells them not apart.
    p_value
        Of the rank test (Mann-Whitney, two-sided), times the number of classes.
    """

    name: str
    n_real: int
    n_generated: int
    auroc: float
    p_value: float

    @property
    def told_apart(self) -> bool:
        """Whether the model gives generated and real patients of the class different answers."""
        return self.p_value <= SIGNIFICANT and abs(self.auroc - 0.5) >= FAR


def draw_generated(
    augmenter: Augmenter,
    bags: Bags,
    y: NDArray[np.int64],
    classes: NDArray[Any],
    groups: NDArray[Any],
    *,
    random_state: int,
) -> tuple[Bags, NDArray[np.int64]] | None:
    """Patients as an augmenter generates them for training, and the class of each.

    Parameters
    ----------
    augmenter
        What made the bags of the training.
    bags, y, classes, groups
        The real training bags, the class of each as a position in ``classes``, the classes and the donors.
    random_state
        Seed.

    Returns
    -------
    About 32 patients a class; those that lie between two classes are left out. ``None`` where it generates none, as
    augmenters that mix real patients do.
    """
    sampler = augmenter.bind(bags, y, classes, groups)
    generate = getattr(sampler, "generate", None)
    if generate is None:
        return None
    made = generate(PATIENTS_A_CLASS * len(classes), np.random.default_rng(random_state))
    if made is None:
        return None
    patients, targets = made
    pure = np.flatnonzero(targets.max(axis=1) == 1)
    return patients.take(pure), targets[pure].argmax(axis=1)


def artefacts(
    predictor: Predictor,
    real: Bags,
    y: NDArray[np.int64],
    generated: Bags,
    generated_y: NDArray[np.int64],
    names: Sequence[str],
) -> list[Artefact]:
    """What a model of classes makes of generated and of real patients of the same class.

    Parameters
    ----------
    predictor
        The fitted model.
    real, y
        Real patients, and the class of each as a position in ``names``.
    generated, generated_y
        Generated patients and their classes.
    names
        The classes, in the order of the model's.

    Returns
    -------
    One a class that has two real and two generated patients.
    """
    of_real, of_generated = predictor.predict_proba(real), predictor.predict_proba(generated)
    both = [c for c in range(len(names)) if min((y == c).sum(), (generated_y == c).sum()) > 1]
    found = []
    for c in both:
        ours, theirs = of_real[y == c, c], of_generated[generated_y == c, c]
        test = stats.mannwhitneyu(theirs, ours)
        auroc = float(test.statistic / (len(ours) * len(theirs)))
        p_value = min(float(test.pvalue) * len(both), 1.0)
        found.append(Artefact(names[c], len(ours), len(theirs), auroc, p_value))
    return found


def concern(found: Sequence[Artefact], missing: Sequence[str]) -> str | None:
    """What is to be said where classes are known by generated patients alone.

    Parameters
    ----------
    found
        What :func:`artefacts` found.
    missing
        Classes without a real patient.

    Returns
    -------
    A sentence with the numbers and a remedy; ``None`` if nothing speaks against the model.
    """
    apart = [part for part in found if part.told_apart]
    if not apart or not missing:
        return None
    told = ", ".join(
        f"{part.name!r} (AUROC {part.auroc:.2f} of {part.n_generated} generated against {part.n_real} real, "
        f"p = {part.p_value:.2g})"
        for part in apart
    )
    return (
        f"The model tells generated patients from real ones of the same class: {told}. Only generated patients stand for "
        f"{listed(missing)}, so that its answers on real ones cannot be relied on. Train with `reference=`, whose "
        "patients keep the cells of real ones, or fit fewer components or dimensions."
    )
