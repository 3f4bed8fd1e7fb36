"""Another cohort's results, in whatever form a user has them."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from anndata import AnnData
from mudata import MuData

from repatient import _store
from repatient._checks import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from repatient.mixture import GaussianMixture
    from repatient.sampling import Moments, Spread


@dataclass(frozen=True)
class Counterpart:
    """What is known of the cells of a reference.

    Parameters
    ----------
    cohort
        The cells, where the reference is an object and its classes are known.
    moments, spread
        Moments of the classes, and spread of their donors, where the reference is a file that holds them.
    threshold
        Log-density that 99 % of the reference's cells reach.
    held_out
        Whether the threshold is that of cells of patients that the mixture does not know.
    """

    cohort: _store.LabelledCells | None
    moments: Moments | None
    spread: Spread | None
    threshold: float
    held_out: bool

    @property
    def classes(self) -> list[str]:
        """Classes that can be compared or aligned on."""
        if self.cohort is not None:
            return self.cohort.classes
        return [] if self.moments is None else list(self.moments.classes)

    def moments_of(self, names: Sequence[str]) -> Moments:
        """Moments of some classes, from the cells or from the file."""
        if self.cohort is not None:
            return self.cohort.moments(names)
        if self.moments is None:
            msg = "A reference without classes has no moments."
            raise ValueError(msg)
        return self.moments


def reference_entry(reference: Any, key: str, part: str = _store.keys.GMM) -> dict[str, Any]:
    """Mixture (``part="gmm"``) or recipes (``part="recipes"``) of a reference.

    A reference is an object, a recipes file, what was read from one, or an entry of ``uns`` itself.
    """
    if isinstance(reference, AnnData | MuData):
        return _store.uns_entry(reference, key, "reference", part)
    reference = read_reference(reference)
    if not isinstance(reference, dict):
        msg = (
            "`reference` is an AnnData, a MuData, the path of a recipes file, what `rp.io.read_recipes` returns, or an "
            f"entry of `uns`, not {type(reference).__name__}."
        )
        raise TypeError(msg)
    entry = reference.get(part, reference)
    needed = {_store.keys.GMM: "means", _store.keys.RECIPES: "mean"}[part]
    if needed not in entry or "params" not in entry:
        msg = f"`reference`: no {part!r} in it; it has {listed(reference)}."
        raise KeyError(msg)
    return entry


def read_reference(reference: Any) -> Any:
    """Content of a recipes file where a path is given; anything else as it is."""
    if not isinstance(reference, str | PathLike):
        return reference
    from repatient.io import read_recipes

    return read_recipes(reference)


def read_counterpart(
    reference: Any,
    entry: dict[str, Any],
    mixture: GaussianMixture,
    *,
    patient_key: str | None,
    label_key: str | None,
    donor_key: str | None,
    missing_values: Sequence[Any] | None,
    mask_obs: Any,
    random_state: int,
) -> Counterpart:
    """Read what a reference tells of its cells, beyond its mixture."""
    quantiles = entry["log_density_quantiles"]
    cohort, moments, spread, held_out = None, None, None, False
    if isinstance(reference, AnnData | MuData):
        if patient_key is not None:
            mask = _mask_of_reference(reference, entry, mask_obs)
            try:
                embedding, patients, cohort = _cells(
                    reference, entry, patient_key, label_key, donor_key, missing_values, mask
                )
            except KeyError as error:
                msg = (
                    f"{error.args[0]} This is the reference, whose columns `reference_patient_key`, `reference_label_key` "
                    "and `reference_donor_key` name."
                )
                raise KeyError(msg) from error
            of_others = _store.held_out_quantiles(embedding, patients, mixture, random_state)
            if of_others is not None:
                quantiles, held_out = of_others, True
    elif "cohort" in reference:
        moments = _store.read_moments(reference["cohort"])
        spread = _store.read_spread(reference["cohort"], moments)
        if "log_density_quantiles" in reference["cohort"]:
            quantiles, held_out = reference["cohort"]["log_density_quantiles"], True
    return Counterpart(cohort, moments, spread, float(quantiles["value"][0]), held_out)


def _cells(
    reference: AnnData | MuData,
    entry: dict[str, Any],
    patient_key: str,
    label_key: str | None,
    donor_key: str | None,
    missing_values: Sequence[Any] | None,
    mask: NDArray[np.bool_] | None,
) -> tuple[Any, NDArray[np.int64], _store.LabelledCells | None]:
    """Embedding and patients of the reference's cells and, where their classes are known, both with these."""
    use_rep = _store.embedding_of_mixture(entry)
    if label_key is not None:
        keys = (patient_key, label_key, donor_key, mask)
        cohort = _store.read_cohort(reference, use_rep, *keys, missing_values=missing_values)
        return cohort.embedding, cohort.patients, cohort
    embedding, _ = _store.read_embedding(reference, use_rep, patient_key=patient_key, lazy=True)
    return embedding, _store.read_patients(reference, patient_key, mask=mask).codes, None


def _mask_of_reference(reference: AnnData | MuData, entry: dict[str, Any], mask_obs: Any) -> NDArray[np.bool_] | None:
    """The cells that may be learnt from: by default those that the mixture was fitted on."""
    if mask_obs is None:
        mask_obs = entry["params"].get("mask_obs")
        if isinstance(mask_obs, str) and mask_obs == "array":
            msg = (
                "`reference_mask_obs`: the reference's mixture was fitted on the cells of a mask given as an array, "
                "which is not stored; pass the cells of it to compare with, usually the same array."
            )
            raise ValueError(msg)
    return _store.read_mask(reference, mask_obs, "reference_mask_obs")
