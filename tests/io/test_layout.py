"""What HDF5 itself would hang or crash on, or takes for arrays of any size, is refused before it sees the file."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest

from repatient.io._layout import Odd, check_layout

OFFSET = 512


@pytest.fixture
def content(tmp_path):
    """Groups, numbers, yes and no, texts and nothing, as anndata writes them."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=OFFSET, libver="earliest") as file:
        file.attrs["format"] = "a text"
        for number in range(40):
            group = file.create_group(f"group {number}")
            group.attrs["encoding-type"] = "dict"
        group["f8"], group["i4"], group[">f4"] = np.zeros((2, 3)), np.arange(4, dtype="i4"), np.ones(3, ">f4")
        group["yes"], group["nothing"], group["none"] = np.array([True, False]), h5py.Empty("f4"), np.zeros((0, 3))
        group["texts"] = np.array(["one", "", "three"], dtype=object)
        group["text"], group["number"] = "text", 2.5
        del file["group 3"]
    return bytearray(path.read_bytes())


def refused(content):
    with pytest.raises(Odd) as found:
        check_layout(memoryview(bytes(content)), OFFSET)
    return str(found.value)


def test_files_of_these_structures_are_accepted(content):
    check_layout(memoryview(bytes(content)), OFFSET)


def test_an_object_of_no_length_in_a_heap_of_texts(content):
    """HDF5 looks for its end for ever."""
    start = content.index(b"GCOL")
    struct.pack_into("<HHIQ", content, start + 16, 0, 0, 0, 0)
    assert "heap of texts" in refused(content)


def test_a_group_that_holds_itself(content):
    table = content.index(b"SNOD")
    root = content[OFFSET + 64 : OFFSET + 72]
    content[table + 16 : table + 24] = root
    assert "used twice" in refused(content)


def test_an_array_larger_than_the_file(content):
    content[:] = content.replace(struct.pack("<QQ", 2, 3), struct.pack("<QQ", 2**31, 2**30))
    assert refused(content) in {"an array larger than the file", "a shape that is none"}


def test_a_number_of_another_type(content):
    content[:] = content.replace(bytes.fromhex("11203f000800000000004000"), bytes.fromhex("11203f000800000000008000"))
    assert refused(content) == "numbers of another type"


def test_texts_longer_than_the_file(content):
    start = content.index(b"GCOL")
    content[:] = content.replace(
        struct.pack("<IQI", 5, start - OFFSET, 0)[:12], struct.pack("<IQ", 2**20, start - OFFSET)
    )
    assert "text" in refused(content)


def test_what_is_cut_off(content):
    for length in range(OFFSET, len(content), 499):
        refused(content[:length])


KINDS = {
    "chunks": lambda file: file.create_dataset("x", (10,), "f8", chunks=(2,)),
    "a link": lambda file: file.__setitem__("x", h5py.SoftLink("/y")),
    "a file elsewhere": lambda file: file.create_dataset("x", (3,), "f8", external=[("a", 0, 24)]),
    "complex numbers": lambda file: file.__setitem__("x", np.zeros(2, complex)),
    "texts of one width": lambda file: file.__setitem__("x", np.array([b"a"])),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_file_of_this_package_has(tmp_path, kind):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file["y"] = np.zeros(2)
        KINDS[kind](file)
    with pytest.raises(Odd):
        check_layout(memoryview(path.read_bytes()), 0)


def test_structures_of_another_version_of_hdf5(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["y"] = np.zeros(2)
    with pytest.raises(Odd, match="superblock"):
        check_layout(memoryview(path.read_bytes()), 0)
