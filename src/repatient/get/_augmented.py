from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import mudata as md
import pandas as pd
from anndata import AnnData

from repatient import _store
from repatient._checks import check_integer, check_option, listed
from repatient._docs import shared_docs
from repatient.get._assemble import assemble_both, check_single_modality, put_below, write_both
from repatient.get._decode import read_decoder
from repatient.get._materialise import agree, check_modality_keys, draws, mark_real, materialise, without_generated
from repatient.get._write import check_cells_target

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from mudata import MuData

    from repatient.get._materialise import DrawnCells


@overload
def augmented(
    data: AnnData | MuData,
    *,
    generated_key: str = ...,
    selected: bool | None = ...,
    model: Any = ...,
    decode: bool | str = ...,
    batch: str | None = ...,
    library_size: float | None = ...,
    to: None = ...,
    overwrite: bool = ...,
    compression: str | None = ...,
    chunk_size: int = ...,
    random_state: int = ...,
    progress: bool | None = ...,
) -> AnnData | MuData: ...


@overload
def augmented(
    data: AnnData | MuData,
    *,
    generated_key: str = ...,
    selected: bool | None = ...,
    model: Any = ...,
    decode: bool | str = ...,
    batch: str | None = ...,
    library_size: float | None = ...,
    to: str | os.PathLike[str],
    overwrite: bool = ...,
    compression: str | None = ...,
    chunk_size: int = ...,
    random_state: int = ...,
    progress: bool | None = ...,
) -> Path: ...


@shared_docs
def augmented(
    data: AnnData | MuData,
    *,
    generated_key: str = _store.keys.GENERATED,
    selected: bool | None = None,
    model: Any = None,
    decode: bool | str = False,
    batch: str | None = None,
    library_size: float | None = None,
    to: str | os.PathLike[str] | None = None,
    overwrite: bool = True,
    compression: str | None = None,
    chunk_size: int = 10_000,
    random_state: int = 0,
    progress: bool | None = None,
) -> AnnData | MuData | Path:
    """Make one object of the real and the generated patients, in memory or in a file.

    Parameters
    ----------
    %(data)s
    %(generated_key)s
    selected
        ``True``: only the generated patients that :func:`repatient.tl.select` kept. ``False``: all. ``None``: the
        selected ones where a selection was made.
    %(model)s
    %(decode)s
    %(batch)s
    %(library_size)s
    to
        Path of an ``.h5ad`` file or a ``.zarr`` store to write the object to, cell by cell, instead of returning it.
        ``data`` may lie on disk (``read_h5ad(..., backed="r")``, :func:`anndata.experimental.read_lazy`, dask arrays): of
        it and of the result, only the annotation and blocks of ``chunk_size`` cells are in memory, and the embedding
        where it is decoded. The file takes the place of an earlier one of this function when it is whole; any other
        file is left alone.
    overwrite
        Whether an earlier file of this function may be replaced.
    compression
        Of the matrices of an ``.h5ad`` file, ``"gzip"`` or ``"lzf"``, as :meth:`anndata.AnnData.write_h5ad` has it: smaller
        and several times slower. A ``.zarr`` store is compressed in any case.
    chunk_size
        Cells read and written at once with ``to``. What lies on disk is read once: generated cells, which are spread over
        all real ones, wait in a temporary file beside ``to``, as large as they are without compression.
    random_state
        Seed of the counts that are drawn with ``decode``. The same seed gives the same counts on one machine, on the CPU,
        whatever the number of threads and ``chunk_size``.
    %(progress)s

    Returns
    -------
    A new object, or with ``to`` the path: the real cells as they are, then those of the generated patients as by
    :func:`repatient.get.generated`; names of patients, donors and classes that are numbers are text where those of
    generated ones are. ``obs["is_generated"]`` tells them apart; ``obs["source_patient"]`` and
    ``obs["source_cell"]`` of a real cell name itself; cells that were generated before stay so marked. ``uns`` is that of ``data`` without the generated patients;
    pairwise graphs (``obsp``) are left out, as the new cells are not in them.

    What generated cells do not have is left out for the real ones, too. Patients that were drawn as Gaussians have
    ``obsm`` of their embedding and no matrix. With ``decode``, there are ``X`` with counts (of the real cells those that
    the model was trained on), ``layers["normalized"]`` and ``obsm`` of the latent space, and no other matrix.

    Raises
    ------
    KeyError
        If there are no generated patients, or the counts or batches that the model reads are not there.
    TypeError
        If ``model`` is not of scvi-tools, a MuData is to be decoded, written or joined with Gaussians, or a column of
        ``obs`` that is to be written holds values of several types.
    ValueError
        If the generated patients belong to a mixture that was refitted since; if ``data`` lies on disk and ``to`` is not
        given to write copies of its cells to; if the model has other genes or latent
        dimensions, is not trained, or knows no such batch; if ``to`` does not end with ``.h5ad`` or ``.zarr``, is the
        file that is read, or a matrix on disk is compressed by columns; or if two variables of a MuData have one name.
    FileNotFoundError, PermissionError, IsADirectoryError
        If the folder to write to does not exist or must not be written to, or ``to`` ends with ``.h5ad`` and is a folder.
    FileExistsError
        If something else is at ``to``: a file that this function did not write, a link, a pipe, or, with
        ``overwrite=False``, anything.

    Examples
    --------
    %(example_generated)s
    >>> both = rp.get.augmented(adata, progress=False)
    >>> both.obs["patient"].nunique()
    18
    """
    _store.check_data(data)
    cells = draws(data, generated_key, selected)
    check_modality_keys(data, cells.params)
    check_integer(chunk_size, "chunk_size", minimum=1)
    if compression is not None:
        check_option(compression, "compression", ("gzip", "lzf"))
    path = None if to is None else check_cells_target(to, data, overwrite=overwrite)
    if path is None and cells.points is None and not decode and model is None:
        return _copied(data, cells, generated_key)
    data = check_single_modality(data, "`to`" if path is not None else "An object of decoded cells or Gaussians")
    decoder = read_decoder(
        data,
        cells,
        model,
        decode=decode,
        batch=batch,
        library_size=library_size,
        random_state=random_state,
        step=chunk_size,
    )
    if path is None:
        return assemble_both(data, cells, generated_key, decoder, progress)
    return write_both(data, cells, generated_key, decoder, path, chunk_size, compression, progress)


def _copied(data: AnnData | MuData, cells: DrawnCells, key: str) -> AnnData | MuData:
    """Real cells, and copies of those that were drawn."""
    if isinstance(data, AnnData) and (data.isbacked or not isinstance(data.obs, pd.DataFrame)):
        msg = "`data` lies on disk: pass a path as `to` to write the object there, or `data.to_memory()`."
        raise ValueError(msg)
    if not isinstance(data, AnnData) and not data.var_names.is_unique:
        twice = sorted(set(data.var_names[data.var_names.duplicated()]))
        msg = (
            f"`data`: variables of the same name, {listed(twice[:5])}, would be joined into one; give each a name "
            "of its own, for instance by `data.var_names_make_unique()`."
        )
        raise ValueError(msg)
    new = materialise(data, cells, key)
    real = without_generated(data, key)
    mark_real(real.obs, cells)
    agree(real, cells)
    if not isinstance(data, AnnData):
        return md.concat([real, new], join="outer", merge="first", uns_merge="first")
    raw = None if real.raw is None else put_below(real.raw.to_adata(), new.raw.to_adata())
    real.raw = new.raw = None
    joined = put_below(real, new)
    joined.raw = raw
    return joined
