"""Networks over images: a small U-Net and a discriminator of patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Residual(nn.Module):
    """Two convolutions around which the input passes unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_block(channels, channels), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ImageMap(nn.Module):
    """U-Net between images of values from -1 to 1 that folds each 2 × 2 pixels into channels before the first layer.

    So that no layer runs at full resolution, where convolutions cost most (Ronneberger et al. 2015; Shi et al. 2016).

    Parameters
    ----------
    n_in, n_out
        Channels.
    width
        Channels at half resolution; twice as many below.
    """

    def __init__(self, n_in: int, n_out: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.PixelUnshuffle(2), _block(4 * n_in, width))
        self.below = nn.Sequential(_block(width, 2 * width, stride=2), _Residual(2 * width), nn.SiLU())
        self.up = _block(3 * width, width)
        self.leave = nn.Sequential(nn.Conv2d(width, 4 * n_out, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        entered = self.enter(x)
        return torch.tanh(self.leave(self.up(torch.cat([_doubled(self.below(entered)), entered], dim=1))))


class NoisyImageMap(nn.Module):
    """U-Net that reads channels of noise beside the image: for the direction in which one image has many partners."""

    def __init__(self, network: nn.Module, n_noise: int) -> None:
        super().__init__()
        self.map, self.n_noise = network, n_noise

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return self.map(torch.cat([x, noise], dim=1))

    def noise_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of the noise for images of a shape."""
        return (shape[0], self.n_noise, *shape[2:])


def patch_discriminator(n_in: int, width: int) -> nn.Module:
    """Real or translated, one number for each patch of 18 pixels a side, every fourth pixel (Isola et al. 2017)."""
    return nn.Sequential(
        nn.Conv2d(n_in, width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        _norm(2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 3, padding=1),
    )


def _block(n_in: int, n_out: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1), _norm(n_out), nn.SiLU())


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(min(4, channels), channels)


def _doubled(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
