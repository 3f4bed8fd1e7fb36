"""Damaged recipes files: each is read to the same content, or refused by an error that names it."""

from __future__ import annotations

import shutil

import anndata as ad
import h5py
import numpy as np
import pytest

import repatient as rp
from repatient.io._seal import seal


@pytest.fixture(scope="module")
def recipes_file(_generated, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / "a.h5"
    rp.io.write_recipes(_generated, path)
    return path


@pytest.fixture(scope="module")
def old_file(recipes_file):
    """As the second version of the format was, without a checksum."""
    path = recipes_file.with_name("old.h5")
    with h5py.File(recipes_file) as new, h5py.File(path, "w") as old:
        for name in new:
            new.copy(name, old)
        old.attrs["format"], old.attrs["version"] = "repatient recipes", 2
    return path


def test_bytes_of_recipes_files(recipes_file, same, damaged, fuzz, read_or_refuse, tmp_path):
    content, expected, path = recipes_file.read_bytes(), rp.io.read_recipes(recipes_file), tmp_path / "mutant.h5"
    n_read = []

    def attempt(seed):
        path.write_bytes(damaged(content, np.random.default_rng(seed)))
        n_read.append(read_or_refuse(lambda: rp.io.read_recipes(path), path.name, lambda c: same(c, expected)))
        # The block in front is mostly empty: damage there is harmless, damage elsewhere is found.
        assert sum(n_read) <= 10 + len(n_read) // 20

    fuzz(300, attempt, tmp_path)


@pytest.mark.skipif(
    h5py.version.hdf5_version_tuple < (2, 0, 0), reason="this HDF5 itself may crash on damaged bytes without a checksum"
)
def test_bytes_of_files_without_a_checksum(old_file, damaged, fuzz, read_or_refuse, tmp_path):
    """What HDF5 and anndata make of damaged bytes: something of the right names, or an error."""
    content, path = old_file.read_bytes(), tmp_path / "mutant.h5"

    def check(found):
        assert {"gmm", "recipes"} <= set(found)
        assert np.isfinite(found["gmm"]["means"]).all()

    def attempt(seed):
        path.write_bytes(damaged(content, np.random.default_rng(seed)))
        read_or_refuse(lambda: rp.io.read_recipes(path), path.name, check)

    fuzz(80, attempt, tmp_path)


ODD_VALUES = (
    "text",
    b"bytes",
    7,
    -1,
    2.5,
    np.nan,
    2**62,
    True,
    np.arange(3),
    np.zeros((2, 0)),
    np.array([b"a", b"b"]),
    np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]),
    np.array(1 + 2j),
    h5py.Empty("f4"),
    np.full((6, 10), np.inf),
)
ENCODINGS = ("array", "dict", "dataframe", "string", "categorical", "csr_matrix", "anndata", "null", "", "pickle")


def edit(file, rng):
    """One change of names, types, shapes or values that HDF5 itself has nothing against."""
    names = ["/"]
    file.visit(names.append)
    name = names[rng.integers(len(names))]
    value = ODD_VALUES[rng.integers(len(ODD_VALUES))]
    action = rng.choice(["delete", "replace", "group", "attribute", "encoding", "strip", "copy", "noise"])
    if name == "/" or action in {"attribute", "encoding", "strip"}:
        attributes = file[name].attrs
        if action == "strip" and len(attributes):
            del attributes[rng.choice(list(attributes))]
        elif action == "encoding" or not len(attributes):
            attributes["encoding-type"] = str(rng.choice(ENCODINGS))
        else:
            attributes[rng.choice(list(attributes))] = value
    elif action == "copy":
        other = names[rng.integers(1, len(names))]
        file.copy(other, f"{name.rpartition('/')[0]}/another")
    elif (
        action == "noise" and isinstance(file[name], h5py.Dataset) and file[name].dtype.kind == "f" and file[name].shape
    ):
        file[name][...] = rng.choice([0.0, -1.0, 1e300, np.nan, np.inf])
    else:
        del file[name]
        if action == "replace":
            file[name] = value
        elif action == "group":
            file.create_group(name)


@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning", "ignore::RuntimeWarning")
def test_structure_of_recipes_files(recipes_file, fuzz, read_or_refuse, tmp_path):
    """Files that were written with a fitting checksum, but not by this package."""
    path = tmp_path / "mutant.h5"

    def check(found):
        assert {"gmm", "recipes"} <= set(found)

    def attempt(seed):
        shutil.copy(recipes_file, path)
        with h5py.File(path, "r+") as file:
            edit(file, np.random.default_rng(seed))
        seal(path)
        read_or_refuse(lambda: rp.io.read_recipes(path), path.name, check)

    fuzz(80, attempt, tmp_path)


def test_other_files(tmp_path):
    rng = np.random.default_rng(0)
    ad.AnnData(rng.random((5, 3))).write_h5ad(tmp_path / "a.h5ad")
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    (tmp_path / "empty").touch()
    (tmp_path / "text.h5").write_text("repatient recipes")
    (tmp_path / "zeros.h5").write_bytes(bytes(5000))
    with h5py.File(tmp_path / "block.h5", "w", userblock_size=512) as file:
        file["x"] = 1
    for name in ("a.h5ad", "a.npz", "empty", "text.h5", "zeros.h5", "block.h5"):
        with pytest.raises(ValueError, match=rf"{name}' is no recipes file|{name}' is damaged|{name}' is an HDF5 file"):
            rp.io.read_recipes(tmp_path / name)
