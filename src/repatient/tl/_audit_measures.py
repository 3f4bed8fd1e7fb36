"""The measures of one class: each a number, or NaN and the reason why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.evaluation import _privacy, _realism
from repatient.evaluation._grouped_auroc import TooFewPatientsError
from repatient.tl._audit_patients import HELD_OUT, POOL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from repatient.evaluation._realism import ComponentMeans
    from repatient.tl._audit_points import Points


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
class Generated:
    """Generated patients as points, with their classes (G,), counts (n_obs, G) and donors' shares (G, donors)."""

    points: Points
    labels: np.ndarray
    counts: Any
    shares: np.ndarray
    donor_names: np.ndarray

    @property
    def main_donors(self) -> np.ndarray:
        """Donor of most cells of each patient, (G,)."""
        return self.donor_names[self.shares.argmax(axis=1)]

    def take(self, patients: np.ndarray) -> Generated:
        """Return some of the patients."""
        return Generated(
            self.points.take(patients),
            self.labels[patients],
            self.counts[:, patients],
            self.shares[patients],
            self.donor_names,
        )


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

    def finish(self) -> dict[str, Any]:
        """Return the row with its notes."""
        return self.values | {"notes": "; ".join(self._notes)}


def add_realism(row: Row, real: Real, generated: Generated, effort: Effort) -> None:
    """Compare the real patients of a class with its generated ones."""
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
                of_real,
                of_generated,
                real.donors,
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


def add_privacy(row: Row, real: Real, generated: Generated, everything: Generated, label: str) -> None:
    """Measure what the generated patients of a class give away, and what all of them do of its real patients."""
    largest = generated.shares.max(axis=1)
    row.values["donor_share_max"] = float(largest.max())
    row.values["donor_share_median"] = float(np.median(largest))
    row.values["effective_donors"] = float(np.median(_privacy.effective_donors(generated.shares)))
    row.values["repeated_cells"] = _privacy.repeated_share(generated.counts)
    in_pool = real.take(real.roles == POOL)
    row.add(
        ["reidentification", "reidentification_chance"],
        lambda: _privacy.reidentification(
            generated.points.moments, in_pool.points.moments, generated.main_donors, in_pool.donors
        ),
    )
    of_class = real.take(real.labels == label)
    row.add(
        ["membership_auroc"],
        lambda: _privacy.membership_auroc(
            of_class.points.moments[of_class.roles == POOL],
            of_class.points.moments[of_class.roles == HELD_OUT],
            everything.points.moments,
        ),
    )
