"""The recipes of the classes as a classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy.special import gammaln, log_softmax, psi, softmax

from repatient._checks import check_integer, check_number
from repatient.mil import _inputs
from repatient.mil._cell_reader import CellReader
from repatient.mil._features import Composition, components_arrays
from repatient.mil._outcomes import ClassOutcome
from repatient.mil._persistence import above, array_of, under
from repatient.mil._predictor import BasePredictor
from repatient.mil._train import fit_temperature
from repatient.recipe import fit_recipes, smoothed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from repatient.mil._bags import Bags
    from repatient.mil._training_set import TrainingSet
    from repatient.mixture import Components
    from repatient.recipe import Recipes

    Array = NDArray[Any]

# Parts of the donors that recipes are learnt without, for the temperature.
MOST_FOLDS = 10
# Values at which a recipe that moves with the value is compared with a patient, and how far beyond those seen.
N_VALUES, BEYOND_SD = 65, 1.0
# Patients that are drawn of each class to see how sure another cohort's recipes may be, how often, and their cells.
N_DRAWN, N_REDRAWN, CELLS_DRAWN = 20, 5, 1000
CONCENTRATIONS = 1e-2, 1e5


class Likelihood(BasePredictor):
    """Under which class's recipe are a patient's counts of cells most probable?

    Recipes are Dirichlet-multinomials over the components of a mixture of the training cells. Their concentrations are
    tied: classes differ in what is common, not in how much their patients vary, which few patients cannot tell. For
    values, one recipe moves with the value, and the prediction is the posterior mean of the value. Bags that were
    generated count only for classes without a real patient.

    Parameters
    ----------
    n_components
        Components of the mixture; fewer where cells are few.
    shrinkage
        Weight, in patients, of all classes together in the recipe of each.
    standardize
        Whether cells are standardised by the training cells.
    n_passes
        Draws of the recipes' means from their posterior behind the uncertainty.
    outcome
        What is predicted: ``"class"``, ``"ordinal"`` or ``"continuous"``.
    random_state
        Seed. The same seed gives the same bits.

    Attributes
    ----------
    temperature_
        Divisor of the log-likelihoods, fitted on donors that the recipes were learnt without.

    References
    ----------
    Mosimann (1962), On the Compound Multinomial Distribution.
    """

    kind: ClassVar[str] = "likelihood"

    def __init__(
        self,
        *,
        n_components: int = 20,
        shrinkage: float = 1.0,
        standardize: bool = True,
        n_passes: int = 50,
        outcome: str = "class",
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.standardize = standardize
        self.n_passes = n_passes
        self.outcome = outcome
        self.random_state = random_state

    @classmethod
    def of_recipes(
        cls,
        recipes: Recipes,
        components: Components,
        *,
        classes: ArrayLike,
        centre: Array,
        scale: Array,
        n_donors: Mapping[str, int],
        mildness: float = 1.0,
        random_state: int = 0,
    ) -> Self:
        """The recipes of another cohort as a classifier, without any training.

        Parameters
        ----------
        recipes
            Recipes, those of ``classes`` among them.
        components
            The mixture that they are of.
        classes
            Classes to tell apart.
        centre, scale
            Cells x are read as ``(x - centre) / scale``, (d,) each.
        n_donors
            Donors that the recipe of each class was learnt from: what their number leaves open makes probabilities
            milder, by the temperature that patients drawn from the recipes ask for when these are learnt anew from as
            many of them.
        mildness
            Factor of that temperature.
        random_state
            Seed.
        """
        model = cls(n_components=components.n_components, random_state=random_state)
        model.classes_ = np.unique(classes)
        model._mean, model._scale, model.n_features_in_ = centre, scale, len(centre)
        model._composition = Composition(components_arrays(components))
        names = [str(name) for name in model.classes_]
        own = recipes.take(names)
        logs = np.log(np.clip(own.concentration, *CONCENTRATIONS))
        s = float(np.exp(logs.mean()))
        numbers = np.array([n_donors.get(name, 2) for name in names])
        mean = smoothed(own.mean)
        model._alpha, model._worth, model.intercept_ = s * mean, numbers * (s + 1.0), np.zeros(len(names))
        rng = np.random.default_rng(random_state)
        told, y = [], np.repeat(np.arange(len(names)), N_DRAWN)
        for _ in range(N_REDRAWN):
            learnt = np.stack(
                [rng.dirichlet(np.maximum(s * m, 1e-3), n).mean(axis=0) for m, n in zip(mean, numbers, strict=True)]
            )
            drawn = np.concatenate([rng.dirichlet(np.maximum(s * m, 1e-3), N_DRAWN) for m in mean])
            counts = rng.multinomial(CELLS_DRAWN, drawn)
            told.append(_log_likelihood(counts, s * smoothed(learnt)))
        fitted = fit_temperature(ClassOutcome(len(names)), np.concatenate(told), np.tile(y, N_REDRAWN))
        model.temperature_ = mildness * fitted
        return model

    def _check(self) -> None:
        super()._check()
        check_integer(self.n_components, "n_components", minimum=2)
        check_number(self.shrinkage, "shrinkage", minimum=0.0)

    def _fit(self, training: TrainingSet, rng: np.random.Generator) -> None:
        self._mean, self._scale = _inputs.fit_scaler(training.real, standardize=self.standardize)
        self._composition = Composition().fit(self._read(training.real), rng, {"n_components": self.n_components})
        counts, y = self._counts(training.real), training.y
        self.temperature_ = 1.0
        if self.outcome == "continuous":
            self._fit_values(counts, training.classes[y])
            return
        if training.drawn is not None:
            certain = training.targets.max(axis=1) > 1 - 1e-6
            code = training.targets.argmax(axis=1)
            added = np.flatnonzero(certain & ~np.isin(code, y))
            if len(added):
                counts = np.concatenate([counts, self._counts(training.drawn.take(added))])
                y = np.concatenate([y, code[added]])
        n = len(training.classes)
        self._alpha, self._worth = self._recipes(counts, y, n)
        self.intercept_ = np.zeros(n)
        donors = np.unique(training.groups, return_inverse=True)[1]
        n_folds = min(MOST_FOLDS, int(donors.max()) + 1)
        fold = rng.permutation(np.arange(donors.max() + 1) % n_folds)[donors]
        fold = np.concatenate([fold, np.full(len(y) - len(fold), -1)])
        told, left_out = [], []
        for part in range(n_folds):
            kept, test = fold != part, np.flatnonzero(fold == part)
            if np.isin(y, y[kept]).all():
                alpha, _ = self._recipes(counts[kept], y[kept], n)
                left_out.append(_log_likelihood(counts[test], alpha))
                told.append(y[test])
        if told:
            outcome = ClassOutcome(n)
            self.temperature_ = fit_temperature(outcome, np.concatenate(left_out), np.concatenate(told))

    def _recipes(self, counts: Array, y: Array, n_classes: int) -> tuple[Array, Array]:
        """Parameters (classes, K) of one concentration, and the cells that each class's mean rests on."""
        present, codes, n_patients = np.unique(y, return_inverse=True, return_counts=True)
        names = np.array([f"{code:06d}" for code in range(len(present))])
        recipes = fit_recipes(counts, names[codes], shrinkage=self.shrinkage)
        logs = np.log([float(parameters["concentration"]) for parameters in recipes.parameters])
        s = float(np.exp(n_patients @ logs / n_patients.sum()))
        alpha = np.tile(s * counts.sum(axis=0) / counts.sum() + 1e-6, (n_classes, 1))
        alpha[present] = s * recipes.mean
        sizes = counts.sum(axis=1)
        worth = np.bincount(codes, sizes * (s + 1) / (sizes + s))
        rests_on = np.full(n_classes, 1.0)
        rests_on[present] = worth
        return alpha, rests_on

    def _fit_values(self, counts: Array, values: Array) -> None:
        recipes = fit_recipes(
            counts, np.zeros(len(values), dtype=int), shrinkage=self.shrinkage, covariates={"value": values}
        )
        (parameters,) = recipes.parameters
        centre, sd = float(values.mean()), float(values.std())
        self._grid = np.linspace(values.min() - BEYOND_SD * sd, values.max() + BEYOND_SD * sd, N_VALUES)
        move = (self._grid[:, None] - parameters["covariate_mean"]) @ parameters["effects"]
        s, sizes = float(parameters["concentration"]), counts.sum(axis=1)
        self._alpha = s * softmax(np.log(parameters["mean"]) + move, axis=1) + 1e-9
        self._worth = np.array([(sizes * (s + 1) / (sizes + s)).sum()])
        self._prior = log_softmax(-0.5 * ((self._grid - centre) / sd) ** 2)
        self.intercept_ = np.array([centre])
        self.noise_ = float(np.sqrt(((self._of_counts(counts, self._alpha)[:, 0] - values) ** 2).mean()))

    def _read(self, bags: Bags) -> CellReader:
        return CellReader(bags, self._mean, self._scale)

    def _counts(self, bags: Bags) -> NDArray[np.float64]:
        return self._composition.counts(self._read(bags))

    def _of_counts(self, counts: Array, alpha: Array) -> NDArray[np.float64]:
        logs = _log_likelihood(counts, alpha)
        if self.outcome == "continuous":
            return softmax(logs + self._prior, axis=1) @ self._grid[:, None]
        return (logs - logs.mean(axis=1, keepdims=True)) / self.temperature_

    def link(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (..., classes) of scores (..., K); of values, the values (...)."""
        return scores[..., 0] if self.outcome == "continuous" else softmax(scores, axis=-1)

    def _scores(self, bags: Bags) -> NDArray[np.float64]:
        return self._of_counts(self._counts(bags), self._alpha)

    def _scores_of_passes(self, bags: Bags, n_passes: int, rng: np.random.Generator) -> NDArray[np.float64]:
        counts, s = self._counts(bags), self._alpha.sum(axis=1, keepdims=True)
        means = self._alpha / s
        result = np.empty((n_passes, len(bags), len(self.intercept_)))
        for number in range(n_passes):
            # Gamma variables of unit scale are a Dirichlet but for their sum; one draw moves the recipe at all values.
            if self.outcome == "continuous":
                middle = means[N_VALUES // 2]
                ratio = rng.gamma(middle * self._worth + 1e-3) / (middle * self._worth + 1e-3)
                drawn = means * ratio
            else:
                drawn = rng.gamma(means * self._worth[:, None] + 1e-3)
            result[number] = self._of_counts(counts, s * drawn / drawn.sum(axis=1, keepdims=True) + 1e-9)
        return result

    def _contributions(self, bags: Bags) -> NDArray[np.float64]:
        cells = self._read(bags)
        component, bag, counts = self._composition.components(cells), cells.bag_of_entries(), self._counts(bags)
        if self.outcome == "continuous":
            p = softmax(_log_likelihood(counts, self._alpha) + self._prior, axis=1)
            slopes = psi(counts[:, None] + self._alpha)
            mean = np.einsum("bv,bvk->bk", p, slopes)
            parts = np.einsum("bv,v,bvk->bk", p, self._grid, slopes) - (p @ self._grid)[:, None] * mean
            parts = (parts * counts)[..., None]
        else:
            terms = gammaln(counts[:, None] + self._alpha) - gammaln(self._alpha)
            parts = ((terms - terms.mean(axis=1, keepdims=True)) / self.temperature_).transpose(0, 2, 1)
        # Cells of a component share its part; what a score owes to no component goes evenly to all.
        shares = parts / np.maximum(counts, 1)[..., None]
        result = shares[bag, component]
        rest = self._of_counts(counts, self._alpha) - self.intercept_
        rest = rest - np.add.reduceat(result, bags.indptr[:-1], axis=0)
        return result + (rest / bags.sizes[:, None])[bag]

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        arrays = {"mean": self._mean, "scale": self._scale, "alpha": self._alpha, "worth": self._worth}
        content: dict[str, Any] = {"temperature": self.temperature_}
        if self.outcome == "continuous":
            arrays |= {"grid": self._grid, "prior": self._prior}
            content["noise"] = self.noise_
        return content, arrays | above(self._composition.arrays, "composition.")

    def _restore(self, content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self._mean, self._scale = _inputs.stored_scaler(arrays, self.n_features_in_)
        self.temperature_ = check_number(content["temperature"], "temperature", above=0.0)
        self._composition = Composition(under(arrays, "composition."))
        self._composition.check(self.n_features_in_)
        continuous = self.outcome == "continuous"
        n_recipes = N_VALUES if continuous else len(self.classes_)
        n_components = len(self._composition.arrays["weights"])
        self._alpha = array_of(arrays, "alpha", n_recipes, n_components, above=0.0)
        self._worth = array_of(arrays, "worth", 1 if continuous else n_recipes, above=0.0)
        if continuous:
            self._grid, self._prior = (array_of(arrays, name, N_VALUES) for name in ("grid", "prior"))
            self.noise_ = check_number(content["noise"], "noise", minimum=0.0)


def _log_likelihood(counts: Array, alpha: Array) -> NDArray[np.float64]:
    """Log-likelihood of counts (B, K) under each recipe (recipes, K), up to what recipes share, (B, recipes)."""
    total, sizes = alpha.sum(axis=1), counts.sum(axis=1, keepdims=True)
    terms = (gammaln(counts[:, None] + alpha) - gammaln(alpha)).sum(axis=2)
    return terms + gammaln(total) - gammaln(sizes + total)
