"""The measures of one class: each a number, or NaN and the reason why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.evaluation import _privacy, _realism
from repatient.evaluation._grouped_auroc import TooFewPatientsError
from repatient.evaluation.audit._nearest import at_random, nearest_cell_ratio, nearest_patient_ratio
from repatient.evaluation.audit._patients import HELD_OUT, POOL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from repatient.evaluation._realism import ComponentMeans
    from repatient.evaluation.audit._points import Points

_OF_DONORS = (
    "donor_share_max",
    "donor_share_median",
    "effective_donors",
    "reidentification",
    "reidentification_chance",
)
# Beyond so many patients of a kind, distances are taken between random ones: all pairs grow with the square.
MOST_PATIENTS = 1000


@dataclass(frozen=True, eq=False)
class Real:
    """Real patients as points, with their classes, donors and roles, (P,) each."""

    points: Points
    labels: np.ndarray
    donors: np.ndarray
    roles: np.ndarray

    def take(self, patients: np.ndarray) -> Real:
        """Return some of the patients."""
        return Real(self.points.take(patients), self.labels[patients], self.donors[patients], self.roles[patients])


@dataclass(frozen=True, eq=False)
class Donors:
    """What donors gave to generated patients: the main one's name and share, and the effective number, (G,) each."""

    main: np.ndarray
    share: np.ndarray
    effective: np.ndarray

    def take(self, patients: np.ndarray) -> Donors:
        """Those of some of the patients."""
        return Donors(self.main[patients], self.share[patients], self.effective[patients])


@dataclass(frozen=True, eq=False)
class GeneratedPoints:
    """Generated patients as points, with their classes and names (G,), counts (n_obs, G) and donors.

    Points of Gaussians have no donors.
    """

    points: Points
    labels: np.ndarray
    names: np.ndarray
    counts: Any
    donors: Donors | None

    @property
    def main_donors(self) -> np.ndarray:
        """Donor of most cells of each patient, (G,); each patient itself where cells have none."""
        return self.names if self.donors is None else self.donors.main

    def take(self, patients: np.ndarray) -> GeneratedPoints:
        """Return some of the patients."""
        donors = None if self.donors is None else self.donors.take(patients)
        return GeneratedPoints(
            self.points.take(patients), self.labels[patients], self.names[patients], self.counts[:, patients], donors
        )


@dataclass(frozen=True, eq=False)
class NearbyCells:
    """Generated cells (n, d), real ones that they could be near to (m, d), and the donors of these (m,)."""

    generated: np.ndarray
    real: np.ndarray
    donors: np.ndarray


@dataclass(frozen=True)
class Effort:
    """How often to permute and to repeat, and the seed of both."""

    n_permutations: int
    n_repeats: int
    random_state: int


class Row:
    """One row of the audit."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._notes: list[str] = []

    def add(self, names: Sequence[str], compute: Callable[[], Any], missing: Sequence[Any] | None = None) -> None:
        """Write what ``compute`` returns, or NaN and a note where there are too few patients for it."""
        try:
            found = compute()
        except TooFewPatientsError as error:
            self._notes.append(f"{', '.join(names)}: {error}")
            found = [np.nan] * len(names) if missing is None else missing
        self.values |= dict(zip(names, [found] if np.isscalar(found) else found, strict=True))

    def leave_out(self, names: Sequence[str], reason: str) -> None:
        """Write NaN, and why a measure means nothing here."""
        self.values |= dict.fromkeys(names, np.nan)
        self._notes.append(f"{', '.join(names)}: {reason}")

    def finish(self) -> dict[str, Any]:
        """Return the row with its notes."""
        return self.values | {"notes": "; ".join(self._notes)}


def add_realism(row: Row, real: Real, generated: GeneratedPoints, effort: Effort) -> None:
    """Compare the real patients of a class with its generated ones."""
    rng = np.random.default_rng(effort.random_state)
    some_real, some = (at_random(len(part.labels), MOST_PATIENTS, rng) for part in (real, generated))
    spaces = {
        "mean": (real.points.means, generated.points.means),
        "moments": (real.points.moments, generated.points.moments),
        "composition": (real.points.compositions, generated.points.compositions),
    }
    for name, (of_real, of_generated) in spaces.items():
        row.add(
            [f"mmd_{name}", f"mmd_{name}_p", f"energy_{name}"],
            partial(
                _realism.discrepancy,
                of_real[some_real],
                of_generated[some],
                real.donors[some_real],
                n_permutations=effort.n_permutations,
                random_state=effort.random_state,
            ),
        )
    for column, classifier in (("generated_auroc", "quadratic"), ("generated_auroc_linear", "linear")):
        row.add(
            [column],
            partial(
                _realism.real_against_generated,
                real.points.moments,
                generated.points.moments,
                real.donors,
                generated.main_donors,
                classifier=classifier,
                n_repeats=effort.n_repeats,
                random_state=effort.random_state,
            ),
        )
    ratios = {
        "variance_ratio": (real.points.means, generated.points.means),
        "variance_ratio_raw": (real.points.raw_means, generated.points.raw_means),
        "variance_ratio_composition": spaces["composition"],
    }
    for column, (of_real, of_generated) in ratios.items():
        row.add([column], partial(_realism.variance_ratio, of_real, of_generated))
    sizes = np.concatenate([real.points.sizes, generated.points.sizes])
    is_generated = np.repeat([False, True], [len(real.labels), len(generated.labels)])
    row.add(["size_auroc_generated"], lambda: _realism.size_auroc(sizes, is_generated))


def add_assumption(row: Row, real: Real, label: str, table: ComponentMeans, effort: Effort) -> None:
    """Measure whether real patients of the class differ from others where the method takes them to be alike."""
    is_class = real.labels == label

    def within() -> tuple[float, float, str]:
        found = _realism.class_auroc_within_components(
            table, is_class, real.donors, n_repeats=effort.n_repeats, random_state=effort.random_state
        )
        return found.mean, found.worst, str(found.worst_component)

    row.add(["component_auroc", "component_auroc_worst", "worst_component"], within, [np.nan, np.nan, ""])
    row.add(["size_auroc_class"], lambda: _realism.size_auroc(real.points.sizes, is_class))


def add_privacy(
    row: Row, real: Real, generated: GeneratedPoints, everything: GeneratedPoints, label: str, effort: Effort
) -> None:
    """Measure what the generated patients of a class give away, and what all of them do of its real patients."""
    row.values["repeated_cells"] = _privacy.repeated_share(generated.counts)
    rng = np.random.default_rng(effort.random_state)
    if generated.donors is None:
        row.leave_out(_OF_DONORS, "points of Gaussians are of no donor")
    else:
        _add_donors(row, real.take(real.roles == POOL), generated, generated.donors, rng)
    of_class = real.take(real.labels == label)
    members, outsiders = (
        of_class.points.moments[found[at_random(len(found), MOST_PATIENTS, rng)]]
        for found in (np.flatnonzero(of_class.roles == role) for role in (POOL, HELD_OUT))
    )
    row.add(
        ["membership_auroc"],
        lambda: _privacy.membership_auroc(members, outsiders, everything.points.moments),
    )


def add_nearest(row: Row, real: Real, generated: GeneratedPoints, cells: NearbyCells | None, effort: Effort) -> None:
    """Measure how near generated patients and cells are to real ones; ``cells`` is ``None`` where they are real."""
    in_pool = real.take(real.roles == POOL)
    row.add(
        ["nearest_patient_ratio"],
        lambda: nearest_patient_ratio(
            generated.points.moments, in_pool.points.moments, in_pool.donors, effort.random_state
        ),
    )
    if cells is None:
        row.values["nearest_cell_ratio"] = 0.0
    else:
        row.add(
            ["nearest_cell_ratio"],
            lambda: nearest_cell_ratio(cells.generated, cells.real, cells.donors, effort.random_state),
        )


def _add_donors(row: Row, in_pool: Real, generated: GeneratedPoints, donors: Donors, rng: np.random.Generator) -> None:
    """Measure what the cells of generated patients give away of their donors."""
    row.values["donor_share_max"] = float(donors.share.max())
    row.values["donor_share_median"] = float(np.median(donors.share))
    row.values["effective_donors"] = float(np.median(donors.effective))
    some = at_random(len(generated.labels), MOST_PATIENTS, rng)
    row.add(
        ["reidentification", "reidentification_chance"],
        lambda: _privacy.reidentification(
            generated.points.moments[some], in_pool.points.moments, donors.main[some], in_pool.donors
        ),
    )
