"""Two dimensions to draw cells in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from mudata import MuData

from repatient import _store
from repatient._checks import listed
from repatient._messages import logger

if TYPE_CHECKING:
    from anndata import AnnData

_MAPS = ("X_umap", "X_tsne")
_DEFAULTS = (*_MAPS, *_store.keys.DEFAULT_EMBEDDINGS)
_REMEDY = "make a map with `scanpy.pp.neighbors(data, use_rep=…)` and `scanpy.tl.umap(data)`"
_WRITTEN = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PC"}


def read_basis(data: AnnData | MuData, basis: str | None) -> tuple[np.ndarray, tuple[str, str]]:
    """First two dimensions of an embedding, (n_obs, 2), and what their axes are called."""
    name = _resolve(data, basis)
    coordinates, _ = _store.read_embedding(data, name)
    if coordinates.shape[1] < 2:
        msg = f"`basis`: the embedding {name!r} has one dimension; two are drawn."
        raise ValueError(msg)
    bare = name.rpartition(":")[2].removeprefix("X_")
    written = _WRITTEN.get(bare, bare)
    return coordinates[:, :2].astype(np.float64), (f"{written} 1", f"{written} 2")


def _resolve(data: AnnData | MuData, basis: Any) -> str:
    available = _drawable(data)
    if basis is None:
        for name in _DEFAULTS:
            if name in available:
                if name not in _MAPS:
                    logger.warning(
                        "no UMAP or t-SNE in `obsm`: drawing the first two dimensions of %r; %s", name, _REMEDY
                    )
                return name
        found = [name for name in _DEFAULTS if name in data.obsm]
        what = f"{listed(found)} has one dimension" if found else f"there is none of {listed(_DEFAULTS)} to default to"
        other = f"name one of {listed(available, 40)}, or " if available else ""
        msg = f"`basis`: {what}, and a map has two; {other}{_REMEDY}."
        raise KeyError(msg)
    if not isinstance(basis, str):
        msg = f"`basis` is the name of an embedding in `obsm`, not {type(basis).__name__}."
        raise TypeError(msg)
    modality, colon, key = basis.rpartition(":")
    for name in (basis, f"{modality}{colon}X_{key}"):
        if name in available:
            return name
    msg = f"`basis`: no embedding {basis!r} of two or more dimensions; there are {listed(available, 40)}."
    raise KeyError(msg)


def _drawable(data: AnnData | MuData) -> list[str]:
    """Dense embeddings of two or more dimensions, those of modalities as ``"modality:key"``."""
    if not isinstance(data, MuData):
        return [key for key, values in data.obsm.items() if not sp.issparse(values) and values.shape[1] > 1]
    own = [
        key
        for key, values in data.obsm.items()
        if key not in data.mod and not sp.issparse(values) and values.ndim == 2 and values.shape[1] > 1
    ]
    return own + [f"{name}:{key}" for name, modality in data.mod.items() for key in _drawable(modality)]
