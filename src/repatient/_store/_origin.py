"""Where an embedding comes from, so that the same is found in new objects: the steps to it, names of features."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from repatient._checks import check_integer, check_number, listed
from repatient._files._read import boolean, check_values, optional, parse_json, text
from repatient._files._scratch import MEMORY_BUDGET, filled
from repatient._messages import logger, warn
from repatient._store._embedding import read_embedding
from repatient._store._project import Measured, feature_names, part_of, projected, read_projection
from repatient._store._projection import Projection, find_features
from repatient._store._scanpy_pca import agrees, sample, scanpy_projection

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray


_STEPS = "projection."
_PART = "the origin of the embedding"
# Settings of a projection that leave with recipes: what its steps need, and no mask or number of cells.
_TRAVELLING = ("source", "named", "transform", "max_value", "model", "n_latent")


@dataclass(frozen=True, eq=False)
class EmbeddingOrigin:
    """Where the embedding comes from that a model, an encoder or the recipes of a cohort were learnt on.

    Parameters
    ----------
    use_rep
        Its name.
    n_features
        Its dimensions, d.
    projection
        The steps to it from measured features; ``None`` where the training cohort did not know them.
    features
        Names of its dimensions, (d,), where they are features themselves.
    means
        Mean of each over the training cells, (d,), for those that may be missing.
    """

    use_rep: str
    n_features: int
    projection: Projection | None = None
    features: NDArray[Any] | None = None
    means: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, data: AnnData | MuData, use_rep: str, embedding: NDArray[Any], training: NDArray[np.bool_]) -> Self:
        """Describe the embedding of a cohort of which some cells are trained on, (n_obs,).

        Steps are those of :func:`repatient.pp.embed`, or the principal components of scanpy where the object still holds
        what they began with.
        """
        weight = training / training.sum()
        origin = cls.with_means(
            data, use_rep, embedding.shape[1], lambda: np.einsum("i,ij->j", weight, embedding).astype(np.float32)
        )
        if origin.is_known:
            return origin
        return replace(origin, projection=scanpy_projection(data, use_rep, embedding, training))

    @classmethod
    def with_means(
        cls, data: AnnData | MuData, use_rep: str, n_features: int, means: Callable[[], NDArray[Any]]
    ) -> Self:
        """Describe the embedding of a cohort; ``means`` of its dimensions are asked for where these have names."""
        projection, features = read_projection(data, use_rep), feature_names(data, use_rep)
        if projection is not None and projection.n_components != n_features:
            projection = None
        return cls(
            use_rep,
            n_features,
            projection,
            features,
            None if features is None else np.asarray(means(), dtype=np.float32),
        )

    @property
    def is_known(self) -> bool:
        """Whether more is known than the number of dimensions."""
        return self.projection is not None or self.features is not None

    @property
    def kept(self) -> NDArray[np.float64] | None:
        """Share of each dimension's variance that cells have from which the steps were not learnt; ``None``: unknown."""
        return None if self.projection is None else self.projection.arrays.get("kept")

    def read(
        self,
        data: AnnData | MuData,
        use_rep: str | None = None,
        *,
        source: str | None = None,
        allow_missing: float = 0.0,
        model: Any = None,
        check: bool = True,
        memory_budget: int = MEMORY_BUDGET,
    ) -> NDArray[Any]:
        """The embedding of any object, (n_obs, d).

        What :func:`repatient.pp.project` or the training left there is taken as it is. Else it is computed from the measured
        features, where the steps are known and the features are there, with a warning where something else stands under
        its name; an embedding of which nothing is recorded is taken where they are not, or where ``use_rep`` names it.

        Parameters
        ----------
        data, use_rep, source, allow_missing, model, memory_budget
            As for :meth:`repatient.tl.PatientClassifier.predict`.
        check
            Whether an embedding of other steps is refused.
        """
        name = self.use_rep if use_rep is None else use_rep
        if self.projection is None:
            if source is not None:
                msg = "`source`: the model keeps no steps from measured features; train it on an embedding of `rp.pp.embed`."
                raise ValueError(msg)
            return self._as_it_is(data, name, allow_missing, memory_budget)
        part, key = part_of(data, name)
        recorded = read_projection(data, name) if key in part.obsm else None
        same = recorded is not None and recorded.fingerprint == self.projection.fingerprint
        if source is None and (same or (use_rep is not None and (recorded is None or not check))):
            return self._as_it_is(data, name, allow_missing, memory_budget)
        if use_rep is not None and source is None:
            raise ValueError(self._of_other_steps(name))
        if source is None and recorded is None and key in part.obsm and self._leads_to(part, key):
            return self._as_it_is(data, name, allow_missing, memory_budget)
        try:
            embedding = projected(part, self.projection, source=source, allow_missing=allow_missing, model=model)
        except (KeyError, ValueError) as error:
            if source is not None or key not in part.obsm:
                raise
            if recorded is not None:
                msg = f"{self._of_other_steps(name)} It cannot be computed here: {error.args[0]}"
                raise ValueError(msg) from error
            if _has_features(part, self.projection, allow_missing):
                msg = f"{error.args[0]} `use_rep={name!r}` takes the embedding that is there as it is."
                raise ValueError(msg) from error
            return self._as_it_is(data, name, allow_missing, memory_budget)
        if key in part.obsm and source is None:
            warn(
                f"`obsm[{key!r}]` of `data` is not what the steps of the training make of the same features (another PCA, or "
                f"mapped in another way); these were applied anew. `use_rep={name!r}` takes what is there."
                if recorded is None
                else f"`obsm[{key!r}]` of `data` comes from other steps than those of the training; these were applied anew."
            )
        if part is data:
            return embedding
        order = part.obs_names.get_indexer(data.obs_names)
        if (order < 0).any():
            msg = f"`data`: {int((order < 0).sum())} observations are not in the modality of {name!r}, which is predicted from."
            raise ValueError(msg)
        return embedding[order]

    def _leads_to(self, part: AnnData, key: str) -> bool:
        """Whether the steps lead to an embedding that is there, by a sample of the cells."""
        rows = part[sample(part.n_obs)]
        try:
            computed = projected(rows, self.projection) if self.projection is not None else None
        except (KeyError, ValueError):
            return False
        there, _ = read_embedding(rows, key)
        return computed is not None and there.shape == computed.shape and agrees(there - computed, computed)

    def _of_other_steps(self, name: str) -> str:
        return (
            f"`obsm[{name!r}]` comes from other steps than those that the model was trained on; bring the cells into the "
            "embedding of the model with `rp.pp.project(data, model)`."
        )

    def _as_it_is(self, data: AnnData | MuData, name: str, allow_missing: float, memory_budget: int) -> NDArray[Any]:
        embedding, _ = read_embedding(data, name, memory_budget=memory_budget)
        names = feature_names(data, name)
        if self.features is not None and names is not None:
            return _in_order(embedding, self.features, names, self.means, allow_missing)
        if embedding.shape[1] != self.n_features:
            msg = (
                f"`use_rep`: the embedding {name!r} has {embedding.shape[1]} dimensions; the model was trained on "
                f"{self.n_features}."
            )
            raise ValueError(msg)
        return embedding

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What a file has to hold: settings for JSON, and arrays, of which none needs pickle."""
        settings: dict[str, Any] = {"use_rep": self.use_rep, "n_features": self.n_features, "projection": None}
        arrays: dict[str, NDArray[Any]] = {}
        if self.projection is not None:
            settings["projection"], steps = self.projection.to_arrays()
            arrays |= {f"{_STEPS}{name}": value for name, value in steps.items()}
        if self.features is not None:
            arrays |= {"features": self.features, "means": np.asarray(self.means)}
        return settings, arrays

    @classmethod
    def from_arrays(cls, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], path: Any) -> Self:
        """The inverse of :meth:`to_arrays`; ``path`` is named in errors.

        Raises
        ------
        ValueError
            If something is missing or does not fit.
        """
        n_features, projection = settings["n_features"], None
        if (description := settings.get("projection")) is not None:
            steps = {name.removeprefix(_STEPS): value for name, value in arrays.items() if name.startswith(_STEPS)}
            projection = stored_projection(description, steps, path)
            if projection is not None and projection.n_components != n_features:
                msg = f"{path}: the steps lead to {projection.n_components} dimensions, and the model has {n_features}."
                raise ValueError(msg)
        features, means = arrays.get("features"), arrays.get("means")
        if (features is None) != (means is None) or (
            features is not None
            and means is not None
            and not (features.shape == means.shape == (n_features,) and features.dtype.kind == "U" and _finite(means))
        ):
            msg = f"{path}: names and means of the features do not fit a model of {n_features} of them."
            raise ValueError(msg)
        return cls(settings["use_rep"], n_features, projection, features, means)


def origin_entry(origin: EmbeddingOrigin) -> dict[str, Any]:
    """What a recipes file holds of an origin: settings as JSON, and arrays; no mask, and nothing of single patients."""
    settings, arrays = origin.to_arrays()
    if origin.projection is not None:
        own = origin.projection.settings
        settings["projection"]["settings"] = {name: own[name] for name in _TRAVELLING if name in own}
    texts = {name: value.astype(object) if value.dtype.kind == "U" else value for name, value in arrays.items()}
    return {"settings": json.dumps(settings), "arrays": texts}


def read_origin(entry: Mapping[str, Any]) -> EmbeddingOrigin:
    """The inverse of :func:`origin_entry`; refuses what cannot be."""
    check_values(entry, {"settings": text}, _PART)
    settings = parse_json(entry["settings"].encode(), _PART)
    check_values(settings, {"use_rep": text, "n_features": partial(check_integer, minimum=1)}, _PART)
    if not isinstance(entry.get("arrays"), Mapping):
        msg = f"{_PART}: 'arrays' is missing."
        raise ValueError(msg)
    arrays = {name: _as_text(np.asarray(value)) for name, value in entry["arrays"].items()}
    unknown = [name for name in arrays if not name.startswith(_STEPS) and name not in ("features", "means")]
    if unknown:
        msg = f"{_PART} holds {listed(unknown)}, which are none of its arrays."
        raise ValueError(msg)
    return EmbeddingOrigin.from_arrays(settings, arrays, _PART)


def _as_text(value: NDArray[Any]) -> NDArray[Any]:
    return value.astype(np.str_) if value.dtype.kind in "OT" else value


def _in_order(
    X: NDArray[Any],
    features: NDArray[Any],
    names: NDArray[Any],
    means: NDArray[np.float32] | None,
    allow_missing: float,
) -> NDArray[Any]:
    """Columns in the order of training; those that are missing, and may be, at the mean of training."""
    found = find_features(features, list(names), allow_missing)
    if np.array_equal(found, np.arange(X.shape[1])):
        return X
    gone = found < 0
    if gone.any():
        logger.warning("features that are missing are taken as in the mean training cell: %s", listed(features[gone]))

    def rows(part: slice) -> NDArray[Any]:
        block = X[part][:, np.where(gone, 0, found)]
        if means is not None and gone.any():
            block[:, gone] = means[gone]
        return block

    return filled(rows, (len(X), len(found)), X.dtype, in_file=isinstance(X, np.memmap))


def _has_features(part: Any, projection: Projection, allow_missing: float) -> bool:
    """Whether all is there that the steps begin with."""
    try:
        measured = Measured(part, projection.settings["source"])
        if measured.named:
            projection.find(list(measured.names), allow_missing)
    except (KeyError, ValueError):
        return False
    return measured.named or measured.shape[1] == len(projection.features)


def stored_projection(description: Any, arrays: Mapping[str, NDArray[Any]], path: Any) -> Projection | None:
    """A projection that a file describes, ``None`` where it has none; ``path`` is named in errors.

    Raises
    ------
    ValueError
        If something is missing or does not fit.
    """
    if description is None:
        return None

    def mapping(value: Any, name: str) -> None:
        if not isinstance(value, dict):
            msg = f"`{name}` has values by name, not {value!r}."
            raise TypeError(msg)

    mapping_of = description if isinstance(description, dict) else {}
    check_values(mapping_of, {"kind": text, "settings": mapping}, path)
    is_model = mapping_of["kind"] == "model"
    check_values(
        mapping_of["settings"],
        {"source": text, **({"model": mapping, "n_latent": check_integer} if is_model else {"named": boolean})}
        | ({"max_value": optional(partial(check_number, above=0))} if "max_value" in mapping_of["settings"] else {}),
        path,
    )
    try:
        return Projection.from_arrays(mapping_of, arrays)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"{path}: {error.args[0]}"
        raise ValueError(msg) from error


def _finite(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f" and bool(np.isfinite(values).all())
