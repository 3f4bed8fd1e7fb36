"""Networks of each generator, and how each is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import torch
from torch import nn

from repatient.views._cyclegan import CycleNetworks, CycleRows, Weights, fit_cyclegan
from repatient.views._image_networks import ImageMap, NoisyImageMap, patch_discriminator
from repatient.views._regression import Budget, fit_images, fit_vectors
from repatient.views._spaces import VectorSpace
from repatient.views._torch import build
from repatient.views._transport import barycentric_targets, linked_features, source_of_links
from repatient.views._vector_networks import NoisyVectorMap, VectorMap, vector_discriminator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from torch import Tensor

    from repatient.views._regression import History
    from repatient.views._spaces import Space

NETWORKS = ("builtin", "monai")
_DROPOUT = 0.2
# Targets of transport are means over neighbours, which held-out rows share with others: less gain than this is none.
_MARGINS = {"ot": 0.2, "regression": 0.0}
_STEPS = {"images": 2000, "vectors": 1000}
_BATCH_SIZES = {"images": 16, "vectors": 128}
_LEARNING_RATES = {"cyclegan": 5e-4, "ot": 1e-3, "regression": 1e-3}


@dataclass(frozen=True)
class Shapes:
    """Rows that the networks read and write: features, or channels, height and width."""

    source: tuple[int, ...]
    target: tuple[int, ...]

    @classmethod
    def of(cls, views: PairedViews, spaces: tuple[Space, Space]) -> Self:
        """Shapes of rows as networks see them."""
        return cls(spaces[0].inputs(views.source[:1]).shape[1:], spaces[1].features(views.target[:1]).shape[1:])

    @property
    def images(self) -> bool:
        """Whether rows are images."""
        return len(self.source) == 3


@dataclass(frozen=True)
class PairedViews:
    """Both views in their units, with what is known of their partners."""

    source: NDArray[np.float32]
    target: NDArray[np.float32]
    pairs: NDArray[np.int64]
    links: NDArray[np.int64]


class Committee(nn.Module):
    """Networks of several members, whose maps to the target are averaged."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([forth_of(member)(x) for member in self.members]).mean(dim=0)


def make_members(generator: str, shapes: Shapes, settings: dict[str, Any]) -> nn.Module:
    """Untrained networks of all members; of a single one, its own."""
    return joined([make_networks(generator, shapes, settings) for _ in range(settings["n_members"])])


def joined(members: list[nn.Module]) -> nn.Module:
    """Members as one; a single one stays what it is."""
    return members[0] if len(members) == 1 else Committee(members)


def members_of(networks: nn.Module) -> list[nn.Module]:
    """The members of what is joined."""
    return list(networks.members) if isinstance(networks, Committee) else [networks]


def make_networks(generator: str, shapes: Shapes, settings: dict[str, Any]) -> nn.Module:
    """Untrained networks: the map to the target alone, or with the way back and the judges of a cycle."""
    if generator != "cyclegan":
        return _forth(shapes, settings)
    n_source, n_target = shapes.source[0], shapes.target[0]
    if shapes.images:
        width = settings["width"]
        n_noise = settings["noise_channels"]
        back: nn.Module = NoisyImageMap(_image_map(n_target + n_noise, n_source, settings), n_noise)
        judges = [_image_judge(n, width, settings) for n in (n_source, n_target)]
    else:
        back = NoisyVectorMap(n_target, n_source, settings["hidden"])
        judges = [vector_discriminator(n, settings["hidden"]) for n in (n_source, n_target)]
    return CycleNetworks(_forth(shapes, settings), back, *judges)


def forth_of(networks: nn.Module) -> nn.Module:
    """The map to the target."""
    return networks.forth if isinstance(networks, CycleNetworks) else networks


def train_members(
    generator: str,
    shapes: Shapes,
    views: PairedViews,
    spaces: tuple[Space, Space],
    settings: dict[str, Any],
    randoms: list[torch.Generator],
) -> tuple[nn.Module, History]:
    """Networks of one member for each source of randomness, trained one after the other, and their mean history."""
    members, histories = [], []
    for random in randoms:
        networks = build(lambda: make_networks(generator, shapes, settings), random).to(settings["device"]).train()
        members.append(networks)
        histories.append(train_networks(generator, networks, views, spaces, settings, random))
    if len(members) == 1:
        return members[0], histories[0]
    steps = {"step": histories[0]["step"]}
    losses = {name: np.mean([history[name] for history in histories], axis=0).tolist() for name in histories[0]}
    return joined(members), losses | steps


def train_networks(
    generator: str,
    networks: nn.Module,
    views: PairedViews,
    spaces: tuple[Space, Space],
    settings: dict[str, Any],
    random: torch.Generator,
) -> History:
    """Train in place by the generator of that name."""
    images = views.source.ndim == 4
    kind = "images" if images else "vectors"
    budget = Budget(
        n_steps=settings["n_steps"] or _STEPS[kind],
        batch_size=settings["batch_size"] or _BATCH_SIZES[kind],
        learning_rate=settings["learning_rate"] or _LEARNING_RATES[generator],
        progress=settings["progress"],
    )
    if generator == "cyclegan":
        weights = Weights(*settings["cycle_weights"], *(settings[f"{n}_weight"] for n in ("identity", "pair", "link")))
        rows = _rows_of_cycle(views, spaces, next(networks.parameters()).device)
        return fit_cyclegan(cast("CycleNetworks", networks), rows, weights, budget, random)
    if generator == "ot":
        x, y = _transported(views, cast("tuple[VectorSpace, VectorSpace]", spaces), settings, random)
    else:
        x = spaces[0].inputs(views.source[views.pairs[:, 0]])
        y = spaces[1].features(views.target[views.pairs[:, 1]])
    if images:
        return fit_images(networks, x, y, budget, random)
    return fit_vectors(cast("VectorMap", networks), x, y, budget, random, margin=_MARGINS[generator])


def _transported(
    views: PairedViews, spaces: tuple[VectorSpace, VectorSpace], settings: dict[str, Any], random: torch.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows of the source, as many as a plan can hold, and their targets."""
    source, target = (
        view[np.sort(torch.randperm(len(view), generator=random)[: settings["max_rows"]].numpy())]
        for view in (views.source, views.target)
    )
    linked = linked_features(source, target, views.links, spaces, settings["n_neighbors"])
    y = barycentric_targets(linked, spaces[1].features(target), settings["regularisation"])
    return spaces[0].inputs(source), y


def _rows_of_cycle(views: PairedViews, spaces: tuple[Space, Space], device: torch.device) -> CycleRows:
    linked = np.empty((len(views.source), 0))
    if len(views.links) and isinstance(spaces[0], VectorSpace):
        linked = source_of_links(views.source, views.links, spaces[0])
        linked = (linked - linked.mean(axis=0)) / np.maximum(linked.std(axis=0), 1e-6)
    return CycleRows(
        source=torch.from_numpy(spaces[0].inputs(views.source)).to(device),
        target=torch.from_numpy(spaces[1].features(views.target)).to(device),
        pairs=torch.from_numpy(views.pairs),
        linked=torch.from_numpy(linked.astype(np.float32)).to(device),
        linked_columns=torch.from_numpy(np.unique(views.links[:, 1])).to(device),
    )


def _forth(shapes: Shapes, settings: dict[str, Any]) -> nn.Module:
    if shapes.images:
        return _image_map(shapes.source[0], shapes.target[0], settings)
    return VectorMap(shapes.source[0], shapes.target[0], settings["hidden"], _DROPOUT)


def _image_map(n_in: int, n_out: int, settings: dict[str, Any]) -> nn.Module:
    if settings["networks"] == "monai":
        from repatient.views._monai_networks import monai_map

        return monai_map(n_in, n_out, settings["width"])
    return ImageMap(n_in, n_out, settings["width"])


def _image_judge(n_in: int, width: int, settings: dict[str, Any]) -> nn.Module:
    if settings["networks"] == "monai":
        from repatient.views._monai_networks import monai_discriminator

        return monai_discriminator(n_in, width)
    return patch_discriminator(n_in, width)
