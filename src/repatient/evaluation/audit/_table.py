"""The table of an audit: every measure of every class, and the patients as points."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from repatient.evaluation._privacy import donor_shares, effective_donors
from repatient.evaluation._realism import component_means
from repatient.evaluation.audit._measures import (
    Donors,
    Effort,
    GeneratedPoints,
    NearbyCells,
    Real,
    Row,
    add_assumption,
    add_nearest,
    add_privacy,
    add_realism,
)
from repatient.evaluation.audit._patients import HELD_OUT, KNOWN, POOL, GeneratedPatients, RealPatients
from repatient.evaluation.audit._points import Embedder, Points, principal_coordinates

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_FOR_AXES = 3
_BLOCK_ENTRIES = 1 << 22


class Audit(NamedTuple):
    """What an audit found.

    Parameters
    ----------
    measures
        Measures of each class, described at :func:`repatient.tl.audit`.
    patients
        Real and generated patients on two axes.
    explained
        Shares of the variance that the axes explain, (2,).
    """

    measures: pd.DataFrame
    patients: pd.DataFrame
    explained: NDArray[np.float64]


def audit_patients(
    X: NDArray[np.floating],
    components: NDArray[np.int64],
    n_components: int,
    real: RealPatients,
    drawn: GeneratedPatients,
    *,
    given: RealPatients | None = None,
    n_permutations: int = 199,
    n_repeats: int = 3,
    random_state: int = 0,
) -> Audit:
    """Measure how realistic generated patients are, and what they give away.

    Parameters
    ----------
    X, components, n_components
        Coordinates (n_obs, d) and component (n_obs,) of the real cells, and the number of components.
    real, drawn
        Real and generated patients.
    given
        Real patients to compare with; ``None``: those held out, or else all of the class.
    n_permutations, n_repeats, random_state
        As in :func:`repatient.tl.audit`.

    Returns
    -------
    ``Audit(measures, patients, explained)``.

    Notes
    -----
    Time and memory are linear in the numbers of patients: where there are more than 1,000 of a kind, distances between
    pairs are those of random ones.
    """
    effort = Effort(n_permutations, n_repeats, random_state)
    embedder, points = Embedder.fit(X, components, n_components, real.counts)
    as_points = _real(real, points)
    asked_for = None if given is None else _real(given, embedder.embed(given.counts))
    generated = _generated(drawn, real, embedder)
    table = component_means(X, real.codes, components)
    classes = list(dict.fromkeys(drawn.labels))
    rows = []
    for label in classes:
        of_class = generated.take(np.flatnonzero(generated.labels == label))
        reference, name = _reference(as_points, asked_for, label)
        row = Row()
        row.values |= {"n_real": len(reference.labels), "n_generated": len(of_class.labels), "reference": name}
        add_realism(row, reference, of_class, effort)
        add_assumption(row, as_points, label, table, effort)
        add_privacy(row, as_points, of_class, generated, label, effort)
        add_nearest(row, as_points, of_class, _cells(X, real, drawn, label), effort)
        rows.append(row.finish())
    measures = pd.DataFrame(rows, index=pd.Index(classes, name="class"))
    return Audit(measures, *_patients_frame(real, as_points, generated))


def _real(patients: RealPatients, points: Points) -> Real:
    return Real(points, patients.labels.astype(str), patients.donors.astype(str), patients.roles)


def _generated(drawn: GeneratedPatients, real: RealPatients, embedder: Embedder) -> GeneratedPoints:
    points = embedder.embed(drawn.counts, drawn.points, drawn.components)
    donors = None if drawn.points is not None else _donors(drawn, real)
    return GeneratedPoints(points, drawn.labels, drawn.names, drawn.counts, donors)


def _donors(drawn: GeneratedPatients, real: RealPatients) -> Donors:
    """What donors gave to each generated patient, block by block."""
    names, of_patients = np.unique(real.donors.astype(str), return_inverse=True)
    # Cells of no labelled patient have code -1, which the appended entry keeps.
    donors = np.append(of_patients, -1)[real.codes]
    step, parts = max(_BLOCK_ENTRIES // len(names), 1), []
    for start in range(0, len(drawn.labels), step):
        shares = donor_shares(drawn.counts[:, start : start + step], donors, len(names))
        parts.append((names[shares.argmax(axis=1)], shares.max(axis=1), effective_donors(shares)))
    return Donors(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _cells(X: NDArray[np.floating], real: RealPatients, drawn: GeneratedPatients, label: str) -> NearbyCells | None:
    """Points of a class, and the real cells that could be drawn; ``None`` where generated cells are real ones."""
    if drawn.points is None:
        return None
    of_class = np.flatnonzero(drawn.labels == label)
    pool = np.flatnonzero((real.codes >= 0) & np.append(real.roles == POOL, False)[real.codes])
    return NearbyCells(drawn.points[drawn.counts[:, of_class].indices], X[pool], real.donors[real.codes[pool]])


def _reference(real: Real, given: Real | None, label: str) -> tuple[Real, str]:
    """Real patients to compare the generated ones of a class with, and what they are called."""
    if given is not None:
        return given.take(np.flatnonzero(given.labels == label)), "mask"
    of_class = real.take(np.flatnonzero(real.labels == label))
    held_out = np.flatnonzero(of_class.roles == HELD_OUT)
    return (of_class.take(held_out), "held out") if len(held_out) else (of_class, "seen")


def _patients_frame(patients: RealPatients, real: Real, generated: GeneratedPoints) -> tuple[pd.DataFrame, np.ndarray]:
    """Real and generated patients on the two principal axes of the real ones' means, and the explained shares."""
    means = np.concatenate([real.points.means, generated.points.means])
    fitted = means if len(real.labels) < _LEAST_FOR_AXES else real.points.means
    coordinates, explained = principal_coordinates(fitted, means)
    labels = np.concatenate([real.labels, generated.labels])
    roles = np.concatenate([real.roles, np.full(len(generated.labels), "generated")])
    names = np.concatenate([patients.names.astype(str), generated.names])
    frame = pd.DataFrame(
        {
            "label": pd.Categorical(labels, categories=list(dict.fromkeys([*patients.classes, *generated.labels]))),
            "role": pd.Categorical(roles, categories=[POOL, KNOWN, HELD_OUT, "generated"]),
            "n_cells": np.concatenate([real.points.sizes, generated.points.sizes]).astype(np.int64),
            "axis_1": coordinates[:, 0],
            "axis_2": coordinates[:, 1],
        },
        index=pd.Index(names, name="patient"),
    )
    return frame, explained
