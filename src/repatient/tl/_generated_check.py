"""Whether a model that was trained here tells generated patients from real ones."""

from __future__ import annotations

import warnings
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from repatient.mil import Bags, Predictor
    from repatient.tl._augmenters import Augmentation


def compare_generated(
    predictor: Predictor,
    classes: list[str],
    real: Bags,
    labels: np.ndarray,
    donors: np.ndarray,
    *,
    stored: tuple[Bags, np.ndarray] | None,
    augmentation: Augmentation | None,
    random_state: int,
) -> pd.DataFrame | None:
    """A row a class that has real and generated patients; ``None`` where what was trained on generates none.

    Generated patients are those that are ``stored``, with their labels, or drawn as the ``augmentation`` drew them for
    training. Warns where the answer matters, as only generated patients stand for a class.
    """
    from repatient.mixing import Artefact, artefacts, concern, draw_generated

    code = {name: number for number, name in enumerate(classes)}
    y = np.array([code[name] for name in labels.tolist()])
    if stored is not None:
        generated, generated_y = stored[0], np.array([code[name] for name in stored[1].tolist()])
    else:
        made = None
        if augmentation is not None:
            made = draw_generated(augmentation.augmenter, real, y, np.array(classes), donors, random_state=random_state)
        if made is None:
            return None
        generated, generated_y = made
    found = artefacts(predictor, real, y, generated, generated_y, classes)
    told = concern(found, [name for name in classes if name not in labels])
    if told is not None:
        warnings.warn(told, UserWarning, stacklevel=3)
    table = pd.DataFrame([asdict(part) for part in found], columns=[part.name for part in fields(Artefact)])
    return table.rename(columns={"name": "class"}).rename(index=str)


def thresholds_of(predictor: Predictor, classes: list[str]) -> pd.DataFrame | None:
    """What was taken off the logits of classes without a real patient, a row a class and member; ``None`` if nothing was."""
    members = [("", predictor), *getattr(predictor, "members_", ())]
    rows = [
        (name, classes[shift.code], shift.shift, shift.low, shift.high)
        for name, member in members
        for shift in getattr(member, "missing_shifts_", ())
    ]
    if not rows:
        return None
    return pd.DataFrame(rows, columns=["member", "class", "shift", "low", "high"]).rename(index=str)
