"""What a linear predictor sees of a patient: numbers computed from its cells in large matrix products.

A kind of features is a class with ``fit``, ``transform`` and ``attribute``. All of them read cells that are standardised
by the training cells; ``attribute`` divides a weighted sum of the features among the entries of each bag, exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA

from repatient._files._scratch import blocks
from repatient.mil._bags import used_rows
from repatient.mil._persistence import array_of
from repatient.mil._ranks import QUANTILES, divide_by_rank, shares_of_ranks
from repatient.mil._shared import once
from repatient.mixture import Components, GaussianMixture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from repatient.mil._cell_reader import CellReader

    Array = NDArray[Any]

# Cells that a mixture is learnt from, and pairs of cells behind the median distance.
CELLS_OF_A_MIXTURE, N_PAIRS = 10_000, 4_000
# Values of cells that are ranked at a time.
RANKED_AT_ONCE = 2**19
# Cells of a component whose mean and variance are known before a patient's are seen.
WORTH = 1.0


class PatientFeatures(ABC):
    """A kind of features of a patient; what is fitted stands in ``arrays``."""

    name: ClassVar[str]

    def __init__(self, arrays: Mapping[str, Array] | None = None) -> None:
        self.arrays: dict[str, Array] = dict(arrays or {})

    def fit(self, cells: CellReader, rng: np.random.Generator, settings: Mapping[str, Any]) -> Self:
        """Learn from training cells what the features need."""
        del cells, rng, settings
        return self

    def check(self, n_features: int) -> None:
        """Raise on arrays of a file that are not what ``fit`` makes of so many features."""
        del n_features

    @abstractmethod
    def transform(self, cells: CellReader) -> NDArray[np.float64]:
        """Features of each bag, (B, p)."""

    @abstractmethod
    def attribute(self, cells: CellReader, weights: Array, centre: Array) -> NDArray[np.float64]:
        """Share of each entry in ``(features - centre) @ weights`` of its bag, (m, outcomes)."""


class Mean(PatientFeatures):
    """Mean cell."""

    name = "mean"

    def transform(self, cells: CellReader) -> NDArray[np.float64]:
        return cells.mean_of(lambda x: x, cells.bags.X.shape[1])

    def attribute(self, cells: CellReader, weights: Array, centre: Array) -> NDArray[np.float64]:
        shares = cells.each(lambda x: (x - centre) @ weights, weights.shape[1])
        return shares / np.repeat(cells.bags.sizes, cells.bags.sizes)[:, None]


class MeanAndSpread(PatientFeatures):
    """Mean and standard deviation of each feature."""

    name = "moments"

    def transform(self, cells: CellReader) -> NDArray[np.float64]:
        d = cells.bags.X.shape[1]
        both = cells.mean_of(lambda x: np.concatenate([x, x * x], axis=1), 2 * d)
        mean = both[:, :d]
        return np.concatenate([mean, np.sqrt(np.maximum(both[:, d:] - mean**2, 0.0))], axis=1)

    def attribute(self, cells: CellReader, weights: Array, centre: Array) -> NDArray[np.float64]:
        # sd = mean of (x - m)² / sd: each cell has its part of the mean.
        d, sizes = cells.bags.X.shape[1], cells.bags.sizes
        features = self.transform(cells)
        bag = cells.bag_of_entries()
        result = np.empty((len(bag), weights.shape[1]))
        for part in blocks(len(bag), width=d):
            x, own = cells.read(cells.bags.rows[part]).astype(np.float64), features[bag[part]]
            mean, sd = own[:, :d], own[:, d:]
            parts = np.divide((x - mean) ** 2, sd, out=np.zeros_like(x), where=sd > 0) - centre[d:]
            result[part] = (x - centre[:d]) @ weights[:d] + parts @ weights[d:]
        return result / sizes[bag][:, None]


class Extremes(PatientFeatures):
    """Lowest and highest value of each feature."""

    name = "extremes"

    def transform(self, cells: CellReader) -> NDArray[np.float64]:
        d = cells.bags.X.shape[1]
        result = np.empty((len(cells.bags), 2 * d))
        for some, sizes, values in cells.padded():
            result[some, :d] = values.min(axis=2)
            inside = np.arange(values.shape[2]) < sizes[:, None]
            result[some, d:] = np.where(inside[:, None], values, -np.inf).max(axis=2)
        return result

    def attribute(self, cells: CellReader, weights: Array, centre: Array) -> NDArray[np.float64]:
        d = cells.bags.X.shape[1]
        features, bag = self.transform(cells), cells.bag_of_entries()
        x = cells.each(lambda x: x, d)
        has = np.concatenate([x == features[bag, :d], x == features[bag, d:]], axis=1).astype(np.float64)
        return _divide(has, bag, features - centre, weights)


class Quantiles(PatientFeatures):
    """Nine quantiles of each feature, .1 to .9."""

    name = "quantiles"

    def transform(self, cells: CellReader) -> NDArray[np.float64]:
        result = np.empty((len(cells.bags), len(QUANTILES), cells.bags.X.shape[1]))
        for some, sizes, values in cells.padded():
            values.sort(axis=2)
            place = QUANTILES * (sizes[:, None] - 1)
            below = np.floor(place).astype(np.int64)
            above = np.minimum(below + 1, sizes[:, None] - 1)
            low, high = (np.take_along_axis(values, at[:, None], axis=2).astype(np.float64) for at in (below, above))
            result[some] = (low + (place - below)[:, None] * (high - low)).transpose(0, 2, 1)
        return result.reshape(len(result), -1)

    def attribute(self, cells: CellReader, weights: Array, centre: Array) -> NDArray[np.float64]:
        """A quantile belongs to the cells whose rank is near it, to each of these equally; equal values share theirs."""
        d, bags, n_scores = cells.bags.X.shape[1], cells.bags, weights.shape[1]
        difference = (self.transform(cells) - centre).reshape(len(bags), len(QUANTILES), d)
        weights = weights.reshape(len(QUANTILES), d, n_scores)
        result = np.empty((len(bags.rows), n_scores))
        for some, sizes, values in cells.padded():
            n_bags, most = len(some), values.shape[2]
            shares, total = shares_of_ranks(sizes, most), np.zeros((n_bags, most, n_scores))
            width = max(1, RANKED_AT_ONCE // (n_bags * most))
            for part in (slice(start, start + width) for start in range(0, d, width)):
                of_quantiles = difference[some][:, :, part, None] * weights[:, part]
                total += divide_by_rank(values[:, part], sizes, shares, of_quantiles)
            inside = np.arange(most) < sizes[:, None]
            result[(bags.indptr[some][:, None] + np.arange(most))[inside]] = total[inside]
        return result


class Composition(PatientFeatures):
    """Square roots of the shares of a mixture's components, fitted on training cells."""

    name = "composition"

    def fit(self, cells: CellReader, rng: np.random.Generator, settings: Mapping[str, Any]) -> Self:
        number = settings["n_components"]
        self.arrays = dict(once("mixture", (*cells.parts, number, rng), lambda: _fit_mixture(cells, number, rng)))
        return self

    def transform(self, cells: CellReader) -> NDArray[np.float64]:
        counts = self.counts(cells)
        return np.sqrt(counts / counts.sum(axis=1, keepdims=True))

    def check(self, n_features: int) -> None:
        if "axes" in self.arrays:
            n_axes = len(self.arrays["axes"])
            array_of(self.arrays, "axes", n_axes, n_features)
            array_of(self.arrays, "centre", n_features)
            n_features = n_axes
        array_of(self.arrays, "means", None, n_features)
        # The mixture checks the rest.
        components_of(self.arrays)

    def counts(self, cells: CellReader) -> NDArray[np.float64]:
        """Cells of each bag in each component, (B, components)."""
        k = len(self.arrays["weights"])
        codes = cells.bag_of_entries() * k + self.components(cells)
        return np.bincount(codes, minlength=len(cells.bags) * k).reshape(-1, k).astype(np.float64)

    def components(self, cells: CellReader) -> NDArray[np.int64]:
        """Component of each entry, (m,); a cell in several bags is assigned once."""
        arrays = {name: self.arrays[name] for name in _OF_MIXTURE if name in self.arrays}
        return once("components", (*cells.parts, arrays), lambda: _assign(cells, arrays))

    def attribute(self, cells: CellReader, weights: Array, centre: Array) -> NDArray[np.float64]:
        component, bag = self.components(cells), cells.bag_of_entries()
        has = (component[:, None] == np.arange(len(centre))).astype(np.float64)
        return _divide(has, bag, self.transform(cells) - centre, weights)


class Prototypes(Composition):
    """Share, mean and variance of a patient's cells in each component of a mixture.

    Means and variances are drawn towards those of the training cells by as much as ``WORTH`` cells.
    """

    name = "prototypes"

    def fit(self, cells: CellReader, rng: np.random.Generator, settings: Mapping[str, Any]) -> Self:
        super().fit(cells, rng, settings)
        counts, sums, squares = (part.sum(axis=0) for part in self._sums(cells))
        total = np.maximum(counts, 1)[:, None]
        self.arrays |= {"typical": sums / total, "spread": np.maximum(squares / total - (sums / total) ** 2, 0.0)}
        return self

    def check(self, n_features: int) -> None:
        super().check(n_features)
        for name in ("typical", "spread"):
            array_of(self.arrays, name, len(self.arrays["weights"]), n_features)

    def transform(self, cells: CellReader) -> NDArray[np.float64]:
        counts, sums, squares = self._sums(cells)
        n, typical, spread = counts[..., None] + WORTH, self.arrays["typical"], self.arrays["spread"]
        mean = (sums + WORTH * typical) / n
        variance = (squares + WORTH * (spread + typical**2)) / n - mean**2
        shares = counts / counts.sum(axis=1, keepdims=True)
        return np.concatenate([shares[..., None], mean, variance], axis=2).reshape(len(shares), -1)

    def attribute(self, cells: CellReader, weights: Array, centre: Array) -> NDArray[np.float64]:
        """Cells of a component share what its numbers add to the score."""
        k, bag = len(self.arrays["weights"]), cells.bag_of_entries()
        has = (self.components(cells)[:, None] == np.arange(k)).astype(np.float64)
        parts = (self.transform(cells) - centre)[..., None] * weights
        parts = parts.reshape(len(parts), k, -1, weights.shape[1]).sum(axis=2)
        shares = [_divide(has, bag, parts[..., score], np.ones((k, 1))) for score in range(weights.shape[1])]
        return np.concatenate(shares, axis=1)

    def _sums(self, cells: CellReader) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Cells of each bag in each component, and the sums of their values and of the squares of these."""
        k, d, n_bags = len(self.arrays["weights"]), cells.bags.X.shape[1], len(cells.bags)
        codes = cells.bag_of_entries() * k + self.components(cells)
        sums = np.zeros((n_bags * k, 2 * d))
        for part in blocks(len(codes), width=d):
            x, n = cells.read(cells.bags.rows[part]), part.stop - part.start
            first, last = codes[part].min(), codes[part].max() + 1
            members = sparse.csr_array((np.ones(n, np.float32), (codes[part] - first, np.arange(n))), (last - first, n))
            sums[first:last] += members @ np.concatenate([x, x * x], axis=1)
        counts = np.bincount(codes, minlength=n_bags * k).astype(np.float64).reshape(n_bags, k)
        sums = sums.reshape(n_bags, k, 2 * d)
        return counts, sums[..., :d], sums[..., d:]


class KernelMean(PatientFeatures):
    """Kernel mean embedding: the mean of random Fourier features of a Gaussian kernel (Rahimi and Recht 2007)."""

    name = "kernel_mean"

    def fit(self, cells: CellReader, rng: np.random.Generator, settings: Mapping[str, Any]) -> Self:
        sample, _ = cells.sample(rng)
        first, second = rng.integers(len(sample), size=(2, N_PAIRS))
        distances = np.linalg.norm(sample[first].astype(np.float64) - sample[second], axis=1)
        apart = distances[distances > 0]
        width = settings["bandwidth"] * (float(np.median(apart)) if len(apart) else 1.0)
        n = settings["n_frequencies"]
        self.arrays = {
            "frequencies": (rng.normal(size=(sample.shape[1], n)) / width).astype(np.float32),
            "phases": rng.uniform(0, 2 * np.pi, n).astype(np.float32),
        }
        return self

    def transform(self, cells: CellReader) -> NDArray[np.float64]:
        return cells.mean_of(self._waves, len(self.arrays["phases"]))

    def attribute(self, cells: CellReader, weights: Array, centre: Array) -> NDArray[np.float64]:
        widest = len(self.arrays["phases"])
        shares = cells.each(lambda x: (self._waves(x) - centre) @ weights, weights.shape[1], widest=widest)
        return shares / np.repeat(cells.bags.sizes, cells.bags.sizes)[:, None]

    def check(self, n_features: int) -> None:
        frequencies = array_of(self.arrays, "frequencies", n_features, None)
        array_of(self.arrays, "phases", frequencies.shape[1])

    def _waves(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        waves = x @ self.arrays["frequencies"]
        waves += self.arrays["phases"]
        np.cos(waves, out=waves)
        waves *= np.float32((2 / waves.shape[1]) ** 0.5)
        return waves


FEATURES: dict[str, type[PatientFeatures]] = {
    kind.name: kind for kind in (Mean, MeanAndSpread, Extremes, Quantiles, Composition, Prototypes, KernelMean)
}


def _divide(has: NDArray[np.float64], bag: NDArray[np.int64], difference: Array, weights: Array) -> NDArray[np.float64]:
    """Divide each feature's part of the score equally among the entries that have it; among all, if none has."""
    n_bags = len(difference)
    members = sparse.csr_array((np.ones(len(bag)), (bag, np.arange(len(bag)))), shape=(n_bags, len(bag)))
    having = members @ has
    sizes = np.asarray(members.sum(axis=1)).ravel()
    nobody = having == 0
    per_entry = np.where(nobody, 0.0, difference / np.where(nobody, 1.0, having))
    shared = (np.where(nobody, difference, 0.0) @ weights) / sizes[:, None]
    return (has * per_entry[bag]) @ weights + shared[bag]


def _fit_mixture(cells: CellReader, n_components: int, rng: np.random.Generator) -> dict[str, Array]:
    seed = int(rng.integers(2**31))
    return components_arrays(Components.fit(cells.sample(rng, CELLS_OF_A_MIXTURE)[0], n_components, random_state=seed))


def _assign(cells: CellReader, arrays: Mapping[str, Array]) -> NDArray[np.int64]:
    used, place = used_rows(cells.bags)
    fitted = components_of(arrays)
    parts = [fitted.assign(cells.read(used[part])) for part in blocks(len(used), width=cells.bags.X.shape[1])]
    return np.concatenate(parts)[place[cells.bags.rows]]


_OF_MIXTURE = ("weights", "means", "covariances", "axes", "centre")


def components_arrays(fitted: Components) -> dict[str, Array]:
    """What a mixture of components is rebuilt of."""
    mixture, rotation = fitted.mixture, fitted.rotation
    arrays = {"weights": mixture.weights_, "means": mixture.means_, "covariances": mixture.covariances_}
    return arrays if rotation is None else arrays | {"axes": rotation.components_, "centre": rotation.mean_}


def components_of(arrays: Mapping[str, Array]) -> Components:
    """The inverse of :func:`components_arrays`."""
    kind = "full" if arrays["covariances"].ndim == 3 else "diag"
    mixture = GaussianMixture.from_parameters(
        arrays["weights"], arrays["means"], arrays["covariances"], covariance_type=kind
    )
    rotation = None
    if "axes" in arrays:
        rotation = PCA(len(arrays["axes"]))
        rotation.components_, rotation.mean_ = arrays["axes"], arrays["centre"]
        rotation.explained_variance_ = np.ones(len(arrays["axes"]))
        rotation.n_features_in_ = arrays["axes"].shape[1]
    return Components(mixture, rotation)
