"""A linear model of single cells, averaged over those of a patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from repatient._checks import check_integer, check_number
from repatient.mil import _inputs
from repatient.mil._cell_reader import CellReader
from repatient.mil._heads import Head, fit_head, probabilities, stored_head
from repatient.mil._persistence import above, under
from repatient.mil._predictor import BasePredictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil._bags import Bags
    from repatient.mil._training_set import TrainingSet

# Cells times features that are learnt from.
MOST_VALUES = 5_000_000


class Cells(BasePredictor):
    """Regression on cells that carry the outcome of their patient, every patient of equal weight.

    A patient's probabilities are the mean over its cells. Strong where all cells of a patient shift a little.

    Parameters
    ----------
    C
        Inverse strength of the L2 penalty, as in scikit-learn, for weights of cells that sum to 1 in each patient.
    max_cells
        Cells that are learnt from at most, as many of every patient; prediction sees all.
    class_weight
        ``"balanced"`` gives all classes or grades the same weight; values have none.
    standardize
        Whether cells are standardised by the training cells.
    n_passes
        Models drawn from the posterior behind the uncertainty (Laplace's approximation, with patients as the unit).
    outcome
        What is predicted: ``"class"``, ``"ordinal"`` or ``"continuous"``.
    random_state
        Seed. The same seed gives the same bits.
    """

    kind: ClassVar[str] = "cells"
    probabilities_as_scores: ClassVar[bool] = True

    def __init__(
        self,
        *,
        C: float = 1.0,
        max_cells: int = 50_000,
        class_weight: str | None = "balanced",
        standardize: bool = True,
        n_passes: int = 50,
        outcome: str = "class",
        random_state: int | None = 0,
    ) -> None:
        self.C = C
        self.max_cells = max_cells
        self.class_weight = class_weight
        self.standardize = standardize
        self.n_passes = n_passes
        self.outcome = outcome
        self.random_state = random_state

    def _check(self) -> None:
        super()._check()
        check_number(self.C, "C", above=0.0)
        check_integer(self.max_cells, "max_cells")
        _inputs.check_class_weight(self.class_weight)

    def _fit(self, training: TrainingSet, rng: np.random.Generator) -> None:
        self._mean, self._scale = _inputs.fit_scaler(training.real, standardize=self.standardize)
        mass = training.mass(balanced=self.class_weight == "balanced")
        # Many features leave room for fewer cells.
        most = min(self.max_cells, MOST_VALUES // training.real.X.shape[1]) // len(training.parts)
        cells, bags, first = [], [], 0
        for part in training.parts:
            some, of_bag = self._read(part).sample(rng, most)
            cells.append(some)
            bags.append(of_bag + first)
            first += len(part)
        bag = np.concatenate(bags)
        of_cells = mass[bag] / np.bincount(bag, minlength=first)[bag][:, None]
        values = training.classes if self.outcome == "continuous" else np.arange(len(training.classes))
        self._set_head(fit_head(self.outcome, np.concatenate(cells).astype(np.float64), of_cells, values, C=self.C))
        if self.outcome == "continuous":
            left = self._scores(training.real)[:, 0] - training.classes[training.y]
            self.noise_ = float(np.sqrt((left**2).mean()))

    def _set_head(self, head: Head) -> None:
        self._head = head
        self.intercept_ = self._of_scores(np.asarray(head.arrays["intercept"]))

    def _of_scores(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities, or the value, of single cells, (..., K)."""
        p = probabilities(self.outcome, scores, self._head.arrays.get("thresholds"))
        return p[..., None] if self.outcome == "continuous" else p

    def _read(self, bags: Bags) -> CellReader:
        return CellReader(bags, self._mean, self._scale)

    def _scores(self, bags: Bags) -> NDArray[np.float64]:
        return self._read(bags).mean_of(lambda x: self._of_scores(self._head.scores(x)), len(self.intercept_))

    def _scores_of_passes(self, bags: Bags, n_passes: int, rng: np.random.Generator) -> NDArray[np.float64]:
        coefs = self._head.coefs_of_passes(n_passes, rng)

        def values(x: NDArray[np.float32]) -> NDArray[np.float64]:
            scores = np.einsum("md,tdk->mtk", x, coefs, optimize=True) + self._head.arrays["intercept"]
            return self._of_scores(scores).reshape(len(x), -1)

        width = n_passes * len(self.intercept_)
        return self._read(bags).mean_of(values, width).reshape(len(bags), n_passes, -1).transpose(1, 0, 2)

    def _contributions(self, bags: Bags) -> NDArray[np.float64]:
        values = self._read(bags).each(lambda x: self._of_scores(self._head.scores(x)), len(self.intercept_))
        return (values - self.intercept_) / np.repeat(bags.sizes, bags.sizes)[:, None]

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        arrays = {name: np.asarray(array) for name, array in self._head.arrays.items()}
        content = {"noise": self.noise_} if self.outcome == "continuous" else {}
        return content, above(arrays, "head.") | {"mean": self._mean, "scale": self._scale}

    def _restore(self, content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self._mean, self._scale = _inputs.stored_scaler(arrays, self.n_features_in_)
        n_classes = 1 if self.outcome == "continuous" else len(self.classes_)
        self._set_head(stored_head(self.outcome, under(arrays, "head."), self.n_features_in_, n_classes))
        if self.outcome == "continuous":
            self.noise_ = check_number(content["noise"], "noise", minimum=0.0)
