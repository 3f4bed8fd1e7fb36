"""The model of a cohort: an array classifier that knows its input, and which patients are like those it learnt from."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store
from repatient._checks import check_integer, check_number, check_option, listed
from repatient._files._model_folder import CLASSIFIER
from repatient._files._read import check_values, parse_arrays, parse_json, sequence_of, text
from repatient._files._scratch import MEMORY_BUDGET
from repatient._files._sealed_json import checked, write_sealed
from repatient._messages import logger, warn
from repatient.tl._predictions import familiarity_columns, predictions_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from repatient.evaluation import Familiarity, FamiliarityScores


_FILE, _ARRAYS = "cohort.json", "cohort.npz"
_FORMAT = "repatient patient classifier"
# 2 added the checksum; 3 the steps to the embedding, names of features, and familiarity.
_VERSION = 3
_WITHOUT_ARRAYS = 2
_CHECKS = ("warn", "error", "none")


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
    source
        What is known of the embedding. ``None``: its number of dimensions only.
    familiarity
        What training patients look like (:class:`repatient.evaluation.Familiarity`); ``None``: unknown, as where there
        are fewer than four donors.
    unseen
        Classes without a real patient in training, of which nobody knows how familiar patients should be: these are
        warned of and not refused, unless their cells lie elsewhere.

    Attributes
    ----------
    classifier, use_rep, patient_key, familiarity, unseen
        As passed.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> model = rp.tl.mil(adata, patient_key="patient", label_key="label", model="mean")
    >>> model.predict(adata)["predicted"].nunique()
    2
    """

    def __init__(
        self,
        classifier: Any,
        *,
        use_rep: str,
        patient_key: str,
        source: _store.EmbeddingOrigin | None = None,
        familiarity: Familiarity | None = None,
        unseen: Sequence[str] = (),
    ) -> None:
        self.classifier = classifier
        self.use_rep = use_rep
        self.patient_key = patient_key
        self.familiarity = familiarity
        self.unseen = list(unseen)
        self._source = _store.EmbeddingOrigin(use_rep, classifier.n_features_in_) if source is None else source

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

    @property
    def origin(self) -> _store.EmbeddingOrigin:
        """What is known of the embedding that it was trained on."""
        return replace(self._source, use_rep=self.use_rep)

    @property
    def projection(self) -> _store.Projection | None:
        """Steps from measured features to the embedding, if :func:`repatient.pp.embed` made it."""
        return self._source.projection

    @property
    def features(self) -> np.ndarray | None:
        """Names of the features that the model reads as they are (``use_rep="X"``), in order."""
        return self._source.features

    def predict(
        self,
        data: AnnData | MuData,
        *,
        patient_key: str | None = None,
        use_rep: str | None = None,
        source: str | None = None,
        check: str = "warn",
        allow_missing: float = 0.0,
        model: Any = None,
        n_passes: int | None = None,
        random_state: int = 0,
        memory_budget: int = MEMORY_BUDGET,
    ) -> pd.DataFrame:
        """Predict the patients of an object, of this cohort or of a new one.

        Parameters
        ----------
        data
            AnnData or MuData with the measured features that the embedding was learnt from, in any order, or with the
            embedding itself; in memory or lazy. Labels are not needed, and nothing is written.
        patient_key
            Where patients are. ``None``: in the column of the training cohort.
        use_rep
            An embedding that is taken as it is, unless it is recorded to come from other steps. ``None``: the one of
            the training, which is computed where it does not come from the same steps and the features are there.
        source
            Where the measured features are: ``"X"``, a layer, or a key of ``obsm``. ``None``: where they were.
        check
            What becomes of patients that are not as those of the training: ``"warn"`` raises where the input as a whole
            is plainly of another kind (another PCA, other units, noise, reordered features) and warns of single doubtful
            patients; ``"error"`` raises at both; ``"none"`` predicts anything of the right width.
        allow_missing
            Share of the features that may be missing; these are taken as in the mean training cell.
        model
            The model of scvi-tools, if the embedding is its latent space.
        n_passes
            Monte-Carlo dropout passes behind ``uncertainty`` and ``epistemic``. ``None``: as trained.
        random_state
            Seed of the dropout.
        memory_budget
            Bytes up to which an embedding that is not in memory is read into it, as in :func:`repatient.tl.mil`.

        Returns
        -------
        One row a patient: the columns of ``predictions`` that :func:`repatient.tl.mil` describes but for ``label`` and
        ``split``; ``n_cells``; ``familiarity``, how often a training patient that was left out lies as far from the others
        (a p-value; small: unlike them); ``inside``, the share of the patient's cells where those of the training lie;
        and ``p_inside``, ``p_mean``, ``p_composition``, ``p_spread``, ``p_structure``, ``p_coherence``, of which
        ``familiarity`` is the smallest, corrected for their number. NaN where the training had fewer than four donors.

        Raises
        ------
        KeyError
            If the column, or embedding and features, do not exist.
        ValueError
            If features are missing (all are listed), the embedding has other dimensions than the model, NaN or
            infinity, or comes from other steps, or the patients are not as those of the training (see ``check``).

        Warns
        -----
        UserWarning
            If single patients are not as those of the training.
        """
        from repatient.mil import Bags

        check_option(check, "check", _CHECKS)
        check_number(allow_missing, "allow_missing", minimum=0, below=1)
        _store.check_data(data)
        patients = _store.read_patients(data, self.patient_key if patient_key is None else patient_key)
        embedding = self.read_embedding(
            data,
            use_rep,
            source=source,
            allow_missing=allow_missing,
            model=model,
            check=check != "none",
            memory_budget=memory_budget,
        )
        scores = self.check_familiar(embedding, patients, check=check)
        bags = Bags.from_codes(embedding, patients.codes, len(patients.names))
        frame = self.predict_bags(bags, patients.names, n_passes=n_passes, random_state=random_state)
        frame["n_cells"] = patients.n_cells
        return frame.assign(**familiarity_columns(scores))

    def read_embedding(self, data: AnnData | MuData, use_rep: str | None = None, **options: Any) -> np.ndarray:
        """Embedding of ``data`` as the model was trained on it, (n_obs, d); options as for :meth:`predict`."""
        return self.origin.read(data, use_rep, **options)

    def check_familiar(
        self, embedding: np.ndarray, patients: _store.Patients, *, check: str = "warn"
    ) -> FamiliarityScores | None:
        """How familiar patients are, after complaints as ``check`` has it; ``None`` where the model cannot tell."""
        if self.familiarity is None:
            if check != "none":
                logger.warning("the model saw too few donors to tell whether new patients are like them")
            return None
        scores = self.familiarity.score(
            embedding, patients.codes, n_patients=len(patients.names), kept=self.origin.kept
        )
        doubtful = scores.doubtful
        foreign = scores.foreign_whatever_class if self.unseen else scores.foreign
        if check == "none" or not (foreign or doubtful.any()):
            return scores
        reason = scores.reason(self.features)
        if foreign:
            msg = (
                f"`data` is not of the kind that the model was trained on: {reason}. Bring it into the same features, units "
                "and embedding (`rp.pp.project(data, model)`); `check='none'` predicts nevertheless."
            )
            raise ValueError(msg)
        names = patients.names[doubtful]
        message = (
            f"{len(names)} of {len(doubtful)} patients are not like those of the training, {listed(names)}: {reason}."
        )
        if self.unseen:
            message += f" No real patient of {listed(self.unseen)} was there, so that those of it may well look so."
        if check == "error":
            raise ValueError(message)
        warn(message)
        return scores

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
        settings, arrays = self._source.to_arrays()
        if self.familiarity is not None:
            arrays |= {f"familiarity.{name}": value for name, value in self.familiarity.to_arrays().items()}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        content = {"format": _FORMAT, "version": _VERSION, "patient_key": self.patient_key, **settings}
        content |= {"use_rep": self.use_rep, "unseen": self.unseen}
        content["arrays_sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
        with CLASSIFIER.replacing(folder) as new:
            self.classifier.save(new)
            (new / _ARRAYS).write_bytes(buffer.getvalue())
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

        path = Path(folder)
        stored = CLASSIFIER.read(folder, _FILE)
        content = _parsed(stored.others[_FILE], path / _FILE)
        arrays: dict[str, Any] = {}
        if content["version"] > _WITHOUT_ARRAYS:
            stored = CLASSIFIER.read(folder, _FILE, _ARRAYS)
            content = _parsed(stored.others[_FILE], path / _FILE)
            if hashlib.sha256(stored.others[_ARRAYS]).hexdigest() != content.get("arrays_sha256"):
                msg = f"{path / _ARRAYS} is damaged or belongs to another {_FILE}: its digest does not fit. Save the model anew."
                raise ValueError(msg)
            arrays = parse_arrays(stored.others[_ARRAYS], path / _ARRAYS)
        classifier = load_model(stored, device=device)
        n_features = classifier.n_features_in_
        if content.setdefault("n_features", n_features) != n_features:
            msg = f"{path / _FILE} is of {content['n_features']} features, and the model of {n_features}."
            raise ValueError(msg)
        return cls(
            classifier,
            use_rep=content["use_rep"],
            patient_key=content["patient_key"],
            source=_store.EmbeddingOrigin.from_arrays(content, arrays, path / _FILE),
            familiarity=_familiarity_of(arrays, n_features, path / _ARRAYS),
            unseen=content.get("unseen", ()),
        )


def _familiarity_of(arrays: dict[str, Any], n_features: int, path: Path) -> Familiarity | None:
    from repatient.evaluation import Familiarity

    own = {
        name.removeprefix("familiarity."): value for name, value in arrays.items() if name.startswith("familiarity.")
    }
    if not own:
        return None
    try:
        familiarity = Familiarity.from_arrays(own)
    except (TypeError, ValueError, ArithmeticError) as error:
        msg = f"{path}: {error.args[0]}"
        raise ValueError(msg) from error
    if len(own["location"]) != n_features:
        msg = f"{path}: the familiarity is of {len(own['location'])} features, and the model of {n_features}."
        raise ValueError(msg)
    return familiarity


def _parsed(content: bytes, path: Path) -> dict[str, Any]:
    values = parse_json(content, path)
    if values.get("format") != _FORMAT:
        msg = f"{str(path)!r} is not of a patient classifier of this package."
        raise ValueError(msg)
    values = checked(values, path, "version", _VERSION)
    schema: dict[str, Any] = {"use_rep": text, "patient_key": text}
    schema |= {"unseen": sequence_of(text)} if "unseen" in values else {}
    check_values(values, schema | ({"n_features": check_integer} if values["version"] > _WITHOUT_ARRAYS else {}), path)
    return values
