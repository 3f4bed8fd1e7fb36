"""The model of a cohort: an array classifier that knows where its input is in the object."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from repatient import _store

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    from anndata import AnnData
    from mudata import MuData

    from repatient.mil import MILClassifier

_FILE = "cohort.json"
_FORMAT = "repatient patient classifier"
_VERSION = 1


class PatientClassifier:
    """Classifier of patients that reads AnnData and MuData; :func:`repatient.tl.mil` returns one.

    Parameters
    ----------
    classifier
        The fitted array classifier.
    use_rep
        Embedding that it was trained on.
    patient_key
        Column of ``obs`` with the patients.

    Attributes
    ----------
    classifier, use_rep, patient_key
        As passed.
    """

    def __init__(self, classifier: MILClassifier, *, use_rep: str, patient_key: str) -> None:
        self.classifier = classifier
        self.use_rep = use_rep
        self.patient_key = patient_key

    def __repr__(self) -> str:
        classes = _store.listed(self.classifier.classes_)
        return f"PatientClassifier({classes}, use_rep={self.use_rep!r}, patient_key={self.patient_key!r})"

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the probabilities."""
        return [str(name) for name in self.classifier.classes_]

    def predict(
        self,
        data: AnnData | MuData,
        *,
        patient_key: str | None = None,
        use_rep: str | None = None,
        n_passes: int | None = None,
        random_state: int = 0,
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

        Returns
        -------
        One row a patient: ``predicted``, ``probability_<class>``, ``uncertainty`` (entropy of the mean probability
        of the passes, in nats), ``epistemic`` (the part of it that the passes disagree on) and ``n_cells``.

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
        embedding = self.read_embedding(data, use_rep)
        bags = Bags.from_codes(embedding, patients.codes, len(patients.names))
        frame = self.predict_bags(bags, patients.names, n_passes=n_passes, random_state=random_state)
        frame["n_cells"] = patients.n_cells
        return frame

    def read_embedding(self, data: AnnData | MuData, use_rep: str | None = None) -> np.ndarray:
        """Embedding of ``data`` with as many dimensions as the model was trained on."""
        embedding, name = _store.read_embedding(data, use_rep or self.use_rep)
        needed = self.classifier.n_features_in_
        if embedding.shape[1] != needed:
            msg = f"`use_rep`: the embedding {name!r} has {embedding.shape[1]} dimensions; the model was trained on {needed}."
            raise ValueError(msg)
        return embedding

    def predict_bags(
        self, bags: Any, names: np.ndarray, *, n_passes: int | None = None, random_state: int = 0
    ) -> pd.DataFrame:
        """Predictions of bags of an array as a table; the core of :meth:`predict`."""
        from repatient.mil import epistemic, total_entropy

        probabilities = self.classifier.predict_proba(bags)
        passes = self.classifier.predict_proba_mc(bags, n_passes=n_passes, random_state=random_state)
        columns = probability_columns(self.classes)
        frame = pd.DataFrame(probabilities, columns=columns, index=pd.Index(names.astype(str), name="patient"))
        predicted = pd.Categorical.from_codes(probabilities.argmax(axis=1), self.classes)
        frame.insert(0, "predicted", predicted)
        frame["uncertainty"] = total_entropy(passes)
        frame["epistemic"] = epistemic(passes)
        return frame

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the model to a folder of JSON and NumPy files, without pickle.

        Parameters
        ----------
        folder
            A new folder, or that of a saved model, which is replaced.
        """
        self.classifier.save(folder)
        content = {"format": _FORMAT, "version": _VERSION, "use_rep": self.use_rep, "patient_key": self.patient_key}
        temporary = Path(folder) / f".{_FILE}.tmp"
        temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")
        os.replace(temporary, Path(folder) / _FILE)

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
        from repatient.mil import MILClassifier

        path = Path(folder) / _FILE
        if not path.is_file():
            msg = f"There is no saved patient classifier in {str(folder)!r}: {_FILE} is missing."
            raise FileNotFoundError(msg)
        content = _read_content(path)
        classifier = MILClassifier.load(folder, device=device)
        return cls(classifier, use_rep=content["use_rep"], patient_key=content["patient_key"])


def _read_content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"{str(path)!r} is damaged: {error}."
        raise ValueError(msg) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        msg = f"{str(path)!r} is not of a patient classifier of this package."
        raise ValueError(msg)
    if content.get("version") != _VERSION:
        msg = f"{str(path)!r} has format version {content.get('version')!r}; this package reads version {_VERSION}."
        raise ValueError(msg)
    wrong = [name for name in ("use_rep", "patient_key") if not isinstance(content.get(name), str)]
    if wrong:
        msg = f"{str(path)!r} is damaged: {_store.listed(wrong)} missing."
        raise ValueError(msg)
    return content


def probability_columns(classes: list[str]) -> list[str]:
    """Column names of the class probabilities, without the slashes that h5ad and zarr take for folders."""
    return [f"probability_{name}".replace("/", "|") for name in classes]
