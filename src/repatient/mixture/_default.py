"""How many components a mixture has where nobody says."""

from __future__ import annotations

import numpy as np

FEWEST, MOST = 5, 40
CELLS_A_COMPONENT = 30


def default_n_components(n_cells: int, n_dims: int, n_patients: int | None = None) -> int:
    """Number of components that cells and patients bear.

    Parameters
    ----------
    n_cells, n_dims
        Cells, and dimensions of their embedding.
    n_patients
        Patients whose recipes are to be learnt; None where it is about cells alone.

    Returns
    -------
    1.6 times the root of the number of patients, 5 to 40 (5 for ten patients, 10 for forty), as few patients tell the
    shares of few components; and no more than one for every 30 cells.
    """
    del n_dims
    by_patients = MOST if n_patients is None else round(1.6 * np.sqrt(n_patients))
    return int(max(2, min(np.clip(by_patients, FEWEST, MOST), n_cells // CELLS_A_COMPONENT)))
