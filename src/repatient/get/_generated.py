from __future__ import annotations

from typing import TYPE_CHECKING

from repatient import _store
from repatient._docs import shared_docs
from repatient.get._materialise import check_modality_keys, draws, materialise

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@shared_docs
def generated(
    data: AnnData | MuData,
    *,
    generated_key: str = _store.keys.GENERATED,
    selected: bool | None = None,
) -> AnnData | MuData:
    """Make an object of the cells of the generated patients.

    Generated patients are stored as counts of the pool's cells; here each drawn cell becomes a row with the
    expression, embeddings and annotation of the real cell that it is.

    Parameters
    ----------
    %(data)s
    %(generated_key)s
    selected
        ``True``: only the patients that :func:`repatient.tl.select` kept. ``False``: all. ``None``: the selected ones
        where a selection was made.

    Returns
    -------
    A new object, one row a drawn cell, with unique ``obs_names`` (``"<patient>:<number>"``). The patient and label
    columns hold the generated patient and its class; ``obs["is_generated"]`` is true, ``obs["source_patient"]`` and
    ``obs["source_cell"]`` say which real cell a row is. ``uns`` is that of ``data`` without the generated patients.

    Raises
    ------
    KeyError
        If there are no generated patients.
    ValueError
        If they belong to a mixture that was refitted since.
    """
    _store.check_data(data)
    rows, table = draws(data, generated_key, selected)
    params = data.uns[generated_key]["params"]
    check_modality_keys(data, params)
    return materialise(data, rows, table, params, generated_key)
