"""The table of an audit: every measure of every class, and the patients as points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from repatient.evaluation._privacy import donor_shares
from repatient.evaluation._realism import component_means
from repatient.tl._audit_measures import (
    Cells,
    Effort,
    Generated,
    Real,
    Row,
    add_assumption,
    add_nearest,
    add_privacy,
    add_realism,
)
from repatient.tl._audit_patients import HELD_OUT, KNOWN, POOL, GeneratedPatients, RealPatients
from repatient.tl._audit_points import Embedder, Points, principal_coordinates

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Effort", "audit_table"]

_LEAST_FOR_AXES = 3


def audit_table(
    X: NDArray[np.floating],
    components: NDArray[np.int64],
    n_components: int,
    patients: RealPatients,
    given: RealPatients | None,
    drawn: GeneratedPatients,
    drawn_components: np.ndarray,
    effort: Effort,
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Measures of each class, patients on two axes, and the shares of the variance that the axes explain.

    ``given`` are the real patients to compare with, where they were asked for; ``drawn_components`` the components of
    points of Gaussians, as real cells are assigned to them.
    """
    embedder, points = Embedder.fit(X, components, n_components, patients.counts)
    real = _real(patients, points)
    asked_for = None if given is None else _real(given, embedder.embed(given.counts))
    generated = _generated(drawn, patients, embedder, drawn_components)
    table = component_means(X, patients.patients.codes, components)
    classes = list(dict.fromkeys(drawn.labels))
    rows = []
    for label in classes:
        of_class = generated.take(np.flatnonzero(generated.labels == label))
        reference, name = _reference(real, asked_for, label)
        row = Row()
        row.values |= {"n_real": len(reference.labels), "n_generated": len(of_class.labels), "reference": name}
        add_realism(row, reference, of_class, effort)
        add_assumption(row, real, label, table, effort)
        add_privacy(row, real, of_class, generated, label)
        add_nearest(row, real, of_class, _cells(X, patients, drawn, label), effort)
        rows.append(row.finish())
    measures = pd.DataFrame(rows, index=pd.Index(classes, name="class"))
    return measures, *_patients_frame(patients, real, drawn, generated)


def _real(patients: RealPatients, points: Points) -> Real:
    return Real(points, patients.patients.labels.astype(str), patients.patients.donors.astype(str), patients.roles)


def _generated(
    drawn: GeneratedPatients, patients: RealPatients, embedder: Embedder, drawn_components: np.ndarray
) -> Generated:
    names, of_patients = np.unique(patients.patients.donors.astype(str), return_inverse=True)
    # Cells of no labelled patient have code -1, which the appended entry keeps.
    donors = np.append(of_patients, -1)[patients.patients.codes]
    if drawn.points is not None:
        points = embedder.embed_cells(drawn.points, drawn_components, drawn.counts)
        return Generated(points, drawn.labels, drawn.counts, None, drawn.names)
    shares = donor_shares(drawn.counts, donors, len(names))
    return Generated(embedder.embed(drawn.counts), drawn.labels, drawn.counts, shares, names)


def _cells(X: NDArray[np.floating], patients: RealPatients, drawn: GeneratedPatients, label: str) -> Cells | None:
    """Points of a class, and the real cells that could be drawn; ``None`` where generated cells are real ones."""
    if drawn.points is None:
        return None
    of_class = np.flatnonzero(drawn.labels == label)
    codes = patients.patients.codes
    pool = np.flatnonzero((codes >= 0) & np.append(patients.roles == POOL, False)[codes])
    return Cells(drawn.points[drawn.counts[:, of_class].indices], X[pool], patients.patients.donors[codes[pool]])


def _reference(real: Real, given: Real | None, label: str) -> tuple[Real, str]:
    """Real patients to compare the generated ones of a class with, and what they are called."""
    if given is not None:
        return given.take(np.flatnonzero(given.labels == label)), "mask"
    of_class = real.take(np.flatnonzero(real.labels == label))
    held_out = np.flatnonzero(of_class.roles == HELD_OUT)
    return (of_class.take(held_out), "held out") if len(held_out) else (of_class, "seen")


def _patients_frame(
    patients: RealPatients, real: Real, drawn: GeneratedPatients, generated: Generated
) -> tuple[pd.DataFrame, np.ndarray]:
    """Real and generated patients on the two principal axes of the real ones' means, and the explained shares."""
    means = np.concatenate([real.points.means, generated.points.means])
    fitted = means if len(real.labels) < _LEAST_FOR_AXES else real.points.means
    coordinates, explained = principal_coordinates(fitted, means)
    labels = np.concatenate([real.labels, generated.labels])
    roles = np.concatenate([real.roles, np.full(len(generated.labels), "generated")])
    names = np.concatenate([patients.patients.names.astype(str), drawn.names])
    frame = pd.DataFrame(
        {
            "label": pd.Categorical(
                labels, categories=list(dict.fromkeys([*patients.patients.classes, *drawn.labels]))
            ),
            "role": pd.Categorical(roles, categories=[POOL, KNOWN, HELD_OUT, "generated"]),
            "n_cells": np.concatenate([real.points.sizes, generated.points.sizes]).astype(np.int64),
            "axis_1": coordinates[:, 0],
            "axis_2": coordinates[:, 1],
        },
        index=pd.Index(names, name="patient"),
    )
    return frame, explained
