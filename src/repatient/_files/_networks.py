"""Networks of models that were read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

Network = TypeVar("Network", bound=nn.Module)
_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}


def network_of(make: Callable[[], Network], weights: Mapping[str, NDArray[Any]]) -> Network:
    """Build a network and load its weights; one that is larger than these is refused before it is made.

    Parameters
    ----------
    make
        Builds the network by parameters that were read.
    weights
        Arrays by the names that the network has for them.

    Raises
    ------
    RuntimeError, KeyError
        If the weights are not those of such a network.
    """
    with _Budget(weights):
        network = make()
    # Torch itself compares the shapes with those that the parameters ask for.
    network.load_state_dict({name: torch.from_numpy(weights[name]) for name in network.state_dict()})
    return network


class _Budget(TorchFunctionMode):
    """Refuses to make more, or more numbers, than there are weights to fill them with."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        super().__init__()
        # A network makes little beside its weights: constants of its outcome, counters of a normalisation.
        self._n_tensors = 4 * len(weights) + 64
        self._n_numbers = 2 * sum(array.size for array in weights.values()) + 2**16

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _MAKERS:
            self._n_tensors -= 1
            self._n_numbers -= math.prod(func(*args, **kwargs | {"device": "meta"}).shape)
            if self._n_tensors < 0 or self._n_numbers < 0:
                msg = "its parameters speak of a network larger than its weights"
                raise RuntimeError(msg)
        return func(*args, **kwargs)
