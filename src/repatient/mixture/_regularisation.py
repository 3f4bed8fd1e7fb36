"""How much covariances are regularised: what explains the rows of other patients best."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from repatient.mixture._em import (
    EMTrace,
    RegCovar,
    Sample,
    Settings,
    SingularCovarianceError,
    expectation,
    log_densities,
    maximisation,
)
from repatient.mixture._prior import Strength

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from repatient.mixture._features import FeatureMap
    from repatient.mixture._statistics import Sums

# What rows held out choose from: regularisations, strengths of the prior (rows a dimension), and shares of the
# correlations that are lost; the log-likelihood (nats a feature) that is not worth leaving the first, and the standard
# errors that more regularisation may cost.
_SHARES, _FINER, _LARGER = (1e-3, 1e-2, 1e-1), (0.2, 0.5, 2.0, 5.0), (10.0, 5.0, 2.0)
_ROWS_A_DIMENSION, _DAMPINGS, _NEARLY = (0.2, 1.0), (0.1, 0.3, 1.0), 0.01
_ERRORS_LOST = 0.25
_FOLDS, _BLOCKS, _MOST_TESTED = 5, 48, 1_000
# Up to so many, the last two are chosen one after the other.
_FEW_FEATURES = 64
# Up to so many, mixtures are fitted anew without the rows held out.
FEW_ROWS = 5_000


class Regularisation(NamedTuple):
    """A regularisation, and a strength of the prior (None: the one that evidence finds)."""

    reg_covar: RegCovar
    strength: Strength | None = None


class _Fold(NamedTuple):
    """Rows to learn from, the sums of their features in a mixture fitted to them, and rows held out with their patients."""

    train: Sample
    test: Sample
    units: NDArray[np.intp]
    run: EMTrace
    sums: Sums


def most_general(
    part: Sample,
    feature_map: FeatureMap,
    start: EMTrace,
    settings: Settings,
    rng: np.random.Generator,
    start_in_fold: Callable[[Sample], EMTrace],
) -> Settings:
    """The regularisation, strength of the prior and loss of correlations that explain other rows best.

    What a handful of rows have in common by chance (a feature that is zero in all of them) is no property of a component,
    and what evidence says of a prior holds for Gaussian components. Each is chosen given the ones before, but for the last
    two of many features. Held out are patients, or blocks of neighbouring rows, which mostly come from the same one. With
    few rows, ``start_in_fold`` fits anew without those held out.
    """
    folds = []
    for train, test, units in _split(part, rng):
        # The memory that many rows have of those held out does not last for a single step.
        run = start
        if part.rows.shape[0] <= FEW_ROWS:
            try:
                run = start_in_fold(train)
            except SingularCovarianceError:
                # A row in the far distance that stands in none of the components; the other folds decide.
                continue
        sums = expectation(train, feature_map, feature_map.coefficients(run.parameters)).sums
        folds.append(_Fold(train, test, units, run, sums))
    if not folds:
        return settings
    reg_covar, strength = _choose(folds, feature_map, settings.reg_covar)
    if strength is None:
        return replace(settings, reg_covar=reg_covar)
    return replace(settings, reg_covar=reg_covar, strength=strength, known=None)


def _choose(folds: list[_Fold], feature_map: FeatureMap, usual: RegCovar) -> Regularisation:
    """The best of the choices for the rows held out, one after the other."""
    n_dims, kind = feature_map.n_dims, folds[0].run.parameters.covariance_type
    units = np.unique(np.concatenate([fold.units for fold in folds]), return_inverse=True)[1]

    @cache
    def densities(choice: Regularisation) -> NDArray[np.float64]:
        return _densities(folds, feature_map, choice)

    def better(best: Regularisation, choices: list[Regularisation], worth: float) -> Regularisation:
        highest = max(choices, key=lambda choice: densities(choice).mean(), default=best)
        return highest if densities(highest).mean() > densities(best).mean() + worth else best

    ridges = [RegCovar(share, common) for common in (False, True) for share in _SHARES]
    nearly = _NEARLY * n_dims
    best = better(
        Regularisation(usual), [Regularisation(ridge) for ridge in ridges if ridge.share > usual.share], nearly
    )
    if best.reg_covar.share > usual.share:
        finer = [best.reg_covar._replace(share=factor * best.reg_covar.share) for factor in _FINER]
        # Within the better ridge nothing is left to be worth.
        best = better(best, [Regularisation(ridge) for ridge in finer if ridge.share > usual.share], 0.0)
        best = _cautious(densities, units, best)

    def lessened(by: RegCovar, dampings: tuple[float, ...]) -> list[RegCovar]:
        return [by._replace(damping=damping) for damping in dampings]

    strengths = [Strength(factor * n_dims) for factor in _ROWS_A_DIMENSION] if kind == "full" else []
    if strengths and n_dims > _FEW_FEATURES:
        # Of many features they often help together alone; of few, to try all pairs is not worth its time. Without
        # correlations no prior has anything to say of them.
        some = lessened(best.reg_covar, (0.0, *_DAMPINGS[:-1]))
        pairs = [Regularisation(ridge, strength) for ridge in some for strength in (best.strength, *strengths)]
        alone = [Regularisation(ridge, best.strength) for ridge in lessened(best.reg_covar, _DAMPINGS[-1:])]
        return better(best, [*pairs, *alone], nearly)
    best = better(best, [best._replace(strength=strength) for strength in strengths], nearly)
    if kind != "diag":
        ridges = lessened(best.reg_covar, _DAMPINGS)
        best = better(best, [best._replace(reg_covar=ridge) for ridge in ridges], nearly)
    return best


def _densities(folds: list[_Fold], feature_map: FeatureMap, choice: Regularisation) -> NDArray[np.float64]:
    """Log densities of all rows held out, each under the mixture that has not seen it."""
    found = []
    for train, test, _, run, sums in folds:
        strength = choice.strength or run.strength
        coefficients = maximisation(train, feature_map, sums, run.parameters, choice.reg_covar, strength)[-1]
        found.append(log_densities(test, feature_map, coefficients))
    return np.concatenate(found)


def _cautious(
    densities: Callable[[Regularisation], NDArray[np.float64]], units: NDArray[np.intp], best: Regularisation
) -> Regularisation:
    """A larger regularisation that costs a fraction of the standard error over patients at most.

    Breiman et al. (1984) allow a whole one for a simpler model. Here that is too much where cells are many, but too
    little regularisation costs far more, on the few patients that differ from all others, than too much.
    """
    for factor in _LARGER:
        share = factor * best.reg_covar.share
        if share > _SHARES[-1]:
            continue
        larger = best._replace(reg_covar=best.reg_covar._replace(share=share))
        loss = densities(best) - densities(larger)
        error = np.linalg.norm(np.bincount(units, loss - loss.mean())) / len(loss)
        if loss.mean() <= _ERRORS_LOST * error:
            return larger
    return best


def _split(part: Sample, rng: np.random.Generator) -> list[tuple[Sample, Sample, NDArray[np.intp]]]:
    """Rows to learn from, rows held out and their units: in turn where rows are few, else once."""
    n_rows = part.rows.shape[0]
    units = part.groups
    if units is None or (units == units[0]).all():
        n_blocks = min(n_rows, _BLOCKS)
        units = np.arange(n_rows) * n_blocks // n_rows
    codes = np.unique(units, return_inverse=True)[1]
    n_units = int(codes.max()) + 1
    n_folds = min(_FOLDS, n_units)
    if n_folds < 2:
        return []
    fold_of = (rng.permutation(n_units) % n_folds)[codes]
    parts = []
    for index in range(n_folds if n_rows <= FEW_ROWS else 1):
        test = np.flatnonzero(fold_of == index)
        if len(test) > _MOST_TESTED:
            test = np.sort(rng.choice(test, size=_MOST_TESTED, replace=False))
        parts.append((part.part(np.flatnonzero(fold_of != index)), part.part(test), codes[test]))
    return parts
