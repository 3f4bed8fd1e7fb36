"""What generated patients give away of the donors that their cells come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from repatient.evaluation._grouped_auroc import TooFewPatientsError, auroc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil import Bags

_BLOCK_ENTRIES = 1 << 22


class Reidentification(NamedTuple):
    """How often generated patients can be traced to a donor.

    Parameters
    ----------
    rate
        Share of them whose nearest real patient is of their main donor.
    chance
        What this share would be were main donors exchanged between them.
    """

    rate: float
    chance: float


def donor_shares(counts: sp.spmatrix | sp.sparray, donors: NDArray[np.int64], n_donors: int) -> NDArray[np.float64]:
    """Share of each donor in each generated patient.

    Parameters
    ----------
    counts
        How many times each cell is in each generated patient, (n, G), sparse.
    donors
        Donor of each cell, (n,), from 0; -1 for cells of none.
    n_donors
        Number of donors.

    Returns
    -------
    Shares, (G, n_donors), rows summing to 1 where all cells have a donor.
    """
    known = np.flatnonzero(donors >= 0)
    membership = sp.csr_array((np.ones(len(known)), (donors[known], known)), shape=(n_donors, len(donors)))
    counts = sp.csc_array(counts)
    per_donor = np.asarray((membership @ counts).todense()).T
    return per_donor / np.asarray(counts.sum(axis=0)).reshape(-1, 1)


def effective_donors(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Number of donors of equal shares that would be as concentrated: the inverse Simpson index, (G,).

    Parameters
    ----------
    shares
        What :func:`donor_shares` returned, (G, donors).

    Returns
    -------
    One number a generated patient, from 1 to the number of donors.
    """
    return 1 / (shares**2).sum(axis=1)


def repeated_share(counts: sp.spmatrix | sp.sparray) -> float:
    """Share of all drawn cells that repeat a cell which the generated patient has already.

    Parameters
    ----------
    counts
        How many times each cell is in each generated patient, (n, G), sparse.

    Returns
    -------
    The share, from 0 to below 1.
    """
    times = sp.csc_array(counts).data.astype(np.int64)
    return float((times - (times > 0)).sum() / times.sum())


def reidentification(
    generated: NDArray[np.floating],
    real: NDArray[np.floating],
    main_donors: NDArray[Any],
    donors: NDArray[Any],
) -> Reidentification:
    """How often the real patient nearest to a generated one is its main donor's.

    Parameters
    ----------
    generated, real
        Embeddings of the patients, (G, d) and (P, d).
    main_donors
        Donor of most cells of each generated patient, (G,).
    donors
        Donor of each real patient of the pool, (P,).

    Returns
    -------
    The rate, and the rate that there would be if main donors were exchanged between the generated patients: above
    1 / P where some donors are both the main one and the nearest one of many.

    Raises
    ------
    TooFewPatientsError
        If there are fewer than two generated or real patients.
    """
    if min(len(generated), len(real)) < 2:
        msg = f"a nearest patient needs 2 generated and 2 real ones to mean something, found {len(generated)} and {len(real)}"
        raise TooFewPatientsError(msg)
    nearest, _ = _nearest(generated, real)
    _, codes = np.unique(np.concatenate([donors.astype(str), main_donors.astype(str)]), return_inverse=True)
    found, main = codes[: len(donors)][nearest], codes[len(donors) :]
    hits = int((found == main).sum())
    number = codes.max() + 1
    all_pairs = int(np.bincount(found, minlength=number) @ np.bincount(main, minlength=number))
    n = len(generated)
    return Reidentification(hits / n, (all_pairs - hits) / (n * (n - 1)))


def membership_auroc(
    members: NDArray[np.floating], outsiders: NDArray[np.floating], generated: NDArray[np.floating]
) -> float:
    """How well the distance to the nearest generated patient tells whose cells were in the pool.

    Parameters
    ----------
    members, outsiders
        Embeddings of the real patients whose cells could be drawn, and of those held out, (P, d) and (Q, d).
    generated
        Embeddings of the generated patients, (G, d).

    Returns
    -------
    AUROC of membership; .5 if nothing can be told, 1 if every member has a generated patient closer to it than any
    outsider has.

    Raises
    ------
    TooFewPatientsError
        If there are fewer than two members or outsiders.
    """
    if min(len(members), len(outsiders)) < 2:
        msg = f"membership needs 2 patients of the pool and 2 of donors held out of it, found {len(members)} and {len(outsiders)}"
        raise TooFewPatientsError(msg)
    _, distance = _nearest(np.concatenate([members, outsiders]), generated)
    return auroc(-distance, np.arange(len(distance)) < len(members))


def _nearest(
    points: NDArray[np.floating], others: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which of the others is nearest to each point, and how far it is."""
    index = np.empty(len(points), dtype=np.int64)
    distance = np.empty(len(points))
    step = max(_BLOCK_ENTRIES // len(others), 1)
    for start in range(0, len(points), step):
        block = cdist(points[start : start + step], others)
        index[start : start + step] = block.argmin(axis=1)
        distance[start : start + step] = block.min(axis=1)
    return index, distance


def statistics_membership(
    bags: Bags, labels: NDArray[Any], donors: NDArray[Any] | None = None, *, k: int = 5, random_state: int = 0
) -> dict[str, float]:
    """How well one can tell, of a donor whose cells one has, whether recipes and offsets were learnt from it.

    Each donor is left out in turn. The attacker takes what lies nearer to the statistics of the donor's class for a member:
    the donor's composition to the mean one of the recipe, its mean cell of each component to the offsets. Compared are
    these distances with the donor inside and outside.

    Parameters
    ----------
    bags, labels, donors
        Patients, their classes, and their donors (``None``: each its own).
    k
        Donors, and cells, that a class has to have in a component whose offsets leave.
    random_state
        Seed of the mixture, which is that of all patients.

    Returns
    -------
    AUROC by ``"recipes"``, by ``"offsets"`` and by ``"both"``, the sum of the ranks; .5 where nothing is given away.
    """
    from repatient.mixing import Reference
    from repatient.recipe import fit_offsets, fit_recipes

    whole = Reference.learn(bags, labels, donors, random_state=random_state)
    mixture, of_donors = whole.mixture, whole.donors
    if mixture is None or of_donors is None or whole.labels is None:
        msg = "`bags`: nothing was learnt of them."
        raise ValueError(msg)
    classes, y = np.unique(whole.labels, return_inverse=True)
    bag = np.repeat(np.arange(len(bags)), bags.sizes)
    cells = bags.X[bags.rows]
    components = mixture.assign(cells)
    n = mixture.n_components
    counts = np.bincount(bag * n + components, minlength=len(bags) * n).reshape(len(bags), n)
    shares = counts / counts.sum(axis=1, keepdims=True)
    sums = np.zeros((len(bags) * n, cells.shape[1]))
    np.add.at(sums, bag * n + components, cells)
    places = sums.reshape(len(bags), n, -1) / np.maximum(counts, 1)[..., None]
    donor = np.unique(of_donors, return_inverse=True)[1]

    def distances(i: int, kept: NDArray[np.bool_]) -> tuple[float, float]:
        """Of patient i from the statistics of some patients."""
        recipes = fit_recipes(counts[kept], whole.labels[kept])  # type: ignore[index]
        mean = recipes.mean[recipes.classes.index(str(classes[y[i]]))]
        offsets = fit_offsets(
            cells, np.where(kept[bag], components, -1), donor[bag], y[bag], [str(c) for c in classes], n
        ).only_of(k, k)
        there = (offsets.n_donors[y[i]] >= k) & (counts[i] >= 2)
        spread = np.maximum(offsets.variances[y[i]], 1e-9)
        apart = ((places[i] - offsets.means[y[i]]) ** 2 / spread).mean(axis=1)[there]
        return float(((shares[i] - mean) ** 2 / np.maximum(mean, 1e-6)).sum()), float(
            apart.mean()
        ) if there.any() else np.nan

    enough = [i for i in range(len(bags)) if len(np.unique(donor[(y == y[i]) & (donor != donor[i])])) >= k]
    if len(enough) < 2:
        msg = f"`k`: no class has more than {k} donors."
        raise TooFewPatientsError(msg)
    everyone = np.ones(len(bags), dtype=bool)
    inside = np.array([distances(i, everyone) for i in enough])
    outside = np.array([distances(i, donor != donor[i]) for i in enough])
    is_member = np.repeat([True, False], len(enough))
    scores = -np.concatenate([inside, outside])
    known = np.isfinite(scores[:, 1])
    found = {"recipes": auroc(scores[:, 0], is_member)}
    found["offsets"] = auroc(scores[known, 1], is_member[known]) if known.sum() > 2 else np.nan
    ranks = scores[known].argsort(axis=0).argsort(axis=0).sum(axis=1)
    found["both"] = auroc(ranks.astype(np.float64), is_member[known]) if known.sum() > 2 else np.nan
    return found
