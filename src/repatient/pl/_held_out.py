"""What the figures of scores draw: predictions of one method of patients that it had not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repatient import _store, get
from repatient.evaluation import method_label
from repatient.pl._axes import shortened
from repatient.pl._colours import class_colours

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from repatient.pl._colours import Colours, Palette


@dataclass(frozen=True)
class HeldOut:
    """Predictions of one method.

    Parameters
    ----------
    table
        One row a split and held-out patient, as :func:`repatient.get.out_of_fold` gives it.
    label_key
        Column of ``obs`` that the classes are of.
    """

    table: pd.DataFrame
    label_key: str

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return [str(name) for name in self.table["label"].cat.categories]

    @property
    def codes(self) -> NDArray[np.int64]:
        """Class of each row as a position among them."""
        return self.table["label"].cat.codes.to_numpy().astype(np.int64)

    @property
    def columns(self) -> dict[str, str]:
        """Column with the probability of each class."""
        return dict(zip(self.classes, _store.keys.probability_columns(self.classes), strict=True))

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each class, (rows, classes)."""
        return self.table[list(self.columns.values())].to_numpy(dtype=np.float64)

    @property
    def n_splits(self) -> int:
        """Splits in which these patients were held out."""
        return int(self.table["split"].nunique())

    @property
    def method(self) -> str:
        """The method, as people call it."""
        return method_label(self.table["method"].iloc[0])

    def short_method(self, most: int) -> str:
        """The same in at most so many characters."""
        return shortened(self.method, most)

    def colours(self, data: AnnData | MuData, palette: Palette | None) -> Colours:
        """Colours of the classes."""
        return class_colours(data, self.label_key, self.classes, palette)


def read_held_out(data: AnnData | MuData, method: str | None, evaluation_key: str) -> HeldOut:
    """Predictions of a method, by default of the one that :func:`repatient.get.scores` takes."""
    table = get.out_of_fold(data, method=method, evaluation_key=evaluation_key)
    return HeldOut(table, str(data.uns[evaluation_key]["params"].get("label_key", "label")))
