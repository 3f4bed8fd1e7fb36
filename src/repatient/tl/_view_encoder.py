"""The encoder of a modality: an array encoder that knows where its input is in the object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mudata import MuData

from repatient import _store
from repatient._checks import listed
from repatient._files._model_folder import ENCODER
from repatient._files._read import check_values, optional, parse_json, sequence_of, text
from repatient._files._sealed_json import checked, write_sealed
from repatient.tl._view_pair import feature_names, in_order_of, read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy as np
    from anndata import AnnData

    from repatient.views import Encoder

_FILE = "modality.json"
_FORMAT = "repatient view encoder"
# 2 added the checksum.
_VERSION = 2


class ViewEncoder:
    """Encoder of one modality that reads AnnData and MuData; :func:`repatient.tl.distill` returns one.

    Parameters
    ----------
    encoder
        The fitted array encoder.
    primary
        Name of the modality.
    use_rep
        Where its view is: a key of ``obsm``; ``None`` for ``X``.
    features
        Names of the columns of ``X``, which new data may have in another order; ``None`` for a key of ``obsm``.

    Attributes
    ----------
    encoder, primary, use_rep, features
        As passed.

    Examples
    --------
    >>> import mudata
    >>> import repatient as rp
    >>> full, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=40)
    >>> panel = full[:, :30].copy()
    >>> panel.X = panel.X.toarray()
    >>> mdata = mudata.MuData({"panel": panel, "rna": full})
    >>> encoder = rp.tl.distill(mdata, "panel", "rna", partner="authentic", pairs="obs_names", n_steps=5)
    >>> mdata["panel"].obsm["X_spi"].shape[0] == panel.n_obs
    True
    """

    def __init__(
        self, encoder: Encoder, *, primary: str, use_rep: str | None, features: Sequence[str] | None = None
    ) -> None:
        self.encoder = encoder
        self.primary = primary
        self.use_rep = use_rep
        self.features = None if features is None else list(features)

    def __repr__(self) -> str:
        return f"ViewEncoder({self.primary!r}, use_rep={self.use_rep!r}, dim={self.encoder.dim})"

    def embed(self, data: AnnData | MuData, *, use_rep: str | None = None) -> np.ndarray:
        """Embed new observations from their primary modality alone.

        Parameters
        ----------
        data
            AnnData of that modality, or a MuData that has it. Nothing is written.
        use_rep
            Where the view is. ``None``: under the name that it had in training.

        Returns
        -------
        (n_obs, dim), float32, standardised by the training rows.

        Raises
        ------
        KeyError
            If modality, view or features are missing.
        ValueError
            If rows are of another shape than in training, or hold NaN, infinity or values beyond ±1e15, or features of
            the same name are not in the order of training.
        """
        _store.check_data(data)
        if isinstance(data, MuData):
            if self.primary not in data.mod:
                msg = f"`data`: no modality {self.primary!r}; there are {listed(data.mod)}."
                raise KeyError(msg)
            data = data.mod[self.primary]
        return self.encoder.embed(self._rows(data, use_rep or self.use_rep))

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the encoder to a folder: JSON and arrays without pickle.

        Parameters
        ----------
        folder
            A new folder, or that of a saved encoder, which is replaced.

        Raises
        ------
        ValueError
            If the folder exists and holds no encoder.
        """
        entry = {
            "format": _FORMAT,
            "format_version": _VERSION,
            "primary": self.primary,
            "use_rep": self.use_rep,
            "features": self.features,
        }
        with ENCODER.replacing(folder) as new:
            self.encoder.save(new)
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
        from repatient.views import Encoder

        stored = ENCODER.read(folder, _FILE)
        entry = _parsed(stored.others[_FILE], Path(folder) / _FILE)
        encoder = Encoder.load(stored, device=device)
        return cls(encoder, primary=entry["primary"], use_rep=entry["use_rep"], features=entry["features"])

    def _rows(self, adata: AnnData, use_rep: str | None) -> np.ndarray:
        """Rows of the view, columns of ``X`` in the order of training."""
        if self.features is None or feature_names(adata, use_rep) is None:
            return read_rows(adata, use_rep, "use_rep")
        return read_rows(in_order_of(adata, self.features), use_rep, "use_rep")


def _parsed(content: bytes, path: Path) -> dict[str, Any]:
    """The description, if it is of a format that this version can read."""
    entry = parse_json(content, path)
    if entry.get("format") != _FORMAT:
        msg = f"{path} does not describe a {_FORMAT}."
        raise ValueError(msg)
    entry = checked(entry, path, "format_version", _VERSION)
    check_values(entry, {"primary": text, "use_rep": optional(text), "features": optional(sequence_of(text))}, path)
    return entry
