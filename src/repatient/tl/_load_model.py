from __future__ import annotations

from typing import TYPE_CHECKING

from repatient.tl._patient_classifier import PatientClassifier

if TYPE_CHECKING:
    from os import PathLike


def load_model(folder: str | PathLike[str], *, device: str = "auto") -> PatientClassifier:
    """Read a model that :meth:`PatientClassifier.save` wrote; no code in the folder is ever run.

    Parameters
    ----------
    folder
        Folder of the model.
    device
        Device to predict on.

    Returns
    -------
    The model.

    Raises
    ------
    FileNotFoundError
        If the folder or a file of it is missing.
    ValueError
        If what is there is not such a model, or of a newer format.
    """
    return PatientClassifier.load(folder, device=device)
