"""A predictor that was learnt elsewhere, for cells that lie elsewhere and classes that are not all of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from repatient._checks import listed
from repatient.mil._bags import Bags, used_rows
from repatient.mil._persistence import above, packed, under, unpacked
from repatient.mil._predictor import BasePredictor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from repatient.mil._training_set import TrainingSet

    Array = NDArray[Any]


class Moved(BasePredictor):
    """Another cohort's predictor, used here: cells are moved to where it learnt, and its classes stand among all.

    :meth:`of` makes one; there is nothing to fit.

    Parameters
    ----------
    n_passes
        Passes behind the uncertainty.
    outcome
        ``"class"``.
    random_state
        Seed of the passes.

    Attributes
    ----------
    model_
        The predictor.
    matrix_, shift_
        Cells x are moved to ``matrix_ @ x + shift_``; ``None`` where they stay.
    """

    kind: ClassVar[str] = "moved"

    model_: Any
    matrix_: Array | None
    shift_: Array | None

    def __init__(self, *, n_passes: int = 50, outcome: str = "class", random_state: int | None = 0) -> None:
        self.n_passes = n_passes
        self.outcome = outcome
        self.random_state = random_state

    @classmethod
    def of(cls, model: Any, classes: ArrayLike, *, matrix: Array | None = None, shift: Array | None = None) -> Self:
        """A fitted predictor with classes and a place of its own.

        Parameters
        ----------
        model
            A fitted predictor of classes.
        classes
            All classes, those of the model among them by their names; the others are never predicted.
        matrix, shift
            Affine map of the cells, (d, d) and (d,); both or none.

        Raises
        ------
        ValueError
            If the model is not of classes, or of none of these.
        """
        if model.outcome != "class":
            msg = f"`model`: a predictor of classes is needed, not of outcome {model.outcome!r}."
            raise ValueError(msg)
        moved = cls(n_passes=getattr(model, "n_passes", 50), random_state=getattr(model, "random_state", 0))
        moved.model_, moved.matrix_, moved.shift_ = model, matrix, shift
        moved.classes_ = np.sort(np.asarray(classes))
        moved.n_features_in_ = model.n_features_in_
        moved._set_columns()
        if (moved._columns < 0).all():
            msg = f"`model`: its classes {listed(model.classes_)} are none of {listed(moved.classes_)}."
            raise ValueError(msg)
        return moved

    def _set_columns(self) -> None:
        names = [str(name) for name in self.classes_]
        self._columns = np.array([names.index(str(c)) if str(c) in names else -1 for c in self.model_.classes_])
        self.intercept_ = np.asarray(self.model_.intercept_)

    def _there(self, bags: Bags) -> Bags:
        """The bags where the model learnt."""
        if self.matrix_ is None or self.shift_ is None:
            return bags
        used, place = used_rows(bags)
        X = np.asarray(bags.X[used], dtype=np.float64) @ self.matrix_.T + self.shift_
        return Bags(X.astype(np.result_type(bags.X.dtype, np.float32)), place[bags.rows], bags.indptr)

    def link(self, scores: Array) -> Array:
        """Probabilities (..., classes) of scores of the model."""
        own = self.model_.link(scores)
        known = self._columns >= 0
        p = np.zeros((*own.shape[:-1], len(self.classes_)))
        p[..., self._columns[known]] = own[..., known]
        return p / np.maximum(p.sum(axis=-1, keepdims=True), np.finfo(float).tiny)

    def predict_proba_mc(
        self, bags: Bags, *, n_passes: int | None = None, random_state: int | None = None
    ) -> NDArray[np.float64]:
        """Passes of the model, see :meth:`BasePredictor.predict_proba_mc`."""
        passes = self.model_.predict_proba_mc(
            self._there(self._checked(bags)),
            n_passes=self.n_passes if n_passes is None else n_passes,
            random_state=self.random_state if random_state is None else random_state,
        )
        known = self._columns >= 0
        p = np.zeros((*passes.shape[:-1], len(self.classes_)))
        p[..., self._columns[known]] = passes[..., known]
        return p / np.maximum(p.sum(axis=-1, keepdims=True), np.finfo(float).tiny)

    def _scores(self, bags: Bags) -> Array:
        return self.model_.decision_function(self._there(bags))

    def _contributions(self, bags: Bags) -> Array:
        return self.model_.contributions(self._there(bags))

    def _state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        content, arrays = packed(self.model_)
        arrays = above(arrays, "model.")
        if self.matrix_ is not None and self.shift_ is not None:
            arrays |= {"matrix": self.matrix_, "shift": self.shift_}
        return {"model": content}, arrays

    def _restore(self, content: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.model_ = unpacked(content["model"], under(arrays, "model."), "auto")
        self.matrix_, self.shift_ = arrays.get("matrix"), arrays.get("shift")
        self._set_columns()

    def _fit(self, training: TrainingSet, rng: np.random.Generator) -> None:
        msg = "A predictor that was learnt elsewhere is not fitted; `Moved.of` makes one."
        raise NotImplementedError(msg)

    def _scores_of_passes(self, bags: Bags, n_passes: int, rng: np.random.Generator) -> Array:
        """The model passes by itself, see ``predict_proba_mc``."""
        raise NotImplementedError
