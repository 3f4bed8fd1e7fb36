"""What a cohort gains by what another one sends: a method for each rung of the ladder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from repatient.evaluation._fold import SCENARIOS
from repatient.evaluation._methods import register_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from repatient.evaluation._fitted_fold import FittedFold
    from repatient.mixing import Transferred

# What each rung of the ladder lets travel, and the method that measures it.
RUNGS: dict[str, tuple[str, ...]] = {
    "recipes": ("recipes",),
    "offsets": ("recipes", "offsets"),
    "model": ("recipes", "offsets", "model"),
    "cells": ("recipes", "offsets", "model", "cells"),
}
METHOD_OF_RUNG = {
    "nothing": "auto",
    "recipes": "recipes_travel",
    "offsets": "offsets_travel",
    "model": "model_travels",
    "cells": "cells_travel",
}


class Travels:
    """A predictor of the training patients and of what travels from the other cohort.

    Parameters
    ----------
    what
        Names in :data:`repatient.mixing.TRAVELS`.
    predictor
        Name of the predictor; other than ``"auto"``, it is trained with counterfactual patients alone.
    align, check
        As for :func:`repatient.mixing.fit_with_references`.
    n_components
        Components of the other cohort's mixture; None for as many as its patients bear.
    permuted
        Whether its patients exchange their classes: the control, which should do no harm.
    """

    scenarios: ClassVar[tuple[str, ...]] = SCENARIOS
    sends: ClassVar[tuple[str, ...]] = RUNGS["cells"]

    def __init__(
        self,
        what: Sequence[str] | None = None,
        predictor: str = "auto",
        align: str = "auto",
        n_components: int | None = None,
        *,
        check: bool = True,
        permuted: bool = False,
    ) -> None:
        self.what = self.sends if what is None else tuple(what)
        self.predictor, self.align, self.n_components, self.check = predictor, align, n_components, check
        self.permuted = permuted

    @classmethod
    def settings(cls) -> list[str]:
        """Names of what can be set."""
        return ["what", "predictor", "align", "n_components", "check", "permuted"]

    def predict(self, fold: FittedFold) -> NDArray[np.float64]:
        """Train in a fold, and predict its test patients: (patients, classes)."""
        predictor: Any = self.transferred(fold).predictor
        probabilities = np.zeros((len(fold.fold.test), fold.n_classes))
        known = [int(name) for name in predictor.classes_]
        probabilities[:, known] = predictor.predict_proba(fold.bags.take(fold.fold.test))
        return probabilities

    def transferred(self, fold: FittedFold) -> Transferred:
        """Train in a fold: the predictor, whose classes go by their codes, and what the check of the reference found."""
        from repatient.mixing import fit_with_references

        reference = fold.reference(self.n_components, permuted=self.permuted).only(self.what)
        train, y = fold.fold.train, fold.cohort.y
        present = np.unique(y[train])
        # By their names, which rise as text.
        known = sorted((c for c in range(fold.n_classes) if c in present or str(c) in reference.classes), key=str)
        return fit_with_references(
            fold.bags.take(train),
            np.array([known.index(c) for c in y[train]]),
            [str(c) for c in known],
            fold.cohort.donors[train],
            [reference],
            model=self.predictor,
            align=self.align,
            check=self.check,
            alone=lambda: fold.alone(self.predictor, [str(c) for c in known]),
            random_state=fold.seed,
        )


def _method_of(rung: str) -> Any:
    return type(f"{rung.title()}Travel", (Travels,), {"sends": RUNGS[rung], "__doc__": Travels.__doc__})


register_method("travels", Travels)
for _rung in RUNGS:
    register_method(METHOD_OF_RUNG[_rung], _method_of(_rung))
