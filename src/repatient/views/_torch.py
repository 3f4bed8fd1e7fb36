"""Torch without traces: its threads, its random numbers and its devices."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn

from repatient._threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

Network = TypeVar("Network", bound=nn.Module)


@contextmanager
def single_thread() -> Iterator[None]:
    """One thread, so that sums run in one order, and single precision; the session's own settings are put back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with one_thread(), single_precision():
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def single_precision() -> Iterator[None]:
    """New tensors and networks in single precision, whatever type the session has as its default."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


def build(make: Callable[[], Network], generator: torch.Generator) -> Network:
    """A network whose initial weights come from a generator; torch's own is left as it was."""
    seed = int(torch.randint(2**62, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]), single_precision():
        # The generator of the CPU alone: `torch.manual_seed` would reach those of accelerators, too.
        torch.default_generator.manual_seed(seed)
        return make()


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A generator of its own, seeded by another one."""
    return torch.Generator().manual_seed(int(rng.integers(2**63)))
