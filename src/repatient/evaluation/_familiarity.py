"""Does a new patient look like those that a model was trained on?"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.stats import t as student
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Sklearn
from threadpoolctl import threadpool_limits

from repatient._checks import check_integer, listed
from repatient._files._scratch import blocks
from repatient.mixture import GaussianMixture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

MEASURES = ("inside", "mean", "composition", "spread", "structure")
# Cells that the density is fitted to, components and axes that they are spent on.
_MOST_CELLS, _MOST_COMPONENTS, _MOST_AXES, _CELLS_OF_A_COMPONENT = 5_000, 8, 20, 50
_FOLDS, _EM_STEPS = 5, 30
# Cells of a patient that are read; how features go together is told from so many products of two of them, of clipped ones,
# among so many features (of more, among the principal axes).
_MOST_OF_A_PATIENT, _MOST_OF_A_COHORT, _MOST_PRODUCTS, _MOST_FEATURES, _CLIP_OF_PRODUCTS = 5_000, 400_000, 200, 64, 3.0
_FEWEST_PATIENTS = 4
# Standard deviations, so that one wild value does not decide.
_CLIP = 8.0
# Share of the training cells on the far side of each of the two thresholds of a cell.
_OUTSIDE = 0.025
# What is doubtful, and what is plainly foreign: p-values after Bonferroni's correction for all measures.
_DOUBTFUL, _FOREIGN, _FOREIGN_PATIENT, _FOREIGN_CENTRED = 1e-3, 1e-5, 1e-2, 1e-2
_TINY = 1e-9
# Standard deviations: of a mean that is 0, and of a shift that is worth a word.
_ZERO, _WORTH_NAMING = 1e-4, 0.5
_FEWEST_CENTRED = 3
_LEVELS = {
    "inside": "few of the cells lie where the training cells do",
    "mean": "the mean cell lies elsewhere",
    "composition": "cells fall into other components",
    "spread": "cells vary more, or less, than within training patients",
    "structure": "features go together in another way",
}


@dataclass(frozen=True, eq=False)
class FamiliarityScores:
    """How familiar each of some patients is.

    Parameters
    ----------
    patients
        Their names, (P,).
    inside
        Share of each one's cells inside the training density, (P,).
    p_values
        How rare so large a distance is among training patients that the density did not see, (P, 5): of ``MEASURES``.
    p_cohort
        The same of all patients together, (5,): small where they are all a little off, in the same way.
    training_inside
        Smallest and median share of cells inside among held-out training patients.
    shifts
        Mean of each feature over the patients minus that of training, in standard deviations of the training cells, (d,).
    centred
        Whether the mean of all cells is 0 in every feature to four digits, as after a PCA or a scaling of their own.
    """

    patients: NDArray[Any]
    inside: NDArray[np.float64]
    p_values: NDArray[np.float64]
    p_cohort: NDArray[np.float64]
    training_inside: tuple[float, float]
    shifts: NDArray[np.float64]
    centred: bool = False

    @property
    def p(self) -> NDArray[np.float64]:
        """The smallest p-value of each patient, times their number, (P,)."""
        return np.minimum(self.p_values.min(axis=1) * len(MEASURES), 1)

    @property
    def doubtful(self) -> NDArray[np.bool_]:
        """Which patients to warn of: rarer than one in 1,000 training patients, or all of a cohort that is, (P,)."""
        return (self.p < _DOUBTFUL) | (self._cohort_p < _DOUBTFUL)

    @property
    def foreign(self) -> bool:
        """Whether the cells are plainly not of the kind that was trained on.

        All patients together are rarer than one in 100,000, and most of them alone than one in a hundred; or together
        than one in a hundred, where they are centred on themselves.
        """
        unusual = self._cohort_p < _FOREIGN and np.mean(self.p < _FOREIGN_PATIENT) > 0.5
        return bool(unusual or (self.centred and self._cohort_p < _FOREIGN_CENTRED))

    @property
    def _cohort_p(self) -> float:
        return float(min(self.p_cohort.min() * len(MEASURES), 1))

    def reason(self, features: Sequence[str] | NDArray[Any] | None = None) -> str:
        """What does not fit, in words.

        Parameters
        ----------
        features
            Names of the features, (d,), so that the furthest can be named.
        """
        worst = [int(self.p_values.min(axis=0).argmin())]
        if self._cohort_p < _DOUBTFUL:
            worst = np.flatnonzero(self.p_cohort < _DOUBTFUL / len(MEASURES)).tolist()
        what = "; ".join(_LEVELS[MEASURES[i]] for i in sorted(worst, key=lambda i: self.p_cohort[i]))
        low, usual = self.training_inside
        what += (
            f". {np.median(self.inside):.0%} of a patient's cells are inside the training density (training patients: "
            f"{usual:.0%}, at least {low:.0%})"
        )
        far = [i for i in np.argsort(-np.abs(self.shifts))[:3] if np.abs(self.shifts[i]) >= _WORTH_NAMING]
        if far:
            names = features if features is not None else [f"dimension {i}" for i in range(len(self.shifts))]
            shifted = ", ".join(f"{names[i]} by {self.shifts[i]:+.1f}" for i in far)
            what += f"; means are off most in {shifted} standard deviations"
        if self.centred:
            what += "; the mean of all cells is exactly 0, as after a PCA or a scaling of their own"
        return what

    def table(self) -> pd.DataFrame:
        """One row a patient: ``inside``, the p-values ``p_<measure>``, and ``doubtful``."""
        frame = pd.DataFrame(self.p_values, columns=[f"p_{name}" for name in MEASURES], index=pd.Index(self.patients))
        frame.insert(0, "inside", self.inside)
        return frame.assign(doubtful=self.doubtful)


@dataclass(frozen=True, eq=False)
class Familiarity:
    """What training patients look like, to tell whether new ones do.

    A mixture of a few Gaussians over the principal axes of the training cells says which cells lie inside; patients are
    compared with each other by the share of cells inside, their mean cell, their composition over the mixture, the
    spread of their cells, and which features go together (means of products x y and x² y, which shuffling, reflecting or
    permuting features changes), each in units of how training patients differ. Both are fitted without a fifth of the patients at a
    time: how far those that were left out lie is what a new patient's distance is compared with (t distribution of
    the logarithm), so that p-values account for what a fit to few patients cannot know.

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
            Donor of each cell, (n,), so that all of a donor's patients are left out together.
        random_state
            Seed.

        Raises
        ------
        ValueError
            If there are fewer than four patients (or donors).
        """
        check_integer(random_state, "random_state", minimum=0)
        codes, names = pd.factorize(np.asarray(patients))
        inside = codes >= 0
        n_cells = np.bincount(codes[inside], minlength=len(names))
        rows = np.flatnonzero(inside)
        most = max(min(_MOST_OF_A_PATIENT, _MOST_OF_A_COHORT // max(len(names), 1)), 20)
        rows = rows[_some_cells(codes[rows], n_cells, most, random_state)]
        of_rows = pd.factorize(np.asarray(groups)[rows])[0] if groups is not None else codes[rows]
        of_patient = np.zeros(len(names), dtype=np.int64)
        of_patient[codes[rows]] = of_rows
        n_donors = int(of_rows.max(initial=-1)) + 1
        if n_donors < _FEWEST_PATIENTS:
            msg = f"`patients`: what is usual cannot be told from {n_donors} patients; {_FEWEST_PATIENTS} or more are needed."
            raise ValueError(msg)
        fold = (np.random.default_rng(random_state).permutation(n_donors) % min(_FOLDS, n_donors))[of_patient]
        deviation = _pooled(X, inside)[1]
        if len(rows) < len(codes):
            X, codes = np.asarray(X[rows]), codes[rows]
        held_out, inside = np.empty((len(names), len(MEASURES))), np.empty(len(names))
        with threadpool_limits(limits=1):
            for k in range(fold.max() + 1):
                out = fold[codes] == k
                reference = _fit_reference(X[~out], _renumbered(codes[~out]), random_state)
                summary = _summarise(reference, X[out], _renumbered(codes[out]))
                at = np.unique(codes[out])
                held_out[at], inside[at] = _distances(reference, summary), summary.inside
            reference = _fit_reference(X, codes, random_state)
        reference["pooled_deviation"] = deviation
        reference["n_donors"] = np.array(n_donors)
        # Of each measure only its distribution is needed: what is kept says nothing of one patient's row.
        usual = np.full(len(names), 1 / np.mean(1 / reference["n_cells"]))
        held_out, inside = np.sort(held_out, axis=0), np.sort(inside)
        return cls({**reference, "n_cells": usual, "held_out": held_out, "held_out_inside": inside})

    def score(self, X: NDArray[Any], patients: ArrayLike, *, n_patients: int | None = None) -> FamiliarityScores:
        """How familiar patients are.

        Parameters
        ----------
        X
            Cells (m, d), in the space and units of the training cells.
        patients
            Patient of each cell, (m,).
        n_patients
            Their number, where ``patients`` are numbers from 0, in whose order the scores then are.

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
        with threadpool_limits(limits=1):
            summary = _summarise(self.arrays, X, codes)
            distances = _distances(self.arrays, summary)
        held_out = self.arrays["held_out"]
        n, m, n_donors = len(held_out), len(names), int(self.arrays["n_donors"])
        z = (distances - held_out.mean(axis=0)) / np.maximum(held_out.std(axis=0, ddof=1), _TINY)
        known = self.arrays["held_out_inside"]
        mean, deviation = _pooled(X, codes >= 0)
        # The training cells themselves may well be centred.
        same = np.allclose(deviation, self.arrays["pooled_deviation"], rtol=1e-3, atol=0)
        centred = X.shape[1] >= _FEWEST_CENTRED and not same and bool((np.abs(mean) <= _ZERO * deviation).all())
        return FamiliarityScores(
            patients=np.asarray(names),
            inside=summary.inside,
            p_values=student.sf(z / np.sqrt(1 + 1 / n), n - 1),
            # Several patients of a donor, as there were in training, may all lie off in the same way.
            p_cohort=student.sf(z.mean(axis=0) / np.sqrt(min(n / n_donors / m, 1) + 1 / n_donors), n_donors - 1),
            training_inside=(float(known.min()), float(np.median(known))),
            shifts=summary.feature_means.mean(axis=0),
            centred=centred,
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
        width = len(arrays["location"]) if len(arrays["location"]) <= _MOST_FEATURES else width
        low = [name for name in _POSITIVE if (arrays[name] <= 0).any()]
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


# d features, q axes, K components, P patients, E products, 5 measures.
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
    "held_out": "P5",
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
)


def _fits(array: Any, axes: str, sizes: dict[str, int]) -> bool:
    array = np.asarray(array)
    if array.dtype.kind not in "fi" or array.ndim != len(axes) or not np.isfinite(array).all():
        return False
    return all(
        size == (int(axis) if axis.isdigit() else sizes.setdefault(axis, size))
        for axis, size in zip(axes, array.shape, strict=True)
    )


def _renumbered(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Patients 0 to P - 1, in the order of their numbers."""
    return np.unique(codes, return_inverse=True)[1]


@dataclass(frozen=True)
class _Summary:
    """Patients as numbers: cells, means, compositions, spreads."""

    n_cells: NDArray[np.int64]
    inside: NDArray[np.float64]
    mean: NDArray[np.float64]
    composition: NDArray[np.float64]
    feature_means: NDArray[np.float64]
    feature_variances: NDArray[np.float64]
    products: NDArray[np.float64]


def _fit_reference(X: NDArray[Any], codes: NDArray[np.int64], seed: int) -> dict[str, NDArray[Any]]:
    """Density of the cells, and how patients differ."""
    n_patients = int(codes.max()) + 1
    n_cells = np.bincount(codes, minlength=n_patients)
    location, scale = _moments(X, 1 / n_cells[codes] / n_patients)
    arrays: dict[str, Any] = {"location": location, "scale": scale, "n_cells": n_cells}
    chosen = _some_cells(codes, n_cells, max(_MOST_CELLS // n_patients, 20), seed)
    Z = _standardised(arrays, X[chosen])
    n, d = Z.shape
    n_components = max(1, min(_MOST_COMPONENTS, n // _CELLS_OF_A_COMPONENT))
    n_axes = min(d, n - 1, _MOST_AXES, max(2, n // (10 * n_components)))
    rotation = PCA(n_axes, svd_solver="covariance_eigh" if n >= d else "full").fit(Z)
    A = rotation.transform(Z)
    full = n >= 5 * n_components * n_axes * (n_axes + 3) // 2
    # Quicker on some thousand cells than the mixture of this package; how well it converged is no matter.
    mixture = Sklearn(
        n_components,
        covariance_type="full" if full else "diag",
        reg_covar=max(1e-3 * float(A.var(axis=0).mean()), _TINY),
        max_iter=_EM_STEPS,
        init_params="k-means++",
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(A)
    covariances = mixture.covariances_ if full else np.stack([np.diag(row) for row in mixture.covariances_])
    arrays |= {"center": rotation.mean_, "axes": rotation.components_}
    arrays |= {"weights": mixture.weights_, "means": mixture.means_, "covariances": covariances}
    density, rest, _ = _scores(arrays, Z, A)
    arrays["axis_scale"] = np.maximum(A.std(axis=0), _TINY)
    U = _clipped(arrays, Z, A)
    arrays["products"] = _telling_products(U)
    arrays["thresholds"] = np.array([np.quantile(density, _OUTSIDE), np.quantile(rest, 1 - _OUTSIDE) + _TINY * d])
    summary = _summarise(arrays, X, codes)
    between = LedoitWolf().fit(summary.mean).covariance_
    ridge = max(np.trace(between) / n_axes, _TINY) * 1e-6 * np.eye(n_axes)
    deviations = A - summary.mean[codes[chosen]]
    weight = 1 / np.bincount(codes[chosen], minlength=n_patients)[codes[chosen]] / n_patients
    share = summary.composition.mean(axis=0)
    binomial = share * (1 - share)
    variance = summary.composition.var(axis=0, ddof=1)
    # Shrunk halfway to what the shares alone lead to expect, because few patients say little of a rare component.
    expected = binomial * variance.sum() / max(binomial.sum(), _TINY)
    arrays |= {"mean": summary.mean.mean(axis=0), "between": between + ridge}
    arrays |= {"within": (deviations * weight[:, None]).T @ deviations}
    arrays |= {"share": share, "share_variance": (variance + expected) / 2 + 1e-5}
    arrays["within_variance"] = np.maximum(summary.feature_variances.mean(axis=0), 1e-4)
    logarithms = _log_variances(arrays, summary)
    spread = logarithms.var(axis=0, ddof=1)
    arrays["log_variance"] = logarithms.mean(axis=0)
    arrays["log_variance_variance"] = (spread + spread.mean()) / 2 + 1e-6
    arrays["product_mean"] = summary.products.mean(axis=0)
    noise, variance = _products(arrays, U).var(axis=0), summary.products.var(axis=0, ddof=1)
    expected = noise * variance.sum() / max(noise.sum(), _TINY)
    arrays |= {"product_noise": noise, "product_variance": (variance + expected) / 2 + 1e-4}
    return arrays


def _clipped(arrays: Mapping[str, NDArray[Any]], Z: NDArray[np.float64], A: NDArray[np.float64]) -> NDArray[np.float64]:
    """What products are made of: features, or where these are many the axes, in standard deviations, clipped."""
    return np.clip(
        Z if Z.shape[1] <= _MOST_FEATURES else A / arrays["axis_scale"], -_CLIP_OF_PRODUCTS, _CLIP_OF_PRODUCTS
    )


def _telling_products(U: NDArray[np.float64]) -> NDArray[np.int64]:
    """Products x y (0) and x² y (1) whose mean is furthest from 0 in their own standard deviations: i, j, which; (E, 3)."""
    n, d = U.shape
    squares = U**2
    first, second = (U.T @ U / n, squares.T @ U / n)
    scale = np.stack([np.sqrt(squares.T @ squares / n), np.sqrt((squares**2).T @ squares / n)])
    size = np.abs(np.stack([np.triu(first, 1), second])) / np.maximum(scale, _TINY)
    size[0][np.tril_indices(d)] = -1
    order = np.argsort(-size, axis=None, kind="stable")[: min(_MOST_PRODUCTS, d * (d - 1) // 2 + d * d)]
    which, i, j = np.unravel_index(order, size.shape)
    return np.column_stack([i, j, which]).astype(np.int64)


def _products(arrays: Mapping[str, NDArray[Any]], U: NDArray[np.float64]) -> NDArray[np.float64]:
    i, j, which = arrays["products"].T
    result = U[:, i]
    result *= np.where(which == 1, result, 1)
    result *= U[:, j]
    return result


def _moments(X: NDArray[Any], weight: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature, cells with weights (n,) that sum to 1."""
    location = np.zeros(X.shape[1])
    for part in blocks(len(X)):
        location += weight[part] @ X[part].astype(np.float64)
    variance = np.zeros(X.shape[1])
    for part in blocks(len(X)):
        variance += weight[part] @ (X[part].astype(np.float64) - location) ** 2
    # What does not vary beyond rounding has no unit of its own.
    still = variance <= (1e-6 * np.abs(location)) ** 2
    return location, np.where(still, np.maximum(np.abs(location), 1) * 1e-3, np.sqrt(variance))


def _pooled(X: NDArray[Any], inside: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature, every cell inside of equal weight."""
    return _moments(X, inside / inside.sum())


def _some_cells(codes: NDArray[np.int64], n_cells: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most so many random cells of each patient."""
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(n_cells)[:-1]])
    return np.sort(order[np.arange(len(codes)) - starts[codes[order]] < most])


def _standardised(arrays: Mapping[str, NDArray[Any]], X: NDArray[Any]) -> NDArray[np.float64]:
    return np.clip((X.astype(np.float64) - arrays["location"]) / arrays["scale"], -_CLIP, _CLIP)


def _scores(
    arrays: Mapping[str, NDArray[Any]], Z: NDArray[np.float64], A: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Log-density in the axes, squared distance from them, and component of each cell."""
    mixture = GaussianMixture.from_parameters(arrays["weights"], arrays["means"], arrays["covariances"])
    components, density = mixture.predict_with_density(A)[:2]
    rest = np.maximum(((Z - arrays["center"]) ** 2).sum(axis=1) - (A**2).sum(axis=1), 0)
    return density, rest, components


def _summarise(arrays: Mapping[str, NDArray[Any]], X: NDArray[Any], codes: NDArray[np.int64]) -> _Summary:
    n_patients, n_components = int(codes.max()) + 1, len(arrays["weights"])
    n_cells = np.bincount(codes, minlength=n_patients)
    d, q = len(arrays["location"]), len(arrays["axes"])
    inside, composition = np.zeros(n_patients), np.zeros((n_patients, n_components))
    means, first, second = np.zeros((n_patients, q)), np.zeros((n_patients, d)), np.zeros((n_patients, d))
    products = np.zeros((n_patients, len(arrays["products"])))
    for part in blocks(len(X)):
        Z = _standardised(arrays, X[part])
        A = (Z - arrays["center"]) @ arrays["axes"].T
        density, rest, components = _scores(arrays, Z, A)
        near = (density >= arrays["thresholds"][0]) & (rest <= arrays["thresholds"][1])
        of, ones = codes[part], np.ones(len(Z))
        patients = sp.csr_array((ones, (of, np.arange(len(Z)))), shape=(n_patients, len(Z)))
        inside += patients @ near.astype(np.float64)
        composition += sp.csr_array((ones, (of, components)), shape=(n_patients, n_components)).toarray()
        products += patients @ _products(arrays, _clipped(arrays, Z, A))
        means, first, second = means + patients @ A, first + patients @ Z, second + patients @ Z**2
    size = n_cells[:, None]
    variances = np.maximum(second / size - (first / size) ** 2, 0)
    return _Summary(
        n_cells, inside / n_cells, means / size, composition / size, first / size, variances, products / size
    )


def _log_variances(arrays: Mapping[str, NDArray[Any]], summary: _Summary) -> NDArray[np.float64]:
    """Log-variance of each feature within each patient, that of few cells drawn to the usual one."""
    n, usual = summary.n_cells[:, None], arrays["within_variance"]
    return np.log((n * summary.feature_variances + 2 * usual) / (n + 2) + 1e-4 * usual)


def _distances(arrays: Mapping[str, NDArray[Any]], summary: _Summary) -> NDArray[np.float64]:
    """Logarithm of how far each patient lies from the training patients, by ``MEASURES``, (P, 5)."""
    n = summary.n_cells
    # Patients of fewer cells than usual differ more by chance.
    more = np.maximum(1 / n - np.mean(1 / arrays["n_cells"]), 0)
    outside = n * (1 - summary.inside)
    off = summary.mean - arrays["mean"]
    covariances = arrays["between"] + more[:, None, None] * arrays["within"]
    mean = (off * np.linalg.solve(covariances, off[:, :, None])[:, :, 0]).mean(axis=1)
    share = arrays["share"]
    variance = arrays["share_variance"] + more[:, None] * share * (1 - share)
    composition = ((summary.composition - share) ** 2 / variance).mean(axis=1)
    of_spread = arrays["log_variance_variance"] + 2 * more[:, None]
    spread = ((_log_variances(arrays, summary) - arrays["log_variance"]) ** 2 / of_spread).mean(axis=1)
    usual, variance = arrays["product_mean"], arrays["product_variance"]
    # Products that hardly vary between patients tell most.
    weight = usual**2 / (usual**2 + variance) + _TINY
    off_products = (summary.products - usual) ** 2 / (variance + more[:, None] * arrays["product_noise"])
    structure = off_products @ weight / weight.sum()
    logits = np.log((outside + 0.5) / (n - outside + 0.5))
    return np.column_stack([logits, *np.log(np.stack([mean, composition, spread, structure]) + _TINY)])
