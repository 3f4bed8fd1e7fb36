"""Predictors trained on the patients of a fold, and on what is made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.linear_model import LogisticRegression

from repatient.evaluation._fold import SCENARIOS
from repatient.evaluation._methods import register_joined, register_method
from repatient.evaluation._recipe_mix import (
    OF_RECIPES,
    OF_TRANSFER,
    Null,
    choose_patients,
    draw_patients_once,
    recipe_mix,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from repatient.evaluation._fitted_fold import FittedFold

_WITH_ALL_CLASSES = tuple(name for name in SCENARIOS if name != "missing_class")


def _predictor_settings(predictor: str) -> list[str]:
    """What can be set of a predictor."""
    from repatient.mil import make_predictor

    fixed = ("device", "progress", "random_state", "validation_fraction")
    return [name for name in make_predictor(predictor).get_params(deep=False) if name not in fixed]


class Trained:
    """A predictor, trained on the real patients and, with ``augment``, on patients made anew.

    Parameters
    ----------
    predictor
        Name of the predictor.
    augment
        Names of augmenters, joined by ``"+"``; None for the patients as they are.
    settings
        Of the predictor and of the augmenters.
    """

    def __init__(self, predictor: str, augment: str | None, **settings: Any) -> None:
        from repatient.mixing import augment_settings, augmenters, parse_augment

        self.predictor, self.augment = predictor, augment
        parts = [] if augment is None else parse_augment(augment)
        # What both have, such as the number of components, is the augmenter's.
        own = [*(OF_TRANSFER if "recipe" in parts else ()), *augment_settings(parts)]
        self.of_augment = {name: value for name, value in settings.items() if name in own}
        self.of_predictor = {name: value for name, value in settings.items() if name not in own}
        makes_missing = bool(parts) and all(augmenters()[str(part)].makes_missing for part in parts)
        # The patients as they are stand for what is had without another cohort.
        self.scenarios = SCENARIOS if augment is None or makes_missing else _WITH_ALL_CLASSES

    @classmethod
    def settings(cls, predictor: str = "attention", augment: str | None = None) -> list[str]:
        """Names of what can be set of a predictor and of augmenters."""
        from repatient.mixing import augment_settings, parse_augment

        parts = [] if augment is None else parse_augment(augment)
        own = augment_settings(parts)
        return list(dict.fromkeys([*_predictor_settings(predictor), *(OF_TRANSFER if "recipe" in parts else ()), *own]))

    def predict(self, fold: FittedFold) -> NDArray[np.float64]:
        """Train in a fold, and predict its test patients: (patients, classes)."""
        if self.augment is None:
            return _predict_known(fold, fold.fold.train, self.predictor, self.of_predictor)
        augment = fold.augmenter(self.augment, self.of_augment)
        model = fold.train(fold.fold.train, predictor=self.predictor, augment=augment, **self.of_predictor)
        return fold.predict(model)


def _predict_known(
    fold: FittedFold, patients: NDArray[np.int64], predictor: str, settings: dict[str, Any], align: str = "raw"
) -> NDArray[np.float64]:
    """Train on real patients; where they are of one class, it is all that can be predicted."""
    known = np.unique(fold.cohort.y[patients])
    if len(known) == 1:
        return np.tile((np.arange(fold.n_classes) == known[0]) * 1.0, (len(fold.fold.test), 1))
    return fold.predict(fold.train(patients, predictor=predictor, align=align, **settings))


class InTurn:
    """A predictor trained on patients made by several augmenters in turn, each with settings of its own.

    Parameters
    ----------
    of
        Names of augmenters, or mappings of ``"method"``, such a name, and settings.
    predictor
        Name of the predictor.
    """

    scenarios: ClassVar[tuple[str, ...]] = _WITH_ALL_CLASSES

    def __init__(
        self, of: Sequence[str | Mapping[str, Any]] = ("recipe", "psemix"), predictor: str = "attention"
    ) -> None:
        from repatient.mixing import parse_augment

        self.of = [dict(one) if isinstance(one, Mapping) else {"method": one} for one in of]
        self.predictor = predictor
        for one in self.of:
            parse_augment(one["method"])

    @classmethod
    def settings(cls) -> list[str]:
        """Names of what can be set."""
        return ["of", "predictor"]

    def predict(self, fold: FittedFold) -> NDArray[np.float64]:
        """Train in a fold, and predict its test patients: (patients, classes)."""
        turns = [fold.augmenter(one["method"], {k: v for k, v in one.items() if k != "method"}) for one in self.of]
        return fold.predict(fold.train(fold.fold.train, predictor=self.predictor, augment=fold.augmenter(turns, {})))


class _RealPatients(ABC):
    """A predictor trained with real patients of the missing class."""

    scenarios: ClassVar[tuple[str, ...]] = ("missing_class",)

    def __init__(self, predictor: str = "attention", align: str = "raw") -> None:
        self.predictor, self.align = predictor, align

    @classmethod
    def settings(cls) -> list[str]:
        """Names of what can be set."""
        return ["predictor", "align"]

    @abstractmethod
    def added(self, fold: FittedFold) -> NDArray[np.int64]:
        """Patients of the missing class."""

    def predict(self, fold: FittedFold) -> NDArray[np.float64]:
        """Train in a fold, and predict its test patients: (patients, classes)."""
        patients = np.concatenate([fold.fold.train, self.added(fold)])
        return _predict_known(fold, patients, self.predictor, {}, self.align)


class Full(_RealPatients):
    """With the training patients that were withheld: nothing is missing."""

    def added(self, fold: FittedFold) -> NDArray[np.int64]:
        """Patients of the missing class."""
        return fold.fold.withheld


class External(_RealPatients):
    """With real patients of the other cohort, with ``align`` brought to where the training cells lie."""

    def added(self, fold: FittedFold) -> NDArray[np.int64]:
        """Patients of the missing class."""
        return fold.external_patients


class RecipeFixed:
    """Patients generated once, of which some may be selected.

    Parameters
    ----------
    predictor
        Name of the predictor.
    n_generated
        Patients a class; None for as many as there are real ones.
    select
        Which are kept: ``"all"``, or by the entropy that a model trained on all has of them.
    fraction
        Share of a class that is kept.
    settings
        Of the recipes.
    """

    scenarios: ClassVar[tuple[str, ...]] = SCENARIOS

    def __init__(
        self,
        predictor: str = "attention",
        n_generated: int | None = None,
        select: str = "all",
        fraction: float = 0.5,
        **settings: Any,
    ) -> None:
        self.predictor, self.n_generated, self.select, self.fraction = predictor, n_generated, select, fraction
        self.of_recipes = settings

    @classmethod
    def settings(cls) -> list[str]:
        """Names of what can be set; a patient that is kept has one label."""
        of_recipes = [name for name in (*OF_TRANSFER, *OF_RECIPES) if name != "label_mixing"]
        return ["predictor", "n_generated", "select", "fraction", *of_recipes]

    def predict(self, fold: FittedFold) -> NDArray[np.float64]:
        """Train in a fold, and predict its test patients: (patients, classes)."""
        bags, y = draw_patients_once(fold, recipe_mix(fold, self.of_recipes), self.n_generated)
        kept = choose_patients(fold, bags, y, self.predictor, keep=self.select, fraction=self.fraction)
        return fold.predict(fold.train(fold.fold.train, predictor=self.predictor, generated=kept))


class RandomSelection(RecipeFixed):
    """As many of the patients generated once, at random: the control of every selection."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(select="random", **settings)

    @classmethod
    def settings(cls) -> list[str]:
        """Names of what can be set."""
        return [name for name in super().settings() if name != "select"]


class WrongRecipes:
    """Recipes of wrong classes: what generating does without knowing the classes."""

    scenarios: ClassVar[tuple[str, ...]] = SCENARIOS

    def __init__(self, predictor: str = "attention", **settings: Any) -> None:
        self.predictor, self.of_recipes = predictor, settings

    @classmethod
    def settings(cls) -> list[str]:
        """Names of what can be set."""
        return ["predictor", *OF_TRANSFER, *OF_RECIPES]

    def predict(self, fold: FittedFold) -> NDArray[np.float64]:
        """Train in a fold, and predict its test patients: (patients, classes)."""
        null = Null(recipe_mix(fold, self.of_recipes), fold.scenario.missing_class)
        return fold.predict(fold.train(fold.fold.train, predictor=self.predictor, augment=null))


class SizeOnly:
    """Logistic regression on the logarithm of the number of cells: what can be had without looking at any."""

    scenarios: ClassVar[tuple[str, ...]] = SCENARIOS

    @classmethod
    def settings(cls) -> list[str]:
        """Nothing can be set."""
        return []

    def predict(self, fold: FittedFold) -> NDArray[np.float64]:
        """Train in a fold, and predict its test patients: (patients, classes)."""
        patients = np.concatenate([fold.fold.train, fold.external_patients])
        sizes = np.log(fold.bags.sizes)[:, None]
        sizes -= sizes[patients].mean()
        model = LogisticRegression(class_weight="balanced").fit(sizes[patients], fold.cohort.y[patients])
        probabilities = np.zeros((len(fold.fold.test), fold.n_classes))
        probabilities[:, model.classes_] = model.predict_proba(sizes[fold.fold.test])
        return probabilities


register_joined(Trained)
register_method("alternating", InTurn)
register_method("full", Full)
register_method("external", External)
register_method("recipe_fixed", RecipeFixed)
register_method("random_selection", RandomSelection)
register_method("null", WrongRecipes)
register_method("size_only", SizeOnly)
