"""RECIPE in a fold: fresh patients, a fixed set of them, and the null."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._checks import check_option, listed
from repatient.mixing import RecipeMix, augment_settings
from repatient.recipe import TRANSFERS, transferred

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from repatient.evaluation._fitted_fold import FittedFold
    from repatient.mil import Bags
    from repatient.mixing import RecipeSampler

KEEP = ("low", "high", "band", "correct", "random", "all")
# How the recipe of another cohort is made fit for this one.
OF_TRANSFER = ("align", "mixture", "transfer", "shared_class")
OF_RECIPES = tuple(augment_settings(["recipe"]))
# Apart from the seed of the training.
_STREAM = 1


def recipe_mix(fitted: FittedFold, settings: Mapping[str, Any]) -> RecipeMix:
    """The generator of a fold; a missing class has the recipe of the external cohort's patients."""
    of_transfer = {name: settings[name] for name in OF_TRANSFER if name in settings}
    settings = {name: value for name, value in settings.items() if name not in OF_TRANSFER}
    if fitted.scenario.missing_class is None:
        # Another cohort's recipes are for a class that has none here.
        if of_transfer:
            msg = f"`methods`: {listed(of_transfer)} are about another cohort; they are for `scenario='missing_class'`."
            raise ValueError(msg)
        return RecipeMix(
            **{"n_components": fitted.plan.n_components, **settings},
            random_state=fitted.fold.seed,
            standardize=False,
            cache=fitted.mixtures,
        )
    codes, number, recipes = _transferred(fitted, settings, **of_transfer)
    return RecipeMix(codes, number, recipes=recipes, **{k: v for k, v in settings.items() if k != "n_components"})


def _transferred(
    fitted: FittedFold,
    settings: Mapping[str, Any],
    *,
    align: str = "raw",
    mixture: str = "target",
    transfer: str = "raw",
    shared_class: str | None = None,
) -> tuple[NDArray[np.int64], int, Any]:
    """Components of all rows, their number, and the recipe of the missing class over them."""
    check_option(transfer, "transfer", TRANSFERS)
    classes = fitted.cohort.classes
    if shared_class is not None:
        check_option(shared_class, "shared_class", classes)
        shared_class = str(classes.index(shared_class))
    n_components = settings.get("n_components")
    codes, number = fitted.components(n_components, align, mixture)
    of_recipes = {name: settings[name] for name in ("kind", "shrinkage") if name in settings}
    missing = [str(fitted.scenario.missing_class)]
    external = fitted.recipes(fitted.fold.external, n_components, align, mixture, **of_recipes)
    own = None if transfer == "raw" else fitted.recipes(fitted.fold.train, n_components, align, mixture, **of_recipes)
    return codes, number, transferred(external, own, missing, transfer, shared_class)


@dataclass(frozen=True)
class Null:
    """The same generator with the recipes of wrong classes.

    Parameters
    ----------
    mix
        The generator.
    missing_class
        Class whose recipe becomes that of another; ``None``: all classes exchange theirs.
    """

    mix: RecipeMix
    missing_class: int | None

    def bind(self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]) -> RecipeSampler:
        """Prepare for one training, see :class:`repatient.mil.Augmenter`."""
        sampler = self.mix.bind(bags, y, classes, groups)
        own = sampler.generator.recipes
        wrong = own[1:] + own[:1]
        if self.missing_class is not None:
            wrong = [wrong[c] if c == self.missing_class else recipe for c, recipe in enumerate(own)]
        return replace(sampler, generator=replace(sampler.generator, recipes=wrong))


def draw_patients_once(fitted: FittedFold, mix: RecipeMix, n_generated: int | None) -> tuple[Bags, NDArray[np.int64]]:
    """Generated patients with their classes, ``n_generated`` a class; ``None`` for the generator's share of all."""
    patients = fitted.fold.train
    y, n_classes = fitted.cohort.y[patients], fitted.n_classes
    share = 0.5 if mix.share is None else mix.share
    if n_generated is None and share == 1:
        msg = "`methods`: 'n_generated' says how many patients are generated once, where 'share' leaves no real ones."
        raise ValueError(msg)
    number = len(y) * share / (1 - share) if n_generated is None else n_generated * n_classes
    # Nothing but generated patients.
    only_generated = fitted.standardized(replace(mix, share=1.0))
    sampler = only_generated.bind(fitted.bags.take(patients), y, np.arange(n_classes), fitted.cohort.donors[patients])
    rng = np.random.default_rng([fitted.fold.seed, _STREAM])
    bags, targets = sampler(np.zeros(max(n_classes, round(number)), dtype=np.int64), rng, _no_scores)
    return bags, targets.argmax(axis=1)


def _no_scores(bags: Bags) -> NDArray[np.float32]:
    """Attention before any training: none."""
    return np.zeros(len(bags.rows), dtype=np.float32)


def choose_patients(
    fitted: FittedFold, bags: Bags, y: NDArray[np.int64], predictor: str, *, keep: str = "all", fraction: float = 0.5
) -> tuple[Bags, NDArray[np.int64]]:
    """Some of the generated patients of each class, by the entropy that a model trained on all has of them."""
    from repatient.mil import total_entropy

    check_option(keep, "select", KEEP)
    if keep == "all":
        return bags, y
    if keep == "random":
        values = np.random.default_rng([fitted.fold.seed, _STREAM + 1]).random(len(y))
    else:
        passes = fitted.train(fitted.fold.train, predictor=predictor, generated=(bags, y)).predict_proba_mc(bags)
        if keep == "correct":
            kept = np.flatnonzero(passes.mean(axis=0).argmax(axis=1) == y)
            return bags.take(kept), y[kept]
        values = total_entropy(passes)
    kept = np.sort(np.concatenate([_part(np.flatnonzero(y == c), values, keep, fraction) for c in np.unique(y)]))
    return bags.take(kept), y[kept]


def _part(members: NDArray[np.int64], values: NDArray[np.float64], keep: str, fraction: float) -> NDArray[np.int64]:
    """A share of some patients, at one end of their values or in the middle."""
    ranked = members[np.argsort(values[members], kind="stable")]
    number = max(1, round(fraction * len(ranked)))
    start = {"high": len(ranked) - number, "band": (len(ranked) - number) // 2}.get(keep, 0)
    return ranked[start : start + number]
