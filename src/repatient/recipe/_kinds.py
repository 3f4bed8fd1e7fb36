"""What a kind of recipes is, and the registry of those that there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from repatient._checks import check_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repatient.recipe._concentration import PooledRecipe

    Parameters = dict[str, np.ndarray]

VALUES = ("any", "positive", "proportions", "covariance")
_DRAWS = 20_000
# Entries of the stored recipes that belong to all kinds.
_TAKEN = (
    "classes",
    "origin",
    "mean",
    "counts",
    "patients",
    "params",
    "covariates",
    "effects",
    "covariate_mean",
    "covariate_low",
    "covariate_high",
    "offsets",
    "reference",
)


@dataclass(frozen=True)
class Array:
    """What one array of a recipe has to be.

    Parameters
    ----------
    shape
        Its axes in one class: ``"K"`` components, ``"K-1"`` log-ratios, ``"P"`` columns of covariates, or ``"*"`` for a
        first axis of any length, as of sub-types or patients.
    values
        ``"positive"``, ``"proportions"`` (0 or more, the last axis sums to 1), ``"covariance"`` (symmetric, without a
        direction of negative variance), or ``"any"`` finite number.
    rows
        With an axis ``"*"``: the entry that says of which class each row is, where the rows of all classes are stored
        one after another. Arrays with the same ``rows`` have the same number of them.
    """

    shape: tuple[str, ...] = ()
    values: str = "any"
    rows: str | None = None

    def check(self, array: Any, what: str, sizes: Mapping[str, int]) -> np.ndarray:
        """Return the array of one class in double precision; refuse one of another shape or with impossible values."""
        array = np.asarray(array)
        wanted = tuple(
            array.shape[i] if axis == "*" and array.ndim > i else sizes.get(axis, -1)
            for i, axis in enumerate(self.shape)
        )
        if array.dtype.kind not in "iuf" or array.shape != wanted:
            msg = (
                f"{what} has shape {array.shape} and type {array.dtype}; numbers of shape "
                f"({', '.join(self.shape)}) = {wanted} are needed."
            )
            raise ValueError(msg)
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            msg = f"{what} has NaN or infinity."
            raise ValueError(msg)
        if self.values == "positive" and (array <= 0).any():
            msg = f"{what} is not above 0 everywhere."
            raise ValueError(msg)
        if self.values == "proportions":
            _check_proportions(array, what)
        if self.values == "covariance" and not is_covariance(array):
            msg = f"{what} is no covariance: one is symmetric and has no direction of negative variance."
            raise ValueError(msg)
        return array


def _check_proportions(array: np.ndarray, what: str) -> None:
    wrong = (array < 0).any(axis=-1) | (np.abs(array.sum(axis=-1) - 1) > 1e-6)
    if not array.size or wrong.any():
        msg = f"{what}: {int(wrong.sum())} of {wrong.size} rows are not proportions, which are 0 or more and sum to 1."
        raise ValueError(msg)


def is_covariance(matrices: np.ndarray) -> bool:
    """Whether matrices are finite, symmetric and without a direction of negative variance, up to rounding.

    Parameters
    ----------
    matrices
        One or several, (…, d, d).

    Returns
    -------
    Whether all of them are.
    """
    if not np.isfinite(matrices).all():
        return False
    scale = np.abs(matrices).max(initial=0.0)
    if np.abs(matrices - np.swapaxes(matrices, -1, -2)).max(initial=0.0) > 1e-6 * scale:
        return False
    return not matrices.size or bool(np.linalg.eigvalsh(matrices).min() >= -1e-6 * scale)


@dataclass(frozen=True)
class Learning:
    """What a recipe is fitted with, beside the patients of its class.

    Parameters
    ----------
    counts, labels
        Cells of the patients of all classes in each component, (patients, K), and their classes.
    pool
        What all of them have in common.
    shrinkage
        Weight of the pool, in patients.
    random_state
        Seed of whatever is drawn.
    n_subtypes
        Sub-types of the class, a number or ``"auto"``; 1 for kinds without them.
    """

    counts: np.ndarray
    labels: np.ndarray
    pool: PooledRecipe
    shrinkage: float
    random_state: int = 0
    n_subtypes: int | str = 1


class Kind(ABC):
    """A family of recipes: how one class is learnt, drawn from, moved and stored.

    ``name`` is what users call it, and ``arrays`` what it has beside ``mean``. The parameters of a class are a dictionary
    of arrays, ``mean`` (K,) among them. Instances hold no state.
    """

    name: ClassVar[str]
    arrays: ClassVar[Mapping[str, Array]] = {}
    has_subtypes: ClassVar[bool] = False

    @abstractmethod
    def fit(self, counts: np.ndarray, learning: Learning) -> Parameters:
        """Learn the recipe of a class from the cells of its patients in each component, (patients, K)."""

    @abstractmethod
    def sample(self, parameters: Parameters, n_patients: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the compositions of new patients, (n_patients, K), rows summing to one."""

    @abstractmethod
    def shift(self, parameters: Parameters, factor: np.ndarray) -> Parameters:
        """Recipe of patients whose every composition was multiplied by ``factor`` (K,) and renormalised."""

    def merge(self, parameters: Parameters, groups: np.ndarray) -> Parameters:
        """Recipe over fewer components: component k becomes part of component ``groups[k]``.

        By default proportions are added up and all else stays; a kind with log-ratios has to do more.
        """
        wrong = [name for name, array in self.arrays.items() if name in parameters and "K-1" in array.shape]
        if wrong:
            msg = f"Recipes of kind {self.name!r} do not know how {wrong} change where components are merged."
            raise NotImplementedError(msg)
        merged = dict(parameters)
        for name, array in {"mean": Array(("K",), "proportions"), **self.arrays}.items():
            if name in parameters and array.shape[-1:] == ("K",):
                merged[name] = parameters[name] @ np.eye(int(groups.max()) + 1)[groups]
        return merged

    def concentration(self, parameters: Parameters) -> float:
        """Concentration of the Dirichlet distribution whose total variance is that of the recipe; infinite without."""
        draws = self.sample(parameters, _DRAWS, np.random.default_rng(0))
        mean, variance = draws.mean(axis=0), draws.var(axis=0).sum()
        if variance <= 1e-12:
            return float("inf")
        return max(float((mean * (1 - mean)).sum() / variance) - 1, 1e-3)

    def alike(self, parameters: Sequence[Parameters]) -> Sequence[Parameters]:
        """Parameters of several classes in one form, in which they can be stored together."""
        return parameters


KINDS: dict[str, Kind] = {}


def register_kind(kind: Kind) -> None:
    """Offer another kind of recipes, wherever kinds can be chosen, stored and read.

    Parameters
    ----------
    kind
        An instance of a class derived from :class:`repatient.recipe.Kind`.

    Raises
    ------
    TypeError
        If it is none.
    ValueError
        If there is one of this name, or its arrays have names that cannot be stored, or axes or values that are not
        known.
    """
    if not isinstance(kind, Kind):
        msg = f"`kind` is an instance of a subclass of repatient.recipe.Kind, not {kind!r}."
        raise TypeError(msg)
    check_key(kind.name, "kind.name")
    if kind.name in KINDS:
        msg = f"`kind`: there is a kind of recipes {kind.name!r} already; name it otherwise."
        raise ValueError(msg)
    for name, array in kind.arrays.items():
        check_key(name, "kind.arrays")
        axes = array.shape[1:] if array.rows else array.shape
        known = set(axes) <= {"K", "K-1"} and (array.rows is None) == (array.shape[:1] != ("*",))
        if name in _TAKEN or array.rows in _TAKEN or not known or array.values not in VALUES:
            msg = (
                f"`kind.arrays`: {name!r} is a name that all recipes have, or has unknown axes {array.shape} or values "
                f"{array.values!r}; axes are 'K', 'K-1' and, with `rows`, a first one '*', and values one of {VALUES}."
            )
            raise ValueError(msg)
    KINDS[kind.name] = kind
