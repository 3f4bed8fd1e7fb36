"""What an encoder is given, checked and put into the form that training wants."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from repatient._device import find_device
from repatient._messages import warn
from repatient.views._arrays import read_view
from repatient.views._encoder_networks import ViewNetwork, n_pooled
from repatient.views._objectives import OBJECTIVES
from repatient.views._preparation import Preparation, check_augmentation, find_kind
from repatient.views._torch import build
from repatient.views._training import Material
from repatient.views._trust import partner_trust

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from repatient.views._augmentations import Augmentation

FEWEST_HELD_OUT = 5


@dataclass(frozen=True)
class Views:
    """Rows of the primary view, their partners and the features to be taught, all checked."""

    rows: NDArray[np.float32]
    partners: NDArray[np.float32] | None
    features: NDArray[np.float32] | None


def read_views(X: ArrayLike, partner: ArrayLike | None, teacher: ArrayLike | None) -> Views:
    """Check rows and what is said of them."""
    rows = np.ascontiguousarray(read_view(X, "X", fitting=True))
    others = []
    for name, values in (("partner", partner), ("teacher", teacher)):
        other = None if values is None else np.ascontiguousarray(read_view(values, name, fitting=True))
        if other is not None and len(other) != len(rows):
            msg = f"`{name}` must have one row for each of the {len(rows)} rows of `X`, found {len(other)}."
            raise ValueError(msg)
        others.append(other)
    return Views(rows, *others)


def hold_out(n_rows: int, groups: ArrayLike | None, fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of some whole groups, rising; a warning where they were wanted and cannot be had."""
    of_rows = np.arange(n_rows) if groups is None else np.asarray(groups)
    if of_rows.shape != (n_rows,):
        msg = f"groups must have one entry for each of the {n_rows} rows, found shape {of_rows.shape}."
        raise ValueError(msg)
    nothing = np.empty(0, dtype=np.int64)
    if fraction == 0:
        return nothing
    names, codes = np.unique(of_rows, return_inverse=True)
    chosen = rng.permutation(len(names))[: int(fraction * len(names))]
    held_out = np.flatnonzero(np.isin(codes, chosen))
    if len(held_out) < FEWEST_HELD_OUT or n_rows - len(held_out) < 2:
        msg = (
            f"No rows are held out: {fraction:g} of {len(names)} groups are {len(held_out)} rows, and "
            f"{FEWEST_HELD_OUT} or more are needed. Training takes all steps, without early stopping."
        )
        warn(msg)
        return nothing
    return held_out


@dataclass(frozen=True)
class Prepared:
    """How rows and partners are read, and what the heads are to predict.

    Parameters
    ----------
    primary, privileged
        How the views are read; the latter None without one.
    taught
        Features (n, f) for the head on the embedding; None where it predicts partners that are images, or nothing.
    n_taught
        Features that the head predicts; 0 for no heads.
    typical
        Mean of training partners that are images, as an encoder reads it, (1, C, H, W); None of others.
    trust
        Weight of all that partners teach.
    """

    primary: Preparation
    privileged: Preparation | None
    taught: NDArray[np.float32] | None
    n_taught: int
    typical: torch.Tensor | None = None
    trust: float = 1.0

    def network(self, generator: torch.Generator, **widths: int) -> ViewNetwork:
        """Network for such views."""
        privileged = None if self.privileged is None else self.privileged.input_shape
        return build(lambda: ViewNetwork(self.primary.input_shape, privileged, self.n_taught, **widths), generator)

    def material(self, views: Views, of: NDArray[np.int64], device: torch.device) -> Material:
        """Some of the rows on a device."""

        def take(values: NDArray[np.float32]) -> torch.Tensor:
            return torch.from_numpy(values[of]).to(device)

        return Material(
            take(views.rows),
            self.primary,
            None if views.partners is None else take(views.partners),
            self.privileged,
            None if self.taught is None else take(self.taught),
            None if self.typical is None else self.typical.to(device),
            self.trust,
            views.features is not None,
        )


def prepare(
    views: Views,
    training: NDArray[np.int64],
    *,
    kinds: tuple[str, str],
    augmentations: tuple[Augmentation | None, Augmentation | None],
    distill: bool,
    weigh: bool = False,
) -> Prepared:
    """Statistics of the training rows; ``weigh`` measures how far partners follow them."""
    primary = _prepare(views.rows, training, kinds[0], augmentations[0], "")
    privileged = None
    if views.partners is not None:
        privileged = _prepare(views.partners, training, kinds[1], augmentations[1], "partner")
    trust = 1.0
    if weigh and privileged is not None and views.partners is not None:
        trust = partner_trust(views.rows[training], views.partners[training], primary, privileged)
    if not distill:
        return Prepared(primary, privileged, None, 0, trust=trust)
    typical = None
    if privileged is not None and views.partners is not None and privileged.kind == "images":
        typical = privileged.plain(torch.from_numpy(views.partners[training].mean(axis=0, keepdims=True)))
    if views.features is not None:
        features = views.features.reshape(len(views.features), -1)
        taught = Preparation.fit(features[training], "vectors", None).flat(features)
        return Prepared(primary, privileged, taught, taught.shape[1], typical, trust)
    if privileged is None or views.partners is None:
        return Prepared(primary, privileged, None, 0, trust=trust)
    if typical is not None:
        return Prepared(primary, privileged, None, n_pooled(privileged.shape), typical, trust)
    taught = privileged.flat(views.partners)
    return Prepared(primary, privileged, taught, taught.shape[1], trust=trust)


def _prepare(
    rows: NDArray[np.float32], training: NDArray[np.int64], kind: str, augmentation: Augmentation | None, prefix: str
) -> Preparation:
    found = find_kind(rows, kind, prefix or "X")
    check_augmentation(augmentation, found, f"{prefix}_augmentation".lstrip("_"))
    return Preparation.fit(rows[training], found, augmentation)


def check_parameters(parameters: dict[str, Any]) -> None:
    """Raise on a parameter of the encoder that is out of its range."""
    find_device(parameters["device"])
    for name, least in (
        ("dim", 1),
        ("width", 1),
        ("projection", 1),
        ("n_steps", 0),
        ("batch_size", 2),
        ("evaluate_every", 1),
        ("patience", 1),
    ):
        value = parameters[name]
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            msg = f"{name} must be an integer of at least {least}, found {value!r}."
            raise ValueError(msg)
    for name, below in (("distill", np.inf), ("weight_decay", np.inf), ("validation_fraction", 1.0)):
        value = parameters[name]
        if not isinstance(value, Real) or not 0.0 <= float(value) < below:
            msg = f"{name} must be at least 0 and less than {below}, found {value!r}."
            raise ValueError(msg)
    rate = parameters["learning_rate"]
    if not isinstance(rate, Real) or not 0.0 < float(rate) < np.inf:
        msg = f"learning_rate must be positive, found {rate!r}."
        raise ValueError(msg)
    if parameters["objective"] not in OBJECTIVES:
        msg = f"objective must be one of {list(OBJECTIVES)}, found {parameters['objective']!r}."
        raise ValueError(msg)
    if parameters["branches"] not in (2, 3):
        msg = f"branches must be 2 or 3, found {parameters['branches']!r}."
        raise ValueError(msg)
