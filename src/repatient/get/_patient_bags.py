"""Patients as a dataset of torch; imported when one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from repatient.mil import Bags


class PatientBags(Dataset[dict[str, torch.Tensor]]):
    """Patients with their cells, one item a patient; :func:`repatient.get.bags` makes one.

    An item is a dictionary of ``"X"``, the cells, (n_cells, d) float32, and ``"Y"``, the number of the class in
    ``classes``, () int64, or the value, () float32; it is missing where the bags were made without labels. Bags are of any size, so a loader
    takes one at a time or a function that pads them, such as ``torchmil.data.collate_fn``, which makes of several a
    ``TensorDict`` with ``"X"``, ``"Y"`` and a ``"mask"``.

    Parameters
    ----------
    parts
        Cells of the patients, those of the second part after those of the first.
    table
        One row a patient, index its name: ``label``, ``donor``, ``n_cells`` and ``is_generated``.
    y
        Class of each patient by its number in ``classes``, int64, or its value, float32, (patients,); ``None`` without
        labels.
    classes
        Names of the classes; ``None`` without.

    Attributes
    ----------
    table, y, classes
        As passed.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> bags = rp.get.bags(adata, patient_key="patient", label_key="label")
    >>> len(bags), bags.classes
    (12, ['healthy', 'disease'])
    """

    def __init__(
        self,
        parts: Sequence[Bags],
        table: pd.DataFrame,
        y: NDArray[np.int64] | NDArray[np.float32] | None,
        classes: list[str] | None,
    ) -> None:
        self._parts = list(parts)
        self._starts = np.cumsum([0, *map(len, parts)])
        self.table = table
        self.y = y
        self.classes = classes

    @property
    def patients(self) -> list[str]:
        """Names of the patients, in the order of the items."""
        return [str(name) for name in self.table.index]

    @property
    def labels(self) -> list[str] | None:
        """Class of each patient by name; ``None`` without classes."""
        return None if self.classes is None else [str(name) for name in self.table["label"]]

    def __repr__(self) -> str:
        n_generated = int(self.table["is_generated"].sum())
        of_these = f", {n_generated} of them generated" if n_generated else ""
        return (
            f"PatientBags({len(self)} patients{of_these}, {self._parts[0].X.shape[1]} features, classes={self.classes})"
        )

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        number = range(len(self))[index]
        part = int(np.searchsorted(self._starts, number, side="right")) - 1
        bags = self._parts[part]
        start, stop = bags.indptr[number - self._starts[part] :][:2]
        item = {"X": torch.from_numpy(np.array(bags.X[bags.rows[start:stop]], dtype=np.float32))}
        if self.y is not None:
            item["Y"] = torch.as_tensor(self.y[number])
        return item
