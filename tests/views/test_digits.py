"""The claim at the size of a test: synthetic partners from unpaired tiles against a single modality."""

from __future__ import annotations

import numpy as np
import pytest

from repatient.views import Encoder, Translator, probe_errors


@pytest.fixture(scope="module")
def benchmark(load_benchmark):
    return load_benchmark("views_digits")


def test_synthetic_partners_teach_an_encoder_to_see_digits_in_clutter(benchmark):
    tiles = benchmark.make_tiles(0)
    training, others, test = slice(300), slice(400, 700), slice(1200, None)
    translator = Translator("cyclegan", n_steps=100, device="cpu", progress=False)
    translator.fit(tiles.a[training], tiles.b[others])
    settings = benchmark.ENCODER | {"n_steps": 100, "batch_size": 64, "width": 64, "device": "cpu"}
    errors = []
    for partner in (translator.predict_features(tiles.a[training]), None):
        encoder = Encoder(**settings).fit(tiles.a[training], partner)
        embeddings = [encoder.embed(tiles.a[of]) for of in (training, test)]
        errors.append(probe_errors(embeddings[0], tiles.y[training], embeddings[1], tiles.y[test])["linear"])
    assert errors[0] < 0.85 * errors[1]


def test_tiles_are_the_same_digits_in_both_views(benchmark):
    tiles = benchmark.make_tiles(3)
    assert tiles.a.shape == (1797, 3, 16, 16)
    assert tiles.b.shape == (1797, 1, 16, 16)
    grey, clean = (images.mean(axis=1).reshape(1797, -1) for images in (tiles.a, tiles.b))
    own = [np.corrcoef(a, b)[0, 1] for a, b in zip(grey, clean, strict=True)]
    other = [np.corrcoef(a, b)[0, 1] for a, b in zip(grey, np.roll(clean, 1, axis=0), strict=True)]
    assert np.mean(own) > np.mean(other) + 0.3
