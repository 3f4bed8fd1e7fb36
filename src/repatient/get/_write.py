"""Write real and generated cells to a file, block by block."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import zarr

from repatient._files._atomic import replace_when_whole
from repatient._files._target import MARK, check_target, files_behind, is_marked
from repatient._progress import progress_bar
from repatient.get._write_matrices import DenseWriter, SparseWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from repatient.get._elements import Element


@dataclass(frozen=True, eq=False)
class Annotation:
    """All of the result that is held in memory.

    Parameters
    ----------
    n_real
        Real cells, which come first in ``obs``.
    obs
        Table of all cells.
    others
        ``var``, ``varm``, ``varp``, ``uns``, by name.
    tables
        Tables of ``obsm``, of all cells.
    raw
        ``var`` and ``varm`` of the raw matrix, where there is one.
    """

    n_real: int
    obs: pd.DataFrame
    others: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    raw: dict[str, Any]


def check_cells_target(to: Any, data: Any, *, overwrite: bool) -> Path:
    """Accept a path that can be written to, which is not one that the object reads from."""
    try:
        path = Path(to)
    except TypeError as error:
        msg = f"`to` is a path that ends with '.h5ad' or '.zarr', not {type(to).__name__}."
        raise TypeError(msg) from error
    if path.suffix not in (".h5ad", ".zarr"):
        msg = f"`to` is a path that ends with '.h5ad' or '.zarr', not {str(path)!r}."
        raise ValueError(msg)
    parts = (getattr(data, name, None) for name in ("X", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "raw"))
    sources = files_behind(*parts, *([data.filename] if getattr(data, "filename", None) else []))
    return check_target(
        path,
        "to",
        what="augmented cohort",
        ours=is_marked,
        folder=path.suffix == ".zarr",
        overwrite=overwrite,
        sources=sources,
    )


def write_cells(
    path: Path,
    annotation: Annotation,
    elements: list[Element],
    chunk_size: int,
    compression: str | None,
    progress: bool | None,  # noqa: FBT001
) -> None:
    """Write a file that takes the place of an earlier one when it is whole."""
    n_cells = len(annotation.obs)
    with (
        replace_when_whole(path) as temporary,
        _open_group(temporary) as root,
        progress_bar(desc=f"writing {path.name}", total=n_cells, enabled=progress, unit="cell") as bar,
    ):
        _write_annotation(root, annotation)
        writers = [_writer(root, element, n_cells, compression) for element in elements]
        for start, stop in _bounds(annotation.n_real, n_cells, chunk_size):
            for writer, element in zip(writers, elements, strict=True):
                read, shift = (element.real, 0) if start < annotation.n_real else (element.generated, annotation.n_real)
                writer.append(read(start - shift, stop - shift))
            bar.update(stop - start)
        for writer in writers:
            writer.close()
        if isinstance(root, zarr.Group):
            zarr.consolidate_metadata(root.store)


@contextmanager
def _open_group(path: Path) -> Iterator[Any]:
    """Root of a new file or store."""
    if path.suffix == ".h5ad":
        with h5py.File(path, "w") as file:
            yield file
    else:
        yield zarr.open_group(path, mode="w", zarr_format=ad.settings.zarr_write_format)


def _bounds(n_real: int, n_cells: int, chunk_size: int) -> Iterator[tuple[int, int]]:
    """Where blocks begin and end, none of which has real and generated cells."""
    for first, last in ((0, n_real), (n_real, n_cells)):
        for start in range(first, last, chunk_size):
            yield start, min(start + chunk_size, last)


def _write_annotation(root: Any, annotation: Annotation) -> None:
    root.attrs["encoding-type"], root.attrs["encoding-version"] = "anndata", "0.1.0"
    root.attrs[MARK] = "augmented cohort"
    frame = ad.AnnData(obs=annotation.obs)
    frame.strings_to_categoricals()
    ad.io.write_elem(root, "obs", frame.obs)
    for name, value in annotation.others.items():
        ad.io.write_elem(root, name, value)
    for name in ("layers", "obsp"):
        ad.io.write_elem(root, name, {})
    ad.io.write_elem(root, "obsm", annotation.tables)
    if annotation.raw:
        raw = root.create_group("raw")
        raw.attrs["encoding-type"], raw.attrs["encoding-version"] = "raw", "0.1.0"
        for name, value in annotation.raw.items():
            ad.io.write_elem(raw, name, value)


def _writer(root: Any, element: Element, n_cells: int, compression: str | None) -> DenseWriter | SparseWriter:
    *folder, name = element.path.split("/")
    group = root[folder[0]] if folder else root
    kind = SparseWriter if element.is_sparse else DenseWriter
    return kind(group, name, (n_cells, *element.columns), element.dtype, compression)
