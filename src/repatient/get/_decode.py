"""Expression of generated cells, drawn by a model of scvi-tools from their latent points."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from repatient import _store
from repatient._checks import check_integer
from repatient.get._decode_model import CodedModel, read_model
from repatient.get._materialise import obs_frame
from repatient.get._rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from numpy.typing import NDArray

    from repatient.get._materialise import DrawnCells

# Blocks of any size are made of these, so that the same seed gives the same counts however the cells are read.
_BATCH = 512
_OPTIONS = (False, True, "counts")


@dataclass(frozen=True, eq=False)
class Latent:
    """Points to decode.

    Parameters
    ----------
    points
        Coordinates, (n, d).
    batches
        Batch of each, as the model numbers them, (n,).
    library_sizes
        Counts that each cell is to have on average, (n,).
    """

    points: NDArray[np.floating]
    batches: NDArray[np.int64]
    library_sizes: NDArray[np.float64]


class Decoder:
    """Decodes the cells of generated patients, and what is expected of the real ones.

    Parameters
    ----------
    model
        The model and what is known of its input.
    generated, real
        Points of the generated and of the real cells.
    normalized
        Whether the expected expression is wanted, too.
    random_state
        Seed.
    """

    def __init__(
        self, model: CodedModel, generated: Latent, real: Latent, *, normalized: bool, random_state: int
    ) -> None:
        self.layer, self.normalized = model.layer, normalized
        self.batch_key = model.batch_key
        self._model, self._generated, self._real, self._seed = model, generated, real, random_state
        self._decoded: dict[int, tuple[sp.csr_matrix, NDArray[np.float32]]] = {}

    @property
    def batch_column(self) -> pd.Categorical:
        """Batch that each generated cell is decoded as, in the words of the cohort."""
        names = self._model.batches
        return pd.Categorical.from_codes(self._generated.batches, categories=pd.Index(names))

    def counts(self, start: int, stop: int) -> sp.csr_matrix:
        """Counts of generated cells, drawn from the likelihood at their points."""
        return sp.vstack([batch[0] for batch in self._batches(start, stop)], format="csr")

    def expression(self, start: int, stop: int) -> NDArray[np.float32]:
        """Expected share of each gene in the counts of generated cells."""
        return np.concatenate([batch[1] for batch in self._batches(start, stop)])

    def expression_of_real(self, start: int, stop: int) -> NDArray[np.float32]:
        """Expected share of each gene in the counts of real cells."""
        parts = []
        for first in range(start // _BATCH * _BATCH, stop, _BATCH):
            inside = slice(first, min(first + _BATCH, len(self._real.points)))
            with _alone(self._model.device):
                found = self._model.decode(
                    self._real.points[inside], self._real.batches[inside], self._real.library_sizes[inside]
                )
                shares = found.get_normalized("scale").cpu().numpy()
            parts.append(shares[max(start - first, 0) : stop - first, self._model.columns])
        return np.concatenate(parts)

    def _batches(self, start: int, stop: int) -> Iterator[tuple[sp.csr_matrix, NDArray[np.float32]]]:
        """Counts and expected expression of the parts of batches from ``start`` up to ``stop``."""
        firsts = range(start // _BATCH * _BATCH, stop, _BATCH)
        # Both of a block are asked for one after the other.
        self._decoded = {first: self._decoded.get(first) or self._decode(first) for first in firsts}
        for first, (counts, shares) in self._decoded.items():
            within = slice(max(start - first, 0), stop - first)
            yield counts[within], shares[within]

    def _decode(self, first: int) -> tuple[sp.csr_matrix, NDArray[np.float32]]:
        latent = self._generated
        inside = slice(first, min(first + _BATCH, len(latent.points)))
        seed = np.random.SeedSequence([self._seed, first]).generate_state(1, np.uint64)[0]
        with _alone(self._model.device, int(seed >> np.uint64(1))):
            found = self._model.decode(latent.points[inside], latent.batches[inside], latent.library_sizes[inside])
            counts = sp.csr_matrix(found.sample().cpu().numpy().astype(np.float32, copy=False))
            shares = np.empty((counts.shape[0], 0), dtype=np.float32)
            if self.normalized:
                shares = found.get_normalized("scale").cpu().numpy()
        return counts[:, self._model.columns], shares[:, self._model.columns] if self.normalized else shares


def read_decoder(
    data: AnnData,
    cells: DrawnCells,
    model: Any,
    *,
    decode: bool | str,
    batch: str | None,
    library_size: float | None,
    random_state: int,
    step: int,
) -> Decoder | None:
    """What decodes the cells of generated patients; ``None`` where that was not asked for."""
    if decode not in _OPTIONS:
        msg = f"`decode` is one of {list(_OPTIONS)}, not {decode!r}."
        raise ValueError(msg)
    if not decode:
        if model is not None:
            msg = "`model` serves to decode the generated cells; pass `decode=True`, too."
            raise ValueError(msg)
        return None
    seed = check_integer(random_state, "random_state", minimum=0)
    coded = read_model(model, data)
    use_rep = str(cells.params["use_rep"])
    embedding, _ = _store.read_embedding(data, use_rep)
    if embedding.shape[1] != coded.n_latent:
        msg = (
            f"`model` has {coded.n_latent} latent dimensions, and the patients were generated in {use_rep!r}, which has "
            f"{embedding.shape[1]}. Fit the mixture to `model.get_latent_representation()` stored in `obsm`."
        )
        raise ValueError(msg)
    batches = coded.batches_of(obs_frame(data), batch)
    source: NDArray[np.integer] = cells.rows
    if cells.components is not None:
        source = _stand_ins(data, cells.components, cells.params, seed)
    if library_size is None:
        sizes = _library_sizes(data, coded, step)[source]
    else:
        sizes = np.full(len(cells), _check_library_size(library_size))
    if cells.points is None:
        generated = Latent(embedding[source], batches[source], sizes)
    else:
        most_common = np.bincount(batches[np.unique(source)]).argmax()
        generated = Latent(cells.points, np.full(len(cells), most_common), sizes)
    return Decoder(
        coded,
        generated,
        Latent(embedding, batches, np.ones(data.n_obs)),
        normalized=decode != "counts",
        random_state=seed,
    )


def _stand_ins(
    data: AnnData, components: NDArray[np.integer], params: dict[str, Any], seed: int
) -> NDArray[np.integer]:
    """A random real cell of the component of each point, whatever its class, (points,)."""
    of_cells, _ = _store.read_components(data, params["gmm_key"])
    inside = np.asarray(obs_frame(data)[params["label_key"]].notna())
    mask_obs = params["mask_obs"]
    if mask_obs is not None and mask_obs in data.obs:
        inside &= _store.read_mask(data, mask_obs)
    pool = np.flatnonzero(inside)
    rng = np.random.default_rng([seed, len(components)])
    chosen = rng.choice(pool, size=len(components))
    for k in np.unique(components):
        of_component = pool[of_cells[pool] == k]
        if len(of_component):
            points = np.flatnonzero(components == k)
            chosen[points] = rng.choice(of_component, size=len(points))
    return chosen


def _library_sizes(data: AnnData, model: CodedModel, step: int) -> NDArray[np.float64]:
    """Counts of each real cell, at least 1, (n_obs,)."""
    counts = Rows(model.counts(data), "the counts")
    sizes = np.empty(data.n_obs)
    for start in range(0, data.n_obs, step):
        stop = min(start + step, data.n_obs)
        sizes[start:stop] = np.asarray(counts.block(start, stop).sum(axis=1)).ravel()
    return np.maximum(sizes, 1)


def _check_library_size(value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real) or not 0 < float(value) < np.inf:
        msg = f"`library_size` is a number of counts above 0, not {value!r}."
        raise ValueError(msg)
    return float(value)


@contextmanager
def _alone(device: Any, seed: int | None = None) -> Iterator[None]:
    """Torch on one thread, without gradients, and with a random state of its own; all is put back afterwards."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            if seed is not None:
                torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
