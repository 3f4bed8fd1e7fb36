from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient._docs import shared_docs
from repatient.get._assemble import assemble_generated, check_single_modality
from repatient.get._decode import read_decoder
from repatient.get._materialise import check_modality_keys, draws, materialise

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_STEP = 10_000


@shared_docs
def generated(
    data: AnnData | MuData,
    *,
    generated_key: str = _store.keys.GENERATED,
    selected: bool | None = None,
    model: Any = None,
    decode: bool | str = False,
    batch: str | None = None,
    library_size: float | None = None,
    random_state: int = 0,
    progress: bool | None = None,
) -> AnnData | MuData:
    """Make an object of the cells of the generated patients.

    Generated patients are stored as counts of the pool's cells; here each drawn cell becomes a row with the
    expression, embeddings and annotation of the real cell that it is. With a model, it gets an expression of its own
    instead. Patients that were drawn as Gaussians have an embedding, and expression only with a model.

    Parameters
    ----------
    %(data)s
    %(generated_key)s
    selected
        ``True``: only the patients that :func:`repatient.tl.select` kept. ``False``: all. ``None``: the selected ones
        where a selection was made.
    %(model)s
    %(decode)s
    %(batch)s
    %(library_size)s
    %(random_state)s It serves the counts that are drawn with ``decode``.
    %(progress)s

    Returns
    -------
    A new object, one row a drawn cell, with unique ``obs_names`` (``"<patient>:<number>"``). The patient and label
    columns hold the generated patient and its class; ``obs["is_generated"]`` is true, ``obs["source_patient"]`` and
    ``obs["source_cell"]`` say which real cell a row is. Of ``uns`` there are the mixture, colours, and what scanpy notes
    of genes (``"log1p"``, ``"hvg"``, ``"pca"``): nothing that names, counts or scores real patients.

    With ``decode``, ``X`` holds counts, float32 CSR; ``layers["normalized"]`` the expected share of each gene, float32,
    rows summing to 1; ``obsm`` the latent space. No other matrix is there: those of ``data`` are of the real cells.

    Points of Gaussians have ``obsm`` of their embedding (``X``, where that was the embedding) and, without a model, no
    matrix. Their component is in ``obs``, the source is empty, and other columns are missing: no name of a real patient,
    cell or sample is in the object.

    Raises
    ------
    KeyError
        If there are no generated patients, or the counts or batches that the model reads are not there.
    TypeError
        If ``model`` is not of scvi-tools, or a MuData has Gaussians or is to be decoded.
    ValueError
        If the generated patients belong to a mixture that was refitted since; if the model has other genes or latent
        dimensions, is not trained, or knows no such batch.

    Notes
    -----
    Counts are drawn from the likelihood of the model at the latent point of a cell, its own or that of the Gaussian
    (Lopez et al. 2018). That the model could also have placed a real cell somewhat elsewhere is left out.

    Examples
    --------
    %(example_generated)s
    >>> rp.get.generated(adata, progress=False).obs["patient"].nunique()
    6
    """
    _store.check_data(data)
    cells = draws(data, generated_key, selected)
    check_modality_keys(data, cells.params)
    if cells.points is None and not decode and model is None:
        return materialise(data, cells, generated_key)
    data = check_single_modality(data, "An object of decoded cells or Gaussians")
    decoder = read_decoder(
        data,
        cells,
        model,
        decode=decode,
        batch=batch,
        library_size=library_size,
        random_state=random_state,
        step=_STEP,
    )
    return assemble_generated(data, cells, generated_key, decoder, progress)
