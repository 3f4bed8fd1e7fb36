from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import mudata as md
from anndata import AnnData

from repatient import _store
from repatient._docs import shared_docs
from repatient.get._materialise import (
    check_modality_keys,
    draws,
    mark_real,
    materialise,
    without_generated,
)

if TYPE_CHECKING:
    from mudata import MuData


@shared_docs
def augmented(
    data: AnnData | MuData,
    *,
    generated_key: str = _store.keys.GENERATED,
    selected: bool | None = None,
) -> AnnData | MuData:
    """Make one object of the real and the generated patients.

    Parameters
    ----------
    %(data)s
    %(generated_key)s
    selected
        ``True``: only the generated patients that :func:`repatient.tl.select` kept. ``False``: all. ``None``: the
        selected ones where a selection was made.

    Returns
    -------
    A new object: the real cells as they are, then those of the generated patients as by
    :func:`repatient.get.generated`. ``obs["is_generated"]`` tells them apart; ``obs["source_patient"]`` and
    ``obs["source_cell"]`` of a real cell name itself. ``uns`` is that of ``data`` without the generated patients;
    pairwise graphs (``obsp``) are left out, as the new cells are not in them.

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
    new = materialise(data, rows, table, params, generated_key)
    real = without_generated(data, generated_key)
    mark_real(real, params)
    if isinstance(data, AnnData):
        joined = ad.concat([real, new], join="outer", merge="first", uns_merge="first")
        joined.raw = _joined_raw(real, new)
        return joined
    return md.concat([real, new], join="outer", merge="first", uns_merge="first")


def _joined_raw(real: AnnData, new: AnnData) -> AnnData | None:
    if real.raw is None:
        return None
    return ad.concat([real.raw.to_adata(), new.raw.to_adata()], merge="first")
