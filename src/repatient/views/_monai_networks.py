"""MONAI's networks in place of the built-in ones; its import alone takes seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from types import ModuleType


class _Tanh(nn.Module):
    """A network whose output is brought between -1 and 1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.network(x))


class _LastOutput(nn.Module):
    """A discriminator without the features that MONAI returns beside its verdict."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[-1]


def monai_map(n_in: int, n_out: int, width: int) -> nn.Module:
    """Residual U-Net of two halvings."""
    unet = _import_monai().UNet(
        spatial_dims=2,
        in_channels=n_in,
        out_channels=n_out,
        channels=(width, 2 * width, 4 * width),
        strides=(2, 2),
        num_res_units=2,
    )
    return _Tanh(unet)


def monai_discriminator(n_in: int, width: int) -> nn.Module:
    """Discriminator of patches, of two layers."""
    return _LastOutput(
        _import_monai().PatchDiscriminator(
            spatial_dims=2, channels=width, in_channels=n_in, out_channels=1, num_layers_d=2, norm="INSTANCE"
        )
    )


def _import_monai() -> ModuleType:
    try:
        from monai.networks import nets
    except ImportError as error:
        msg = '`networks="monai"` needs MONAI: `pip install "repatient[views]"`, or take networks="builtin".'
        raise ImportError(msg) from error
    return nets
