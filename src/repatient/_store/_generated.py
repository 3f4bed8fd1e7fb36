"""Generated patients as they are stored: sparse counts in ``obsm``, their table in ``uns``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import scipy.sparse as sp

from repatient._store._mixture import check_mixture
from repatient._store._validate import uns_entry

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


def read_generated(data: AnnData | MuData, key: str) -> tuple[sp.csc_matrix, pd.DataFrame]:
    """Counts of each cell in each generated patient, and the patients' table, if both belong together.

    Counts that lost their table, were cut to another width (as ``anndata.concat`` does) or were drawn from
    a mixture that was refitted since are refused.
    """
    entry = uns_entry(data, key, "generated_key", "generate")
    remedy = "Generate them again with `rp.tl.generate`."
    if key not in data.obsm:
        msg = f"`generated_key`: `uns[{key!r}]` has no counts in `obsm[{key!r}]`. {remedy}"
        raise KeyError(msg)
    counts, patients = data.obsm[key], entry["patients"]
    if counts.shape[1] != len(patients):
        msg = (
            f"`generated_key`: `obsm[{key!r}]` has {counts.shape[1]} columns and `uns[{key!r}]` {len(patients)} "
            f"patients; they are of different draws. {remedy}"
        )
        raise ValueError(msg)
    check_mixture(data, entry["params"]["mixture"], entry["params"]["gmm_key"], "The generated patients", remedy)
    return sp.csc_matrix(counts), patients
