"""Training kept on disk as it goes on, so that a killed process costs a few steps."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from repatient._files._atomic import replace_when_whole
from repatient.views._training import State, optimiser_arrays, restore_optimiser

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray
    from torch import Tensor

    from repatient.views._training import Training

FORMAT = "repatient-encoder-checkpoint"


class Checkpoint:
    """A file of arrays, without pickle, that is replaced as a whole.

    Parameters
    ----------
    path
        The file.
    fingerprint
        What the training depends on; a file of another one is refused.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: str) -> None:
        self.path, self.fingerprint = Path(path), fingerprint

    @classmethod
    def of(
        cls, path: str | os.PathLike[str], params: dict[str, Any], arrays: dict[str, NDArray[Any] | None]
    ) -> Checkpoint:
        """That of a training with these parameters and data."""
        # Where and how visibly it runs does not change what comes out of it.
        params = {name: value for name, value in params.items() if name not in ("device", "progress")}
        return cls(path, fingerprint(params, arrays))

    def write(self, training: Training) -> None:
        """Keep network, optimiser, generator and state."""
        state = training.state
        tensors = {
            **{f"network.{name}": value for name, value in training.network.state_dict().items()},
            **{f"best.{name}": value for name, value in state.best.items()},
            **{f"optimiser.{name}": value for name, value in optimiser_arrays(training).items()},
            "generator": training.generator.get_state(),
        }
        header = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "step": state.step,
            "best_step": state.best_step,
            "best_loss": _finite_or_none(state.best_loss),
            "waited": state.waited,
            "history": {name: [_finite_or_none(v) for v in values] for name, values in state.history.items()},
        }
        arrays: dict[str, Any] = {name: value.cpu().numpy() for name, value in tensors.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_whole(self.path) as new, new.open("wb") as file:
            np.savez(file, allow_pickle=False, header=np.array(json.dumps(header)), **arrays)

    def restore(self, training: Training) -> None:
        """Bring a training to where the file left it; nothing without a file."""
        if not self.path.exists():
            return
        header, arrays = self._read()
        if header.get("fingerprint") != self.fingerprint:
            msg = (
                f"checkpoint: {self.path} is of a training with other data or parameters; name another file, or delete "
                "this one."
            )
            raise ValueError(msg)
        training.network.load_state_dict(_part(arrays, "network."))
        restore_optimiser(training, _part(arrays, "optimiser."))
        training.generator.set_state(torch.from_numpy(arrays["generator"]))
        training.state = State(
            step=header["step"],
            best_step=header["best_step"],
            best_loss=math.inf if header["best_loss"] is None else header["best_loss"],
            waited=header["waited"],
            best=_part(arrays, "best."),
            history={name: [_nan_if_none(v) for v in values] for name, values in header["history"].items()},
        )

    def _read(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            header = json.loads(str(arrays.pop("header")))
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError, AttributeError) as error:
            msg = f"checkpoint: {self.path} is no checkpoint of an encoder; name another file."
            raise ValueError(msg) from error
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            msg = f"checkpoint: {self.path} is no checkpoint of an encoder; name another file."
            raise ValueError(msg)
        return header, arrays


def fingerprint(params: dict[str, Any], arrays: dict[str, NDArray[Any] | None]) -> str:
    """Digest of parameters and data."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=repr).encode())
    for name, array in arrays.items():
        shape = None if array is None else array.shape
        digest.update(f"{name} {shape}".encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _part(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, Tensor]:
    """Arrays whose names begin so, without the beginning, as tensors."""
    return {name.removeprefix(prefix): torch.from_numpy(a) for name, a in arrays.items() if name.startswith(prefix)}


def _finite_or_none(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def _nan_if_none(value: float | None) -> float:
    return math.nan if value is None else value
