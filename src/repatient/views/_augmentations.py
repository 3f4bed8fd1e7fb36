"""Random changes of a batch that leave its meaning: many rows at once, with a generator of one's own.

Images and vectors are changed after standardising, so that all strengths are in standard deviations; counts before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ImageAugmentation:
    """Flips, crops, intensity and noise of images.

    Parameters
    ----------
    flip
        Whether each image is mirrored, left to right and top to bottom, every other time. Not for images that have an
        up and a down, such as letters.
    crop
        Smallest share of the side that a crop keeps; it is scaled back to the full size. 1 for none.
    shift
        Largest shift, as a share of the side.
    intensity
        Standard deviation of a factor (around 1) and of an offset (around 0) of every channel of an image.
    noise
        Standard deviation of what is added to every pixel.
    """

    flip: bool = True
    crop: float = 0.8
    shift: float = 0.1
    intensity: float = 0.2
    noise: float = 0.1

    def draw_pose(self, n: int, generator: torch.Generator) -> Tensor:
        """Where to look in each of n images: affine maps (n, 2, 3), which two views of a row may share."""
        zoom = 1.0 - (1.0 - self.crop) * _uniform((n, 1), generator)
        signs = torch.where(_uniform((n, 2), generator) < 0.5, -1.0, 1.0) if self.flip else torch.ones(n, 2)
        # A crop may lie anywhere inside of the image; coordinates run from -1 to 1.
        centre = (2.0 * _uniform((n, 2), generator) - 1.0) * (1.0 - zoom + 2.0 * self.shift)
        pose = torch.zeros(n, 2, 3)
        pose[:, [0, 1], [0, 1]], pose[:, :, 2] = zoom * signs, centre
        return pose

    def tint(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Other intensities and noise of standardised images (n, C, H, W)."""
        channels = (*images.shape[:2], 1, 1)
        factor = 1.0 + self.intensity * _normal(channels, generator).to(images.device)
        offset = self.intensity * _normal(channels, generator).to(images.device)
        return images * factor + offset + self.noise * _normal(tuple(images.shape), generator).to(images.device)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changed copies of standardised images (n, C, H, W)."""
        return self.tint(move(images, self.draw_pose(len(images), generator)), generator)


@dataclass(frozen=True)
class VectorAugmentation:
    """Masked, swapped and noisy features.

    Parameters
    ----------
    mask
        Share of the features set to their mean.
    swap
        Share of the features taken from another row of the batch.
    noise
        Standard deviation of what is added to every feature.
    """

    mask: float = 0.2
    swap: float = 0.1
    noise: float = 0.2

    def __call__(self, vectors: Tensor, generator: torch.Generator) -> Tensor:
        """Changed copies of standardised vectors (n, d)."""
        shape, device = tuple(vectors.shape), vectors.device
        fate = _uniform(shape, generator).to(device)
        others = vectors[torch.randperm(len(vectors), generator=generator).to(device)]
        changed = torch.where(fate < self.swap, others, vectors)
        changed = changed + self.noise * _normal(shape, generator).to(device)
        return changed.masked_fill(fate > 1.0 - self.mask, 0.0)


@dataclass(frozen=True)
class CountAugmentation:
    """Binomial thinning of counts: the same cell, sequenced less deeply.

    Parameters
    ----------
    keep
        Smallest share of the counts that is kept; the share of each row is uniform from there to 1.
    mask
        Share of the features set to their mean, after normalising.
    """

    keep: float = 0.3
    mask: float = 0.2

    def __call__(self, counts: Tensor, generator: torch.Generator) -> Tensor:
        """Thinned copies of raw counts (n, d)."""
        shares = self.keep + (1.0 - self.keep) * _uniform((len(counts), 1), generator)
        # Most counts of single cells are 0 and stay so.
        rows, columns = counts.nonzero(as_tuple=True)
        thinned = torch.zeros_like(counts)
        drawn = torch.binomial(counts[rows, columns].cpu(), shares[rows.cpu(), 0], generator=generator)
        thinned[rows, columns] = drawn.to(counts.device)
        return thinned

    def hide(self, vectors: Tensor, generator: torch.Generator) -> Tensor:
        """Mask features of the normalised, standardised counts (n, d)."""
        hidden = _uniform(tuple(vectors.shape), generator).to(vectors.device) < self.mask
        return vectors.masked_fill(hidden, 0.0)


Augmentation: TypeAlias = ImageAugmentation | VectorAugmentation | CountAugmentation


def move(images: Tensor, pose: Tensor) -> Tensor:
    """Images (n, C, H, W) as seen in a pose (n, 2, 3); beyond their borders they are mirrored."""
    grid = F.affine_grid(pose.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def in_pose(images: Tensor, pose: Tensor | None) -> Tensor:
    """Images in a pose, or as they are without one."""
    return images if pose is None else move(images, pose)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Drawn on the CPU wherever the batch is, so that a seed means the same everywhere."""
    return torch.rand(shape, generator=generator)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)
