"""Training kept on disk as it goes on, so that a killed process costs a few steps."""

from __future__ import annotations

import hashlib
import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from repatient._checks import check_integer, check_number
from repatient._files._atomic import replace_when_whole
from repatient._files._model_folder import UNFITTING, with_nan, without_nan
from repatient._files._read import check_values, history, optional, parse_arrays, read_bytes, text
from repatient._files._target import check_target
from repatient.views._training import State, optimiser_arrays, restore_optimiser

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray
    from torch import Tensor

    from repatient.views._training import Training

FORMAT = "repatient-encoder-checkpoint"
_COUNT = partial(check_integer, minimum=0)
_HEADER = {
    "fingerprint": text,
    "step": _COUNT,
    "best_step": _COUNT,
    "best_loss": optional(check_number),
    "waited": _COUNT,
    "history": history,
}


class TrainingCheckpoint:
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
        if self.path.parent.is_dir():
            # What is there is read, and refused if it is none, before anything is written over it.
            check_target(self.path, "checkpoint", what="checkpoint", ours=lambda _: True)

    @classmethod
    def of(
        cls, path: str | os.PathLike[str], params: dict[str, Any], arrays: dict[str, NDArray[Any] | None]
    ) -> TrainingCheckpoint:
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
            "history": without_nan(state.history),
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
        try:
            self._restore(training, header, arrays)
        except UNFITTING as error:
            msg = f"checkpoint: {self.path} is damaged: {error}. Delete it, or name another file."
            raise ValueError(msg) from error

    def _restore(self, training: Training, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        if header["step"] > training.plan.n_steps or header["best_step"] > header["step"]:
            msg = f"it is at step {header['step']} of {training.plan.n_steps}"
            raise ValueError(msg)
        expected = training.network.state_dict()
        best = _part(arrays, "best.")
        if best and {k: v.shape for k, v in best.items()} != {k: v.shape for k, v in expected.items()}:
            msg = "its best weights are those of another network"
            raise ValueError(msg)
        training.network.load_state_dict(_part(arrays, "network."))
        restore_optimiser(training, _part(arrays, "optimiser."))
        training.generator.set_state(torch.from_numpy(arrays["generator"]))
        training.state = State(
            step=header["step"],
            best_step=header["best_step"],
            best_loss=math.inf if header["best_loss"] is None else header["best_loss"],
            waited=header["waited"],
            best=best,
            history=with_nan(header["history"]),
        )

    def _read(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        try:
            arrays = parse_arrays(read_bytes(self.path), self.path)
            header = json.loads(str(arrays.pop("header")))
            if header["format"] != FORMAT:
                msg = f"it is of format {header['format']!r}"
                raise ValueError(msg)
            check_values(header, _HEADER, self.path)
        except (*UNFITTING, RecursionError) as error:
            msg = f"checkpoint: {self.path} is no checkpoint of an encoder; name another file. {error}"
            raise ValueError(msg) from error
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
