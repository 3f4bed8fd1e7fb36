from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from repatient.views import Translator

QUICK = {"width": 8, "progress": False, "device": "cpu"}


def digit_tiles(seed: int):
    """Digits over clutter in three channels, the same digits clean in one, and what they are."""
    rng = np.random.default_rng(seed)
    digits = load_digits()
    order = rng.permutation(len(digits.target))
    clean = np.kron(digits.images[order] / 16, np.ones((2, 2))).astype(np.float32)[:, None]
    n = len(clean)
    clutter = np.roll(clean[rng.permutation(n)], (5, 6), axis=(2, 3)) * (rng.random(clean.shape) < 0.5)
    ground, ink = rng.uniform(0, 0.4, size=(n, 3, 1, 1)), rng.uniform(0.6, 1, size=(n, 3, 1, 1))
    seen = ground + (ink - ground) * clean + rng.uniform(-0.3, 0.3, size=(n, 3, 1, 1)) * clutter
    seen += rng.normal(scale=0.15, size=seen.shape)
    return seen.astype(np.float32), clean, digits.target[order]


@pytest.fixture(scope="module")
def tiles():
    return digit_tiles(0)


def error_as_read(translator, seen, clean, labels, of, test):
    """Error of a reader of clean digits on translated ones."""
    reader = KNeighborsClassifier(3).fit(clean[of].reshape(len(clean[of]), -1), labels[of])
    made = translator.translate(seen[test])
    return 1 - reader.score(made.reshape(len(made), -1), labels[test])


def test_pairs_of_images(tiles):
    seen, clean, labels = tiles
    pairs = np.column_stack([np.arange(150)] * 2)
    translator = Translator(**QUICK, n_steps=250).fit(seen[:200], clean[:200], pairs=pairs)
    assert translator.generator_ == "regression"
    made = translator.translate(seen[1200:1400])
    assert np.abs(made - clean[1200:1400]).mean() < 0.12
    assert error_as_read(translator, seen, clean, labels, slice(0, 600), slice(1200, 1500)) < 0.2


def test_unpaired_images_come_to_look_like_the_target(tiles):
    seen, clean, _ = tiles
    translator = Translator(**QUICK, n_steps=60).fit(seen[:200], clean[200:400])
    assert translator.generator_ == "cyclegan"
    assert "no pairs" in translator.reason_
    made = translator.translate(seen[400:500])
    assert made.shape == (100, 1, 16, 16)
    assert made.min() >= 0
    assert made.max() <= 1
    # Where the digits are must survive: far above what a translation of other tiles would give.
    alike = [np.corrcoef(made[i].ravel(), clean[400 + i].ravel())[0, 1] for i in range(100)]
    other = [np.corrcoef(made[i].ravel(), clean[500 + i].ravel())[0, 1] for i in range(100)]
    assert np.mean(alike) > np.mean(other) + 0.15
    assert translator.cycle_error(seen[400:410]) > 0


def test_images_of_64_pixels_and_three_channels(tmp_path):
    rng = np.random.default_rng(0)
    a = np.kron(rng.random((12, 3, 8, 8)), np.ones((8, 8))).astype(np.float32)
    b = 255 * (1 - np.kron(rng.random((10, 3, 8, 8)), np.ones((8, 8)))).astype(np.float32)
    translator = Translator(**QUICK, n_steps=3, batch_size=2).fit(a, b, pairs=[[0, 1], [2, 2]])
    made = translator.translate(a)
    assert made.shape == a.shape
    assert made.max() > 2
    again = Translator(**QUICK, n_steps=3, batch_size=2).fit(a, b, pairs=[[0, 1], [2, 2]])
    np.testing.assert_array_equal(again.translate(a), made)
    translator.save(tmp_path / "model")
    np.testing.assert_array_equal(Translator.load(tmp_path / "model", device="cpu").translate(a), made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: np.moveaxis(x, 1, -1), "channels last"),
        (lambda x: x[:, :, :14], "divisible by 4"),
        (lambda x: x[:, 0], "vectors .* or images"),
        (lambda x: x[:, :, :8, :8], "resize one of the two"),
    ],
)
def test_bad_images(tiles, change, message):
    seen, clean, _ = tiles
    with pytest.raises(ValueError, match=message):
        Translator(**QUICK, n_steps=1).fit(change(seen[:20]), clean[:20])


def test_links_are_for_vectors(tiles):
    seen, clean, _ = tiles
    with pytest.raises(ValueError, match="`links` join features of vectors"):
        Translator(**QUICK, n_steps=1).fit(seen[:20], clean[:20], links=[[0, 0]])


def test_networks_of_monai(tiles):
    pytest.importorskip("monai")
    seen, clean, _ = tiles
    translator = Translator(**QUICK, networks="monai", n_steps=2, batch_size=4).fit(seen[:20], clean[20:40])
    assert translator.translate(seen[:3]).shape == (3, 1, 16, 16)
