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
from repatient._progress import progress_bar
from repatient.get._elements import GATHERED_BLOCKS
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


def check_target(to: Any, source: Any) -> Path:
    """Accept a path that can be written to and is not that of the object itself."""
    try:
        path = Path(to)
    except TypeError as error:
        msg = f"`to` is a path that ends with '.h5ad' or '.zarr', not {type(to).__name__}."
        raise TypeError(msg) from error
    if path.suffix not in (".h5ad", ".zarr"):
        msg = f"`to` is a path that ends with '.h5ad' or '.zarr', not {str(path)!r}."
        raise ValueError(msg)
    if not path.parent.is_dir():
        msg = f"`to`: there is no folder {str(path.parent)!r}; make it first."
        raise FileNotFoundError(msg)
    if source is not None and path.resolve() == Path(source).resolve():
        msg = f"`to`: {str(path)!r} is the file that `data` reads from; write to another one."
        raise ValueError(msg)
    if path.suffix == ".h5ad" and path.is_dir():
        msg = f"`to`: {str(path)!r} is a folder, and an .h5ad is a file."
        raise IsADirectoryError(msg)
    if path.suffix == ".zarr" and path.exists():
        _check_is_zarr(path)
    return path


def write_cells(
    path: Path,
    annotation: Annotation,
    elements: list[Element],
    chunk_size: int,
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
        writers = [_writer(root, element, n_cells) for element in elements]
        for start, stop in _bounds(elements, annotation.n_real, n_cells, chunk_size):
            for writer, element in zip(writers, elements, strict=True):
                read, shift = (element.real, 0) if start < annotation.n_real else (element.generated, annotation.n_real)
                writer.append(read(start - shift, stop - shift))
            bar.update(stop - start)
        for writer in writers:
            writer.close()
        if isinstance(root, zarr.Group):
            zarr.consolidate_metadata(root.store)


def _check_is_zarr(path: Path) -> None:
    if not path.is_dir():
        msg = f"`to`: {str(path)!r} is a file, and a zarr store is a folder."
        raise NotADirectoryError(msg)
    if any(path.iterdir()) and not any((path / name).exists() for name in (".zgroup", "zarr.json")):
        msg = f"`to`: the folder {str(path)!r} is no zarr store, and would be replaced; remove it, or name another."
        raise ValueError(msg)


@contextmanager
def _open_group(path: Path) -> Iterator[Any]:
    """Root of a new file or store."""
    if path.suffix == ".h5ad":
        with h5py.File(path, "w") as file:
            yield file
    else:
        yield zarr.open_group(path, mode="w", zarr_format=ad.settings.zarr_write_format)


def _bounds(elements: list[Element], n_real: int, n_cells: int, chunk_size: int) -> Iterator[tuple[int, int]]:
    """Where blocks begin and end, none of which has real and generated cells."""
    gathered = chunk_size * (1 if all(element.direct for element in elements) else GATHERED_BLOCKS)
    for first, last, step in ((0, n_real, chunk_size), (n_real, n_cells, gathered)):
        for start in range(first, last, step):
            yield start, min(start + step, last)


def _write_annotation(root: Any, annotation: Annotation) -> None:
    root.attrs["encoding-type"], root.attrs["encoding-version"] = "anndata", "0.1.0"
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


def _writer(root: Any, element: Element, n_cells: int) -> DenseWriter | SparseWriter:
    *folder, name = element.path.split("/")
    group = root[folder[0]] if folder else root
    kind = SparseWriter if element.is_sparse else DenseWriter
    return kind(group, name, (n_cells, *element.columns), element.dtype)
