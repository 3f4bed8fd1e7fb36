from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._docs import shared_docs
from repatient.mixture import GaussianMixture
from repatient.tl._gmm import mixture_entry
from repatient.tl._reference import reference_entry

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData

_LEAST_COVERAGE = 0.8


@shared_docs
def assign(
    data: AnnData | MuData,
    reference: AnnData | MuData | str | PathLike[str] | dict[str, Any],
    *,
    use_rep: str | None = None,
    reference_key: str = _store.keys.GMM,
    store_proba: bool = False,
    key_added: str = _store.keys.GMM,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Assign every cell to the components of another cohort's mixture.

    Afterwards the recipes of the two cohorts speak of the same components and can be exchanged. Both
    embeddings must come from one model; how far the cells of this cohort lie inside the reference is measured,
    not taken for granted.

    Parameters
    ----------
    %(data)s
    reference
        An object that :func:`repatient.tl.gmm` has written to, a file of :func:`repatient.io.write_recipes`, what
        :func:`repatient.io.read_recipes` returns, or an entry of ``uns`` that holds a mixture.
    use_rep
        Embedding of ``data``. ``None``: the one of the same name as in the reference.
    reference_key
        Where the reference object keeps its mixture.
    store_proba
        Also store the probability of each component for each cell.
    key_added
        Key under which the results are stored.
    %(copy)s

    Returns
    -------
    ``None``, or the copy. Written are ``obs[key_added]``, ``obs[f"{key_added}_log_density"]`` and, with
    ``store_proba``, ``obsm[f"{key_added}_proba"]`` as by :func:`repatient.tl.gmm`; and ``uns[key_added]`` with the
    mixture, ``params`` and ``reference``: ``alignment`` (``"raw"``, the embedding is taken as it is),
    ``coverage`` (share of the cells denser than the first percentile of the reference's cells, .99 for cells like
    the reference's) and ``log_likelihood`` (mean of a cell).

    Raises
    ------
    KeyError
        If the reference holds no mixture, or ``data`` not the embedding.
    ValueError
        If the embedding has other dimensions than the mixture, NaN or infinity.

    Warns
    -----
    UserWarning
        If less than .8 of the cells are covered: a batch shift that makes the recipes of one cohort wrong for the
        other.
    """
    _store.check_data(data)
    _store.check_key(key_added, "key_added")
    source = reference_entry(reference, reference_key)
    embedding, use_rep = _store.read_embedding(data, use_rep or str(source["params"]["use_rep"]), lazy=True)
    n_dimensions = source["means"].shape[1]
    if embedding.shape[1] != n_dimensions:
        msg = (
            f"`use_rep`: the embedding {use_rep!r} has {embedding.shape[1]} dimensions and the reference's mixture "
            f"{n_dimensions}; both cohorts need the embedding of one model."
        )
        raise ValueError(msg)
    covariance_type = str(source["params"]["covariance_type"])
    mixture = GaussianMixture.from_parameters(
        source["weights"], source["means"], source["covariances"], covariance_type=covariance_type
    )
    labels, log_density, *proba = mixture.predict_with_density(embedding, return_proba=store_proba)
    coverage = _coverage(log_density, source)

    entry = mixture_entry(mixture)
    entry["log_density_quantiles"] = source["log_density_quantiles"]
    entry["params"] = _store.record(
        n_components=len(mixture.weights_),
        covariance_type=covariance_type,
        use_rep=use_rep,
        reference_key=reference_key,
    )
    entry["reference"] = {
        "alignment": "raw",
        "coverage": coverage,
        "log_likelihood": float(np.mean(log_density, dtype=np.float64)),
        "params": source["params"],
    }
    data = data.copy() if copy else data
    _store.write_components(data, key_added, labels, log_density, proba[0] if store_proba else None, entry)
    return data if copy else None


def _coverage(log_density: np.ndarray, source: dict[str, Any]) -> float:
    first_percentile = float(source["log_density_quantiles"]["value"][0])
    coverage = float((log_density >= first_percentile).mean())
    if coverage < _LEAST_COVERAGE:
        msg = (
            f"Only {coverage:.0%} of the cells are as dense as 99% of the reference's cells are: the embeddings differ "
            "between the cohorts, and recipes should not be exchanged. Integrate the cohorts first."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    return coverage
