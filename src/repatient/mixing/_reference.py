"""What another cohort knows: mixture, recipes, offsets, moments, a model, or its patients."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.decomposition import PCA

from repatient._checks import check_option
from repatient._threads import one_thread
from repatient.mixture import Components, GaussianMixture, default_n_components
from repatient.recipe import fit_offsets, fit_recipes
from repatient.sampling import class_moments, donor_spread

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from repatient.mil import Bags, Predictor
    from repatient.recipe import Offsets, Recipes
    from repatient.sampling import AffineMap, Moments, Spread

TRAVELS = ("recipes", "offsets", "model", "cells")
MOST_AXES, FEWEST_CELLS = 10, 5


@dataclass(frozen=True, kw_only=True)
class ReferenceMixture:
    """A mixture of another cohort's cells, of which ``(x - centre) / scale`` is assigned.

    Parameters
    ----------
    components
        The mixture.
    centre, scale
        Of each feature, (d,).
    """

    components: Components
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, X: NDArray[Any], n_components: int, random_state: int, *, standardize: bool = True) -> Self:
        """Fit to cells (n, d), all features with one variance or as they are.

        One covariance for all components, in few directions: of another cohort's cells, which never lie exactly where
        these lie, components of their own width would lose all to the widest one.
        """
        centre, scale = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
        scale = np.where(scale > 0, scale, 1.0) if standardize else np.full(len(scale), scale.max() or 1.0)
        cells = (X - centre) / scale
        n_cells, n_dims = cells.shape
        n_components = max(2, min(n_components, n_cells // FEWEST_CELLS))
        rotation = None
        with one_thread():
            if n_dims > MOST_AXES:
                rotation = PCA(min(MOST_AXES, n_cells - 1), svd_solver="full").fit(cells)
                cells = rotation.transform(cells)
            fitted = GaussianMixture(
                n_components, covariance_type="tied", tol=1e-3, n_init=2, random_state=random_state, progress=False
            ).fit(cells.astype(np.float32))
        covariances = np.tile(fitted.covariances_, (n_components, 1, 1))
        mixture = GaussianMixture.from_parameters(fitted.weights_, fitted.means_, covariances)
        return cls(components=Components(mixture, rotation), centre=centre, scale=scale)

    @classmethod
    def of_parameters(cls, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike, covariance_type: str) -> Self:
        """A mixture as :func:`repatient.tl.gmm` stores it."""
        weights, means, covariances = (np.asarray(part, dtype=np.float64) for part in (weights, means, covariances))
        if covariance_type == "tied":
            covariances = np.tile(covariances, (len(means), 1, 1))
        variances = covariances if covariances.ndim == 2 else np.diagonal(covariances, axis1=1, axis2=2)
        centre = weights @ means
        scale = np.sqrt(weights @ (variances + (means - centre) ** 2))
        scale = np.where(scale > 0, scale, 1.0)
        scaled = covariances / (scale**2 if covariances.ndim == 2 else np.outer(scale, scale))
        kind = "diag" if covariances.ndim == 2 else "full"
        mixture = GaussianMixture.from_parameters(weights, (means - centre) / scale, scaled, kind)
        return cls(components=Components(mixture, None), centre=centre, scale=scale)

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.components.n_components

    @property
    def fingerprint(self) -> str:
        """Digest of what decides which component a cell is of."""
        digest = hashlib.blake2b(digest_size=8)
        for array in (self.components.mixture.means_, self.components.mixture.covariances_, self.centre, self.scale):
            digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
        return digest.hexdigest()

    def assign(self, X: NDArray[Any], move: AffineMap | None = None) -> NDArray[np.int64]:
        """Component of each cell (n,), which is moved to where the cohort's cells lie before."""
        X = X if move is None else move(X)
        return self.components.assign(((X - self.centre) / self.scale).astype(np.float32))


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """What is known of another cohort.

    Parameters
    ----------
    name
        What to call it.
    mixture
        The mixture that recipes and offsets are of.
    recipes
        Recipes of its classes, with the mixture.
    offsets
        Where its classes lie inside the components, with the mixture.
    n_donors
        Donors that each recipe was learnt from.
    moments, spread
        Mean and covariance of the cells of each class, and of the donors' mean cells: for the alignment and the check.
    models
        Fitted predictors of classes, by name.
    bags, labels, donors
        Its patients, their classes by name, and their donors.
    """

    name: str = "reference"
    mixture: ReferenceMixture | None = None
    recipes: Recipes | None = None
    offsets: Offsets | None = None
    n_donors: Mapping[str, int] | None = None
    moments: Moments | None = None
    spread: Spread | None = None
    models: tuple[tuple[str, Any], ...] = ()
    bags: Bags | None = None
    labels: NDArray[Any] | None = None
    donors: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if (self.recipes is not None or self.offsets is not None) and self.mixture is None:
            msg = f"`mixture`: recipes and offsets of {self.name!r} are of a mixture, and there is none."
            raise ValueError(msg)
        for what in ("recipes", "offsets"):
            part = getattr(self, what)
            number = None if part is None else (part.mean if what == "recipes" else part.means).shape[1]
            if self.mixture is not None and number not in (None, self.mixture.n_components):
                msg = (
                    f"`{what}` of {self.name!r} are of {number} components, its mixture of {self.mixture.n_components}."
                )
                raise ValueError(msg)
        if not self.classes:
            msg = (
                f"`{self.name}`: neither recipes, nor a model, nor patients are given; there is nothing to learn from."
            )
            raise ValueError(msg)

    @classmethod
    def learn(
        cls,
        bags: Bags,
        labels: ArrayLike,
        donors: ArrayLike | None = None,
        *,
        name: str = "reference",
        n_components: int | None = None,
        mixture: ReferenceMixture | None = None,
        shrinkage: float = 1.0,
        standardize: bool = True,
        models: Sequence[tuple[str, Predictor]] = (),
        random_state: int = 0,
    ) -> Self:
        """Learn all of it from patients.

        Parameters
        ----------
        bags
            The patients.
        labels
            Class of each, (patients,), taken as text.
        donors
            Donor of each; ``None``: each its own.
        name
            What to call the cohort.
        n_components
            Components of the mixture; ``None``: as many as the patients bear.
        mixture
            A mixture to use in place of one that is fitted.
        shrinkage
            Of the recipes, see :func:`repatient.recipe.fit_recipes`.
        standardize
            Whether the mixture is fitted to features of one variance: right where they have units of their own, wrong for
            the coordinates of an embedding.
        models
            Unfitted predictors that are trained on the patients, by name.
        random_state
            Seed.
        """
        labels = np.asarray(labels).astype(str)
        donors = np.arange(len(bags)).astype(str) if donors is None else np.asarray(donors).astype(str)
        if not len(bags) == len(labels) == len(donors):
            msg = f"`labels`, `donors`: {len(labels)} and {len(donors)} for {len(bags)} patients."
            raise ValueError(msg)
        cells = bags.X[bags.rows]
        if mixture is None:
            number = n_components or default_n_components(len(cells), cells.shape[1], len(bags))
            mixture = ReferenceMixture.fit(cells, number, random_state, standardize=standardize)
        components = mixture.assign(cells)
        classes, y = np.unique(labels, return_inverse=True)
        names = [str(c) for c in classes]
        of_donors = np.unique(donors, return_inverse=True)[1]
        bag = np.repeat(np.arange(len(bags)), bags.sizes)
        counts = counts_of(bag, components, len(bags), mixture.n_components)
        n_donors = {name: len(np.unique(of_donors[y == c])) for c, name in enumerate(names)}
        return cls(
            name=name,
            mixture=mixture,
            recipes=fit_recipes(counts, labels, shrinkage=shrinkage),
            offsets=fit_offsets(cells, components, of_donors[bag], y[bag], names, mixture.n_components),
            n_donors=n_donors,
            moments=class_moments(cells, y[bag], bag, names),
            spread=donor_spread(cells, y[bag], of_donors[bag], names),
            models=tuple((of, model.fit(bags, labels, groups=donors)) for of, model in models),
            bags=bags,
            labels=labels,
            donors=donors,
        )

    @property
    def classes(self) -> list[str]:
        """Classes that something is known of."""
        found: list[str] = list(self.recipes.classes) if self.recipes is not None else []
        for _, model in self.models:
            found += [str(name) for name in model.classes_]
        return list(dict.fromkeys([*found, *([] if self.labels is None else np.unique(self.labels).tolist())]))

    @property
    def rungs(self) -> list[str]:
        """What of the ladder it has, see :data:`TRAVELS`."""
        there = (self.recipes is not None, self.offsets is not None, bool(self.models), self.bags is not None)
        return [name for name, has in zip(TRAVELS, there, strict=True) if has]

    def only(self, travels: Collection[str]) -> Reference:
        """The same without what does not travel; moments go with anything."""
        for name in travels:
            check_option(name, "travels", TRAVELS)
        without: dict[str, Any] = {}
        if "recipes" not in travels and "offsets" not in travels:
            without |= {"recipes": None}
        if "offsets" not in travels:
            without |= {"offsets": None}
        if "model" not in travels:
            without |= {"models": ()}
        if "cells" not in travels:
            without |= {"bags": None, "labels": None, "donors": None}
        return replace(self, **without)


def counts_of(
    bag: NDArray[np.int64], components: NDArray[np.int64], n_bags: int, n_components: int
) -> NDArray[np.int64]:
    """Cells of each bag in each component, (bags, K)."""
    counts = np.bincount(bag * n_components + components, minlength=n_bags * n_components)
    return counts.reshape(n_bags, n_components)
