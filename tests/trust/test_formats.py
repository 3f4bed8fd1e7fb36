"""Folders and files of earlier versions are read, what is damaged is refused, what is the user's is kept."""

from __future__ import annotations

import json
import os
import signal

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import zarr

import repatient as rp
from repatient._files import _atomic
from repatient._files._sealed_json import SEAL, write_sealed
from repatient._files._target import MARK
from repatient.evaluation._checkpoint import Checkpoint
from repatient.mil import Bags, MILClassifier

N_READS = int(os.environ.get("REPATIENT_TRUST", "60"))


@pytest.fixture(scope="module")
def bags():
    X = np.random.default_rng(0).standard_normal((240, 4)).astype(np.float32)
    return Bags.from_codes(X, np.arange(240) % 12, 12)


@pytest.fixture(scope="module")
def model(bags):
    return MILClassifier(max_epochs=1, hidden=4, attention_hidden=4).fit(bags, np.arange(12) % 2)


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def description(folder):
    return {name: value for name, value in json.loads((folder / "model.json").read_text()).items() if name != SEAL}


def test_a_model_of_the_first_version_is_read(model, saved, bags):
    content = description(saved) | {"format_version": 1}
    (saved / "model.json").write_text(json.dumps(content))
    np.testing.assert_array_equal(MILClassifier.load(saved).predict_proba(bags), model.predict_proba(bags))


def test_an_edited_description_is_refused(saved):
    content = json.loads((saved / "model.json").read_text())
    content["fitted"]["temperature_"] = 3.0
    (saved / "model.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"model\.json is damaged or was edited: its checksum.*Copy it again"):
        MILClassifier.load(saved)


def test_weights_that_are_not_finite_are_refused(saved):
    import hashlib

    with np.load(saved / "weights.npz") as archive:
        arrays = dict(archive)
    arrays["mean"] = np.full_like(arrays["mean"], np.nan)
    np.savez(saved / "weights.npz", **arrays)
    digest = hashlib.sha256((saved / "weights.npz").read_bytes()).hexdigest()
    write_sealed(saved / "model.json", description(saved) | {"weights_sha256": digest})
    with pytest.raises(ValueError, match=r"weights\.npz: the array 'mean' has NaN"):
        MILClassifier.load(saved)


def test_a_folder_keeps_the_files_of_its_user(model, saved):
    (saved / "notes.txt").write_text("mine")
    (saved / "figures").mkdir()
    (saved / "figures" / "a.txt").write_text("mine, too")
    model.save(saved)
    assert (saved / "notes.txt").read_text() == "mine"
    assert (saved / "figures" / "a.txt").read_text() == "mine, too"
    assert MILClassifier.load(saved).get_params()["hidden"] == 4


def test_a_folder_that_was_set_aside_comes_back_when_it_is_read(model, saved, bags, child):
    """Where two names cannot be exchanged, a kill between two renames leaves nothing at the path."""
    expected = model.predict_proba(bags)
    rename = type(saved).rename

    def set_aside_and_die(path, target):
        rename(path, target)
        if path == saved:
            os.kill(os.getpid(), signal.SIGKILL)

    def save(_):
        _atomic._exchange = lambda *_: False
        type(saved).rename = set_aside_and_die
        model.save(saved)

    started = child(save)
    assert started.hear() is None
    assert started.wait() == signal.SIGKILL
    assert not saved.exists()
    np.testing.assert_array_equal(MILClassifier.load(saved).predict_proba(bags), expected)


def test_results_of_the_first_version_are_read(tmp_path):
    path, results = tmp_path / "results.json", {"0": {"none": {"auroc": 0.5}}}
    path.write_text(json.dumps({"params": {"seed": 0}, "methods": {"none": {}}, "results": results}))
    assert Checkpoint(path, {"seed": 0}, {"none": {}}).results == {0: {"none": {"auroc": 0.5}}}


def test_a_model_that_is_saved_meanwhile_is_read_as_one(tiny, keys, child, tmp_path):
    """`use_rep` stands in another file than the network: what is read is of one model, however many are saved."""
    folder, models = tmp_path / "model", []
    for seed in (0, 1):
        models.append(rp.tl.mil(tiny.copy(), **keys, model="mean", random_state=seed))
        models[seed].use_rep = f"X_{seed}"
    models[0].save(folder)

    def save(tell):
        tell("begun")
        for i in range(10**9):
            models[i % 2].save(folder)

    started = child(save)
    try:
        assert started.hear() == "begun"
        found = [rp.tl.PatientClassifier.load(folder, device="cpu") for _ in range(N_READS)]
    finally:
        started.kill()
    pairs = {(model.use_rep, model.classifier.random_state) for model in found}
    assert pairs == {("X_0", 0), ("X_1", 1)}


@pytest.mark.parametrize("extension", ["h5ad", "zarr"])
def test_what_is_read_lazily_is_not_written_over(tiny, tmp_path, extension):
    path, other = tmp_path / f"a.{extension}", tmp_path / f"b.{extension}"
    tiny.layers["counts"] = sp.csr_matrix(np.round(3 * tiny.X))
    rp.get.augmented(tiny, to=path, progress=False)
    lazy = ad.experimental.read_lazy(path)
    for name in ("gmm", "recipes"):
        lazy.uns[name] = tiny.uns[name]
    rp.tl.gmm(lazy, 2)
    rp.tl.recipes(lazy, patient_key="patient", label_key="label")
    rp.tl.generate(lazy, 1)
    with pytest.raises(ValueError, match="`to`"):
        rp.get.augmented(lazy, to=path, progress=False)
    rp.get.augmented(lazy, to=other, progress=False)
    assert MARK in (h5py.File(other) if extension == "h5ad" else zarr.open_group(other, mode="r")).attrs


@pytest.mark.parametrize("changes", [{"results": {}}, {"version": 3}, {"format": "thesis"}])
def test_changed_results_are_refused(tmp_path, changes):
    path = tmp_path / "results.json"
    Checkpoint(path, {}, {"none": {}}).add(0, {"none": {"auroc": 0.5}})
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=r"`checkpoint`: .*results\.json is no file of an evaluation, or is damaged"):
        Checkpoint(path, {}, {"none": {}})


def test_where_no_results_can_be_kept(tmp_path):
    with pytest.raises(IsADirectoryError, match="`checkpoint`.*is a folder"):
        Checkpoint(tmp_path, {}, {})
    with pytest.raises(FileNotFoundError, match="`checkpoint`: there is no folder"):
        Checkpoint(tmp_path / "nowhere" / "results.json", {}, {})
