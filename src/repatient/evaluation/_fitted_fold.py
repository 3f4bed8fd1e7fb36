"""What the methods of a fold share: its patients, its mixtures, how predictors are trained in it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.preprocessing import StandardScaler

from repatient._checks import check_option, listed
from repatient.evaluation._alignment import aligned
from repatient.mixture import Components, default_n_components
from repatient.recipe import Recipes, fit_recipes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from repatient.evaluation._cohort import Cohort
    from repatient.evaluation._fold import Fold, Scenario
    from repatient.mil import Augmenter, Bags, Predictor
    from repatient.mixing import Reference

# Whose cells the components are fitted on.
MIXTURES = ("target", "reference", "both")


@dataclass(frozen=True)
class Plan:
    """What all methods have in common.

    Parameters
    ----------
    n_components
        Components of the mixture, for methods that do not set them; ``None``: as many as the training patients bear.
    n_steps
        Gradient steps of every training; ``None``: the default of the predictor.
    scale
        Whether augmenters and mixtures see features of one variance over the training cells: right for features that
        are measured in units of their own, wrong for the coordinates of an embedding.
    classifier
        Settings of the attention network, for methods that do not set them.
    n_models
        Trainings of every method from different seeds, whose predictions are averaged.
    """

    n_components: int | None = None
    n_steps: int | None = None
    scale: bool = True
    classifier: Mapping[str, Any] = field(default_factory=dict)
    n_models: int = 1

    def __post_init__(self) -> None:
        from repatient.mil import make_predictor

        known = make_predictor("attention").get_params(deep=False)
        unknown = [name for name in self.classifier if name not in known]
        if unknown:
            msg = f"`classifier`: the attention network has no settings {listed(unknown)}; it has {listed(known, 40)}."
            raise ValueError(msg)


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
        self.bags = cohort.bags
        # Mixtures that augmenters fit on the training cells.
        self.mixtures: dict[Any, Any] = {}
        self._fitted: dict[tuple[int | None, str, str], Components] = {}
        self._codes: dict[tuple[int | None, str, str], NDArray[np.int64]] = {}
        self._aligned = {"raw": self.bags}
        self._references: dict[Any, Any] = {}
        self._scaler = StandardScaler().fit(self.bags.X[self.bags.take(fold.train).rows]) if plan.scale else None
        # The same first weights and order of bags for all methods, so that they differ in one thing only.
        self.seed = fold.seed

    def member(self, number: int) -> Self:
        """The same fold, for one training of several; all of them share what is fitted before."""
        result = copy(self)
        if number > 0:
            result.seed = int(np.random.SeedSequence([self.fold.seed, number]).generate_state(1)[0])
        return result

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
            sides = self.fold.train, self.fold.external
            X = aligned(self.bags, self.cohort.y, *sides, align, self.fold.seed, scale=self.plan.scale)
            self._aligned[align] = replace(self.bags, X=X)
        return self._aligned[align]

    def alone(self, predictor: str, classes: list[str]) -> Predictor:
        """A predictor of the training patients alone, whose classes go by their codes; fitted once for all methods."""
        from repatient.mil import make_predictor

        key = ("alone", predictor, tuple(classes), self.seed)
        if key not in self._references:
            train = self.fold.train
            model = make_predictor(predictor, random_state=self.seed, device="cpu", progress=False)
            groups = self.cohort.donors[train].astype(str)
            labels = self.cohort.y[train].astype(str)
            self._references[key] = model.fit(self.bags.take(train), labels, groups=groups, classes=np.array(classes))
        return self._references[key]

    def reference(self, n_components: int | None = None, *, permuted: bool = False) -> Reference:
        """What the external patients, none of a test donor, know; classes go by their codes."""
        from repatient.mil import Linear
        from repatient.mixing import Reference

        key = (n_components, permuted)
        if key not in self._references:
            fold, cohort = self.fold, self.cohort
            if not len(fold.external):
                msg = "`methods`: what travels comes from another cohort; pass `cohort_key` or `reference`."
                raise ValueError(msg)
            if np.isin(cohort.donors[fold.external], cohort.donors[fold.test]).any():
                msg = f"Split {fold.number} has external patients of test donors."
                raise RuntimeError(msg)
            y = cohort.y[fold.external]
            if permuted:
                y = np.random.default_rng(fold.seed).permutation(y)
            several = len(np.unique(y)) > 1
            self._references[key] = Reference.learn(
                self.bags.take(fold.external),
                y.astype(str),
                cohort.donors[fold.external],
                n_components=n_components,
                standardize=self.plan.scale,
                models=[("mean", Linear(("mean",))), ("kernel mean", Linear(("kernel_mean",), C=0.1))]
                if several
                else [],
                random_state=fold.seed,
            )
        return self._references[key]

    def standardized(self, augmenter: Augmenter) -> Augmenter:
        """The augmenter, over features of one variance where the plan has it so."""
        from repatient.mixing import Standardized

        return Standardized(augmenter) if self.plan.scale else augmenter

    def augmenter(self, augment: Any, settings: Mapping[str, Any]) -> Augmenter:
        """What makes the bags of every step, from its name and settings."""
        from repatient.evaluation._recipe_mix import OF_TRANSFER, recipe_mix
        from repatient.mixing import make_augmenter

        of_transfer = {name: value for name, value in settings.items() if name in OF_TRANSFER}
        return make_augmenter(
            augment,
            settings={name: value for name, value in settings.items() if name not in OF_TRANSFER},
            make_recipe=lambda **own: recipe_mix(self, {**own, **of_transfer}),
            reference=self.reference() if len(self.fold.external) and _is_counterfactual(augment) else None,
            standardize=self.plan.scale,
        )

    def components(
        self, n_components: int | None, align: str = "raw", mixture: str = "target"
    ) -> tuple[NDArray[np.int64], int]:
        """Component of each row of ``X``, and their number, of a mixture of one or both cohorts' cells.

        Rows of neither training nor external patients have none, -1.
        """
        check_option(mixture, "mixture", MIXTURES)
        key = (self.plan.n_components if n_components is None else n_components, align, mixture)
        if key not in self._codes:
            bags, fitted = self.bags_aligned(align), self._mixture(*key)
            codes = np.full(len(bags.X), -1)
            for patients in (self.fold.train, self.fold.external):
                rows = bags.take(patients).rows
                if len(rows):
                    codes[rows] = fitted.assign(self._scale(bags.X[rows]))
            self._codes[key] = codes
        return self._codes[key], self._mixture(*key).n_components

    def _mixture(self, n_components: int | None, align: str, mixture: str) -> Components:
        """The mixture of the training cells, of the external ones where they were moved to, or of both."""
        train, external = self.fold.train, self.fold.external
        patients = {"target": train, "reference": external, "both": np.concatenate([train, external])}[mixture]
        if mixture != "target" and len(external) == 0:
            msg = f"`methods`: 'mixture' {mixture!r} needs another cohort, and there is none."
            raise ValueError(msg)
        # Training cells stay where they are.
        key = (n_components, "raw" if mixture == "target" else align, mixture)
        if key not in self._fitted:
            bags = self.bags_aligned(key[1])
            X = bags.X[bags.take(patients).rows]
            n_patients = len(patients)
            number = default_n_components(len(X), X.shape[1], n_patients) if n_components is None else n_components
            self._fitted[key] = Components.fit(self._scale(X), number, random_state=self.fold.seed)
        return self._fitted[key]

    def _scale(self, X: NDArray[Any]) -> NDArray[Any]:
        return X if self._scaler is None else self._scaler.transform(X)

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
        predictor: str = "attention",
        align: str = "raw",
        augment: Augmenter | None = None,
        generated: tuple[Bags, NDArray[np.int64]] | None = None,
        **settings: Any,
    ) -> Predictor:
        """A predictor of the classes trained on some patients, with whatever is added to them."""
        from repatient.mil import fit_once, make_predictor

        model = make_predictor(predictor, random_state=self.seed, device="cpu", progress=False)
        known = model.get_params(deep=False)
        planned = {"n_steps": self.plan.n_steps, **self.plan.classifier}
        planned = {name: value for name, value in planned.items() if name in known and value is not None}
        model.set_params(**{**planned, **settings})
        return fit_once(
            model,
            self.bags_aligned(align).take(patients),
            self.cohort.y[patients],
            groups=self.cohort.donors[patients],
            augment=augment,
            generated=None if generated is None else generated[0],
            generated_y=None if generated is None else generated[1],
            classes=None if augment is None else np.arange(self.n_classes),
        )

    def predict(self, model: Any) -> NDArray[np.float64]:
        """Probabilities of all classes for the test patients, (patients, classes)."""
        probabilities = np.zeros((len(self.fold.test), self.n_classes))
        probabilities[:, model.classes_] = model.predict_proba(self.bags.take(self.fold.test))
        return probabilities


def _is_counterfactual(augment: Any) -> bool:
    from repatient.mixing import parse_augment

    return "counterfactual" in [part for part in parse_augment(augment) if isinstance(part, str)]
