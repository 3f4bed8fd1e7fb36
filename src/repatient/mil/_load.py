"""Models of any outcome from a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repatient.mil import _persistence
from repatient.mil._classifier import MILClassifier
from repatient.mil._ordinal import MILOrdinalClassifier
from repatient.mil._regressor import MILRegressor

if TYPE_CHECKING:
    from os import PathLike

    from repatient.mil._model import BagModel


def load_model(folder: str | PathLike[str], *, device: str = "auto") -> MILClassifier | MILRegressor:
    """Read a model of any outcome that its ``save`` wrote to a folder, onto a device.

    Parameters
    ----------
    folder
        Folder of the model.
    device
        Name of a torch device, or ``"auto"``.

    Returns
    -------
    A :class:`MILClassifier`, :class:`MILOrdinalClassifier` or :class:`MILRegressor`, as it was saved.

    Raises
    ------
    FileNotFoundError
        If the folder or one of its files is missing.
    ValueError
        If what is there is no model, of a newer format, of an outcome that this version does not know, or damaged, or
        torch does not have the device.
    """
    kinds: list[type[BagModel]] = [MILClassifier, MILOrdinalClassifier, MILRegressor]
    return _persistence.load(kinds, folder, device)
