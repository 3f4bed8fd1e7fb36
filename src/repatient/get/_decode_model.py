"""What a model of scvi-tools expects, and whether an object has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_option, listed

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class CodedModel:
    """A model and where its input is.

    Parameters
    ----------
    module
        The network.
    columns
        Position in the model of each gene of the object, (n_vars,).
    layer
        Layer with the counts; ``None`` for ``X``.
    batch_key
        Column of ``obs`` with the batch; ``None`` where the model was set up without.
    batches
        Batches as the column has them, in the order of the model.
    """

    module: Any
    columns: NDArray[np.int64]
    layer: str | None
    batch_key: str | None
    batches: NDArray[Any]

    @property
    def n_latent(self) -> int:
        """Latent dimensions."""
        return int(self.module.n_latent)

    @property
    def device(self) -> Any:
        """Where the network is."""
        return self.module.device

    def counts(self, data: AnnData) -> Any:
        """Matrix of counts of an object."""
        return data.X if self.layer is None else data.layers[self.layer]

    def batches_of(self, obs: pd.DataFrame, batch: str | None) -> NDArray[np.int64]:
        """Batch of each cell as the model numbers them, (n_obs,); of all cells the same where one is named."""
        names = [str(name) for name in self.batches]
        if batch is not None:
            if self.batch_key is None:
                msg = f"`batch`: the model was set up without batches, so that there is no {batch!r}."
                raise ValueError(msg)
            check_option(str(batch), "batch", names)
            return np.full(len(obs), names.index(str(batch)))
        if self.batch_key is None:
            return np.zeros(len(obs), dtype=np.int64)
        if self.batch_key not in obs:
            msg = (
                f"`batch`: the model reads batches from `obs[{self.batch_key!r}]`, which is not there; name one of "
                f"{listed(names)} for all cells."
            )
            raise KeyError(msg)
        column = pd.Series(_store.as_names(obs[self.batch_key], "batch"))
        codes = pd.Index(names).get_indexer(column)
        if (codes < 0).any():
            msg = (
                f"`batch`: the model does not know the batches {listed(column[codes < 0].unique())}, only "
                f"{listed(names)}; name one of these for all cells."
            )
            raise ValueError(msg)
        return codes.astype(np.int64)

    def decode(
        self, points: NDArray[np.floating], batches: NDArray[np.int64], library_sizes: NDArray[np.float64]
    ) -> Any:
        """Distribution of the counts of cells at some points."""
        import torch

        was_training = self.module.training
        self.module.eval()
        found = self.module.generative(
            # Numbers of another byte order are unknown to torch.
            z=torch.from_numpy(np.array(points, dtype=np.float32)),
            library=torch.tensor(np.log(library_sizes)[:, None], dtype=torch.float32),
            batch_index=torch.tensor(batches[:, None]),
        )
        self.module.train(was_training)
        return found["px"]


def read_model(model: Any, data: AnnData) -> CodedModel:
    """Check that a model can decode points, and that an object has the genes and counts that it was set up with."""
    if model is None:
        msg = "`decode`: there is no `model` to decode with; pass a trained model of scvi-tools, such as `scvi.model.SCVI`."
        raise ValueError(msg)
    _check_kind(model)
    registry = model.adata_manager.data_registry
    layer = str(registry["X"]["attr_key"]) if registry["X"]["attr_name"] == "layers" else None
    if layer is not None and layer not in data.layers:
        msg = f"`model` reads counts from `layers[{layer!r}]`, which is not there; there are {listed(data.layers)}."
        raise KeyError(msg)
    if layer is None and data.X is None:
        msg = "`model` reads counts from `X`, and `data` has none."
        raise KeyError(msg)
    state = model.adata_manager.get_state_registry("batch")
    batches = np.asarray(state["categorical_mapping"])
    key = str(state["original_key"])
    return CodedModel(
        model.module, _columns(model, data), layer, None if key == registry["batch"]["attr_key"] else key, batches
    )


def _check_kind(model: Any) -> None:
    from scvi.module import VAE

    module = getattr(model, "module", None)
    if not isinstance(module, VAE):
        msg = f"`model` is a model of scvi-tools with the network of SCVI (`scvi.model.SCVI`), not {type(model).__name__}."
        raise TypeError(msg)
    if not model.is_trained:
        msg = "`model` is not trained; call `model.train()` first."
        raise ValueError(msg)
    if model.adata_manager is None:
        msg = "`model` was set up without an AnnData, so that its genes and batches are not known; load it with one."
        raise ValueError(msg)
    statistics = model.summary_stats
    unfit = {
        "continuous covariates": statistics.get("n_extra_continuous_covs", 0) > 0,
        "categorical covariates": statistics.get("n_extra_categorical_covs", 0) > 0,
        "size factors": module.use_size_factor_key,
        "dispersion='gene-label'": module.dispersion == "gene-label",
        "gene_likelihood='normal', which has no counts": module.gene_likelihood == "normal",
    }
    found = [name for name, is_so in unfit.items() if is_so]
    if found:
        msg = (
            f"`model` was set up with {' and '.join(found)}: what a generated cell would have there is not known. Train "
            "one with a batch alone (`setup_anndata(adata, batch_key=...)`)."
        )
        raise ValueError(msg)


def _columns(model: Any, data: AnnData) -> NDArray[np.int64]:
    genes = pd.Index(np.asarray(model.get_var_names(), dtype=str))
    columns = genes.get_indexer(data.var_names.astype(str))
    unknown = data.var_names[columns < 0]
    absent = genes.difference(data.var_names.astype(str))
    if len(unknown) or len(absent):
        msg = (
            f"`model` has other genes than `data`: {len(unknown)} of `data` are unknown to it, {listed(unknown, 3)}, "
            f"and {len(absent)} of its own are missing, {listed(absent, 3)}. Take the genes of the model, "
            "`data[:, model.get_var_names()]`."
        )
        raise ValueError(msg)
    return columns
