"""From measured features to an embedding: arrays in, arrays out, so that a saved model can carry the steps."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse as sp

from repatient._checks import check_number, listed
from repatient._threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

# Share of the training counts that genes may have which are only needed for the total of a cell.
_TOLERATED = 0.01
_NEWTON_STEPS = 4
_TABLE = np.linspace(-2.0, 2.0, 1025)
_STRINGS = ("features",)
# Arrays that a projection can have, and how many axes each has; those of which one is of no use without the other.
_DIMENSIONS = {
    "used": 1,
    "shares": 1,
    "target_sum": 0,
    "cofactor": 1,
    "top": 1,
    "linear_width": 1,
    "mean": 1,
    "scale": 1,
    "center": 1,
    "loadings": 2,
    "kept": 1,
}
_TOGETHER = (("loadings", "center"), ("center", "loadings"), ("top", "linear_width"), ("scale", "mean"))
_MAY_BE_NAN, _POSITIVE = ("cofactor", "top", "linear_width"), ("cofactor", "top", "scale", "target_sum", "kept")


@dataclass(frozen=True, eq=False)
class Projection:
    """Steps that were learnt on training cells, to be applied to any others.

    Parameters
    ----------
    kind
        ``"counts"``: totals to ``target_sum``, log1p; ``"intensities"``: arcsinh, logicle or as they are; ``"features"``:
        as they are; ``"model"``: the latent space of a model that is not part of it.
    features
        Names of the measured features in order, (d,).
    settings
        What can be written as JSON: where the features were read (``source``), ``transform``, ``max_value`` and a record.
    arrays
        ``used`` (d,), the features that are embedded, p of them; ``shares`` (d,), of all training counts; ``target_sum``;
        ``cofactor`` or ``top`` and ``linear_width`` (p,) of the transformation, NaN where a feature is left as it is; ``mean`` and
        ``scale`` (p,); ``center`` (p,) and ``loadings`` (p, k) of principal components, and ``kept`` (k,), the share of
        their variance that other cells have. What is not there is not done.
    """

    kind: str
    features: NDArray[Any]
    settings: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def n_components(self) -> int:
        """Dimensions of the embedding."""
        if "loadings" in self.arrays:
            return int(self.arrays["loadings"].shape[1])
        return int(self.settings["n_latent"]) if self.kind == "model" else int(self.arrays["used"].sum())

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same steps, and for no others."""
        content = hashlib.sha256(json.dumps([self.kind, self.settings.get("model")], sort_keys=True).encode())
        content.update("\0".join(map(str, self.features)).encode())
        for name in sorted(self.arrays):
            value = np.ascontiguousarray(self.arrays[name])
            content.update(f"{name}{value.shape}{value.dtype.newbyteorder('=')}".encode() + value.tobytes())
        return content.hexdigest()[:16]

    def find(self, names: Sequence[str], allow_missing: float = 0.0) -> NDArray[np.int64]:
        """Position of each feature among ``names``, in any order; -1 for what is missing and may be.

        Parameters
        ----------
        names
            Features of new cells.
        allow_missing
            Share of the embedded features that may be missing; they are taken to be as in the mean training cell.

        Raises
        ------
        ValueError
            If more are missing, or names are not unique. It lists them.
        """
        found = find_features(self.features, names, allow_missing, self.arrays.get("used"))
        if "shares" in self.arrays:
            lost = float(self.arrays["shares"][found < 0].sum())
            if lost > max(_TOLERATED, allow_missing):
                msg = (
                    f"The genes that are missing have {lost:.0%} of the counts of the training cells, so that totals do not "
                    f"compare: {listed(self.features[found < 0])}. Pass the object before genes were selected."
                )
                raise ValueError(msg)
        return found

    def apply(self, X: Any, found: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Embedding of cells, (n, k).

        Parameters
        ----------
        X
            Features of cells, dense or sparse: (n, d) in the order of ``features``, or the columns that ``found`` points to.
        found
            What :meth:`find` gave; ``None``: the columns are the features.
        """
        Z = self.transformed(X, found)
        if "mean" in self.arrays:
            Z = self.standardised(Z)
        used = self.arrays["used"]
        if found is not None and (gone := found[used] < 0).any():
            Z[:, gone] = 0 if "scale" in self.arrays else self.arrays["mean"][gone]
        if "loadings" in self.arrays:
            # One thread: the same bits everywhere.
            with one_thread():
                Z = (Z - self.arrays["center"].astype(np.float32)) @ self.arrays["loadings"].astype(np.float32)
        return np.ascontiguousarray(Z, dtype=np.float32)

    def transformed(self, X: Any, found: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """The embedded features (n, p) before they are standardised; 0 where they are missing."""
        width = len(self.features) if found is None else None
        if width is not None and X.shape[1] != width:
            msg = f"The embedding was learnt on {width} features, and there are {X.shape[1]}."
            raise ValueError(msg)
        if found is not None:
            X = _columns(X, found)
        used = self.arrays["used"]
        if self.kind == "counts":
            check_counts(X)
            totals = np.asarray(X.sum(axis=1), dtype=np.float64).ravel()
            factor = float(self.arrays["target_sum"]) / np.where(totals > 0, totals, 1)
            Z = _dense(X[:, used])
            Z *= factor[:, None].astype(np.float32)
            return np.log1p(Z, out=Z)
        Z = _dense(X[:, used])
        if "cofactor" in self.arrays:
            cofactor = self.arrays["cofactor"]
            bent = ~np.isnan(cofactor)
            Z[:, bent] = np.arcsinh(Z[:, bent] / cofactor[bent].astype(np.float32))
        if "top" in self.arrays:
            for i in np.flatnonzero(~np.isnan(self.arrays["top"])):
                Z[:, i] = logicle(Z[:, i], float(self.arrays["top"][i]), float(self.arrays["linear_width"][i]))
        return Z

    def standardised(self, Z: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same in units of the training cells, extremes clipped where ``max_value`` says so."""
        if "scale" in self.arrays:
            mean, scale = (self.arrays[name].astype(np.float32) for name in ("mean", "scale"))
            Z = (Z - mean) / scale
            limit = self.settings.get("max_value")
            if limit is not None:
                np.clip(Z, -limit, limit, out=Z)
        return Z

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What a file has to hold: settings for JSON, and arrays, of which none needs pickle."""
        settings = {"kind": self.kind, "settings": dict(self.settings)}
        return settings, {"features": np.asarray(self.features, dtype=np.str_), **self.arrays}

    @classmethod
    def from_arrays(cls, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of :meth:`to_arrays`.

        Raises
        ------
        KeyError, ValueError
            If something is missing, or the shapes do not fit each other.
        """
        kind, features = (
            settings["kind"],
            np.array([str(name) for name in np.asarray(arrays["features"])], dtype=np.str_),
        )
        own = {
            name: np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
            for name, value in arrays.items()
            if name not in _STRINGS
        }
        used = own.get("used", np.ones(len(features), dtype=bool)).astype(bool)
        if kind != "model":
            own["used"] = used
        widths = {"used": len(features), "shares": len(features)}
        if "loadings" in own and own["loadings"].ndim == _DIMENSIONS["loadings"]:
            widths["kept"] = own["loadings"].shape[1]
        wrong = [
            name
            for name, value in own.items()
            if name not in _DIMENSIONS
            or value.ndim != _DIMENSIONS[name]
            or (value.ndim > 0 and len(value) != widths.get(name, used.sum()))
        ]
        wrong += [name for name, other in _TOGETHER if name in own and other not in own]
        wrong += [name for name, value in own.items() if name not in wrong and not _sound(name, value)]
        needed = {"counts": {"target_sum"}, "intensities": set(), "features": set(), "model": set()}
        if kind not in needed or needed[kind] - own.keys() or wrong:
            msg = f"A projection of kind {kind!r} is not whole: {listed(wrong or needed.get(kind, ()))} do not fit."
            raise ValueError(msg)
        return cls(kind, features, dict(settings["settings"]), own)


def _sound(name: str, value: NDArray[Any]) -> bool:
    """Whether values are numbers of the range that an array of this name has; NaN: a feature that is left as it is."""
    if value.dtype.kind not in "biuf":
        return False
    value = value[~np.isnan(value)] if name in _MAY_BE_NAN else value
    return bool(np.isfinite(value).all() and (name not in _POSITIVE or (value > 0).all()))


def find_features(
    features: NDArray[Any], names: Sequence[str], allow_missing: float = 0.0, used: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Position of each feature among ``names``, in any order; -1 for what is missing and may be.

    Parameters
    ----------
    features
        Names of the features that were learnt from, (d,).
    names
        Those of new cells.
    allow_missing
        Share of the features that may be missing.
    used
        Which ones matter, (d,). ``None``: all.

    Raises
    ------
    ValueError
        If more are missing, or names are not unique. It lists them.
    """
    check_number(allow_missing, "allow_missing", minimum=0, below=1)
    position = {str(name): i for i, name in enumerate(names)}
    if len(position) < len(names):
        msg = "The names of the features are not unique; call `data.var_names_make_unique()`."
        raise ValueError(msg)
    found = np.array([position.get(str(name), -1) for name in features], dtype=np.int64)
    used = np.ones(len(found), dtype=bool) if used is None else used
    missing = (found < 0) & used
    if missing.sum() > allow_missing * used.sum():
        msg = (
            f"{int(missing.sum())} of {int(used.sum())} features that are needed are missing: "
            f"{listed(features[missing])}. `allow_missing` is the share that may be (now {allow_missing:g})."
        )
        raise ValueError(msg)
    return found


def check_counts(X: Any) -> None:
    """Accept whole numbers that are not negative."""
    values = X.data if sp.issparse(X) else np.asarray(X)
    if values.size and (values.min() < 0 or not np.array_equal(values, np.round(values))):
        msg = (
            "`kind='counts'` is for raw counts, and these have fractions or are negative; `source` names the layer with "
            "raw counts."
        )
        raise ValueError(msg)


def logicle(x: NDArray[Any], top: float, linear_width: float, decades: float = 4.5) -> NDArray[np.float32]:
    """Logicle scale of Parks et al. 2006: about linear around 0, about logarithmic up to ``top``, which becomes 1."""
    w = linear_width / decades
    b = decades * np.log(10)
    d = _slope(b, w)
    middle, right = w, 2 * w
    c = np.exp(right * (b + d))
    shift = np.exp(b * middle) - c * np.exp(-d * middle)
    a = top / (np.exp(b) - shift - c * np.exp(-d))

    def inverse(y: NDArray[Any]) -> NDArray[Any]:
        return a * (np.exp(b * y) - c * np.exp(-d * y) - shift)

    size = np.abs(np.asarray(x, dtype=np.float64))
    table = _TABLE[_TABLE >= middle]
    y = np.maximum(np.interp(size, inverse(table), table), middle)
    for _ in range(_NEWTON_STEPS):
        y -= (inverse(y) - size) / (a * (b * np.exp(b * y) + c * d * np.exp(-d * y)))
    return np.where(np.asarray(x) < 0, 2 * middle - y, y).astype(np.float32)


def _slope(b: float, w: float) -> float:
    """The rate of the negative exponential that makes the scale smooth at zero."""
    if w == 0:
        return b
    from scipy.optimize import brentq

    return float(brentq(lambda d: 2 * np.log(d / b) + w * (b + d), 1e-12, b))


def _columns(X: Any, found: NDArray[np.int64]) -> Any:
    """Columns in the order of the features, zeros for missing ones."""
    gone = found < 0
    X = X[:, np.where(gone, 0, found)]
    if gone.any():
        if sp.issparse(X):
            X = X @ sp.diags_array((~gone).astype(X.dtype))
        else:
            X[:, gone] = 0
    return X


def _dense(X: Any) -> NDArray[np.float32]:
    return np.array(X.toarray() if sp.issparse(X) else X, dtype=np.float32)
