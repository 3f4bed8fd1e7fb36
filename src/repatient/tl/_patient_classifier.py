"""The model of a cohort: an array classifier that knows where its input is in the object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from repatient import _store
from repatient._checks import listed
from repatient._files._model_folder import CLASSIFIER
from repatient._files._read import check_values, parse_json, text
from repatient._files._scratch import MEMORY_BUDGET
from repatient._files._sealed_json import checked, write_sealed
from repatient.tl._predictions import predictions_of

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData


_FILE = "cohort.json"
_FORMAT = "repatient patient classifier"
# 2 added the checksum.
_VERSION = 2


class PatientClassifier:
    """Model of patients that reads AnnData and MuData; :func:`repatient.tl.mil` returns one.

    Parameters
    ----------
    classifier
        The fitted predictor: of classes, grades or values.
    use_rep
        Embedding that it was trained on.
    patient_key
        Column of ``obs`` with the patients.

    Attributes
    ----------
    classifier, use_rep, patient_key
        As passed.
    """

    def __init__(self, classifier: Any, *, use_rep: str, patient_key: str) -> None:
        self.classifier = classifier
        self.use_rep = use_rep
        self.patient_key = patient_key

    def __repr__(self) -> str:
        what = self.outcome if self.outcome == "continuous" else listed(self.classes)
        return f"PatientClassifier({what}, use_rep={self.use_rep!r}, patient_key={self.patient_key!r})"

    @property
    def outcome(self) -> str:
        """What is predicted: ``"class"``, ``"ordinal"`` or ``"continuous"``."""
        return self.classifier.outcome

    @property
    def classes(self) -> list[str]:
        """Names of the classes or grades, in the order of the probabilities; none where values are predicted."""
        return [str(name) for name in getattr(self.classifier, "classes_", ())]

    def predict(
        self,
        data: AnnData | MuData,
        *,
        patient_key: str | None = None,
        use_rep: str | None = None,
        n_passes: int | None = None,
        random_state: int = 0,
        memory_budget: int = MEMORY_BUDGET,
    ) -> pd.DataFrame:
        """Predict the patients of an object, of this cohort or of a new one.

        Parameters
        ----------
        data
            AnnData or MuData with the embedding of the model that the classifier was trained on. Labels are not
            needed, and nothing is written.
        patient_key, use_rep
            Where patients and embedding are. ``None``: under the names of the training cohort.
        n_passes
            Monte-Carlo dropout passes behind ``uncertainty`` and ``epistemic``. ``None``: as trained.
        random_state
            Seed of the dropout.
        memory_budget
            Bytes up to which an embedding that is not in memory is read into it, as in :func:`repatient.tl.mil`.

        Returns
        -------
        One row a patient: the columns of ``predictions`` that :func:`repatient.tl.mil` describes but for ``label`` and
        ``split``, and ``n_cells``.

        Raises
        ------
        KeyError
            If the column or the embedding does not exist.
        ValueError
            If the embedding has other dimensions than the model, NaN or infinity.
        """
        from repatient.mil import Bags

        _store.check_data(data)
        patients = _store.read_patients(data, self.patient_key if patient_key is None else patient_key)
        embedding = self.read_embedding(data, use_rep, memory_budget=memory_budget)
        bags = Bags.from_codes(embedding, patients.codes, len(patients.names))
        frame = self.predict_bags(bags, patients.names, n_passes=n_passes, random_state=random_state)
        frame["n_cells"] = patients.n_cells
        return frame

    def read_embedding(
        self, data: AnnData | MuData, use_rep: str | None = None, *, memory_budget: int = MEMORY_BUDGET
    ) -> np.ndarray:
        """Embedding of ``data`` with as many dimensions as the model was trained on."""
        embedding, name = _store.read_embedding(data, use_rep or self.use_rep, memory_budget=memory_budget)
        needed = self.classifier.n_features_in_
        if embedding.shape[1] != needed:
            msg = f"`use_rep`: the embedding {name!r} has {embedding.shape[1]} dimensions; the model was trained on {needed}."
            raise ValueError(msg)
        return embedding

    def predict_bags(
        self, bags: Any, names: np.ndarray, *, n_passes: int | None = None, random_state: int = 0
    ) -> pd.DataFrame:
        """Predictions of bags of an array as a table; the core of :meth:`predict`."""
        return predictions_of(self.classifier, bags, names, n_passes=n_passes, random_state=random_state)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the model to a folder of JSON and NumPy files, without pickle.

        Parameters
        ----------
        folder
            A new folder, or that of a saved model, which is replaced.
        """
        content = {"format": _FORMAT, "version": _VERSION, "use_rep": self.use_rep, "patient_key": self.patient_key}
        with CLASSIFIER.replacing(folder) as new:
            self.classifier.save(new)
            write_sealed(new / _FILE, content)

    @classmethod
    def load(cls, folder: str | PathLike[str], *, device: str = "auto") -> PatientClassifier:
        """Read a model that :meth:`save` wrote; no code in the folder is ever run.

        Parameters
        ----------
        folder
            Folder of the model.
        device
            Device to predict on.

        Raises
        ------
        FileNotFoundError
            If the folder or a file of it is missing.
        ValueError
            If what is there is not such a model, or of a newer format.
        """
        from repatient.mil import load_model

        stored = CLASSIFIER.read(folder, _FILE)
        content = _parsed(stored.others[_FILE], Path(folder) / _FILE)
        classifier = load_model(stored, device=device)
        return cls(classifier, use_rep=content["use_rep"], patient_key=content["patient_key"])


def _parsed(content: bytes, path: Path) -> dict[str, Any]:
    values = parse_json(content, path)
    if values.get("format") != _FORMAT:
        msg = f"{str(path)!r} is not of a patient classifier of this package."
        raise ValueError(msg)
    values = checked(values, path, "version", _VERSION)
    check_values(values, {"use_rep": text, "patient_key": text}, path)
    return values


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
