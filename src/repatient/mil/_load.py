"""Predictors of any kind from a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from repatient.mil._persistence import load

if TYPE_CHECKING:
    from os import PathLike


def load_model(folder: str | PathLike[str], *, device: str = "auto") -> Any:
    """Read a predictor of any kind and outcome that its ``save`` wrote to a folder.

    Parameters
    ----------
    folder
        Folder of the model.
    device
        Name of a torch device for networks, or ``"auto"``.

    Returns
    -------
    The predictor, see :class:`Predictor`, as it was saved.

    Raises
    ------
    FileNotFoundError
        If the folder or one of its files is missing.
    ValueError
        If what is there is no model, of another format, of a kind that is not known, or damaged, or torch does not have
        the device.
    """
    return load(folder, device)
