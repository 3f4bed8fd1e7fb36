"""An object in the embedding of another cohort: computed by its steps, put in its order, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from repatient import _store
from repatient._checks import listed
from repatient._messages import logger, warn

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class InReference:
    """What is read in place of an object, and what is new in it.

    Parameters
    ----------
    data
        The object, or one with the same observations and the embedding that was computed.
    use_rep
        Name of the embedding in it; ``None``: whichever is the default.
    embedding
        What was computed, (n_obs, d); ``None``: nothing.
    projection
        Steps that it came from.
    """

    data: AnnData | MuData
    use_rep: str | None
    embedding: Any = None
    projection: _store.Projection | None = None

    def write(self, data: AnnData | MuData) -> None:
        """Store what was computed in the object itself."""
        if self.embedding is None or self.use_rep is None:
            return
        data.obsm[self.use_rep] = self.embedding
        if self.projection is not None:
            data.uns[_store.uns_key(self.use_rep)] = _store.projection_entry(self.projection, self.use_rep)


def in_reference(
    data: AnnData | MuData, origin: _store.EmbeddingOrigin | None, use_rep: str | None, *, aligned: bool = False
) -> InReference:
    """Find or compute the embedding of a reference.

    Parameters
    ----------
    data
        The object; nothing is written.
    origin
        Where the embedding of the reference comes from; ``None``: unknown.
    use_rep
        An embedding that is taken unless it is recorded to come from elsewhere. ``None``: the one of the reference's
        name, which is computed where it does not come from the same steps and the features are there.
    aligned
        Whether the embedding is aligned afterwards, so that one from elsewhere is a warning and no error.

    Raises
    ------
    KeyError, ValueError
        If features are missing, or the embedding comes from other steps.
    """
    if origin is None or not origin.is_known:
        return InReference(data, use_rep)
    name = origin.use_rep if use_rep is None else use_rep
    if origin.projection is None:
        return _in_order(data, origin, name)
    part, key = _store.part_of(data, name)
    if not isinstance(part, AnnData):
        # Of a MuData as a whole nobody knows which modality the steps begin with.
        return InReference(data, use_rep)
    is_there = key in part.obsm
    recorded = _store.read_projection(data, name) if is_there else None
    if recorded is not None and recorded.fingerprint == origin.projection.fingerprint:
        return InReference(data, name)
    if use_rep is not None and recorded is None:
        return InReference(data, name)
    why = ""
    if use_rep is None:
        try:
            embedding = _store.projected(part, origin.projection)
        except (KeyError, ValueError) as error:
            why = f" It cannot be computed here: {error.args[0]}"
            if not is_there:
                msg = f"`reference`: its embedding {name!r} is not in `data`.{why}{_REMEDY}"
                raise type(error)(msg) from error
            if recorded is None:
                return InReference(data, name)
        else:
            return _computed(data, part, name, embedding, origin.projection, is_there=is_there)
    message = f"`use_rep`: `obsm[{name!r}]` comes from other steps than the embedding of the reference.{why}{_REMEDY}"
    if not aligned:
        raise ValueError(message)
    warn(f"{message} It is aligned as it is, which does not make up for other principal components.")
    return InReference(data, name)


_REMEDY = (
    " `rp.pp.project(data, reference)` brings cells into the embedding of the reference; there, `source` says where the "
    "features are, and `allow_missing` which share of them may be missing."
)


def origin_of(reference: Any, use_rep: str | None = None) -> _store.EmbeddingOrigin | None:
    """Where the embedding of an object, or of what was read of a recipes file, comes from; ``None``: nobody knows."""
    if isinstance(reference, dict):
        return _store.read_origin(reference["embedding"]) if "embedding" in reference else None
    if not hasattr(reference, "obsm"):
        return None
    name = _store.keys.EMBEDDED if use_rep is None else use_rep
    projection, features = _store.read_projection(reference, name), _store.feature_names(reference, name)
    if projection is not None:
        return _store.EmbeddingOrigin(name, projection.n_components, projection)
    if features is not None:
        return _store.EmbeddingOrigin(name, len(features), None, features)
    return None


def common_origin(origins: list[_store.EmbeddingOrigin | None]) -> _store.EmbeddingOrigin | None:
    """The origin that several references share; those of which nothing is known are taken to share it."""
    known = [origin for origin in origins if origin is not None and origin.is_known]
    steps = {origin.projection.fingerprint for origin in known if origin.projection is not None}
    if len(steps) > 1:
        msg = (
            "`reference`: the embeddings of the references come from different steps; embed one, bring the others into it "
            "(`rp.pp.project`), and learn their recipes again."
        )
        raise ValueError(msg)
    return next((origin for origin in known if origin.projection is not None), known[0] if known else None)


def _in_order(data: AnnData | MuData, origin: _store.EmbeddingOrigin, name: str) -> InReference:
    """Features by their names."""
    part, key = _store.part_of(data, name)
    names = _store.feature_names(data, name) if key in part.obsm or key == "X" else None
    if names is None or origin.features is None or np.array_equal(names, origin.features):
        return InReference(data, name)
    found = pd.Index(names).get_indexer(origin.features)
    if (found < 0).any():
        msg = (
            f"`reference`: {int((found < 0).sum())} of its {len(found)} features are not in {name!r} of `data`: "
            f"{listed(origin.features[found < 0])}."
        )
        raise ValueError(msg)
    embedding, _ = _store.read_embedding(data, name)
    table = pd.DataFrame(embedding[:, found], columns=origin.features, index=data.obs_names)
    logger.info("features of %r were put in the order of the reference", name)
    return _in_place_of(data, _new_key(name), table, None)


def _computed(
    data: AnnData | MuData,
    part: AnnData,
    name: str,
    embedding: NDArray[np.float32],
    projection: _store.Projection,
    *,
    is_there: bool,
) -> InReference:
    if part is not data:
        order = part.obs_names.get_indexer(data.obs_names)
        if (order < 0).any():
            msg = f"`data`: {int((order < 0).sum())} observations are not in the modality of {name!r}."
            raise ValueError(msg)
        embedding = embedding[order]
    if is_there:
        own, _ = _store.read_embedding(data, name)
        # The record is lost where objects were joined (`anndata.concat`).
        if own.shape == embedding.shape and np.allclose(own, embedding, rtol=1e-3, atol=1e-3 * float(embedding.std())):
            return InReference(data, name)
    logger.info("cells were brought into the embedding of the reference by its steps")
    # A modality has a key of its own; what is computed belongs to the observations of the whole object.
    key = _new_key(name) if is_there or part is not data else name
    return _in_place_of(data, key, embedding, projection)


def _new_key(name: str) -> str:
    return f"{name.replace(':', '_')}_of_reference"


def _in_place_of(data: AnnData | MuData, key: str, embedding: Any, projection: _store.Projection | None) -> InReference:
    """An object with the same observations, so that nothing is written before all is checked."""
    stand_in = AnnData(obs=data.obs, uns=dict(data.uns), obsm={key: embedding})
    found = InReference(stand_in, key, embedding, projection)
    found.write(stand_in)
    return found
