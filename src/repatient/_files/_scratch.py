"""Large arrays that are written once, in order, and then read anywhere: in memory, or in a temporary file."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import DTypeLike, NDArray

# Bytes of an embedding that are read into memory unless another limit is given.
MEMORY_BUDGET = 2**30
# Rows read or computed at a time: few enough to be no memory, enough that the calls for them cost nothing.
BLOCK_ROWS = 65_536
# Values of a block of wide rows: what is computed of it finds memory that was used before, which is quicker than new one.
BLOCK_VALUES = 2**21


def blocks(n_rows: int, rows_of_a_block: int | None = None, *, width: int = 1) -> Iterator[slice]:
    """Consecutive slices of some rows, of ``BLOCK_ROWS`` where nothing else is said, of fewer if the rows are wide."""
    step = rows_of_a_block or rows_of_blocks(width)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def rows_of_blocks(width: int) -> int:
    """Rows of a block where nothing else is said."""
    return max(min(BLOCK_ROWS, BLOCK_VALUES // max(width, 1)), 1)


def is_in_file(X: Any) -> bool:
    """Whether the array lies in a file that is mapped into memory."""
    return isinstance(X, np.memmap)


def filled(
    fill: Callable[[slice], NDArray[Any]],
    shape: tuple[int, ...],
    dtype: DTypeLike,
    *,
    in_file: bool,
    rows_of_a_block: int | None = None,
) -> NDArray[Any]:
    """Array of the rows that ``fill`` gives for consecutive slices.

    Parameters
    ----------
    fill
        Gives the rows of a slice.
    shape, dtype
        Of the whole array.
    in_file
        Whether it is to lie in a temporary file without a name, which is gone with the array, even if the process is
        killed. What of the file is in memory the system can take back at any time. It is written by pieces and not
        through the mapping, so that a full disk is an error.
    rows_of_a_block
        Rows of a slice; None for those of ``blocks``.

    Raises
    ------
    OSError
        If the folder of temporary files has no room for it.
    """
    width = int(np.prod(shape[1:]))
    if not in_file or 0 in shape:
        array = np.empty(shape, dtype=dtype)
        for part in blocks(shape[0], rows_of_a_block, width=width):
            array[part] = fill(part)
        return array
    with tempfile.TemporaryFile(prefix="repatient-") as file:
        for part in blocks(shape[0], rows_of_a_block, width=width):
            file.write(np.ascontiguousarray(fill(part), dtype=dtype).data)
        file.flush()
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def stacked(above: NDArray[Any], below: NDArray[Any]) -> NDArray[Any]:
    """Rows of two arrays, one below the other; in a temporary file where the first lies in one."""
    n_above = len(above)

    def rows_of(part: slice) -> NDArray[Any]:
        rest = slice(max(part.start - n_above, 0), max(part.stop - n_above, 0))
        return np.concatenate([above[part], below[rest]])

    if not is_in_file(above):
        return np.concatenate([above, below])
    shape = (n_above + len(below), *above.shape[1:])
    return filled(rows_of, shape, np.result_type(above, below), in_file=True)
