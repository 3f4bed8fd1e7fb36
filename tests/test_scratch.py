from __future__ import annotations

import tempfile

import numpy as np
import pytest

from repatient._files import _scratch
from repatient._files._scratch import blocks, filled, is_in_file, stacked

ROWS = np.random.default_rng(0).standard_normal((1000, 3)).astype(np.float32)


@pytest.mark.parametrize("n_rows", [0, 1, 7, 8, 9])
def test_blocks_cover_all_rows_once(n_rows):
    assert [row for part in blocks(n_rows, 4) for row in range(part.start, part.stop)] == list(range(n_rows))


def test_blocks_of_wide_rows_are_smaller():
    widths = (0, 1, 32, 1024, 10**9)
    assert [next(blocks(10**6, width=width)).stop for width in widths] == [65_536, 65_536, 65_536, 2048, 1]


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("shape", [(1000, 3), (1000,), (0, 3)])
def test_arrays_are_what_was_filled_in(in_file, shape):
    expected = np.resize(ROWS, shape)
    array = filled(lambda part: expected[part], shape, np.float32, in_file=in_file, rows_of_a_block=64)
    assert is_in_file(array) == (in_file and 0 not in shape)
    np.testing.assert_array_equal(array, expected)


def test_rows_of_another_type_and_order_are_converted():
    columns_first = np.asfortranarray(ROWS.astype(np.float64))
    array = filled(lambda part: columns_first[part], ROWS.shape, np.float32, in_file=True, rows_of_a_block=64)
    np.testing.assert_array_equal(array, ROWS)


def test_arrays_in_a_file_can_be_written_to_and_leave_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = filled(lambda part: ROWS[part], ROWS.shape, np.float32, in_file=True)
    array[5:9] = 2.0
    assert (array[5:9] == 2.0).all()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("n_above", [1000, 64, 1])
def test_stacked_rows(in_file, n_above, monkeypatch):
    monkeypatch.setattr(_scratch, "BLOCK_ROWS", 64)
    below = ROWS[::-1].astype(np.float64)
    above = filled(lambda part: ROWS[part], (n_above, 3), np.float32, in_file=in_file)
    both = stacked(above, below)
    assert is_in_file(both) == in_file
    assert both.dtype == np.float64
    np.testing.assert_array_equal(both, np.concatenate([ROWS[:n_above], below]))


def test_a_folder_that_is_not_there_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError):
        filled(lambda part: ROWS[part], ROWS.shape, np.float32, in_file=True)
