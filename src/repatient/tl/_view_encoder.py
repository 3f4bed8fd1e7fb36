"""The encoder of a modality: an array encoder that knows where its input is in the object."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from mudata import MuData

from repatient import _store
from repatient._checks import listed
from repatient._docs import shared_docs
from repatient._files._model_folder import ENCODER
from repatient._files._read import boolean, check_values, optional, parse_arrays, parse_json, sequence_of, text
from repatient._files._sealed_json import checked, write_sealed
from repatient.tl._view_input import ViewInput, rows_of_translator
from repatient.tl._view_pair import read_rows
from repatient.tl._view_partners import is_counted

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData

    from repatient.tl._view_pair import ViewPair
    from repatient.views import Encoder, Translator

_FILE, _ARRAYS = "modality.json", "modality.npz"
_TRANSLATOR = "translator"
_FORMAT = "repatient view encoder"
# 2 added the checksum; 3 the steps to the view.
_VERSION = 3
_WITHOUT_ARRAYS = 2


class Carrier(NamedTuple):
    """Where the synthetic view comes from that follows the embedding.

    Parameters
    ----------
    key
        Key of ``obsm`` of the primary modality.
    logged
        Whether logarithms of what stands there were learnt from.
    translator
        What made it, if the encoder was trained on its features.
    """

    key: str
    logged: bool
    translator: Translator | None

    @classmethod
    def of(
        cls, views: ViewPair, synthetic_key: str | None, privileged_rep: str | None, translator: Translator | None
    ) -> Self:
        """As :func:`repatient.tl.distill` read the synthetic view."""
        key = _store.keys.synthetic(views.names[1]) if synthetic_key is None else synthetic_key
        return cls(key, translator is None and is_counted(views, privileged_rep), translator)

    def synthetic(
        self, adata: AnnData, rows: np.ndarray, use_rep: str | None, translator: Translator | None
    ) -> np.ndarray:
        """The synthetic view of rows, in the unit that was learnt from."""
        made_by = translator if self.translator is None else self.translator
        if made_by is not None and (made_by.source_names_ is not None or made_by.source_steps_ is not None):
            rows = rows_of_translator(adata, made_by, use_rep, "data")
        # Products of arrays in another memory order differ in the last bits.
        rows = np.ascontiguousarray(rows)
        if self.translator is not None:
            return self.translator.predict_features(rows)
        if translator is None and self.key not in adata.obsm:
            msg = (
                f"`data`: no {self.key!r} in `obsm`, and the embedding carries the synthetic view. Pass `translator`, what "
                "`rp.tl.synthesize` returned, or let it write that view: `rp.tl.synthesize(data, …, translator=…)`."
            )
            raise KeyError(msg)
        made = read_rows(adata, self.key, "data", finite=True) if translator is None else translator.translate(rows)
        return np.log1p(np.maximum(made, 0)) if self.logged else made


@shared_docs
class ViewEncoder:
    """Encoder of one modality that reads AnnData and MuData; :func:`repatient.tl.distill` returns one.

    Parameters
    ----------
    encoder
        The fitted array encoder.
    primary
        Name of the modality.
    source
        Where its view is, and what it consists of.
    carrier
        Where the synthetic view that follows the embedding comes from; ``None`` for the embedding alone.

    Attributes
    ----------
    encoder, primary, carrier
        As passed.

    Examples
    --------
    %(example_views)s
    >>> encoder = rp.tl.distill(mdata, "panel", "rna", partner="authentic", pairs="obs_names", n_steps=5)
    >>> encoder.embed(panel).shape[0] == panel.n_obs
    True
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        primary: str,
        source: ViewInput,
        carrier: Carrier | None = None,
    ) -> None:
        self.encoder = encoder
        self.primary = primary
        self.carrier = carrier
        self._source = source

    def __repr__(self) -> str:
        return f"ViewEncoder({self.primary!r}, use_rep={self.use_rep!r}, dim={self.encoder.dim})"

    @property
    def use_rep(self) -> str | None:
        """Where its view is: a key of ``obsm``; ``None`` for ``X``."""
        return self._source.use_rep

    @property
    def features(self) -> list[str] | None:
        """Names of the columns of ``X``, or of a table, which new data may have in another order."""
        return None if self._source.features is None else list(self._source.features)

    @property
    def projection(self) -> _store.Projection | None:
        """Steps from measured features to the view, if :func:`repatient.pp.embed` made it."""
        return self._source.projection

    def embed(
        self, data: AnnData | MuData, *, use_rep: str | None = None, translator: Translator | None = None
    ) -> np.ndarray:
        """Embed new observations from their primary modality alone.

        Parameters
        ----------
        data
            AnnData of that modality, or a MuData that has it. Nothing is written.
        use_rep
            Where the view is. ``None``: under the name that it had in training; an embedding of
            :func:`repatient.pp.embed` is computed where it does not come from the same steps and the features are there.
        translator
            Makes the synthetic view, where the embedding carries it, the encoder has no translator of its own (it was
            trained on a stored view), and ``data`` does not hold it.

        Returns
        -------
        (n_obs, dim), or, where the synthetic view is carried, (n_obs, dim + its features), float32, standardised by the
        training rows.

        Raises
        ------
        KeyError
            If modality, view or features are missing, or the synthetic view is carried and there is nothing to have it from.
        ValueError
            If rows are of another shape than in training, or hold NaN, infinity or values beyond ±1e15, or features of
            the same name are not in the order of training, or an embedding comes from other steps.
        """
        _store.check_data(data)
        if isinstance(data, MuData):
            if self.primary not in data.mod:
                msg = f"`data`: no modality {self.primary!r}; there are {listed(data.mod)}."
                raise KeyError(msg)
            data = data.mod[self.primary]
        rows = self._source.read(data, use_rep, "use_rep")
        if self.carrier is None:
            return self.encoder.embed(rows)
        return self.encoder.embed(rows, self.carrier.synthetic(data, rows, use_rep or self.use_rep, translator))

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the encoder, and the translator that it carries, to a folder: JSON and arrays without pickle.

        Parameters
        ----------
        folder
            A new folder, or that of a saved encoder, which is replaced.

        Raises
        ------
        ValueError
            If the folder exists and holds no encoder.
        """
        settings, arrays = (None, {}) if self.projection is None else self.projection.to_arrays()
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        entry = {
            "format": _FORMAT,
            "format_version": _VERSION,
            "primary": self.primary,
            "use_rep": self.use_rep,
            "features": self.features,
            "carrier": None if self.carrier is None else {"key": self.carrier.key, "logged": self.carrier.logged},
            "translator": self.carrier is not None and self.carrier.translator is not None,
            "projection": settings,
            "arrays_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        }
        with ENCODER.replacing(folder) as new:
            self.encoder.save(new)
            (new / _ARRAYS).write_bytes(buffer.getvalue())
            if self.carrier is not None and self.carrier.translator is not None:
                self.carrier.translator.save(new / _TRANSLATOR)
            write_sealed(new / _FILE, entry)

    @classmethod
    def load(cls, folder: str | PathLike[str], *, device: str = "auto") -> ViewEncoder:
        """Read what :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError
            If the folder or a file of it is missing.
        ValueError
            If what is there is no encoder of a modality, or damaged, or torch does not have the device.
        """
        from repatient.views import Encoder, Translator

        stored = ENCODER.read(folder, _FILE)
        entry = _parsed(stored.others[_FILE], Path(folder) / _FILE)
        projection = None
        if entry["format_version"] > _WITHOUT_ARRAYS:
            stored = ENCODER.read(folder, _FILE, _ARRAYS)
            entry = _parsed(stored.others[_FILE], Path(folder) / _FILE)
            projection = _projection(entry, stored.others[_ARRAYS], Path(folder) / _ARRAYS)
        encoder = Encoder.load(stored, device=device)
        width = projection.n_components if projection is not None else len(entry["features"] or ())
        if width and encoder.shape_in_ != (width,):
            shape = encoder.shape_in_
            msg = f"{Path(folder) / _FILE} is of {width} features, and the encoder of rows of shape {shape}."
            raise ValueError(msg)
        source = ViewInput(entry["use_rep"], entry["features"], projection)
        carrier = None
        if entry["carrier"] is not None:
            translator = Translator.load(Path(folder) / _TRANSLATOR, device=device) if entry["translator"] else None
            carrier = Carrier(**entry["carrier"], translator=translator)
        return cls(encoder, primary=entry["primary"], source=source, carrier=carrier)


def _projection(entry: dict[str, Any], content: bytes, path: Path) -> _store.Projection | None:
    if hashlib.sha256(content).hexdigest() != entry.get("arrays_sha256"):
        msg = f"{path} is damaged or belongs to another {_FILE}: its digest does not fit. Save the encoder anew."
        raise ValueError(msg)
    return _store.stored_projection(entry.get("projection"), parse_arrays(content, path), path)


def _parsed(content: bytes, path: Path) -> dict[str, Any]:
    """The description, if it is of a format that this version can read."""
    entry = parse_json(content, path)
    if entry.get("format") != _FORMAT:
        msg = f"{path} does not describe a {_FORMAT}."
        raise ValueError(msg)
    entry = checked(entry, path, "format_version", _VERSION)
    # Encoders of before the synthetic view could be carried say nothing of it.
    entry = {"carrier": None, "translator": False, **entry}
    known = {
        "primary": text,
        "use_rep": optional(text),
        "features": optional(sequence_of(text)),
        "carrier": optional(_carrier),
        "translator": boolean,
    }
    check_values(entry, known, path)
    return entry


def _carrier(value: Any, argument: str) -> None:
    """Accept what a file says of a carried view."""
    if not isinstance(value, dict) or set(value) != {"key", "logged"}:
        msg = f"{argument} names the key of a carried view and whether it is logged, not {value!r}."
        raise ValueError(msg)
    text(value["key"], argument)
    boolean(value["logged"], argument)
