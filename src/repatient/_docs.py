"""Descriptions of the parameters that functions share, written once."""

from __future__ import annotations

import functools
import textwrap
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from repatient._messages import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., object])

_SHARED = {
    "data": """\
data
    AnnData or MuData, one row a cell (or image tile, or any other instance).""",
    "use_rep": """\
use_rep
    Embedding: a key of ``obsm``, ``"X"`` for the matrix, or ``"modality:key"`` in a MuData. ``None`` is
    the embedding of :func:`repatient.pp.embed`, else ``X_pca``.""",
    "patient_key": """\
patient_key
    Column of ``obs`` with the patient (sample, bag) of each cell.""",
    "label_key": """\
label_key
    Column of ``obs`` with the class of each cell's patient. Patients without one are not learnt from.""",
    "donor_key": """\
donor_key
    Column of ``obs`` with the donor, the person behind one or several patients. ``None``: every patient
    is a donor of its own.""",
    "missing_values": """\
missing_values
    Labels that mean that a patient has none, such as ``["NA"]``; ``[]`` where a class is called so.""",
    "mask_obs": """\
mask_obs
    Boolean column of ``obs``, or array (n_obs,): fit on these cells alone, for instance on those of the
    training patients.""",
    "gmm_key": """\
gmm_key
    Where :func:`repatient.tl.gmm` or :func:`repatient.tl.assign` stored the mixture.""",
    "recipes_key": """\
recipes_key
    Where :func:`repatient.tl.recipes` stored the recipes.""",
    "generated_key": """\
generated_key
    Where :func:`repatient.tl.generate` stored the generated patients.""",
    "model": """\
model
    Trained model of scvi-tools with the network of SCVI, in whose latent space (``model.get_latent_representation()`` in
    ``obsm``) the patients were generated. It serves to decode.""",
    "decode": """\
decode
    Give the cells of generated patients expression of their own: counts drawn from the model's likelihood at their latent
    points, and the expression that it expects. ``"counts"`` leaves out the latter, which is dense.""",
    "batch": """\
batch
    Batch, as the model was set up with, that cells are decoded as. ``None``: that of a cell's source; for points of
    Gaussians, the most frequent one of the real cells that they get their numbers of counts from.""",
    "library_size": """\
library_size
    Counts that a decoded cell is to have on average. ``None``: as many as its source has; for points of Gaussians, as
    many as a random real cell of their component, whatever its class.""",
    "memory_budget": """\
memory_budget
    Bytes up to which an embedding that is not in memory (of :func:`anndata.experimental.read_lazy`, of a backed object)
    is read into it. A larger one is copied to a temporary file, of which the cells of a patient are read when they
    are needed; it is gone with the call. The folder of temporary files (``TMPDIR``) needs room for it, twice in
    training. Results are the same.""",
    "mixture_device": """\
device
    Where the mixture is computed: ``"cpu"``, a CUDA device of torch such as ``"cuda"``, or ``"auto"`` for such a device
    where there is one.""",
    "random_state": """\
random_state
    Seed. The same seed gives the same result to the bit on one machine, on the CPU, whatever the number of threads.""",
    "progress": """\
progress
    Show a progress bar. ``None``: where a person can see it.""",
    "copy": """\
copy
    Return a copy with the results instead of writing to ``data``. An object that lies in an HDF5 file (backed, or read
    lazily) cannot be copied, and a view of it not be written to.""",
    "ax": """\
ax
    Axes to draw on. ``None`` makes a figure.
show
    Show the figure at once (:func:`matplotlib.pyplot.show`). ``None`` and False leave that to you or the notebook.
save
    File to write the figure to. ``True``, or text that begins with ``_`` or ``.``, does as in scanpy: a file of the
    function's name with that suffix in ``scanpy.settings.figdir``.""",
    "example_generated": """\
>>> import repatient as rp
>>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
>>> rp.tl.gmm(adata, 5, covariance_type="diag")
>>> rp.tl.recipes(adata, patient_key="patient", label_key="label")
>>> rp.tl.generate(adata, 3)""",
    "example_recipes": """\
>>> import repatient as rp
>>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
>>> rp.tl.gmm(adata, 5, covariance_type="diag")
>>> rp.tl.recipes(adata, patient_key="patient", label_key="label")""",
    "example_mixture": """\
>>> import repatient as rp
>>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
>>> rp.tl.gmm(adata, 5, covariance_type="diag")""",
    "example_evaluated": """\
>>> import repatient as rp
>>> adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
>>> keys = {"patient_key": "patient", "label_key": "label"}
>>> results = rp.tl.evaluate(adata, **keys, methods=["mean", "size_only"], n_splits=3)""",
    "example_views": """\
>>> import mudata
>>> import repatient as rp
>>> full, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=40)
>>> panel = full[:, :30].copy()
>>> panel.X = panel.X.toarray()
>>> mdata = mudata.MuData({"panel": panel, "rna": full})""",
    "mil_parameters": """\
hidden
    Width of the cell encoder and of the head.
attention_hidden
    Width of the attention branch.
n_layers
    Layers of the cell encoder.
dropout
    Share of units dropped from the bag embedding and inside the head, in training and in Monte-Carlo passes.
learning_rate, weight_decay
    Of AdamW.
batch_size
    Bags a gradient step.
n_steps
    Gradient steps of training, each on ``batch_size`` bags (all, where there are fewer).
max_epochs
    Epochs of 10 gradient steps each, whatever the number of bags, that training takes at most; None for ``n_steps`` alone.
cells_per_step
    Cells of a bag that a gradient step sees at most, a random part of the bag, drawn anew for each step; None for all of
    them. Validation and prediction see all.
patience
    Epochs (of 10 gradient steps) without a lower validation loss after which training stops.
validation_fraction
    Share of the real bags held out, by whole groups and in proportion to the classes (grades, ranges of values); 0 for none.
class_weight
    ``"balanced"`` weighs bags inversely to the frequency of their class or grade among the training bags; values have
    none.
standardize
    Whether to give each feature mean 0 and variance 1 over the cells of the real training bags. Values more than 10
    standard deviations away are then clipped, so that a feature that hardly varies in training cannot decide alone.
n_passes
    Monte-Carlo dropout passes behind the uncertainty.
device
    Name of a torch device; ``"auto"`` takes CUDA, then MPS, then the CPU.
random_state
    Seed. On the CPU the same seed gives the same bits. None draws another one at every call.
progress
    Whether to show a progress bar; None shows it where a person can see it.""",
    "mil_attributes": """\
n_features_in_
    Features of a cell.
validation_bags_
    Indices of the real bags that were held out; empty if there were none.
n_epochs_
    Epochs run, of 10 gradient steps each.
best_epoch_
    Epoch (from 1) whose weights were kept.
early_stopped_
    Whether the patience ran out.
missing_shifts_
    By how much the logit of each class without a real bag was lowered, with its 95 % interval: tuples of code, shift, low,
    high. Of training alone, not saved.""",
}


def shared_docs(function: F) -> F:
    """Make a function or class public: put the shared descriptions in place of ``%(name)s`` in its docstring.

    A function computes under numpy's own settings of errors: a user's ``numpy.seterr(all="raise")`` is not for the
    underflows inside. With the verbosity of scanpy at ``"info"``, it says how long it took.
    """
    if function.__doc__ is not None:
        indented = {name: textwrap.indent(text, "    ").lstrip() for name, text in _SHARED.items()}
        function.__doc__ = function.__doc__ % indented
    if isinstance(function, type):
        return function
    name = f"{function.__module__.rpartition('.')[0].replace('repatient', 'rp')}.{function.__name__}"

    @functools.wraps(function)
    def public(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        with np.errstate(divide="warn", over="warn", invalid="warn", under="ignore"):
            result = function(*args, **kwargs)
        logger.info("%s: finished (%.1f s)", name, time.perf_counter() - start)
        return result

    return cast("F", public)
