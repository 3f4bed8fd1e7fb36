from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._checks import check_integer, check_key, listed
from repatient._docs import shared_docs
from repatient._messages import warn
from repatient.mixture import GaussianMixture, masked_rows, select_n_components

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_FOLDS = 5
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@shared_docs
def gmm(
    data: AnnData | MuData,
    n_components: int | Sequence[int] = 30,
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
        Number of components K. A sequence of numbers selects the one with the highest held-out log-likelihood,
        in cross-validation over the patients of ``patient_key``, in five folds, or as many as there are patients.
    %(use_rep)s
    covariance_type
        ``"full"``, ``"tied"`` or ``"diag"``. Above some 64 dimensions, ``"diag"`` or a PCA is the better choice.
    patient_key
        Column of ``obs`` with the patient of each cell. Needed to select ``n_components``; elsewhere it only
        makes messages more precise.
    %(mask_obs)s All cells are assigned.
    n_init
        Number of starts, of which the most likely goes on; of more than 20,000 cells they are made on a subsample.
    tol
        EM stops when the mean log-likelihood of a cell rises by less than this in a pass, in nats.
    reg_covar
        Added to the variances, in squared units of the embedding.
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
        ``log_likelihood`` (mean of a cell), ``bic``, ``n_iter``, ``converged``, ``log_density_quantiles`` and,
        where the number of components was selected, ``selection``.
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
    """
    _store.check_data(data, copy=copy)
    check_key(key_added, "key_added")
    check_integer(random_state, "random_state", minimum=0)
    candidates = _candidates(n_components)
    mask = _store.read_mask(data, mask_obs)
    embedding, use_rep = _store.read_embedding(data, use_rep, patient_key=patient_key, lazy=True)
    fitted_on = embedding if mask is None else masked_rows(embedding, mask)
    n_cells = fitted_on.shape[0]
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
    selection = None
    if isinstance(n_components, Sequence):
        groups = _groups(data, patient_key, mask)
        best, selection = select_n_components(
            fitted_on,
            groups,
            candidates,
            n_splits=min(_FOLDS, len(np.unique(groups))),
            random_state=random_state,
            progress=progress,
            **settings,
        )
        candidates = [best]
    mixture = GaussianMixture(candidates[0], random_state=random_state, progress=progress, **settings).fit(fitted_on)
    labels, log_density, *proba = mixture.predict_with_density(embedding, return_proba=store_proba)
    _warn_of_empty(labels if mask is None else labels[mask], candidates[0])

    entry = mixture_entry(mixture)
    entry |= {
        "log_likelihood": mixture.log_likelihood_,
        "bic": mixture.bic(fitted_on),
        "n_iter": mixture.n_iter_,
        "converged": mixture.converged_,
        "log_density_quantiles": _quantiles(log_density if mask is None else log_density[mask]),
        "params": _store.record(
            n_components=n_components,
            use_rep=use_rep,
            patient_key=patient_key,
            mask_obs=_store.storable_mask(mask_obs),
            random_state=random_state,
            **settings,
        ),
    }
    if selection is not None:
        entry["selection"] = selection
    data = data.copy() if copy else data
    _store.write_components(data, key_added, labels, log_density, proba[0] if store_proba else None, entry)
    return data if copy else None


def mixture_entry(mixture: GaussianMixture) -> dict[str, Any]:
    """Parameters of a mixture as they are stored in ``uns``."""
    return {"weights": mixture.weights_, "means": mixture.means_, "covariances": mixture.covariances_}


def _candidates(n_components: Any) -> list[int]:
    if isinstance(n_components, Integral):
        return [check_integer(n_components, "n_components", minimum=1)]
    if not isinstance(n_components, Sequence) or isinstance(n_components, str):
        msg = f"`n_components` is an integer or a sequence of integers, not {n_components!r}."
        raise TypeError(msg)
    if not n_components:
        msg = "`n_components` is an empty sequence; give the numbers to select from."
        raise ValueError(msg)
    return [check_integer(value, "n_components", minimum=1) for value in n_components]


def _groups(data: AnnData | MuData, patient_key: str | None, mask: np.ndarray | None) -> np.ndarray:
    if patient_key is None:
        msg = "`patient_key` is needed to select `n_components`: the held-out log-likelihood is that of whole patients."
        raise ValueError(msg)
    codes = _store.read_patients(data, patient_key, mask=mask).codes
    groups = codes if mask is None else codes[mask]
    if (groups == groups[0]).all():
        msg = (
            f"`patient_key`: all cells are of one patient by {patient_key!r}; to select `n_components`, patients are held "
            "out, and two or more are needed. Give one number of components."
        )
        raise ValueError(msg)
    return groups


def _quantiles(log_density: np.ndarray) -> dict[str, np.ndarray]:
    return {"probability": np.array(_QUANTILES), "value": np.quantile(log_density, _QUANTILES)}


def _warn_of_empty(labels: np.ndarray, n_components: int) -> None:
    empty = np.flatnonzero(np.bincount(labels, minlength=n_components) == 0)
    if len(empty):
        msg = f"{len(empty)} of {n_components} components have no cell of their own: {listed(empty)}; ask for fewer."
        warn(msg)
