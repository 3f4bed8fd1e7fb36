"""The mixture as it is stored: writing, rebuilding, and telling one from another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient._store import _keys as keys
from repatient._store._validate import obs_column, uns_entry

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def fingerprint(entry: dict[str, Any]) -> str:
    """Digest of a stored mixture's parameters: equal for equal components, whatever was computed since."""
    digest = hashlib.sha256()
    for name in ("weights", "means", "covariances"):
        digest.update(np.ascontiguousarray(entry[name], dtype=np.float64).tobytes())
    return digest.hexdigest()[:16]


def check_mixture(data: AnnData | MuData, expected: str, gmm_key: str, what: str, remedy: str) -> None:
    """Refuse a result whose mixture is not the one stored now."""
    entry = uns_entry(data, gmm_key, "gmm_key", "gmm")
    if fingerprint(entry) != expected:
        msg = f"{what} belong to another mixture than the one in `uns[{gmm_key!r}]`, which was refitted since. {remedy}"
        raise ValueError(msg)


def read_components(data: AnnData | MuData, gmm_key: str) -> tuple[np.ndarray, int]:
    """Component of each cell, (n_obs,), and the number of components."""
    n_components = len(uns_entry(data, gmm_key, "gmm_key", "gmm")["weights"])
    column = obs_column(data, gmm_key, "gmm_key")
    names = {str(k): k for k in range(n_components)}
    categorical = column.astype("category").cat
    # The last entry is that of missing values, whose code is -1.
    of_category = np.array([names.get(str(name), -1) for name in categorical.categories] + [-1])
    codes = of_category[categorical.codes]
    if (codes < 0).any():
        msg = (
            f"`obs[{gmm_key!r}]` does not hold components '0' to '{n_components - 1}' of `uns[{gmm_key!r}]` for every "
            "cell; assign the cells again with `rp.tl.gmm` or `rp.tl.assign`."
        )
        raise ValueError(msg)
    return codes, n_components


def component_names(data: AnnData | MuData, gmm_key: str) -> dict[str, str]:
    """What components are called, by number, where :func:`repatient.tl.name_components` named them; else nothing.

    The one place that figures, tables and reports ask.
    """
    entry = data.uns.get(gmm_key)
    names = entry.get("names") if isinstance(entry, Mapping) else None
    return {} if names is None else {str(k): str(name) for k, name in enumerate(names)}


def write_components(
    data: AnnData | MuData,
    key: str,
    labels: np.ndarray,
    log_density: np.ndarray,
    responsibilities: np.ndarray | None,
    entry: dict[str, Any],
) -> None:
    """Write the assignment of every cell and the mixture that made it."""
    n_components = len(entry["weights"])
    data.obs[key] = pd.Categorical.from_codes(labels, [str(k) for k in range(n_components)])
    data.obs[keys.log_density(key)] = np.asarray(log_density, dtype=np.float32)
    if responsibilities is not None:
        data.obsm[keys.responsibilities(key)] = np.asarray(responsibilities, dtype=np.float32)
    elif keys.responsibilities(key) in data.obsm:
        # Those of an earlier mixture would be read as belonging to this one.
        del data.obsm[keys.responsibilities(key)]
    data.uns[key] = entry
