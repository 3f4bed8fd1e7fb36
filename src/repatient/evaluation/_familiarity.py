"""Does a new patient look like those that a model was trained on?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.stats import kurtosis
from scipy.stats import t as student

from repatient._checks import check_integer, listed
from repatient._threads import one_thread
from repatient.evaluation._familiar_cells import TINY, pooled, some_cells
from repatient.evaluation._familiar_patients import (
    MEASURES,
    MOST_FEATURES,
    distances_of,
    fit_patients,
    is_incoherent,
    summarise,
)
from repatient.evaluation._familiarity_scores import FEWEST_TOGETHER, FamiliarityScores
from repatient.mixture import GaussianMixture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

_FOLDS, _FEWEST_PATIENTS = 5, 4
# Cells of a patient, and of a cohort, that are read, and values of their features.
_MOST_OF_A_PATIENT, _MOST_OF_A_COHORT, _MOST_VALUES = 5_000, 400_000, 8_000_000
# Donors: a thousand say what is usual, and in which percent of them a new patient lies.
_MOST_DONORS = 1_000
# Standard deviations of a mean that is 0, and features that have to be so.
_ZERO, _FEWEST_CENTRED = 1e-4, 3
# Share of the variance from which on nothing is lost.
_NEARLY_ALL = 0.97
# p-value, without heavy tails, of a patient who is unusual where all are.
_UNUSUAL = 1e-2


@dataclass(frozen=True, eq=False)
class Familiarity:
    """What training patients look like, to tell whether new ones do.

    A mixture of a few Gaussians over the principal axes of the training cells says which cells lie inside; patients are
    compared with each other by the share of cells inside, their mean cell, their composition over the mixture, the
    spread of their cells, which features go together (means of products x y and x² y, which reflecting or permuting
    features changes), and how much they do (variance along the principal axes over that of independent features, which
    shuffling loses), each in units of how training patients differ. Both are fitted without a fifth of the patients at a
    time: how far those that were left out lie is what a new patient's distance is compared with (t distribution of
    the logarithm, with tails as heavy as theirs), so that p-values account for what a fit to few patients cannot know.

    Parameters
    ----------
    arrays
        Everything that was learnt, by name.

    Attributes
    ----------
    measures
        Names of what is compared.
    """

    arrays: Mapping[str, NDArray[Any]]
    measures: ClassVar[tuple[str, ...]] = MEASURES

    @classmethod
    def fit(
        cls, X: NDArray[Any], patients: ArrayLike, *, groups: ArrayLike | None = None, random_state: int = 0
    ) -> Self:
        """Learn from the cells of training patients.

        Parameters
        ----------
        X
            Cells (n, d), finite.
        patients
            Patient of each cell, (n,); ``None`` or NaN for cells that are left out.
        groups
            Donor of each cell, (n,), so that all of a donor's patients are left out together. Of more than 1,000 donors
            (or patients), so many are picked at random.
        random_state
            Seed.

        Raises
        ------
        ValueError
            If there are fewer than four patients (or donors), values are not finite, or lengths differ.
        """
        check_integer(random_state, "random_state", minimum=0)
        for argument, given in (("patients", patients), ("groups", groups)):
            if given is not None and np.shape(given) != (len(X),):
                msg = f"`{argument}` has the shape {np.shape(given)}; {len(X)} cells need ({len(X)},)."
                raise ValueError(msg)
        codes, names = pd.factorize(_of_some_donors(np.asarray(patients), groups, random_state))
        inside = codes >= 0
        n_cells = np.bincount(codes[inside], minlength=len(names))
        rows = np.flatnonzero(inside)
        in_all = min(_MOST_OF_A_COHORT, _MOST_VALUES // X.shape[1])
        most = max(min(_MOST_OF_A_PATIENT, in_all // max(len(names), 1)), 20)
        rows = rows[some_cells(codes[rows], n_cells, most, random_state)]
        of_rows = pd.factorize(np.asarray(groups)[rows])[0] if groups is not None else codes[rows]
        of_patient = np.zeros(len(names), dtype=np.int64)
        of_patient[codes[rows]] = of_rows
        n_donors = int(of_rows.max(initial=-1)) + 1
        if n_donors < _FEWEST_PATIENTS:
            msg = f"`patients`: what is usual cannot be told from {n_donors} patients; {_FEWEST_PATIENTS} or more are needed."
            raise ValueError(msg)
        fold = (np.random.default_rng(random_state).permutation(n_donors) % min(_FOLDS, n_donors))[of_patient]
        deviation = pooled(X, inside)[1]
        if not np.isfinite(deviation).all():
            msg = "`X` has NaN or infinity; leave these cells out."
            raise ValueError(msg)
        if len(rows) < len(codes):
            X, codes = np.asarray(X[rows]), codes[rows]
        held_out, inside = np.empty((len(names), len(MEASURES))), np.empty(len(names))
        with one_thread():
            for k in range(fold.max() + 1):
                out = fold[codes] == k
                reference = fit_patients(X[~out], _renumbered(codes[~out]), random_state)
                summary = summarise(reference, X[out], _renumbered(codes[out]))
                at = np.unique(codes[out])
                held_out[at], inside[at] = distances_of(reference, summary), summary.inside
            reference = fit_patients(X, codes, random_state)
        reference["pooled_deviation"] = deviation
        reference["n_donors"] = np.array(n_donors)
        # Of each measure only its distribution is needed: what is kept says nothing of one patient's row.
        usual = np.full(len(names), 1 / np.mean(1 / reference["n_cells"]))
        held_out, inside = np.sort(held_out, axis=0), np.sort(inside)
        return cls({**reference, "n_cells": usual, "held_out": held_out, "held_out_inside": inside})

    def score(
        self,
        X: NDArray[Any],
        patients: ArrayLike,
        *,
        n_patients: int | None = None,
        kept: NDArray[np.float64] | None = None,
    ) -> FamiliarityScores:
        """How familiar patients are.

        Parameters
        ----------
        X
            Cells (m, d), in the space and units of the training cells.
        patients
            Patient of each cell, (m,).
        n_patients
            Their number, where ``patients`` are numbers from 0, in whose order the scores then are.
        kept
            Share of the variance of each feature that cells have from which it was not learnt, (d,): principal components
            have more of it in the cells that they are of. ``None``: all of it.

        Raises
        ------
        ValueError
            If there are other numbers of features.
        """
        if X.shape[1] != len(self.arrays["location"]):
            msg = f"`X` has {X.shape[1]} features, training cells have {len(self.arrays['location'])}."
            raise ValueError(msg)
        codes, names = pd.factorize(np.asarray(patients))
        if n_patients is not None:
            codes, names = np.asarray(patients), np.arange(n_patients)
        # The training cells themselves, and others, whose variance along axes that were learnt is less; how much less is an
        # estimate.
        kept = np.ones(X.shape[1]) if kept is None else kept
        shares = [0.0] if kept.min() > _NEARLY_ALL else [0.0, 1 / 3, 2 / 3, 1.0]
        mean, deviation = pooled(X, codes >= 0)
        # The training cells themselves may well be centred.
        same = np.allclose(deviation, self.arrays["pooled_deviation"], rtol=1e-3, atol=0)
        centred = X.shape[1] >= _FEWEST_CENTRED and not same and bool((np.abs(mean) <= _ZERO * deviation).all())
        readings = [self._score(X, codes, names, kept**share, centred=centred) for share in shares]
        best = max(readings, key=lambda scores: (scores.p_cohort.min(), scores.p.mean()))
        # Patients of both kinds may come together.
        of_patients = np.argmax([scores.p for scores in readings], axis=0)
        own = np.stack([scores.p_values for scores in readings])[of_patients, np.arange(len(names))]
        inside = np.stack([scores.inside for scores in readings])[of_patients, np.arange(len(names))]
        return replace(best, p_values=own, inside=inside)

    def _score(
        self, X: NDArray[Any], codes: NDArray[Any], names: NDArray[Any], kept: NDArray[np.float64], *, centred: bool
    ) -> FamiliarityScores:
        """Scores where the features have so much of the variance that they have in training."""
        arrays = {**self.arrays, "scale": self.arrays["scale"] * np.sqrt(kept)}
        with one_thread():
            summary = summarise(arrays, X, codes)
            distances = distances_of(arrays, summary)
        held_out = self.arrays["held_out"]
        n, m, n_donors = len(held_out), len(names), int(self.arrays["n_donors"])
        z = (distances - held_out.mean(axis=0)) / np.maximum(held_out.std(axis=0, ddof=1), TINY)
        alone = z / np.sqrt(1 + 1 / n)
        light = student.sf(alone, n - 1).min(axis=1) * len(MEASURES)
        known = self.arrays["held_out_inside"]
        return FamiliarityScores(
            patients=np.asarray(names),
            inside=summary.inside,
            p_values=student.sf(alone, _degrees_of_freedom(held_out, 1, n)),
            # Several patients of a donor, as there were in training, may all lie off in the same way.
            p_cohort=student.sf(
                z.mean(axis=0) / np.sqrt(min(n / n_donors / m, 1) + 1 / n_donors),
                _degrees_of_freedom(held_out, m, n_donors),
            ),
            training_inside=(float(known.min()), float(np.median(known))),
            shifts=summary.feature_means.mean(axis=0),
            centred=centred,
            unusual=float(np.mean(light < _UNUSUAL)),
            incoherent=m >= FEWEST_TOGETHER and is_incoherent(arrays, summary),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What a file has to hold; no array needs pickle."""
        return {name: np.asarray(value) for name, value in self.arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of :meth:`to_arrays`.

        Raises
        ------
        ValueError
            If arrays are missing or do not fit each other.
        """
        missing = [name for name in _SHAPES if name not in arrays]
        sizes: dict[str, int] = {}
        wrong = [] if missing else [name for name, axes in _SHAPES.items() if not _fits(arrays[name], axes, sizes)]
        if missing or wrong:
            msg = (
                f"A familiarity is not whole: {listed(missing or wrong)} {'are missing' if missing else 'do not fit'}."
            )
            raise ValueError(msg)
        arrays = {name: np.asarray(arrays[name]) for name in _SHAPES}
        products, width = arrays["products"], len(arrays["axes"])
        width = len(arrays["location"]) if len(arrays["location"]) <= MOST_FEATURES else width
        low = [name for name in _POSITIVE if (arrays[name] <= 0).any()]
        if arrays["coherence"][1] <= 0 or arrays["coherence"][2] < 0:
            low.append("coherence")
        if not 1 < arrays["n_donors"] <= len(arrays["held_out"]):
            low.append("n_donors")
        if products.dtype.kind != "i" or (products < 0).any() or (products[:, :2] >= width).any():
            low.append("products")
        if low:
            msg = f"A familiarity is not whole: values of {listed(low)} are out of their range."
            raise ValueError(msg)
        # Raises where the parameters are none of a mixture.
        GaussianMixture.from_parameters(arrays["weights"], arrays["means"], arrays["covariances"])
        return cls(arrays)


# d features, q axes, K components, P patients, E products, 6 measures.
_SHAPES = {
    "location": "d",
    "scale": "d",
    "pooled_deviation": "d",
    "center": "d",
    "axes": "qd",
    "weights": "K",
    "means": "Kq",
    "covariances": "Kqq",
    "thresholds": "2",
    "n_cells": "P",
    "n_donors": "",
    "mean": "q",
    "between": "qq",
    "within": "qq",
    "share": "K",
    "share_variance": "K",
    "within_variance": "d",
    "log_variance": "d",
    "log_variance_variance": "d",
    "axis_scale": "q",
    "products": "E3",
    "product_mean": "E",
    "product_variance": "E",
    "product_noise": "E",
    "axis_weight": "q",
    "feature_weight": "d",
    "usual_variances": "2",
    "coherence": "3",
    "held_out": "P6",
    "held_out_inside": "P",
}
_POSITIVE = (
    "scale",
    "n_cells",
    "share_variance",
    "within_variance",
    "log_variance_variance",
    "axis_scale",
    "product_variance",
    "usual_variances",
)


def _fits(array: Any, axes: str, sizes: dict[str, int]) -> bool:
    array = np.asarray(array)
    if array.dtype.kind not in "fi" or array.ndim != len(axes) or not np.isfinite(array).all():
        return False
    return all(
        size == (int(axis) if axis.isdigit() else sizes.setdefault(axis, size))
        for axis, size in zip(axes, array.shape, strict=True)
    )


def _degrees_of_freedom(held_out: NDArray[np.float64], n_patients: int, n_donors: int) -> NDArray[np.float64]:
    """Of the t distribution with the kurtosis that a mean of so many distances has; at most what the donors allow."""
    excess = np.maximum(kurtosis(held_out, axis=0, bias=True) / n_patients, TINY)
    return np.minimum(4 + 6 / excess, n_donors - 1)


def _of_some_donors(patients: NDArray[Any], groups: ArrayLike | None, seed: int) -> NDArray[Any]:
    """The patient of each cell; of more donors than are needed, ``None`` for cells of those that are not picked."""
    donors = patients if groups is None else np.asarray(groups)
    of_cells = np.full(len(patients), -1)
    inside = ~np.asarray(pd.isna(patients), dtype=bool)
    of_cells[inside] = pd.factorize(donors[inside])[0]
    n_donors = int(of_cells.max(initial=-1)) + 1
    if n_donors <= _MOST_DONORS:
        return patients
    picked = np.random.default_rng(seed).permutation(n_donors)[:_MOST_DONORS]
    some = patients.astype(object)
    some[~np.isin(of_cells, picked)] = None
    return some


def _renumbered(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Patients 0 to P - 1, in the order of their numbers."""
    return np.unique(codes, return_inverse=True)[1]
