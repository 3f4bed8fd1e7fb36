"""Damaged models and results of evaluations."""

from __future__ import annotations

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

    fuzz(range(150), attempt, tmp_path)


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


@pytest.mark.parametrize("make", [bag_model, translator, encoder])
def test_descriptions_of_models(make, fuzz, read_or_refuse, tmp_path):
    """Descriptions with a fitting checksum that this package would not have written."""
    model, predict = make()
    folder = tmp_path / "model"
    model.save(folder)
    (path,) = folder.glob("*.json")
    content = {name: value for name, value in json.loads(path.read_text()).items() if name != SEAL}

    def attempt(seed):
        rng = np.random.default_rng(seed)
        name = rng.choice(sorted(content))
        write_sealed(path, content | {name: changed(content[name], rng)})
        read_or_refuse(lambda: type(model).load(folder, device="cpu"), "model", lambda read: None)

    fuzz(range(100), attempt, tmp_path)


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

    fuzz(range(200), attempt, tmp_path)
