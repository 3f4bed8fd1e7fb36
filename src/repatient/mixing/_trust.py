"""Whether another cohort speaks of the same classes, and knows anything of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from repatient.mixing._reference import Reference, counts_of
from repatient.recipe import proportions, smoothed, smoothed_proportions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from repatient.mil import Bags
    from repatient.mixing._aligned import Aligned
    from repatient.mixing._reference import ReferenceMixture
    from repatient.recipe import Recipes

N_DRAWS = 200
# Odds that the classes of a reference that is passed are those here, before any patient is looked at.
PRIOR_ODDS = 10.0
# A difference between classes as large as this is common where there is none.
BY_CHANCE = 0.1
MILDNESS, WIDER = 2.0, 2.5
# When a concern is worth a warning.
SIGNIFICANT, FAR, UNLIKELY = 0.01, 0.5, 0.5


@dataclass(frozen=True)
class Trust:
    """What the check of a reference found.

    Parameters
    ----------
    distance
        How far the mean compositions of each shared class lie apart, as a share of cells.
    expected
        How far they lie apart by chance, given the numbers of patients.
    p_value
        Probability of as large a distance by chance, the least of the shared classes times their number.
    between
        How far the classes of the reference lie apart, at least.
    signal
        Probability of differences between the reference's classes as large as found, were there none.
    shift
        Probability of as large a shift of the mean cell between the cohorts, see :func:`alignment`.
    odds
        How much more probable the classes of the patients here are by the reference's members than by guessing; NaN where
        none of them predicts.
    belief
        Weight of the reference, from 0 to 1.
    """

    distance: dict[str, float]
    expected: dict[str, float]
    p_value: float
    between: float
    signal: float
    shift: float
    odds: float
    belief: float

    @property
    def concerns(self) -> list[str]:
        """What speaks against the reference: a sentence each, with the numbers and a remedy."""
        found = []
        if self.distance and self.p_value <= SIGNIFICANT:
            far = [
                name
                for name, d in self.distance.items()
                if d - self.expected[name] > FAR * self.between and d > 2 * self.expected[name]
            ]
            found += [
                f"the compositions of {name!r}, a class of both cohorts, lie {self.distance[name]:.2f} apart "
                f"({self.expected[name]:.2f} by chance, the reference's classes {self.between:.2f}); fit fewer components "
                "or dimensions there, with `covariance_type='tied'`, or align the cohorts first"
                for name in far
            ]
        if np.isfinite(self.signal) and self.signal > BY_CHANCE:
            found.append(f"its classes differ no more than by chance (p = {self.signal:.2f}): it knows little of them")
        if np.isfinite(self.odds) and self.odds < UNLIKELY:
            found.append(
                f"it predicts the patients here worse than guessing (odds {self.odds:.2g}): are these its classes?"
            )
        return found

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        parts = []
        if self.distance:
            worst = max(self.distance, key=lambda name: self.distance[name] / max(self.expected[name], 1e-9))
            parts.append(
                f"the compositions of {worst!r} lie {self.distance[worst]:.2f} apart ({self.expected[worst]:.2f} by "
                f"chance, its classes {self.between:.2f})"
            )
        if np.isfinite(self.shift):
            parts.append(f"shift p = {self.shift:.3g}")
        if np.isfinite(self.signal) and self.signal > BY_CHANCE:
            parts.append(f"its classes differ no more than by chance (p = {self.signal:.2f})")
        if np.isfinite(self.odds):
            parts.append(f"odds by the patients here {self.odds:.2g}")
        return ", ".join([*parts, f"weight {self.belief:.2f}"])


def judged(
    reference: Reference,
    place: Aligned,
    bags: Bags,
    y: NDArray[np.int64],
    names: NDArray[np.str_],
    groups: NDArray[Any],
    members: Sequence[Any],
    *,
    random_state: int,
) -> Trust:
    """Compare a reference with the patients here: its shared classes, its classes' differences, its predictions."""
    del groups
    rng = np.random.default_rng(random_state)
    distance, expected, p_values, between = _compositions(reference, place, bags, names[y], rng, wider=True)
    signal = class_signal(reference, names, rng)
    odds = _odds(members, bags, y, names)
    belief = believed(signal, odds)
    p_value = min([1.0, *(p * len(p_values) for p in p_values)])
    return Trust(distance, expected, p_value, between, signal, place.p_value, odds, belief)


def believed(signal: float, odds: float) -> float:
    r"""Belief in a reference by the difference of its classes and by the patients here.

    That its classes differ: a p-value is worth odds of at most :math:`-1 / (e p \log p)` against chance (Sellke, Bayarri and
    Berger 2001, Am. Stat. 55, 62), of which those of mere chance, 1, are taken off. That they are the classes here: prior
    odds times those by the patients here.
    """
    differ = 1.0
    if np.isfinite(signal):
        against = 0.0 if signal >= np.exp(-1) else 1 / (-np.exp(1) * signal * np.log(max(signal, 1e-12))) - 1
        differ = against / (against + 1)
    same = PRIOR_ODDS * (odds if np.isfinite(odds) else 1.0)
    return float(differ * same / (same + 1))


def _compositions(
    reference: Reference,
    place: Aligned,
    bags: Bags,
    labels: NDArray[np.str_],
    rng: np.random.Generator,
    *,
    wider: bool = False,
) -> tuple[dict[str, float], dict[str, float], list[float], float]:
    """Distance of the mean compositions of each shared class, by chance too, p-values, and the least between classes.

    ``wider``: patients vary more than one concentration says, and a few donors say little of it.
    """
    recipes, mixture = reference.recipes, reference.mixture
    if recipes is None or mixture is None:
        return {}, {}, [], np.nan
    mean = smoothed(recipes.mean)
    gaps = np.abs(mean[:, None] - mean).sum(axis=2) / 2
    between = float(gaps[np.triu_indices(len(mean), 1)].min()) if len(mean) > 1 else np.nan
    counts = _counts(mixture, place, bags)
    distance, expected, p_values = {}, {}, []
    for name in np.unique(labels).tolist():
        if name not in recipes.classes:
            continue
        row = recipes.classes.index(name)
        mine = counts[labels == name]
        found = float(np.abs(proportions(mine).mean(axis=0) - mean[row]).sum() / 2)
        n_theirs = (reference.n_donors or {}).get(name, 2)
        s = float(np.clip(recipes.concentration[row], 1e-2, 1e5))
        degrees = max(n_theirs - 1, 1)
        share = rng.chisquare(degrees, (N_DRAWS, 1, 1)) / (degrees * WIDER) if wider else np.ones((N_DRAWS, 1, 1))
        alpha = np.maximum(s * share * mean[row], 1e-3)
        here = _dirichlet(alpha, len(mine), rng)
        here = rng.multinomial(mine.sum(axis=1), here) / mine.sum(axis=1)[:, None]
        theirs = _dirichlet(alpha, n_theirs, rng).mean(axis=1)
        by_chance = np.abs(here.mean(axis=1) - theirs).sum(axis=1) / 2
        distance[name], expected[name] = found, float(by_chance.mean())
        p_values.append(float((1 + (by_chance >= found).sum()) / (1 + N_DRAWS)))
    return distance, expected, p_values, between


def _dirichlet(alpha: NDArray[np.float64], n_patients: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Compositions of so many patients for each row of ``alpha``, (draws, 1, K)."""
    drawn = rng.gamma(np.repeat(alpha, n_patients, axis=1)) + 1e-300
    return drawn / drawn.sum(axis=2, keepdims=True)


def _counts(mixture: ReferenceMixture, place: Aligned, bags: Bags) -> NDArray[np.int64]:
    bag = np.repeat(np.arange(len(bags)), bags.sizes)
    return counts_of(bag, mixture.assign(bags.X[bags.rows], place.move), len(bags), mixture.n_components)


def adapted(reference: Reference, place: Aligned, bags: Bags, labels: NDArray[np.str_]) -> tuple[Recipes, float]:
    r"""The reference's recipes, moved by what the classes that both cohorts have differ in, as far as it is not chance.

    Compositions are multiplied by :math:`\exp(\overline{\log \pi_{here} / \pi_{there}})` over these classes, to the power
    :math:`\max(0, 1 - e^2 / d^2)`, d the distance of the mean compositions and e that by chance.

    Returns
    -------
    The recipes, and by how much milder their likelihoods are to be read than in the reference: twice, and the more the
    farther the cohorts lie apart.
    """
    recipes, mixture = reference.recipes, reference.mixture
    if recipes is None or mixture is None:
        msg = f"`reference`: {reference.name!r} has no recipes."
        raise ValueError(msg)
    distance, expected, _, _ = _compositions(reference, place, bags, labels, np.random.default_rng(0))
    if not distance:
        return recipes, MILDNESS
    counts = _counts(mixture, place, bags)
    logs = []
    for name in distance:
        mean = recipes.mean[recipes.classes.index(name)]
        here = smoothed_proportions(counts[labels == name], mean).mean(axis=0)
        logs.append(np.log(smoothed(here)) - np.log(smoothed(mean)))
    d, e = sum(distance.values()), sum(expected.values())
    excess = max(1.0, (d / max(e, 1e-9)) ** 2)
    return recipes.shifted(np.exp((1 - 1 / excess) * np.mean(logs, axis=0))), MILDNESS * excess


def class_signal(reference: Reference, names: NDArray[np.str_], rng: np.random.Generator) -> float:
    """Probability of differences between a reference's classes as large as found, were there none; NaN if unknown.

    The lesser, times two, of that of the donors' mean cells (Dempster's test) and that of the mean compositions (patients
    drawn from the mean of the recipes).
    """
    found = [p for p in (_signal_of_means(reference, names), _signal_of_recipes(reference, names, rng)) if p == p]
    return min(1.0, min(found) * len(found)) if found else np.nan


def _signal_of_means(reference: Reference, names: NDArray[np.str_]) -> float:
    spread = reference.spread
    if spread is None:
        return np.nan
    rows = [i for i, name in enumerate(spread.classes) if name in names]
    n = spread.n_donors[rows]
    degrees = int((n - 1).sum())
    if len(rows) < 2 or degrees < 1:
        return np.nan
    S = np.einsum("c,cij->ij", n - 1, spread.covariances[rows]) / degrees
    unit = np.sqrt(np.clip(np.diag(S), 0, None))
    unit = np.where(unit > 0, unit, 1.0)
    S = S / np.outer(unit, unit)
    centre = (n @ spread.means[rows]) / n.sum()
    between = float((n[:, None] * ((spread.means[rows] - centre) / unit) ** 2).sum()) / (len(rows) - 1)
    if np.trace(S) <= 0:
        return np.nan
    r = float(np.trace(S) ** 2 / np.square(S).sum())
    return float(stats.f.sf(between / np.trace(S), r * (len(rows) - 1), r * degrees))


def _signal_of_recipes(reference: Reference, names: NDArray[np.str_], rng: np.random.Generator) -> float:
    recipes = reference.recipes
    if recipes is None or reference.n_donors is None:
        return np.nan
    rows = [i for i, name in enumerate(recipes.classes) if name in names]
    if len(rows) < 2:
        return np.nan
    n = np.array([reference.n_donors.get(recipes.classes[i], 2) for i in rows])
    mean = recipes.mean[rows]
    centre = smoothed((n @ mean) / n.sum())
    # Patients vary more than one concentration says: components each have their own.
    s = np.clip(recipes.concentration[rows], 1e-2, 1e5) / WIDER

    def spread_of(means: NDArray[np.float64]) -> NDArray[np.float64]:
        around = np.einsum("c,...ck->...k", n, means) / n.sum()
        return np.einsum("c,...ck->...", n, np.abs(means - around[..., None, :]))

    drawn = np.stack(
        [
            rng.dirichlet(np.maximum(part * centre, 1e-3), (N_DRAWS, number)).mean(axis=1)
            for part, number in zip(s, n, strict=True)
        ],
        axis=1,
    )
    return float((1 + (spread_of(drawn) >= spread_of(mean)).sum()) / (1 + N_DRAWS))


def _odds(members: Sequence[Any], bags: Bags, y: NDArray[np.int64], names: NDArray[np.str_]) -> float:
    """How much more probable the classes here are by members that have not seen them than by guessing.

    Every class weighs the same: probabilities are centred, in logarithms, so that no class is preferred on average.
    """
    present = np.unique(y)
    if not members or len(present) < 2:
        return np.nan
    p = np.mean([member.predict_proba(bags) for member in members], axis=0)[:, present]
    logs = np.log(np.clip(p, 1e-3, None))
    code = np.searchsorted(present, y)
    of_classes = np.stack([logs[code == c].mean(axis=0) for c in range(len(present))])
    logs = logs - of_classes.mean(axis=0)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    gain = logs[np.arange(len(y)), code] + np.log(len(present))
    del names
    return float(np.exp(np.clip(gain.sum(), -30, 30)))
