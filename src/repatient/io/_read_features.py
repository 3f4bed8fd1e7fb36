from __future__ import annotations

import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from repatient._checks import check_option, listed
from repatient._docs import shared_docs
from repatient._files._atomic import replace_when_whole
from repatient._files._target import MARK, check_target, is_marked
from repatient._progress import progress_bar
from repatient.io._file_table import READERS, UNREADABLE, find_files, match, read_rows
from repatient.io._read_arrays import Options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from anndata import AnnData

    from repatient.io._file_table import Matched
    from repatient.io._read_arrays import Content, Outline

_MOST_LISTED = 30
_CHUNK_BYTES = 1 << 20
_STORED = "read_features"


@shared_docs
def read_features(
    folder: str | PathLike[str],
    table: str | PathLike[str] | pd.DataFrame,
    *,
    file_key: str | None = None,
    patient_key: str | None = None,
    format: str | None = None,
    encoder: str | None = None,
    features: str | None = None,
    coords: str = "coords",
    compensate: bool = True,
    on_missing: str = "error",
    to: str | PathLike[str] | None = None,
    overwrite: bool = True,
    progress: bool | None = None,
) -> AnnData:
    """Read a folder with one file a slide, image, tube or sample, and a table of them, into one AnnData.

    Parameters
    ----------
    folder
        Folder with the files, also in folders below it, all of one format:

        ``.h5``, ``.hdf5``
            As CLAM and TRIDENT write them: ``features`` (n, d) or (1, n, d), ``coords`` (n, 2), attributes. In folders
            ``features_<encoder>``, features are named after the encoder.
        ``.pt``, ``.pth``
            A tensor, or a dictionary of tensors; read without executing anything (``weights_only=True``).
        ``.npy``, ``.npz``
            An array, or arrays by name.
        ``.fcs``
            Events of a tube, through ``flowio`` (``pip install 'repatient[cytometry]'``): linear values, compensated by
            the spillover that the file brings; features are named by stain, else by channel.
        ``.h5ad``
            Cells of a sample, dense or sparse; their columns of ``obs`` are kept.
        ``.parquet``, ``.csv``, ``.tsv``
            A row a cell: numeric columns are features, ``x`` and ``y`` together are its place, others go to ``obs``.
            Parquet, and Excel tables, need ``pip install 'repatient[files]'``.

        Features of shape (d,) are one image. Where CLAM left ``.h5`` and ``.pt`` files of the same slides, the former
        are read; CSV and TSV files beside files of another format are taken for descriptions of them.
    table
        CSV, TSV or Excel file, or DataFrame, with one row a file. Columns such as ``label``, ``donor`` and ``batch`` go
        to ``obs``.
    file_key
        Column of the table with names or paths of the files, with or without suffix. ``None``: the column in which most
        of their names are.
    patient_key
        Column of the table with the patient, of whom there may be several files. ``None``: ``patient``, ``patient_id``,
        ``case_id``, ``case``, ``subject``, ``donor`` or ``donor_id``, the first that there is; else each file is a patient.
    format
        Suffix of the files to read, without the point, where there are files of several formats.
    encoder
        Which of several folders ``features_<encoder>`` to read.
    features
        Name of the array with the features, by default ``features`` or the only one that there is; for ``.h5ad``
        a layer or an embedding instead of ``X``.
    coords
        Name of the array with the coordinates.
    compensate
        Compensate FCS files that bring their spillover.
    on_missing
        What to do about rows without file, files without row, duplicates, files that are empty, cannot be read or have
        another width: ``"error"`` lists them all at once; ``"skip"`` leaves them out, warns and records them.
    to
        Path of an ``.h5ad`` or ``.zarr``: features are written to it file by file, for what is larger than memory,
        and the result is opened lazily (needs ``pip install 'repatient[dask]'``). What an earlier call wrote there is
        replaced; anything else is left alone.
    overwrite
        Whether what an earlier call wrote may be replaced.
    %(progress)s

    Returns
    -------
    AnnData with the rows of all files, in the order of the table:

    ``X``
        Features, float32; sparse if those of all files are. Where files name their features (FCS, AnnData, tables)
        those that all of them have.
    ``obs``
        Columns of the table, ``patient`` and ``slide`` (the name of the file, unless the table has such a column).
    ``obsm["spatial"]``
        Coordinates, where all files have them.
    ``var["kind"]``
        For FCS, what a channel measures: ``"marker"``, ``"scatter"`` or ``"time"``.
    ``uns["read_features"]``
        ``files``: a row a file with its number of rows and attributes; ``skipped``: what was left out, and why;
        ``left_out``: features that not all files have, and how many have them.

    Raises
    ------
    FileNotFoundError
        If the folder, the table, or the folder of ``to`` does not exist.
    ImportError
        If the package that reads a format is not installed.
    KeyError
        If the table has no column of the name that was given.
    ValueError
        If there is no file to read, files and table do not fit, or ``to`` is one of the files that are read.
    FileExistsError
        If something else is at ``to``, or a link, or what is not to be overwritten.
    IsADirectoryError, PermissionError
        If ``to`` ends with ``.h5ad`` and is a folder, or must not be written to.

    See Also
    --------
    repatient.io.cohort_table : What is in the cohort, at a glance.
    repatient.pp.embed : From features to an embedding.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> import repatient as rp
    >>> folder = Path("slides")
    >>> folder.mkdir()
    >>> for name in ("a", "b"):
    ...     np.save(folder / f"{name}.npy", np.random.default_rng(0).normal(size=(5, 8)))
    >>> table = pd.DataFrame({"file": ["a", "b"], "patient": ["p1", "p2"], "label": ["low", "high"]})
    >>> adata = rp.io.read_features(folder, table)
    >>> adata.shape, adata.obs["patient"].unique().tolist()
    ((10, 8), ['p1', 'p2'])
    """
    folder = Path(folder)
    check_option(on_missing, "on_missing", ["error", "skip"])
    if not folder.is_dir():
        msg = f"`folder`: there is no folder {str(folder)!r}."
        raise FileNotFoundError(msg)
    rows = read_rows(table)
    leave_out = None if isinstance(table, pd.DataFrame) else Path(table)
    files = find_files(folder, format, encoder, leave_out)
    sources = [*files, *([] if leave_out is None else [leave_out])]
    target = None if to is None else _checked_target(Path(to), sources, overwrite=overwrite)
    options = Options(features, coords, compensate)
    matched = match(files, folder, rows, file_key, patient_key)
    outlines, problems = _look(matched, options, progress=progress)
    if problems and on_missing == "error":
        msg = (
            f"`folder` and `table` do not fit, {len(problems)} problems; mend them, or leave these out with "
            f'`on_missing="skip"`:\n{_lines(problems)}'
        )
        raise ValueError(msg)
    if not any(outline is not None for outline in outlines):
        msg = f"`folder` and `table` have no file in common that can be read:\n{_lines(problems)}"
        raise ValueError(msg)
    if problems:
        warnings.warn(f"{len(problems)} files or rows are left out:\n{_lines(problems)}", stacklevel=2)
    plan = _Plan(matched, outlines, problems, options)
    if target is not None:
        return _written(plan, target, progress=progress)
    blocks = plan.blocks(progress=progress)
    if plan.sparse:
        X: Any = sp.vstack([block for _, block in blocks], format="csr", dtype=np.float32)
    else:
        X = np.empty((plan.n_rows, len(plan.var)), dtype=np.float32)
        for start, block in blocks:
            X[start : start + len(block)] = block
    adata = plan.annotation()
    adata.X = X
    return adata


def _checked_target(path: Path, sources: list[Path], *, overwrite: bool) -> Path:
    if path.suffix not in (".h5ad", ".zarr"):
        msg = f"`to` is a path that ends with '.h5ad' or '.zarr', not {str(path)!r}."
        raise ValueError(msg)
    is_store = path.suffix == ".zarr"
    return check_target(
        path, "to", what="cohort", ours=is_marked, folder=is_store, overwrite=overwrite, sources=sources
    )


def _look(
    matched: Matched, options: Options, *, progress: bool | None
) -> tuple[list[Outline | None], list[tuple[str, str]]]:
    """Outline of each file, ``None`` for those that cannot be used, and all that is wrong."""
    problems = list(matched.problems)
    outlines: list[Outline | None] = []
    for path in progress_bar(matched.files, desc="Looking through files", enabled=progress, unit="file"):
        outline = None
        try:
            outline = READERS[path.suffix.lower().removeprefix(".")][0](path, options)
        except ImportError:
            raise
        except UNREADABLE as error:
            problems.append((path.name, f"it cannot be read: {error}"))
        if outline is not None and 0 in (outline.n_rows, outline.width):
            problems.append((path.name, "it is empty"))
            outline = None
        outlines.append(outline)
    widths = Counter(outline.width for outline in outlines if outline is not None and outline.names is None)
    if len(widths) > 1:
        usual = widths.most_common(1)[0][0]
        for i, outline in enumerate(outlines):
            if outline is not None and outline.width != usual:
                problems.append((matched.files[i].name, f"it has {outline.width} features, the others have {usual}"))
                outlines[i] = None
    return outlines, problems


def _lines(problems: list[tuple[str, str]]) -> str:
    lines = [f"- {name}: {what}" for name, what in problems[:_MOST_LISTED]]
    return "\n".join(lines + ([f"… and {len(problems) - _MOST_LISTED} more"] if len(problems) > _MOST_LISTED else []))


def _written(plan: _Plan, path: Path, *, progress: bool | None) -> AnnData:
    """Write features file by file, then everything else, and open the result lazily."""
    from importlib.util import find_spec

    if find_spec("dask") is None or find_spec("xarray") is None:
        msg = "`to`: what is written there is opened lazily by dask and xarray: `pip install 'repatient[dask]'`."
        raise ImportError(msg)
    shape, width = (plan.n_rows, len(plan.var)), len(plan.var)
    with replace_when_whole(path) as new, _opened(new) as root:
        root.attrs["encoding-type"], root.attrs["encoding-version"] = "anndata", "0.1.0"
        root.attrs[MARK] = "cohort"
        if not plan.sparse:
            chunks = (int(np.clip(_CHUNK_BYTES // (4 * width), 1, plan.n_rows)), width)
            create = root.create_dataset if isinstance(root, h5py.File) else root.create_array
            array = create("X", shape=shape, chunks=chunks, dtype=np.float32)
            array.attrs["encoding-type"], array.attrs["encoding-version"] = "array", "0.2.0"
        for start, block in plan.blocks(progress=progress):
            if not plan.sparse:
                array[start : start + len(block)] = block
            elif start == 0:
                # 64 bits: indices of later blocks reach further.
                block.indptr, block.indices = block.indptr.astype(np.int64), block.indices.astype(np.int64)
                ad.io.write_elem(root, "X", block)
            else:
                ad.io.sparse_dataset(root["X"]).append(block)
        annotation = plan.annotation()
        for name in ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns"):
            value = getattr(annotation, name)
            ad.io.write_elem(root, name, value if isinstance(value, pd.DataFrame) else dict(value))
        if not isinstance(root, h5py.File):
            import zarr

            zarr.consolidate_metadata(root.store)
    return ad.experimental.read_lazy(path)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Root of a new file or store."""
    if path.suffix == ".h5ad":
        with h5py.File(path, "w") as file:
            yield file
    else:
        import zarr

        yield zarr.open_group(path, mode="w", zarr_format=ad.settings.zarr_write_format)


class _Plan:
    """What is read from which file to which rows; filled with what only reading tells: coordinates and columns."""

    def __init__(
        self, matched: Matched, outlines: list[Outline | None], problems: list[tuple[str, str]], options: Options
    ) -> None:
        kept = [i for i, outline in enumerate(outlines) if outline is not None]
        self.outlines: list[Any] = [outlines[i] for i in kept]
        self.files = [matched.files[i] for i in kept]
        self.rows = matched.rows.iloc[kept].reset_index(drop=True)
        self.problems, self.options, self.encoder = problems, options, matched.encoder
        self.sizes = np.array([outline.n_rows for outline in self.outlines])
        self.n_rows = int(self.sizes.sum())
        self.sparse = all(outline.sparse for outline in self.outlines)
        with_coords = sum(outline.has_coords for outline in self.outlines)
        self.has_coords = with_coords == len(self.files)
        if 0 < with_coords < len(self.files):
            msg = f"Only {with_coords} of {len(self.files)} files have coordinates: there is no `obsm['spatial']`."
            warnings.warn(msg, stacklevel=4)
        self.var, self.left_out = self._features()
        self.coords: list[Any] = []
        self.columns: list[pd.DataFrame] = []
        self.names: list[str] = []

    def _features(self) -> tuple[pd.DataFrame, dict[str, int]]:
        """Features that all files have, in the order of the first one, and the others."""
        first = self.outlines[0]
        if first.names is None:
            stem = self.encoder or "feature"
            return pd.DataFrame(index=pd.Index([f"{stem}_{i}" for i in range(first.width)])), {}
        count = Counter(name for outline in self.outlines for name in outline.names)
        common = [name for name in first.names if count[name] == len(self.files)]
        left_out = {name: n for name, n in count.items() if n < len(self.files)}
        if not common:
            msg = f"`folder`: there is no feature that all {len(self.files)} files have, but {listed(left_out)}."
            raise ValueError(msg)
        if left_out:
            msg = (
                f"{len(common)} features are in all {len(self.files)} files; left out are {len(left_out)} that only "
                f"some have: {listed(f'{name} ({n})' for name, n in left_out.items())}."
            )
            warnings.warn(msg, stacklevel=4)
        var = pd.DataFrame(index=pd.Index(common))
        if first.kinds is not None:
            var["kind"] = pd.Categorical([dict(zip(first.names, first.kinds, strict=True))[name] for name in common])
        return var, left_out

    def blocks(self, *, progress: bool | None) -> Iterator[tuple[int, Any]]:
        """First row and features of each file."""
        start = 0
        files = zip(self.files, self.outlines, self.rows["slide"], strict=True)
        for path, outline, slide in progress_bar(
            files, desc="Reading", total=len(self.files), enabled=progress, unit="file"
        ):
            content: Content = READERS[path.suffix.lower().removeprefix(".")][1](path, self.options)
            X: Any = content.X
            if X.shape != (outline.n_rows, outline.width):
                msg = f"`folder`: {path.name!r} changed while it was read."
                raise ValueError(msg)
            if outline.names is not None and list(outline.names) != list(self.var.index):
                X = X[:, pd.Index(outline.names).get_indexer(self.var.index)]
            self._keep(content, slide, len(X) if isinstance(X, np.ndarray) else X.shape[0])
            yield start, X if self.sparse else (X.toarray() if sp.issparse(X) else X)
            start += X.shape[0]

    def _keep(self, content: Content, slide: str, n_rows: int) -> None:
        numbers = content.row_names if content.row_names is not None else range(n_rows)
        self.names += [f"{slide}_{number}" for number in numbers]
        self.coords.append(content.coords)
        self.columns.append(
            pd.DataFrame(index=range(n_rows)) if content.obs is None else content.obs.reset_index(drop=True)
        )

    def annotation(self) -> AnnData:
        """Everything but the features, after they were read."""
        # A column of the table stands before one of the same name in the files.
        obs = self.rows.loc[self.rows.index.repeat(self.sizes)].reset_index(drop=True)
        own = pd.concat(self.columns, ignore_index=True)
        obs = pd.concat([obs, own[own.columns.difference(obs.columns, sort=False)]], axis=1)
        obs.index = ad.utils.make_index_unique(pd.Index(self.names))
        files = pd.DataFrame([{"n_rows": outline.n_rows, **outline.attributes} for outline in self.outlines])
        files.index = pd.Index(self.rows["slide"].astype(str))
        record = {
            "files": _storable(files),
            "skipped": _storable(pd.DataFrame(self.problems, columns=["file", "reason"], dtype=str)),
            "left_out": _storable(pd.DataFrame(self.left_out.items(), columns=["feature", "n_files"])),
            "encoder": self.encoder or "",
        }
        obsm = {"spatial": np.concatenate(self.coords)} if self.has_coords else {}
        return ad.AnnData(obs=_storable(obs), var=self.var, obsm=obsm, uns={_STORED: record})


def _storable(frame: pd.DataFrame) -> pd.DataFrame:
    """Text as categories, names as h5ad and zarr hold them."""
    frame = frame.set_axis([str(column).replace("/", "|") for column in frame.columns], axis=1)
    frame.index = frame.index.astype(str)
    for column, values in frame.items():
        if values.dtype == object or isinstance(values.dtype, pd.StringDtype):
            frame[column] = values.astype(object).where(values.isna(), values.astype(str)).astype("category")
    return frame
