"""Damaged models and results of evaluations."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from repatient._files._sealed_json import SEAL, write_sealed
from repatient.evaluation._checkpoint import Checkpoint
from repatient.mil import Bags, MILClassifier
from repatient.views import Encoder, Translator


def bag_model():
    rng = np.random.default_rng(0)
    bags = Bags.from_codes(rng.standard_normal((240, 4)).astype(np.float32), np.arange(240) % 12, 12)
    model = MILClassifier(max_epochs=1, hidden=4, attention_hidden=4).fit(bags, np.arange(12) % 2)
    return model, lambda one: one.predict_proba(bags)


def translator():
    X = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    pairs = np.stack([np.arange(60)] * 2, axis=1)
    return Translator(n_steps=2, device="cpu", progress=False).fit(X, X[:, :3], pairs), lambda one: one.translate(X)


def encoder():
    X = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    settings = {"dim": 4, "width": 8, "projection": 8, "n_steps": 2, "evaluate_every": 1, "progress": False}
    return Encoder(**settings, device="cpu").fit(X, X[:, :3]), lambda one: one.embed(X)


@pytest.mark.parametrize("make", [bag_model, translator, encoder])
def test_bytes_of_models(make, damaged, fuzz, read_or_refuse, tmp_path):
    model, predict = make()
    folder = tmp_path / "model"
    model.save(folder)
    files = {entry.name: entry.read_bytes() for entry in folder.iterdir()}
    expected = predict(model)

    def attempt(seed):
        rng = np.random.default_rng(seed)
        name = rng.choice(sorted(files))
        (folder / name).write_bytes(damaged(files[name], rng))
        read_or_refuse(
            lambda: type(model).load(folder, device="cpu"),
            name,
            lambda read: np.testing.assert_array_equal(predict(read), expected),
        )
        (folder / name).write_bytes(files[name])

    fuzz(60, attempt, tmp_path)


def changed(value, rng):
    """JSON with one value somewhere in it replaced."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(sorted(value))
        return value | {name: changed(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        i = rng.integers(len(value))
        return [*value[:i], changed(value[i], rng), *value[i + 1 :]]
    odd = [None, True, -1, 0, 3, 2.5, "text", "", [], {}, [1, "a"], {"a": 1}, "<f8", "O"]
    return odd[rng.integers(len(odd))]


def reshaped(array, rng):
    """An array of another shape, type or content."""
    odd = [
        lambda: array.astype(rng.choice(["f8", "f2", "i8", "u1", "?"])),
        lambda: array.ravel()[: rng.integers(array.size + 1)],
        lambda: np.zeros((0, *array.shape), array.dtype),
        lambda: np.broadcast_to(array, (2, *array.shape)).copy(),
        lambda: array.T.copy(),
        lambda: -np.abs(array) - 1,
        lambda: np.full_like(array, rng.choice([0, 1e30, np.nan]) if array.dtype.kind == "f" else 7),
        lambda: np.array(["text"]),
    ]
    return odd[rng.integers(len(odd))]()


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("make", [bag_model, translator, encoder])
def test_contents_of_models(make, fuzz, read_or_refuse, tmp_path):
    """Descriptions and arrays with fitting checksums that this package would not have written."""
    model, predict = make()
    folder = tmp_path / "model"
    model.save(folder)
    (path,) = folder.glob("*.json")
    content = {name: value for name, value in json.loads(path.read_text()).items() if name != SEAL}
    with np.load(folder / "weights.npz") as stored:
        arrays = dict(stored)

    def attempt(seed):
        rng = np.random.default_rng(seed)
        given, new = dict(arrays), dict(content)
        if seed % 2:
            name = rng.choice(sorted(arrays))
            given[name] = reshaped(arrays[name], rng)
        else:
            name = rng.choice(sorted(content))
            new[name] = changed(content[name], rng)
        np.savez(folder / "weights.npz", **given)
        if seed % 2:
            new["shapes"] = {name: list(array.shape) for name, array in given.items()}
            new["weights_sha256"] = hashlib.sha256((folder / "weights.npz").read_bytes()).hexdigest()
        write_sealed(path, new)
        # What is read can be used.
        read_or_refuse(lambda: type(model).load(folder, device="cpu"), "model", predict)

    fuzz(80, attempt, tmp_path)


def test_bytes_of_checkpoints(damaged, fuzz, read_or_refuse, tmp_path):
    path, params, methods = tmp_path / "results.json", {"seed": 0}, {"none": {}}
    kept = Checkpoint(path, params, methods)
    for split in range(5):
        kept.add(split, {"none": {"auroc": 0.1 * split, "brier": 0.25}})
    content = path.read_bytes()

    def check(found):
        assert found.results == kept.results

    def attempt(seed):
        path.write_bytes(damaged(content, np.random.default_rng(seed)))
        read_or_refuse(lambda: Checkpoint(path, params, methods), path.name, check)

    fuzz(80, attempt, tmp_path)
