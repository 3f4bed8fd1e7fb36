from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from repatient import _store
from repatient._checks import check_integer, check_key, check_number, check_option, listed
from repatient._docs import shared_docs
from repatient._progress import progress_bar
from repatient._threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_KINDS = ("counts", "intensities", "features")
_N_COMPONENTS = 50
# As scanpy's tutorials clip scaled expression.
_MAX_VALUE = 10.0
_SCATTER = re.compile(r"^(FSC|SSC|FS|SS)\b", re.IGNORECASE)
_NO_MARKER = re.compile(r"^(time|event[_ ]?(length|number|#)?)$", re.IGNORECASE)
# Cofactors as usual for mass cytometry (dual counts) and for fluorescence (up to 262,144), and where the former end.
_MASS, _FLUORESCENCE, _MOST_COUNTS = 5.0, 150.0, 10_000.0
_TRANSFORMED_ALREADY = 20.0
_DECADES = 4.5
_EVENTS = 200_000


@shared_docs
def embed(
    data: AnnData,
    kind: Any,
    *,
    source: str = "X",
    n_components: int | Literal["auto"] | None = "auto",
    n_top_genes: int = 2000,
    target_sum: float | None = None,
    transform: str = "arcsinh",
    cofactor: float | Mapping[str, float] | Literal["auto"] = "auto",
    scale: bool = True,
    mask_var: Any = None,
    mask_obs: Any = None,
    key_added: str = _store.keys.EMBEDDED,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Learn an embedding from measured features, and keep its steps so that new patients can be brought into it.

    Everything is learnt on the cells of ``mask_obs``, those of the training patients, and applied to all. Features are read
    block by block: what lies in a file is never in memory as a whole.

    Parameters
    ----------
    data
        AnnData with the features; of a MuData one modality (``mdata["rna"]``).
    kind
        What the features are:

        ``"counts"``
            Raw counts of genes: totals to ``target_sum``, log1p, variable genes, unit variance (values clipped at 10
            standard deviations), principal components; as scanpy's functions of these names do.
        ``"intensities"``
            Markers of cytometry on their linear scale: ``transform``, unit variance. Scatter channels stay linear;
            channels of time and event number are left out.
        ``"features"``
            Numbers from an image encoder or elsewhere: unit variance, principal components.
        a trained model of scvi-tools
            Its latent space: recorded are the genes, the class of the model, and hashes of its registry and weights.
    source
        Where the features are: ``"X"``, a layer, or a key of ``obsm``.
    n_components
        Principal components; ``None`` leaves them out; ``"auto"`` is 50 (or as many as there are), and none for intensities.
    n_top_genes
        Variable genes to keep, for counts.
    target_sum
        Total counts of a cell after normalisation. ``None``: the median of the training cells.
    transform
        For intensities: ``"arcsinh"``, ``"logicle"`` :cite:p:`Parks2006` (its linear width from each marker's negative
        values), or ``"none"`` where they are transformed already.
    cofactor
        Of arcsinh, one number or one a marker. ``"auto"``: 5 where 99.9 %% of the training values lie below 10,000 (mass
        cytometry), else 150 (fluorescence); for markers that a mapping does not name, too.
    scale
        Whether to divide each feature by its standard deviation in the training cells.
    mask_var
        Boolean column of ``var``, or array (n_vars,): features to use. For counts, variable genes are chosen among these.
    %(mask_obs)s
    key_added
        Key of ``obsm`` for the embedding.
    %(progress)s
    %(copy)s

    Returns
    -------
    ``None``, or the copy. Written are

    ``obsm[key_added]``
        The embedding, (n_obs, k) float32.
    ``uns["embedding"]``
        ``params``, the names of the ``features`` in order, and the arrays of the ``steps``. With another ``key_added``,
        under that key.

    Raises
    ------
    KeyError
        If there is no such source, column or marker.
    TypeError
        If ``data`` or an argument is of a wrong type.
    ValueError
        If counts are no counts, values are not finite, or there are too few cells or features.

    See Also
    --------
    repatient.pp.project : Bring new patients into the embedding.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> rp.pp.embed(adata, "features", n_components=10)
    >>> adata.obsm["X_embedded"].shape
    (782, 10)
    """
    _store.check_data(data, copy=copy)
    check_key(key_added, "key_added")
    measured = _store.Measured(data, source)
    mask = _store.read_mask(data, mask_obs)
    if isinstance(kind, str):
        check_option(kind, "kind", _KINDS)
        check_option(transform, "transform", ["arcsinh", "logicle", "none"])
        check_integer(n_top_genes, "n_top_genes")
        if n_components not in ("auto", None):
            check_integer(n_components, "n_components")
        if target_sum is not None:
            check_number(target_sum, "target_sum", above=0)
        fit = _Fit(measured, mask, progress)
        used = _mask_var(data, mask_var, measured)
        settings: dict[str, Any] = {
            "source": source,
            "named": measured.named,
            "mask_obs": _store.storable_mask(mask_obs),
            "n_cells": fit.n_cells,
        }
        if kind == "counts":
            arrays = _variable_genes(fit, used, n_top_genes, target_sum)
            settings["max_value"] = _MAX_VALUE if scale else None
        else:
            arrays = {"used": used}
            if kind == "intensities":
                kinds = data.var["kind"] if "kind" in data.var and source not in data.obsm else None
                arrays = _scales(fit, used, kinds, transform, cofactor)
                settings["transform"] = transform
        projection = _store.Projection(kind, measured.names, settings, arrays)
        n_axes = (None if kind == "intensities" else _N_COMPONENTS) if n_components == "auto" else n_components
        projection = _with_moments(fit, projection, scale=scale)
        if n_axes is not None:
            n_axes = _most_axes(n_axes, fit.n_cells, int(arrays["used"].sum()), asked=n_components != "auto")
            projection = _with_components(fit, projection, n_axes)
        bar = _bar("Embedding", progress)
        embedding = _store.projected(data, projection, bar=bar)
    else:
        projection, embedding = _of_model(data, kind, measured, mask_obs)
    data = data.copy() if copy else data
    data.obsm[key_added] = embedding
    data.uns[_store.uns_key(key_added)] = _store.projection_entry(projection, key_added)
    return data if copy else None


def _bar(desc: str, progress: bool | None) -> Any:  # noqa: FBT001
    return lambda blocks: progress_bar(blocks, desc=desc, enabled=progress, unit="block")


class _Fit:
    """Features of the training cells, block by block."""

    def __init__(self, measured: _store.Measured, mask: NDArray[np.bool_] | None, progress: bool | None) -> None:  # noqa: FBT001
        self.measured, self.mask, self.progress = measured, mask, progress
        self.n_cells = measured.shape[0] if mask is None else int(mask.sum())
        if self.n_cells < 2:
            msg = "`mask_obs`: one cell is too few to learn an embedding from."
            raise ValueError(msg)

    def blocks(self, desc: str) -> Iterator[Any]:
        for rows in progress_bar(self.measured.blocks(), desc=desc, enabled=self.progress, unit="block"):
            inside = None if self.mask is None else self.mask[rows]
            if inside is None or inside.any():
                X = self.measured.block(rows)
                yield X if inside is None or inside.all() else X[inside]


def _mask_var(data: AnnData, mask_var: Any, measured: _store.Measured) -> NDArray[np.bool_]:
    n_features = measured.shape[1]
    if mask_var is None:
        return np.ones(n_features, dtype=bool)
    if isinstance(mask_var, str):
        if mask_var not in data.var:
            msg = f"`mask_var`: no column {mask_var!r} in `var`; there are {listed(data.var.columns, 40)}."
            raise KeyError(msg)
        mask_var = data.var[mask_var]
    used = np.asarray(mask_var)
    if used.dtype != bool or used.shape != (n_features,) or not used.any():
        msg = f"`mask_var` is boolean, one value for each of {n_features} features and some true, not {used.dtype} {used.shape}."
        raise ValueError(msg)
    return used


def _variable_genes(
    fit: _Fit, used: NDArray[np.bool_], n_top_genes: int, target_sum: float | None
) -> dict[str, NDArray[Any]]:
    """Target of the totals, share of each gene in the counts, and the variable genes of the training cells."""
    import scanpy as sc

    parts = []
    for X in fit.blocks("Reading counts"):
        _store.check_counts(X)
        parts.append(sp.csr_matrix(X, dtype=np.float32))
    counts = sp.vstack(parts, format="csr")
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    if not totals.any():
        msg = "`kind='counts'`: all counts are zero."
        raise ValueError(msg)
    target = float(np.median(totals[totals > 0])) if target_sum is None else float(target_sum)
    shares = np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel() / totals.sum()
    if n_top_genes < used.sum():
        train = AnnData(counts)
        sc.pp.normalize_total(train, target_sum=target)
        sc.pp.log1p(train)
        train = train[:, used].copy()
        sc.pp.highly_variable_genes(train, n_top_genes=n_top_genes)
        used = used.copy()
        used[used] = train.var["highly_variable"].to_numpy()
    # A gene that no training cell has tells nothing.
    used = used & (shares > 0)
    return {"used": used, "shares": shares, "target_sum": np.array(target)}


def _scales(fit: _Fit, used: NDArray[np.bool_], kinds: Any, transform: str, cofactor: Any) -> dict[str, NDArray[Any]]:
    """Features that are markers, and how each is transformed."""
    names = fit.measured.names
    if kinds is not None:
        time, scatter = (np.asarray(kinds) == "time"), (np.asarray(kinds) == "scatter")
    else:
        time = np.array([bool(_NO_MARKER.match(name)) for name in names])
        scatter = np.array([bool(_SCATTER.match(name)) for name in names])
    used = used & ~time
    if not used.any():
        msg = f"`data` has no marker: its features are {listed(names)}."
        raise ValueError(msg)
    names, linear = names[used], scatter[used]
    if transform == "none":
        return {"used": used}
    # Quantiles need no more than some of the events, evenly spread.
    step = max(fit.n_cells // _EVENTS, 1)
    X = np.concatenate([_dense(part[::step][:, used]) for part in fit.blocks("Reading intensities")])
    markers = X[:, ~linear]
    if markers.size and np.abs(markers).max() < _TRANSFORMED_ALREADY:
        msg = (
            f"The largest intensity is {np.abs(markers).max():.3g}: these values look transformed already, which "
            f"`transform='none'` takes into account; now {transform} is taken of them again."
        )
        warnings.warn(msg, stacklevel=3)
    if transform == "logicle":
        top = np.where(linear, np.nan, np.maximum(X.max(axis=0), 2.0**18))
        width = np.full(len(names), np.nan)
        for i in np.flatnonzero(~linear):
            width[i] = _linear_width(X[:, i], float(top[i]))
        return {"used": used, "top": top, "linear_width": width}
    usual = _MASS if markers.size == 0 or np.quantile(markers, 0.999) < _MOST_COUNTS else _FLUORESCENCE
    given = dict(cofactor) if isinstance(cofactor, Mapping) else {}
    unknown = [name for name in given if name not in set(names)]
    if unknown:
        msg = f"`cofactor`: no features {listed(unknown)}; there are {listed(names, 40)}."
        raise KeyError(msg)
    other = usual if isinstance(cofactor, Mapping) or isinstance(cofactor, str) else cofactor
    if isinstance(cofactor, str):
        check_option(cofactor, "cofactor", ["auto"])
    values = np.where(linear, np.nan, check_number(other, "cofactor", above=0))
    for name, number in given.items():
        values[names == name] = check_number(number, "cofactor", above=0)
    return {"used": used, "cofactor": values}


def _dense(X: Any) -> NDArray[Any]:
    return X.toarray() if sp.issparse(X) else np.asarray(X)


def _linear_width(values: NDArray[Any], top: float) -> float:
    """Decades of the linear part that let the negative values be seen; .5 where there are none."""
    negative = values[values < 0]
    if len(negative) == 0:
        return 0.5
    reference = min(float(np.quantile(negative, 0.05)), -1e-3)
    return float(np.clip((_DECADES - np.log10(top / -reference)) / 2, 0, _DECADES / 2 - 0.1))


def _with_moments(fit: _Fit, projection: _store.Projection, *, scale: bool) -> _store.Projection:
    """Mean and standard deviation of each feature over the training cells."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for X in fit.blocks("Means and variances"):
        scaler.partial_fit(projection.transformed(X).astype(np.float64))
    arrays = {**projection.arrays, "mean": scaler.mean_}
    if scale:
        # The variance of a sample, as scanpy has it.
        arrays["scale"] = np.where(scaler.var_ > 0, scaler.scale_ * np.sqrt(fit.n_cells / (fit.n_cells - 1)), 1.0)
    return _store.Projection(projection.kind, projection.features, projection.settings, arrays)


def _most_axes(n_axes: int, n_cells: int, n_features: int, *, asked: bool) -> int:
    most = min(n_cells - 1, n_features)
    if asked and n_axes > most:
        msg = f"`n_components`: {n_cells} training cells of {n_features} features have at most {most} components, not {n_axes}."
        raise ValueError(msg)
    return min(n_axes, most)


def _with_components(fit: _Fit, projection: _store.Projection, n_axes: int) -> _store.Projection:
    """Principal components of the standardised features, from one pass over their second moments."""
    width = int(projection.arrays["used"].sum())
    # Two halves, of every other cell, tell what the axes keep in other cells.
    totals, squares, counts = np.zeros((2, width)), np.zeros((2, width, width)), np.zeros(2)
    mean = projection.arrays["mean"].astype(np.float32)
    # One thread: the same bits everywhere.
    with one_thread():
        for X in fit.blocks("Principal components"):
            Z = projection.standardised(projection.transformed(X))
            Z = Z if "scale" in projection.arrays else Z - mean
            for half in range(2):
                part = Z[half::2]
                totals[half] += part.sum(axis=0, dtype=np.float64)
                squares[half] += part.T @ part
                counts[half] += len(part)
    center = totals.sum(axis=0) / fit.n_cells
    covariance = (squares.sum(axis=0) - fit.n_cells * np.outer(center, center)) / (fit.n_cells - 1)
    variances, axes = _store.leading_axes(covariance, n_axes)
    kept = np.ones(n_axes)
    if counts.min() > 1:
        centers = totals / counts[:, None]
        halves = [
            (squares[half] - counts[half] * np.outer(centers[half], centers[half])) / (counts[half] - 1)
            for half in range(2)
        ]
        kept = _store.kept_variance(halves, n_axes, int(counts.min()), fit.n_cells)
    # An axis has no direction of its own: its largest loading shall be positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(n_axes)])
    if "scale" not in projection.arrays:
        center = center + projection.arrays["mean"]
    arrays = {**projection.arrays, "center": center, "loadings": axes, "kept": kept}
    explained = variances / max(np.trace(covariance), np.finfo(float).tiny)
    settings = {**projection.settings, "variance_ratio": explained.round(6).tolist()}
    return _store.Projection(projection.kind, projection.features, settings, arrays)


def _of_model(
    data: AnnData, model: Any, measured: _store.Measured, mask_obs: Any
) -> tuple[_store.Projection, NDArray[np.float32]]:
    """The latent space of a trained model of scvi-tools."""
    if not all(hasattr(model, name) for name in ("get_latent_representation", "registry", "module")):
        msg = f"`kind` is one of {listed(_KINDS)} or a trained model of scvi-tools, not {model!r}."
        raise TypeError(msg)
    if mask_obs is not None:
        msg = "`mask_obs`: the model was trained before; train it on the cells of training patients instead."
        raise ValueError(msg)
    genes = np.array([str(name) for name in model.adata.var_names], dtype=np.str_)
    settings = {
        "source": measured.source,
        "model": _store.describe_model(model),
        "n_latent": int(model.module.n_latent),
    }
    projection = _store.Projection("model", genes, settings, {})
    return projection, _store.projected(data, projection, model=model)
