"""What the methods of a fold share: its patients, its mixtures, its classifier."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.preprocessing import StandardScaler

from repatient.evaluation._alignment import aligned
from repatient.mixture import Components
from repatient.recipe import Recipes, fit_recipes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from repatient.evaluation._cohort import Cohort
    from repatient.evaluation._fold import Fold, Scenario
    from repatient.mil import Augmenter, Bags, MILClassifier

# Whose cells the components are fitted on.
MIXTURES = ("target", "reference", "both")


@dataclass(frozen=True)
class Plan:
    """What all methods have in common.

    Parameters
    ----------
    n_components
        Components of the mixture, for methods that do not set them.
    n_steps
        Gradient steps of every training.
    scale
        Whether the features are brought to one variance, over the training cells: right for features that are measured
        in units of their own, wrong for the coordinates of an embedding.
    classifier
        Parameters of :class:`repatient.mil.MILClassifier`.
    n_models
        Trainings of every method from different first weights, whose predictions are averaged.
    """

    n_components: int
    n_steps: int = 200
    scale: bool = True
    classifier: Mapping[str, Any] = field(default_factory=dict)
    n_models: int = 1


class FittedFold:
    """A fold at work: what is fitted once serves all methods.

    Parameters
    ----------
    cohort
        All patients.
    scenario
        What is scarce.
    fold
        Who is trained on and who is tested on.
    plan
        What the methods have in common.
    """

    def __init__(self, cohort: Cohort, scenario: Scenario, fold: Fold, plan: Plan) -> None:
        self.cohort, self.scenario, self.fold, self.plan = cohort, scenario, fold, plan
        self.bags = self._scaled(cohort.bags)
        self._mixtures: dict[tuple[int, str, str], Components] = {}
        self._codes: dict[tuple[int, str, str], NDArray[np.int64]] = {}
        self._aligned = {"raw": self.bags}
        # The same first weights and order of bags for all methods, so that they differ in one thing only.
        self._seed = fold.seed

    def member(self, number: int) -> Self:
        """The same fold, for one training of several; all of them share what is fitted before."""
        result = copy(self)
        if number > 0:
            result._seed = int(np.random.SeedSequence([self.fold.seed, number]).generate_state(1)[0])
        return result

    def _scaled(self, bags: Bags) -> Bags:
        """The bags of all patients over features that are scaled by the training patients."""
        if not self.plan.scale:
            return bags
        scaler = StandardScaler().fit(bags.X[bags.take(self.fold.train).rows])
        return replace(bags, X=scaler.transform(bags.X))

    @property
    def n_classes(self) -> int:
        """Number of classes, a missing one included."""
        return len(self.cohort.classes)

    @property
    def external_patients(self) -> NDArray[np.int64]:
        """External patients of the missing class."""
        external = self.fold.external
        return external[self.cohort.y[external] == self.scenario.missing_class]

    def bags_aligned(self, align: str) -> Bags:
        """Bags of all patients, with the cells of external ones brought to where the training cells lie."""
        if align not in self._aligned:
            X = aligned(self.bags, self.cohort.y, self.fold.train, self.fold.external, align, self.fold.seed)
            self._aligned[align] = replace(self.bags, X=X)
        return self._aligned[align]

    def components(
        self, n_components: int | None, align: str = "raw", mixture: str = "target"
    ) -> tuple[NDArray[np.int64], int]:
        """Component of each row of ``X``, and their number, of a mixture of one or both cohorts' cells.

        Rows of neither training nor external patients have none, -1.
        """
        if mixture not in MIXTURES:
            msg = f"`methods`: 'mixture' is one of {list(MIXTURES)}, not {mixture!r}."
            raise ValueError(msg)
        key = (self.plan.n_components if n_components is None else n_components, align, mixture)
        if key not in self._codes:
            bags, fitted = self.bags_aligned(align), self._mixture(*key)
            codes = np.full(len(bags.X), -1)
            for patients in (self.fold.train, self.fold.external):
                rows = bags.take(patients).rows
                if len(rows):
                    codes[rows] = fitted.assign(bags.X[rows])
            self._codes[key] = codes
        return self._codes[key], self._mixture(*key).n_components

    def _mixture(self, n_components: int, align: str, mixture: str) -> Components:
        """The mixture of the training cells, of the external ones where they were moved to, or of both."""
        train, external = self.fold.train, self.fold.external
        patients = {"target": train, "reference": external, "both": np.concatenate([train, external])}[mixture]
        if mixture != "target" and len(external) == 0:
            msg = f"`methods`: 'mixture' {mixture!r} needs another cohort, and there is none."
            raise ValueError(msg)
        # Training cells stay where they are.
        key = (n_components, "raw" if mixture == "target" else align, mixture)
        if key not in self._mixtures:
            bags = self.bags_aligned(key[1])
            X = bags.X[bags.take(patients).rows]
            self._mixtures[key] = Components.fit(X, n_components, random_state=self.fold.seed)
        return self._mixtures[key]

    def recipes(
        self,
        patients: NDArray[np.int64],
        n_components: int | None,
        align: str = "raw",
        mixture: str = "target",
        **settings: Any,
    ) -> Recipes:
        """Recipes of the classes of some training or external patients, named by the codes of the classes."""
        codes, number = self.components(n_components, align, mixture)
        bags = self.bags.take(patients)
        cells = np.repeat(np.arange(len(patients)), bags.sizes) * number + codes[bags.rows]
        counts = np.bincount(cells, minlength=len(patients) * number).reshape(-1, number)
        return fit_recipes(counts, self.cohort.y[patients], **settings)

    def train(
        self,
        patients: NDArray[np.int64],
        *,
        align: str = "raw",
        augment: Augmenter | None = None,
        generated: tuple[Bags, NDArray[np.int64]] | None = None,
    ) -> MILClassifier:
        """A classifier of some patients, with whatever is added to them."""
        from repatient.mil import MILClassifier

        model = MILClassifier(
            **{
                "validation_fraction": 0.0,
                "n_steps": self.plan.n_steps,
                "device": "cpu",
                "progress": False,
                "random_state": self._seed,
                **self.plan.classifier,
            }
        )
        return model.fit(
            self.bags_aligned(align).take(patients),
            self.cohort.y[patients],
            groups=self.cohort.donors[patients],
            augment=augment,
            generated=None if generated is None else generated[0],
            generated_y=None if generated is None else generated[1],
            classes=None if augment is None else np.arange(self.n_classes),
        )

    def predict(self, model: MILClassifier) -> NDArray[np.float64]:
        """Probabilities of all classes for the test patients, (patients, classes)."""
        probabilities = np.zeros((len(self.fold.test), self.n_classes))
        probabilities[:, model.classes_] = model.predict_proba(self.bags.take(self.fold.test))
        return probabilities
