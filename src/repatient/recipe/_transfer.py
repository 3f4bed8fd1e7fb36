"""Recipes of another cohort: as they are, or relative to a class that both have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repatient._checks import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from repatient.recipe._recipes import Recipes

TRANSFERS = ("raw", "log_ratio")
SMOOTHING = 0.01


def smoothed(mean: np.ndarray, smoothing: float = SMOOTHING) -> np.ndarray:
    """Mix a share of the uniform composition into others, so that no ratio of rare components is wild.

    Parameters
    ----------
    mean
        Mean compositions, (…, K).
    smoothing
        The share.

    Returns
    -------
    Compositions, (…, K).
    """
    return (1 - smoothing) * mean + smoothing / mean.shape[-1]


def log_ratio_transfer(external: Recipes, own: Recipes, names: Sequence[str]) -> Recipes:
    """Move recipes by what this cohort's class differs from the other cohort's class of the same name.

    Every composition of the other cohort is multiplied by own / external mean composition of the shared class, and
    renormalised: a translation of its log-ratios (Aitchison 1986, The Statistical Analysis of Compositional Data,
    sec. 2.7). One per cent of a uniform composition is mixed into both means, so that the ratio of components that are
    rare in both stays near one.

    Parameters
    ----------
    external
        Recipes of the other cohort, those of ``names`` and of the shared class among them.
    own
        Recipe of the shared class in this cohort, alone.
    names
        Classes to transfer.

    Returns
    -------
    Their recipes. Concentrations and covariances of log-ratios, how much patients differ, remain the other cohort's.
    """
    shared = own.classes[0]
    factor = smoothed(own.mean[0]) / smoothed(external.take([shared]).mean[0])
    return external.take(names).shifted(factor)


def transferred(
    external: Recipes, own: Recipes | None, names: Sequence[str], transfer: str = "raw", shared_class: str | None = None
) -> Recipes:
    """Recipes of some classes of another cohort, made fit for this one.

    Parameters
    ----------
    external
        Recipes of the other cohort.
    own
        Recipes of this one, ``None`` where no class has a patient.
    names
        Classes to transfer.
    transfer
        ``"raw"`` or ``"log_ratio"``, see :func:`repatient.recipe.log_ratio_transfer`.
    shared_class
        Class to compare the cohorts on, for ``"log_ratio"``; ``None`` for the only one that both have.

    Returns
    -------
    Their recipes.

    Raises
    ------
    ValueError
        If there is no class to compare the cohorts on, or several.
    """
    if transfer == "raw":
        return external.take(names)
    if own is None:
        msg = (
            f"`transfer={transfer!r}` compares the cohorts on a class that both have, and no class has a patient here."
        )
        raise ValueError(msg)
    common = [name for name in own.classes if name in external.classes]
    have = f"classes with patients here are {listed(own.classes)}, those of the reference {listed(external.classes)}"
    if shared_class is None and len(common) != 1:
        msg = f"`shared_class`: name the one class that both cohorts have to compare them on; {have}."
        raise ValueError(msg)
    shared = common[0] if shared_class is None else str(shared_class)
    if shared not in common:
        msg = f"`shared_class`: {shared_class!r} is not in both cohorts; {have}."
        raise ValueError(msg)
    return log_ratio_transfer(external, own.take([shared]), names)
