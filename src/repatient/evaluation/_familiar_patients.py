"""How patients differ from each other, and how far new ones lie from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.covariance import LedoitWolf

from repatient._files._scratch import BLOCK_ROWS, BLOCK_VALUES, blocks
from repatient.evaluation._familiar_cells import TINY, fit_density, in_axes, log_densities, standardised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MEASURES = ("inside", "mean", "composition", "spread", "structure", "coherence")
# How features go together is told from so many products of two of them, of clipped ones, among so many features (of more,
# among the principal axes).
_MOST_PRODUCTS, _PRODUCTS_AT_ONCE, MOST_FEATURES, _CLIP_OF_PRODUCTS = 200, 8, 64, 3.0
# Logarithm of a ratio of variances below which features hardly vary together, so that nothing can be missing of it.
_COHERENT = 0.1


@dataclass(frozen=True)
class Summary:
    """Patients as numbers: cells, means, compositions, spreads, and how features vary together."""

    n_cells: NDArray[np.int64]
    inside: NDArray[np.float64]
    mean: NDArray[np.float64]
    composition: NDArray[np.float64]
    feature_means: NDArray[np.float64]
    feature_variances: NDArray[np.float64]
    products: NDArray[np.float64]
    axis_variances: NDArray[np.float64]


def fit_patients(X: NDArray[Any], codes: NDArray[np.int64], seed: int) -> dict[str, NDArray[Any]]:
    """Density of the cells, and how patients differ."""
    arrays, chosen = fit_density(X, codes, seed)
    Z = standardised(arrays, X[chosen])
    A = in_axes(arrays, Z)
    U = _clipped(arrays, Z, A)
    arrays["products"] = _telling_products(U)
    n_patients, n_axes = len(arrays["n_cells"]), A.shape[1]
    summary = summarise(arrays, X, codes)
    between = LedoitWolf().fit(summary.mean).covariance_
    ridge = max(np.trace(between) / n_axes, TINY) * 1e-6 * np.eye(n_axes)
    deviations = A - summary.mean[codes[chosen]]
    weight = 1 / np.bincount(codes[chosen], minlength=n_patients)[codes[chosen]] / n_patients
    share = summary.composition.mean(axis=0)
    binomial = share * (1 - share)
    variance = summary.composition.var(axis=0, ddof=1)
    # Shrunk halfway to what the shares alone lead to expect, because few patients say little of a rare component.
    expected = binomial * variance.sum() / max(binomial.sum(), TINY)
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
    expected = noise * variance.sum() / max(noise.sum(), TINY)
    arrays |= {"product_noise": noise, "product_variance": (variance + expected) / 2 + 1e-4}
    # Variance along the axes, each weighted by its own, in all of it and in what independent features would have of it.
    weight = arrays["axis_scale"] ** 2
    arrays["axis_weight"], arrays["feature_weight"] = weight, weight @ arrays["axes"] ** 2
    together, apart = _variances_along_axes(arrays, summary)
    arrays["usual_variances"] = np.maximum([together.mean(), apart.mean()], TINY)
    within = Z - summary.feature_means[codes[chosen]], A - summary.mean[codes[chosen]]
    parts = [within[1] ** 2 @ weight, within[0] ** 2 @ arrays["feature_weight"]]
    noise = np.var(parts[0] / arrays["usual_variances"][0] - parts[1] / arrays["usual_variances"][1])
    coherence = _coherence(arrays, summary)
    arrays["coherence"] = np.array([coherence.mean(), coherence.var(ddof=1) + 1e-4, noise])
    return arrays


def _variances_along_axes(
    arrays: Mapping[str, NDArray[Any]], summary: Summary
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return summary.axis_variances @ arrays["axis_weight"], summary.feature_variances @ arrays["feature_weight"]


def _coherence(arrays: Mapping[str, NDArray[Any]], summary: Summary) -> NDArray[np.float64]:
    """Logarithm of the variance of a patient's cells along the axes over what it were if features were independent, (P,).

    0 where features vary on their own, whatever their spread; that of few cells is drawn to the usual one.
    """
    logs = []
    for values, usual in zip(_variances_along_axes(arrays, summary), arrays["usual_variances"], strict=True):
        n = summary.n_cells
        logs.append(np.log((n * values + 2 * usual) / (n + 2) + 1e-4 * usual))
    return logs[0] - logs[1]


def is_incoherent(arrays: Mapping[str, NDArray[Any]], summary: Summary) -> bool:
    """Whether features of all patients together vary less than half as much together as in training, in logarithms."""
    usual, found = (
        float(np.log(np.maximum(together, TINY) / np.maximum(apart, TINY)))
        for together, apart in (
            arrays["usual_variances"],
            (summary.n_cells @ values for values in _variances_along_axes(arrays, summary)),
        )
    )
    return usual > _COHERENT and found < usual / 2


def summarise(arrays: Mapping[str, NDArray[Any]], X: NDArray[Any], codes: NDArray[np.int64]) -> Summary:
    n_patients, n_components = int(codes.max()) + 1, len(arrays["weights"])
    n_cells = np.bincount(codes, minlength=n_patients)
    d, q = len(arrays["location"]), len(arrays["axes"])
    inside, composition = np.zeros(n_patients), np.zeros((n_patients, n_components))
    means, first, second = np.zeros((n_patients, q)), np.zeros((n_patients, d)), np.zeros((n_patients, d))
    products, squares = np.zeros((n_patients, len(arrays["products"]))), np.zeros((n_patients, q))
    # A block costs a matrix of all patients besides.
    for part in blocks(len(X), min(max(BLOCK_VALUES // d, n_patients), BLOCK_ROWS)):
        Z = standardised(arrays, X[part])
        A = in_axes(arrays, Z)
        density, rest, components = log_densities(arrays, Z, A)
        near = (density >= arrays["thresholds"][0]) & (rest <= arrays["thresholds"][1])
        of, ones = codes[part], np.ones(len(Z), Z.dtype)
        patients = sp.csr_array((ones, (of, np.arange(len(Z)))), shape=(n_patients, len(Z)))
        inside += patients @ near.astype(np.float64)
        composition += sp.csr_array((ones, (of, components)), shape=(n_patients, n_components)).toarray()
        U = _clipped(arrays, Z, A)
        # A few at a time stay in the processor's cache.
        for some in blocks(products.shape[1], _PRODUCTS_AT_ONCE):
            products[:, some] += patients @ _products(arrays, U, some)
        squares += patients @ A**2
        means, first, second = means + patients @ A, first + patients @ Z, second + patients @ Z**2
    size = n_cells[:, None]
    variances = np.maximum(second / size - (first / size) ** 2, 0)
    along = np.maximum(squares / size - (means / size) ** 2, 0)
    return Summary(
        n_cells, inside / n_cells, means / size, composition / size, first / size, variances, products / size, along
    )


def _log_variances(arrays: Mapping[str, NDArray[Any]], summary: Summary) -> NDArray[np.float64]:
    """Log-variance of each feature within each patient, that of few cells drawn to the usual one."""
    n, usual = summary.n_cells[:, None], arrays["within_variance"]
    return np.log((n * summary.feature_variances + 2 * usual) / (n + 2) + 1e-4 * usual)


def distances_of(arrays: Mapping[str, NDArray[Any]], summary: Summary) -> NDArray[np.float64]:
    """How far each patient lies from the training patients, by ``MEASURES``, (P, 6).

    Logarithms of distances; of coherence, how much is lacking, in standard deviations.
    """
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
    weight = usual**2 / (usual**2 + variance) + TINY
    off_products = (summary.products - usual) ** 2 / (variance + more[:, None] * arrays["product_noise"])
    structure = off_products @ weight / weight.sum()
    usual, variance, noise = arrays["coherence"]
    lacking = (usual - _coherence(arrays, summary)) / np.sqrt(variance + more * noise)
    logits = np.log((outside + 0.5) / (n - outside + 0.5))
    return np.column_stack([logits, *np.log(np.stack([mean, composition, spread, structure]) + TINY), lacking])


def _clipped(
    arrays: Mapping[str, NDArray[Any]], Z: NDArray[np.floating], A: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What products are made of: features, or where these are many the axes, in standard deviations, clipped."""
    return np.clip(
        Z if Z.shape[1] <= MOST_FEATURES else A / arrays["axis_scale"], -_CLIP_OF_PRODUCTS, _CLIP_OF_PRODUCTS
    )


def _telling_products(U: NDArray[np.float64]) -> NDArray[np.int64]:
    """Products x y (0) and x² y (1) whose mean is furthest from 0 in their own standard deviations: i, j, which; (E, 3)."""
    n, d = U.shape
    squares = U**2
    first, second = (U.T @ U / n, squares.T @ U / n)
    scale = np.stack([np.sqrt(squares.T @ squares / n), np.sqrt((squares**2).T @ squares / n)])
    size = np.abs(np.stack([np.triu(first, 1), second])) / np.maximum(scale, TINY)
    size[0][np.tril_indices(d)] = -1
    order = np.argsort(-size, axis=None, kind="stable")[: min(_MOST_PRODUCTS, d * (d - 1) // 2 + d * d)]
    which, i, j = np.unravel_index(order, size.shape)
    return np.column_stack([i, j, which]).astype(np.int64)


def _products(
    arrays: Mapping[str, NDArray[Any]], U: NDArray[np.float64], some: slice = slice(None)
) -> NDArray[np.float64]:
    i, j, which = arrays["products"][some].T
    result = U[:, i]
    result *= np.where(which == 1, result, 1)
    result *= U[:, j]
    return result
