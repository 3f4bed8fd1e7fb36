"""Measured features of an object, block by block, and the projection that it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from repatient._checks import listed, unmasked
from repatient._files._scratch import blocks
from repatient._store import _keys
from repatient._store._lazy import in_memory
from repatient._store._params import record
from repatient._store._projection import Projection

if TYPE_CHECKING:
    from collections.abc import Callable

    from mudata import MuData
    from numpy.typing import NDArray

_BLOCK_BYTES = 32 << 20


class Measured:
    """The features of cells, wherever they lie: ``X``, a layer or a key of ``obsm``, in memory or in a file.

    Parameters
    ----------
    data
        The cells.
    source
        ``"X"``, the name of a layer, or a key of ``obsm``.
    """

    def __init__(self, data: AnnData, source: str = "X") -> None:
        if not isinstance(data, AnnData):
            msg = f"`data` is an AnnData, of a MuData one modality (`mdata['rna']`), not {type(data).__name__}."
            raise TypeError(msg)
        if source == "X" and data.X is not None:
            values: Any = data.X
        elif source in data.layers:
            values = data.layers[source]
        elif source in data.obsm:
            values = in_memory(data.obsm[source]) if hasattr(data.obsm[source], "to_memory") else data.obsm[source]
        else:
            there = [*(["X"] if data.X is not None else []), *data.layers, *data.obsm]
            msg = f"`source`: there are no features {source!r}; there are {listed(there, 40)}."
            raise KeyError(msg)
        named = source == "X" or source in data.layers
        names = data.var_names if named else getattr(values, "columns", range(values.shape[1]))
        self.named = named or hasattr(values, "columns")
        self.names = np.array([str(name) for name in names], dtype=np.str_)
        self.values = values.to_numpy() if isinstance(values, pd.DataFrame) else values
        self.shape = tuple(self.values.shape)
        self.source = source

    def block(self, rows: slice) -> Any:
        """Some rows in memory, dense or sparse by rows."""
        X = self.values[rows]
        X = X.compute() if hasattr(X, "__dask_graph__") else X
        X = X.to_memory() if hasattr(X, "to_memory") else X
        X = sp.csr_matrix(X) if sp.issparse(X) else np.asarray(unmasked(X, self.source))
        values: Any = X.data if sp.issparse(X) else X
        if values.dtype.kind == "f" and not np.isfinite(values.sum(dtype=np.float64)) and not np.isfinite(values).all():
            msg = f"The features {self.source!r} have NaN or infinity in rows {rows.start} to {rows.stop - 1}."
            raise ValueError(msg)
        return X

    def blocks(self) -> list[slice]:
        """Consecutive rows of about 32 MB in single precision."""
        return list(blocks(self.shape[0], max(_BLOCK_BYTES // (4 * max(self.shape[1], 1)), 256)))


def projected(
    data: AnnData,
    projection: Projection,
    *,
    source: str | None = None,
    allow_missing: float = 0.0,
    model: Any = None,
    bar: Callable[..., Any] = iter,
) -> NDArray[np.float32]:
    """Embedding of the cells of an object by a projection, (n_obs, k).

    Parameters
    ----------
    data
        Cells with the features that the projection needs, in any order, in memory or lazy.
    projection
        What was learnt.
    source
        Where the features are. ``None``: where they were.
    allow_missing
        Share of the features that may be missing.
    model
        The model of scvi-tools in whose latent space the projection ends.
    bar
        Wraps the blocks, for a progress bar.

    Raises
    ------
    KeyError
        If there is no such source.
    TypeError
        If ``data`` is no AnnData.
    ValueError
        If features are missing, no counts where counts were learnt from, not finite, or the model is another one.
    """
    measured = Measured(data, projection.settings["source"] if source is None else source)
    if projection.kind == "model":
        return latent(data, projection, model, projection.find(list(measured.names)))
    by_position = not (measured.named and projection.settings["named"])
    if by_position and measured.shape[1] != len(projection.features):
        msg = f"`source`: {measured.source!r} has {measured.shape[1]} features, and the embedding needs {len(projection.features)}."
        raise ValueError(msg)
    found = None if by_position else projection.find(list(measured.names), allow_missing)
    if found is not None and np.array_equal(found, np.arange(measured.shape[1])):
        found = None
    embedding = np.empty((measured.shape[0], projection.n_components), dtype=np.float32)
    for rows in bar(measured.blocks()):
        embedding[rows] = projection.apply(measured.block(rows), found)
    return embedding


def latent(data: AnnData, projection: Projection, model: Any, found: NDArray[np.int64]) -> NDArray[np.float32]:
    """Latent representation of new cells by the model that the projection records."""
    recorded = projection.settings["model"]
    if model is None:
        msg = f"`model`: the embedding is the latent space of a {recorded['class']}; pass that model."
        raise ValueError(msg)
    if (given := describe_model(model)) != recorded:
        what = listed(name for name in recorded if recorded[name] != given.get(name))
        msg = f"`model` is another one than that of the embedding: {what} differ."
        raise ValueError(msg)
    query = data if np.array_equal(found, np.arange(data.n_vars)) else data[:, found].copy()
    return np.asarray(model.get_latent_representation(query), dtype=np.float32)


def describe_model(model: Any) -> dict[str, str]:
    """Which model of scvi-tools it is: its class, and hashes of its registry and of its weights."""
    import hashlib
    import json

    registry = json.dumps(model.registry, sort_keys=True, default=str)
    weights = hashlib.sha256()
    for name, tensor in sorted(model.module.state_dict().items()):
        weights.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return {
        "class": type(model).__name__,
        "registry": hashlib.sha256(registry.encode()).hexdigest()[:16],
        "weights": weights.hexdigest()[:16],
    }


def projection_entry(projection: Projection, key: str) -> dict[str, Any]:
    """What ``uns`` holds of a projection whose embedding is in ``obsm[key]``."""
    _, arrays = projection.to_arrays()
    params = {"kind": projection.kind, "key_added": key, "fingerprint": projection.fingerprint}
    features = arrays.pop("features")
    return {"params": record(**params, **projection.settings), "features": features.astype(object), "steps": arrays}


def uns_key(key: str) -> str:
    """Where the projection to ``obsm[key]`` is kept."""
    return _keys.EMBEDDING if key == _keys.EMBEDDED else key


def feature_names(data: AnnData | MuData, use_rep: str) -> NDArray[Any] | None:
    """Names of the dimensions of an embedding, if they have distinct ones: those of ``X`` and of tables in ``obsm``.

    Parameters
    ----------
    data
        The object.
    use_rep
        ``"X"``, a key of ``obsm``, or either after ``"modality:"``.
    """
    data, key = part_of(data, use_rep)
    values = data.obsm[key] if key in data.obsm else None
    names = getattr(values, "columns", None) if values is not None else data.var_names if key == "X" else None
    if names is None or len(set(map(str, names))) < len(names):
        return None
    return np.array([str(name) for name in names], dtype=np.str_)


def part_of(data: AnnData | MuData, use_rep: str) -> tuple[Any, str]:
    """The object that holds an embedding, of a MuData the modality, and the key there."""
    modality, _, key = use_rep.rpartition(":")
    return (data.mod[modality], key) if modality and modality in getattr(data, "mod", {}) else (data, use_rep)


def read_projection(data: AnnData | MuData, use_rep: str) -> Projection | None:
    """The projection that an embedding came from; ``None`` where the object does not know.

    Parameters
    ----------
    data
        The object.
    use_rep
        Key of ``obsm``, or ``"modality:key"``.

    Raises
    ------
    ValueError
        If what is stored is not whole.
    """
    data, use_rep = part_of(data, use_rep)
    entry = data.uns.get(uns_key(use_rep))
    params = entry.get("params") if isinstance(entry, dict) or hasattr(entry, "get") else None
    if params is None or "fingerprint" not in params or params.get("key_added") != use_rep:
        return None
    entry = in_memory(dict(entry))
    params = {name: _plain(value) for name, value in dict(entry["params"]).items()}
    settings = {
        name: value for name, value in params.items() if name not in {"kind", "key_added", "fingerprint", "version"}
    }
    arrays = {"features": entry["features"], **entry["steps"]}
    projection = Projection.from_arrays({"kind": params["kind"], "settings": settings}, arrays)
    if projection.fingerprint != params["fingerprint"]:
        msg = f"`uns[{uns_key(use_rep)!r}]` was changed after it was written; run `rp.pp.embed` again."
        raise ValueError(msg)
    return projection


def _plain(value: Any) -> Any:
    """A stored setting as Python has it."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
