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

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> model = rp.tl.mil(adata, patient_key="patient", label_key="label", model="mean")
    >>> model.save("model")
    >>> rp.tl.load_model("model").predict(adata).equals(model.predict(adata))
    True
    """
    return PatientClassifier.load(folder, device=device)
