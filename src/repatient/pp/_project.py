from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient._checks import check_key, listed
from repatient._docs import shared_docs
from repatient._progress import progress_bar

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@shared_docs
def project(
    data: AnnData,
    reference: Any,
    *,
    use_rep: str = _store.keys.EMBEDDED,
    source: str | None = None,
    allow_missing: float = 0.0,
    model: Any = None,
    key_added: str = _store.keys.EMBEDDED,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Bring new patients into the embedding of a cohort, by the steps that were learnt there.

    Parameters
    ----------
    data
        AnnData with the measured features, in any order, in memory or lazy; further ones are ignored.
    reference
        AnnData with an embedding of :func:`repatient.pp.embed`, a model or an encoder that was trained on one, or a recipes
        file of such a cohort (its path, or what :func:`repatient.io.read_recipes` returns).
    use_rep
        Which embedding of ``reference``, if it is an AnnData.
    source
        Where the features are: ``"X"``, a layer, or a key of ``obsm``. ``None``: where they were in ``reference``.
    allow_missing
        Share of the features that may be missing (of genes: of the variable ones, and of the counts). Missing ones are taken
        to be as in the mean training cell.
    model
        The model of scvi-tools, if the embedding is its latent space.
    key_added
        Key of ``obsm`` for the embedding.
    %(progress)s
    %(copy)s

    Returns
    -------
    ``None``, or the copy. Written are ``obsm[key_added]``, (n_obs, k) float32, and to ``uns`` the same projection as in
    ``reference``, so that models trained there know the embedding.

    Raises
    ------
    KeyError
        If there is no such source, or ``reference`` keeps no such projection.
    FileNotFoundError
        If ``reference`` is the path of no file.
    TypeError
        If ``data`` is no AnnData, or ``reference`` of another kind.
    ValueError
        If features are missing, no counts where counts were learnt from, or not finite, or the model is another one.

    See Also
    --------
    repatient.pp.embed : Learn an embedding.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> rp.pp.embed(adata, "features", n_components=10)
    >>> new, _ = rp.datasets.pbmc_cohort(n_patients=2, n_cells=60, random_state=1)
    >>> rp.pp.project(new, adata)
    >>> new.obsm["X_embedded"].shape
    (264, 10)
    """
    _store.check_data(data, copy=copy)
    check_key(key_added, "key_added")
    projection = _projection(reference, use_rep)
    embedding = _store.projected(
        data,
        projection,
        source=source,
        allow_missing=allow_missing,
        model=model,
        bar=lambda blocks: progress_bar(blocks, desc="Projecting", enabled=progress, unit="block"),
    )
    data = data.copy() if copy else data
    data.obsm[key_added] = embedding
    data.uns[_store.uns_key(key_added)] = _store.projection_entry(projection, key_added)
    return data if copy else None


def _projection(reference: AnnData | MuData | Any, use_rep: str) -> _store.Projection:
    if hasattr(reference, "uns"):
        projection = _store.read_projection(reference, use_rep)
        if projection is None:
            known = [key for key in reference.obsm if _store.read_projection(reference, key) is not None]
            msg = f"`reference` keeps no projection to {use_rep!r} (`use_rep`), but to {listed(known)}; see `rp.pp.embed`."
            raise KeyError(msg)
        return projection
    if isinstance(reference, str | PathLike):
        from repatient.io import read_recipes

        reference = read_recipes(reference)
    if isinstance(reference, dict):
        projection = _store.read_origin(reference["embedding"]).projection if "embedding" in reference else None
        if projection is None:
            msg = "`reference`: these recipes keep no steps from measured features; see `rp.pp.embed`."
            raise KeyError(msg)
        return projection
    projection = reference if isinstance(reference, _store.Projection) else getattr(reference, "projection", None)
    if not isinstance(projection, _store.Projection):
        without = " without a projection" if hasattr(reference, "predict") or hasattr(reference, "embed") else ""
        msg = (
            "`reference` is an AnnData with an embedding of `rp.pp.embed`, a model or an encoder that was trained on one, or a "
            f"recipes file, not {type(reference).__name__}{without}."
        )
        raise TypeError(msg)
    return projection
