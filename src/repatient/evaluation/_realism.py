"""Whether generated patients are like real ones, and whether the method's assumption holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from repatient.evaluation._bag_summaries import summarise_bags
from repatient.evaluation._discrepancy import energy_distance, mmd_test
from repatient.evaluation._grouped_auroc import TooFewPatientsError, auroc, grouped_auroc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_DONORS = 5


class Discrepancy(NamedTuple):
    """Distances of two samples of patients.

    Parameters
    ----------
    mmd
        Squared maximum mean discrepancy, unbiased.
    p_value
        Its permutation p-value.
    energy
        Energy distance.
    """

    mmd: float
    p_value: float
    energy: float


class ComponentAUROC(NamedTuple):
    """How well the means of patients' cells within a component tell a class.

    Parameters
    ----------
    mean
        AUROC, averaged over cells.
    worst
        AUROC in the component where it is largest.
    worst_component
        That component.
    """

    mean: float
    worst: float
    worst_component: int


@dataclass(frozen=True, eq=False)
class ComponentMeans:
    """Mean of each patient's cells in each component.

    Parameters
    ----------
    means
        One row a patient and component that has cells, (pairs, d).
    patients, components
        Of each row, (pairs,).
    n_cells
        Cells behind each row, (pairs,).
    """

    means: NDArray[np.float64]
    patients: NDArray[np.int64]
    components: NDArray[np.int64]
    n_cells: NDArray[np.float64]


def discrepancy(
    real: NDArray[np.floating],
    generated: NDArray[np.floating],
    donors: NDArray[Any],
    *,
    n_permutations: int = 199,
    random_state: int = 0,
) -> Discrepancy:
    """Compare real and generated patients as two samples of points.

    Parameters
    ----------
    real, generated
        Embeddings of the patients, (P, d) and (G, d).
    donors
        Donor of each real patient, (P,). The permutations keep the patients of a donor together.
    n_permutations
        Permutations behind the p-value.
    random_state
        Their seed.

    Returns
    -------
    The two distances; 0 for equal distributions, the MMD on average, the energy distance in large samples.

    Raises
    ------
    TooFewPatientsError
        If there are fewer than two real donors or generated patients.
    """
    n_donors = len(np.unique(donors))
    if min(n_donors, len(generated)) < 2:
        msg = f"two samples need 2 real donors and 2 generated patients, found {n_donors} and {len(generated)}"
        raise TooFewPatientsError(msg)
    mmd, p_value = mmd_test(
        real,
        generated,
        n_permutations=n_permutations,
        groups_x=donors,
        groups_y=np.arange(len(generated)),
        random_state=random_state,
    )
    return Discrepancy(mmd, p_value, energy_distance(real, generated))


def real_against_generated(
    real: NDArray[np.floating],
    generated: NDArray[np.floating],
    donors: NDArray[Any],
    main_donors: NDArray[Any],
    *,
    classifier: str = "quadratic",
    n_repeats: int = 3,
    random_state: int = 0,
) -> float:
    """AUROC of a classifier that tells generated patients from real ones.

    Parameters
    ----------
    real, generated
        Embeddings of the patients, (P, d) and (G, d).
    donors
        Donor of each real patient, (P,).
    main_donors
        Donor of most cells of each generated patient, (G,), named as in ``donors``. Both are the groups of the
        cross-validation: a copy of a patient is tested together with the patient.
    classifier, n_repeats, random_state
        As in :func:`grouped_auroc`.

    Returns
    -------
    The AUROC; .5 if they cannot be told apart.

    Raises
    ------
    TooFewPatientsError
        If the real or the generated patients have fewer than 3 (main) donors.
    """
    is_generated = np.repeat([False, True], [len(real), len(generated)])
    groups = np.unique(np.concatenate([donors.astype(str), main_donors.astype(str)]), return_inverse=True)[1]
    return grouped_auroc(
        np.concatenate([real, generated]),
        is_generated,
        groups,
        classifier=classifier,
        n_repeats=n_repeats,
        random_state=random_state,
    )


def variance_ratio(real: NDArray[np.floating], generated: NDArray[np.floating]) -> float:
    """Trace of the covariance between generated patients over that between real ones.

    Parameters
    ----------
    real, generated
        Embeddings of the patients, (P, d) and (G, d).

    Returns
    -------
    The ratio; below 1 where generated patients are too alike.

    Raises
    ------
    TooFewPatientsError
        If there are fewer than two patients of either kind, or the real ones are all alike.
    """
    if min(len(real), len(generated)) < 2:
        msg = f"a variance needs 2 real and 2 generated patients, found {len(real)} and {len(generated)}"
        raise TooFewPatientsError(msg)
    of_real = real.var(axis=0, ddof=1).sum()
    if of_real == 0:
        msg = f"the {len(real)} real patients do not vary"
        raise TooFewPatientsError(msg)
    return float(generated.var(axis=0, ddof=1).sum() / of_real)


def size_auroc(sizes: NDArray[np.floating], is_one: NDArray[np.bool_]) -> float:
    """AUROC of the number of cells alone: 1 if all patients of one kind have more than all others, 0 if fewer.

    Parameters
    ----------
    sizes
        Cells of each patient, (n,).
    is_one
        Which patients are of the kind, (n,).

    Returns
    -------
    The AUROC; .5 if size says nothing.

    Raises
    ------
    TooFewPatientsError
        If there are no patients of the kind, or no others.
    """
    n_ones = int(is_one.sum())
    if n_ones in (0, len(is_one)):
        msg = f"an AUROC needs patients of both kinds, found {n_ones} and {len(is_one) - n_ones}"
        raise TooFewPatientsError(msg)
    return auroc(sizes, is_one)


def component_means(
    X: NDArray[np.floating], patients: NDArray[np.int64], components: NDArray[np.int64]
) -> ComponentMeans:
    """Average the cells of each patient in each component.

    Parameters
    ----------
    X
        Cells by features, (n, d).
    patients
        Patient of each cell, (n,); -1 for cells of none.
    components
        Component of each cell, (n,).

    Returns
    -------
    The means of the pairs that have cells.
    """
    inside = np.flatnonzero(patients >= 0)
    n_components = int(components.max()) + 1
    pairs, codes, n_cells = np.unique(
        patients[inside] * n_components + components[inside], return_inverse=True, return_counts=True
    )
    counts = sp.csc_array((np.ones(len(inside)), (inside, codes)), shape=(len(X), len(pairs)))
    means = summarise_bags(X, counts).means
    return ComponentMeans(means, pairs // n_components, pairs % n_components, n_cells.astype(np.float64))


def class_auroc_within_components(
    table: ComponentMeans,
    is_class: NDArray[np.bool_],
    donors: NDArray[Any],
    *,
    n_repeats: int = 1,
    random_state: int = 0,
) -> ComponentAUROC:
    """How well the mean of a patient's cells in a component tells the class, component by component.

    RECIPE assumes that it cannot: within a component, classes look alike.

    Parameters
    ----------
    table
        What :func:`component_means` returned, of patients whose class is known.
    is_class
        Which patients are of the class, (patients,).
    donors
        Donor of each patient, (patients,).
    n_repeats, random_state
        As in :func:`grouped_auroc`; the classifier is the linear one.

    Returns
    -------
    The mean over the components, weighted by their cells, the largest one and its component.

    Raises
    ------
    TooFewPatientsError
        If no component has cells of 5 donors of the class and of 5 others.

    Notes
    -----
    The largest of many AUROCs is above .5 by chance: of 30 components and 20 patients a class, by about .23.
    """
    scores, weights, found = [], [], []
    for component in np.unique(table.components):
        rows = np.flatnonzero(table.components == component)
        y, groups = is_class[table.patients[rows]], donors[table.patients[rows]]
        if min(len(np.unique(groups[y])), len(np.unique(groups[~y]))) < _LEAST_DONORS:
            continue
        scores.append(grouped_auroc(table.means[rows], y, groups, n_repeats=n_repeats, random_state=random_state))
        weights.append(table.n_cells[rows].sum())
        found.append(int(component))
    if not scores:
        msg = f"no component has cells of {_LEAST_DONORS} donors of the class and of {_LEAST_DONORS} others"
        raise TooFewPatientsError(msg)
    worst = int(np.argmax(scores))
    return ComponentAUROC(float(np.average(scores, weights=weights)), float(scores[worst]), found[worst])
