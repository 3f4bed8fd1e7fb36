"""Compositions in few dimensions: principal components of log-ratios."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repatient.recipe._composition import log_ratios, smoothed_proportions


@dataclass(frozen=True)
class Ordination:
    """Patients as points.

    Parameters
    ----------
    fitted
        Coordinates of the patients that the axes were fitted on, (patients, axes).
    projected
        Coordinates of other patients on these axes.
    explained
        Share of the fitted patients' variance along each axis, (axes,).
    """

    fitted: np.ndarray
    projected: np.ndarray
    explained: np.ndarray


def ordinate(counts: np.ndarray, others: np.ndarray, n_axes: int = 2) -> Ordination:
    """Fit the principal axes of the log-ratios of some patients, and project others on them.

    Half a cell is added to each component, as zeros have no logarithm. Isometric log-ratios have the distances of
    centred ones, and so the same principal components (Aitchison 1983). Each axis points to where the
    furthest patient is.

    Parameters
    ----------
    counts
        Cells of each patient in each component, (patients, K), to fit the axes on.
    others
        The same of patients to project, (others, K).
    n_axes
        Number of axes; fewer than patients and than components.

    Returns
    -------
    Coordinates and explained variance.

    Raises
    ------
    ValueError
        If there are too few patients or components for so many axes, or all patients are alike.
    """
    n_patients, n_components = counts.shape
    if n_axes >= min(n_patients, n_components):
        msg = (
            f"{n_axes} axes need {n_axes + 1} or more patients and components; there are {n_patients} patients and "
            f"{n_components} components."
        )
        raise ValueError(msg)
    uniform = np.full(n_components, 1 / n_components)
    coordinates = log_ratios(smoothed_proportions(counts, uniform))
    centre = coordinates.mean(axis=0)
    left, spread, axes = np.linalg.svd(coordinates - centre, full_matrices=False)
    if spread[0] <= np.finfo(float).eps * np.abs(coordinates).max() * n_patients:
        msg = f"All {n_patients} patients have one composition; there is no variance to find axes of."
        raise ValueError(msg)
    furthest = left[np.abs(left[:, :n_axes]).argmax(axis=0), np.arange(n_axes)]
    axes = axes[:n_axes] * np.where(furthest < 0, -1, 1)[:, None]
    projected = (log_ratios(smoothed_proportions(others, uniform)) - centre) @ axes.T
    return Ordination((coordinates - centre) @ axes.T, projected, (spread**2 / (spread**2).sum())[:n_axes])
