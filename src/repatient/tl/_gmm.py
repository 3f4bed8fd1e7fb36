from __future__ import annotations

import warnings
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._checks import check_integer, check_key, listed
from repatient._docs import shared_docs
from repatient._messages import warn
from repatient.mixture import GaussianMixture, default_n_components, masked_rows, select_n_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

_FOLDS = 5
# One patient in so many is left out, and no more cells are looked at.
_HELD_OUT, _MOST_CELLS = 4, 20_000
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@shared_docs
def gmm(
    data: AnnData | MuData,
    n_components: int | Sequence[int] | None = None,
    *,
    use_rep: str | None = None,
    covariance_type: str = "full",
    patient_key: str | None = None,
    mask_obs: Any = None,
    n_init: int = 4,
    tol: float = 1e-4,
    reg_covar: float = 1e-6,
    max_iter: int = 200,
    store_proba: bool = False,
    key_added: str = _store.keys.GMM,
    device: str = "cpu",
    random_state: int = 0,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Fit a Gaussian mixture to the pooled cells of all patients and assign every cell to a component.

    The components are the ingredients of RECIPE :cite:p:`Dasdelen2026`: a patient is described by how many
    cells it has of each, and a new patient is mixed from them.

    Parameters
    ----------
    %(data)s
    n_components
        Number of components K. ``None`` takes what so many cells of so many dimensions can bear and so many patients of
        ``patient_key`` can use, between 2 and 40 (:func:`repatient.mixture.default_n_components`). Numbers (a sequence,
        an array) select the one with the highest held-out log-likelihood, in cross-validation over the patients of
        ``patient_key``, in five folds, or as many as there are patients.
    %(use_rep)s
    covariance_type
        ``"full"``, ``"tied"`` or ``"diag"``. Above some 64 dimensions, ``"diag"`` or a PCA is the better choice.
    patient_key
        Column of ``obs`` with the patient of each cell. Needed to select ``n_components``; otherwise it limits their
        default, and ``held_out`` tells how well a mixture explains patients that it has not seen.
    %(mask_obs)s All cells are assigned.
    n_init
        Number of starts, of which the most likely goes on; of more than 20,000 cells they are made on a subsample.
    tol
        EM stops when the mean log-likelihood of a cell rises by less than this in a pass, in nats.
    reg_covar
        Least share of the variance of each dimension that is added to the variances of the components. Cells held out
        may ask for more: see :class:`repatient.mixture.GaussianMixture`, whose covariances have a prior.
    max_iter
        Most passes of EM.
    store_proba
        Also store the probability of each component for each cell.
    key_added
        Key under which the results are stored.
    %(mixture_device)s
    %(random_state)s
    %(progress)s
    %(copy)s

    Returns
    -------
    ``None``, or the copy. Written are

    ``obs[key_added]``
        Most probable component, categorical ``"0"`` (the heaviest) to ``"K-1"``.
    ``obs[f"{key_added}_log_density"]``
        Log-density of the cell under the mixture, float32, in nats.
    ``uns[key_added]``
        ``params``, ``weights`` (K,), ``means`` (K, d), ``covariances`` (K, d, d), (d, d) or (K, d),
        ``n_cells`` (K,) that the mixture was fitted to and that belong to each component, ``log_likelihood`` (mean of a
        cell), ``bic``, ``n_iter``, ``converged``, ``log_density_quantiles``; with ``patient_key``, ``held_out``:
        ``log_likelihood`` (mean over ``n_patients`` left out once of the mean of their cells, under a mixture of the
        others); and ``selection`` where the number of components was selected.
    ``obsm[f"{key_added}_proba"]``
        With ``store_proba``, (n_obs, K) float32.

    Raises
    ------
    KeyError
        If the embedding or a column does not exist.
    TypeError
        If the embedding is sparse or not of floating-point numbers, or an argument of a wrong type.
    ValueError
        If the embedding has NaN or infinity, the mask is empty, there are fewer cells than components, the number of
        components is to be selected on a single patient, or torch does not have the device.

    Notes
    -----
    An embedding that is not in memory (a dask or zarr array in ``obsm``, as :func:`anndata.experimental.read_lazy`
    makes them, or the dense ``X`` of a backed object) is read piece by piece and never held as a whole. The passes
    over a dask array run on the scheduler that dask is set to, on a cluster where there is a client.

    :func:`repatient.tl.assign`, :func:`repatient.tl.recipes`, :func:`repatient.tl.generate`, :func:`repatient.tl.mil`,
    :func:`repatient.tl.select` and :func:`repatient.tl.audit` take such objects, too. Those that need cells out of
    order read an embedding of up to 1 GiB into memory and copy a larger one to a temporary file first. Results are
    written to the object in memory, and the file stays as it is: keep them with ``data.to_memory()``,
    :func:`repatient.io.write_recipes` or :func:`repatient.get.augmented`.

    See Also
    --------
    repatient.tl.assign : Use the mixture of another cohort.
    repatient.mixture.GaussianMixture : The estimator, for arrays.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> rp.tl.gmm(adata, 5, covariance_type="diag")
    >>> adata.uns["gmm"]["means"].shape[0]
    5
    """
    _store.check_data(data, copy=copy)
    check_key(key_added, "key_added", [patient_key])
    check_integer(random_state, "random_state", minimum=0)
    if n_components is not None:
        candidates = _candidates(n_components)
    mask = _store.read_mask(data, mask_obs)
    embedding, use_rep = _store.read_embedding(data, use_rep, patient_key=patient_key, lazy=True, to_learn_from=True)
    fitted_on = embedding if mask is None else masked_rows(embedding, mask)
    n_cells, n_dims = fitted_on.shape
    groups = None if patient_key is None else _groups(data, patient_key, mask)
    n_patients = None if groups is None else len(np.unique(groups))
    if n_components is None:
        candidates = [default_n_components(n_cells, n_dims, n_patients)]
    selects = not (n_components is None or isinstance(n_components, Integral))
    if selects:
        _check_patients(patient_key, n_patients)
    if n_cells < max(candidates):
        msg = f"`n_components`: {n_cells} cells cannot make {max(candidates)} components; ask for fewer."
        raise ValueError(msg)

    settings: dict[str, Any] = {
        "covariance_type": covariance_type,
        "n_init": n_init,
        "tol": tol,
        "reg_covar": reg_covar,
        "max_iter": max_iter,
        "device": device,
    }
    number, selection = candidates[0], None
    if selects and groups is not None and n_patients is not None:
        number, selection = select_n_components(
            fitted_on,
            groups,
            candidates,
            n_splits=min(_FOLDS, n_patients),
            random_state=random_state,
            progress=progress,
            **settings | {"n_init": 1},
        )
    mixture = GaussianMixture(number, random_state=random_state, progress=progress, **settings).fit(
        fitted_on, groups=groups
    )
    labels, log_density, *proba = mixture.predict_with_density(embedding, return_proba=store_proba)
    n_cells_each = np.bincount(labels if mask is None else labels[mask], minlength=number)
    _warn_of_few(n_cells_each, 5 if covariance_type != "full" else n_dims + 2)

    entry = mixture_entry(mixture)
    entry |= {
        "n_cells": n_cells_each,
        "log_likelihood": mixture.log_likelihood_,
        "bic": mixture.bic_of(mixture.log_likelihood_, n_cells),
        "n_iter": mixture.n_iter_,
        "converged": mixture.converged_,
        "log_density_quantiles": _quantiles(log_density if mask is None else log_density[mask]),
        "params": _store.record(
            n_components=candidates if selects else candidates[0],
            use_rep=use_rep,
            patient_key=patient_key,
            mask_obs=_store.storable_mask(mask_obs),
            random_state=random_state,
            **settings,
        ),
    }
    if selection is not None:
        entry["selection"] = selection
    if selection is not None:
        at = int(np.flatnonzero(selection["n_components"] == number)[0])
        entry["held_out"] = {"log_likelihood": float(selection["log_likelihood"][at]), "n_patients": n_patients}
    elif groups is not None and n_patients != 1:
        entry["held_out"] = _held_out(fitted_on, groups, mixture, random_state)
    data = data.copy() if copy else data
    _store.write_components(data, key_added, labels, log_density, proba[0] if store_proba else None, entry)
    return data if copy else None


def mixture_entry(mixture: GaussianMixture) -> dict[str, Any]:
    """Parameters of a mixture as they are stored in ``uns``."""
    return {"weights": mixture.weights_, "means": mixture.means_, "covariances": mixture.covariances_}


def _candidates(n_components: Any) -> list[int]:
    if isinstance(n_components, Integral):
        return [check_integer(n_components, "n_components")]
    if isinstance(n_components, str) or np.ndim(n_components) != 1:
        msg = f"`n_components` is an integer or a sequence of integers, not {n_components!r}."
        raise TypeError(msg)
    if not len(n_components):
        msg = "`n_components` is an empty sequence; give the numbers to select from."
        raise ValueError(msg)
    return [check_integer(value, "n_components") for value in n_components]


def _groups(data: AnnData | MuData, patient_key: str, mask: np.ndarray | None) -> np.ndarray:
    codes = _store.read_patients(data, patient_key, mask=mask).codes
    return codes if mask is None else codes[mask]


def _check_patients(patient_key: str | None, n_patients: int | None) -> None:
    if n_patients is None:
        msg = "`patient_key` is needed to select `n_components`: the held-out log-likelihood is that of whole patients."
        raise ValueError(msg)
    if n_patients == 1:
        msg = (
            f"`patient_key`: all cells are of one patient by {patient_key!r}; to select `n_components`, patients are held "
            "out, and two or more are needed. Give one number of components."
        )
        raise ValueError(msg)


def _held_out(X: Any, groups: np.ndarray, mixture: GaussianMixture, random_state: int) -> dict[str, Any]:
    """Log-likelihood of a quarter of the patients under a mixture of others, fitted to at most 20,000 cells."""
    rng = np.random.default_rng(random_state)
    patients = rng.permutation(np.unique(groups))
    outside = patients[: -(-len(patients) // _HELD_OUT)]
    inside = np.isin(groups, outside, invert=True)
    some = [_some(rows, rng) for rows in (inside, ~inside)]
    n_components = min(mixture.n_components, int(some[0].sum()))
    settings = mixture.get_params() | {"n_components": n_components, "n_init": 1, "progress": False}
    with warnings.catch_warnings():
        # What it lacks, the mixture of all patients lacks, too.
        warnings.simplefilter("ignore")
        other = GaussianMixture(**settings).fit(masked_rows(X, some[0]), groups=groups[some[0]])
    density = other.score_samples(masked_rows(X, some[1]))
    codes = np.unique(groups[some[1]], return_inverse=True)[1]
    each = np.bincount(codes, weights=density) / np.bincount(codes)
    return {"log_likelihood": float(each.mean()), "n_patients": len(each)}


def _some(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At most ``_MOST_CELLS`` of the cells in the mask, as a mask."""
    if rows.sum() <= _MOST_CELLS:
        return rows
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[rng.choice(np.flatnonzero(rows), size=_MOST_CELLS, replace=False)] = True
    return chosen


def _quantiles(log_density: np.ndarray) -> dict[str, np.ndarray]:
    return {"probability": np.array(_QUANTILES), "value": np.quantile(log_density, _QUANTILES)}


def _warn_of_few(n_cells: np.ndarray, enough: int) -> None:
    empty, few = np.flatnonzero(n_cells == 0), np.flatnonzero((n_cells > 0) & (n_cells < enough))
    found = [f"{len(empty)} have no cell of their own: {listed(empty)}"] if len(empty) else []
    if len(few):
        found.append(
            f"{len(few)} have fewer than {enough} cells and rest on what the others have in common: {listed(few)}"
        )
    if found:
        msg = (
            f"Of {len(n_cells)} components {' and '.join(found)}; ask for fewer (`n_components`), or fewer dimensions."
        )
        warn(msg)
