"""Encoders of images and vectors, and what is put on top of them for training alone."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

GROUPS = 8
SMALLEST_SIDE = 4
TRUNK_SIDE = 8
TRUNK_LAYERS = 2
TAUGHT_SIDE = 8


def image_encoder(shape: tuple[int, ...], width: int, dim: int) -> nn.Sequential:
    """Encoder of images (n, C, H, W) in two parts.

    The trunk (n, channels, h, w) halves the sides once and until the shorter one is 8 or less, and looks around there; the
    rest goes on to 4 or less and to the embedding (n, dim).
    """
    n_in, height, length = shape
    trunk: list[nn.Module] = []
    while min(height, length) > TRUNK_SIDE or not trunk:
        trunk += _convolution(n_in, width, stride=2)
        n_in, height, length = width, (height + 1) // 2, (length + 1) // 2
    for _ in range(TRUNK_LAYERS):
        trunk += _convolution(width, width, stride=1)
    rest: list[nn.Module] = []
    while min(height, length) > SMALLEST_SIDE:
        rest += _convolution(n_in, 2 * width, stride=2)
        n_in, height, length = 2 * width, (height + 1) // 2, (length + 1) // 2
    rest += [nn.Flatten(), nn.Linear(n_in * height * length, dim)]
    return nn.Sequential(nn.Sequential(*trunk), nn.Sequential(*rest))


def _convolution(n_in: int, n_out: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1), nn.GroupNorm(GROUPS, n_out), nn.ReLU()]


def vector_encoder(n_features: int, width: int, dim: int) -> nn.Sequential:
    """Two hidden layers and a linear one, in two parts: (n, d) to (n, dim)."""
    trunk: list[nn.Module] = []
    for n_in, n_out in pairwise((n_features, width, width)):
        trunk += [nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.GELU()]
    return nn.Sequential(nn.Sequential(*trunk), nn.Linear(width, dim))


def encoder(shape: tuple[int, ...], width: int, dim: int) -> nn.Sequential:
    """Trunk and rest of an encoder of rows of that shape; images have an eighth of the width in channels."""
    if len(shape) == 1:
        return vector_encoder(shape[0], width, dim)
    return image_encoder(shape, max(width // 8 // GROUPS, 1) * GROUPS, dim)


def projector(dim: int, width: int) -> nn.Sequential:
    """From the embedding to where the objective compares."""
    return nn.Sequential(nn.Linear(dim, width), nn.BatchNorm1d(width), nn.GELU(), nn.Linear(width, width))


def dense_head(primary: tuple[int, ...], privileged: tuple[int, ...] | None, width: int) -> nn.Sequential | None:
    """From the trunk to every pixel of the partner; None where the views are not images of the same size."""
    if privileged is None or len(primary) == 1 or primary[1:] != privileged[1:]:
        return None
    trunk = image_encoder(primary, GROUPS, 1)[0]
    factor = 2 ** sum(isinstance(m, nn.Conv2d) and m.stride == (2, 2) for m in trunk.modules())
    channels = max(width // 8 // GROUPS, 1) * GROUPS
    return nn.Sequential(nn.Conv2d(channels, privileged[0] * factor**2, 1), nn.PixelShuffle(factor))


class ViewNetwork(nn.Module):
    """Encoder of the primary view and, for training, that of the privileged view, projectors and heads.

    Parameters
    ----------
    primary
        Shape of a row of the primary view.
    privileged
        Shape of a row of the privileged view; None without one.
    n_taught
        Features that the head predicts linearly from the embedding; 0 for no heads.
    width, dim, projection
        Width of the encoders, of the embedding and of the projectors.
    """

    def __init__(
        self,
        primary: tuple[int, ...],
        privileged: tuple[int, ...] | None,
        n_taught: int,
        *,
        width: int,
        dim: int,
        projection: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder(primary, width, dim)
        self.projector = projector(dim, projection)
        self.privileged = None
        if privileged is not None:
            self.privileged = nn.Sequential(encoder(privileged, width, dim), projector(dim, projection))
        self.head = nn.Linear(dim, n_taught) if n_taught else None
        self.dense = dense_head(primary, privileged, width) if n_taught else None


def pooled(images: Tensor) -> Tensor:
    """Images (n, C, H, W) at 8 × 8 places or fewer, as vectors: what a head learns of an image."""
    height, width = images.shape[2:]
    return F.adaptive_avg_pool2d(images, (min(height, TAUGHT_SIDE), min(width, TAUGHT_SIDE))).flatten(1)


def n_pooled(shape: tuple[int, ...]) -> int:
    """Values of :func:`pooled` of images of that shape."""
    return shape[0] * prod(min(side, TAUGHT_SIDE) for side in shape[1:])
