"""From a checked cohort to what is trained and validated on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._messages import warn
from repatient.mil._augment import Augmented
from repatient.mil._batches import LabelledBags
from repatient.mil._inputs import compact
from repatient.mil._split import no_validation_message, validation_split

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from repatient.mil._augment import Augmenter
    from repatient.mil._batches import TrainingBatches
    from repatient.mil._inputs import TrainingBags
    from repatient.mil._split import Strata


def hold_out(
    strata: Strata, groups: NDArray[Any], fraction: float, n_steps: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices of the validation bags; a warning where they were wanted and cannot be had."""
    if fraction == 0.0:
        return np.empty(0, dtype=np.int64)
    held_out = validation_split(strata.codes, groups, fraction, rng, len(strata.names))
    if len(held_out) == 0:
        warn(no_validation_message(strata, fraction, n_steps))
    return held_out


def prepare(
    cohort: TrainingBags,
    held_out: NDArray[np.int64],
    standardize: Callable[[NDArray[Any]], NDArray[np.float32]],
    augment: Augmenter | None,
    *,
    balanced: bool,
    rng: np.random.Generator,
) -> tuple[TrainingBatches, LabelledBags | None]:
    """Where the batches of training come from, and the validation bags, over one array of standardised cells."""
    bags, y = cohort.training_bags(held_out)
    training, validation = compact([bags, cohort.real.take(held_out)], standardize)
    weigh = partial(LabelledBags.of, n_classes=len(cohort.classes), balanced=balanced)
    held = weigh(validation, cohort.y[held_out]) if len(held_out) else None
    if augment is None:
        return weigh(training, y), held
    groups = cohort.training_groups(held_out)
    sampler = augment.bind(bags, y, cohort.classes, groups)
    return Augmented.of(sampler, bags, weigh(training, y), standardize, balanced=balanced, rng=rng), held
