"""Earlier translations, which discriminators see beside the latest."""

from __future__ import annotations

import torch
from torch import Tensor

_CAPACITY = 256


class ImagePool:
    """Exchanges half of each batch for rows of earlier batches, so that judges do not forget (Shrivastava et al. 2017)."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._rows: Tensor | None = None

    def exchange(self, batch: Tensor) -> Tensor:
        """A batch of which half are earlier rows, as soon as the pool is full."""
        if self._rows is None or len(self._rows) < _CAPACITY:
            self._rows = batch.clone() if self._rows is None else torch.cat([self._rows, batch])[:_CAPACITY]
            return batch
        n_old = min(len(batch) // 2, len(self._rows))
        places = torch.randperm(len(self._rows), generator=self._generator)[:n_old].to(batch.device)
        mixed = torch.cat([self._rows[places], batch[n_old:]])
        self._rows[places] = batch[:n_old]
        return mixed
