from __future__ import annotations

import numpy as np
import pytest
import torch

from repatient.views import CountAugmentation, ImageAugmentation, VectorAugmentation

STILL = {"flip": False, "crop": 1.0, "shift": 0.0, "intensity": 0.0, "noise": 0.0}


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_images_stay_what_they_are_without_any_strength(generator):
    images = torch.randn(3, 2, 8, 12, generator=generator)
    torch.testing.assert_close(ImageAugmentation(**STILL)(images, generator), images)


def test_flips_mirror_images_both_ways(generator):
    images = torch.randn(200, 1, 4, 6, generator=generator)
    flipped = ImageAugmentation(**STILL | {"flip": True})(images, generator)
    found = set()
    for image, changed in zip(images, flipped, strict=True):
        kinds = [(), (1,), (2,), (1, 2)]
        fits = [axes for axes in kinds if torch.allclose(image.flip(axes), changed, atol=1e-5)]
        assert len(fits) == 1
        found.add(fits[0])
    assert len(found) == 4


def test_a_shift_moves_content_no_further_than_it_says(generator):
    images = torch.zeros(300, 1, 16, 16)
    images[:, :, 8, 8] = 1.0
    moved = ImageAugmentation(**STILL | {"shift": 0.25})(images, generator)
    places = moved.flatten(1).argmax(dim=1)
    offsets = torch.stack([places // 16 - 8, places % 16 - 8]).abs()
    assert offsets.max() <= 5
    assert offsets.float().mean() > 1


def test_a_crop_enlarges_a_part_of_the_image(generator):
    ramp = torch.linspace(0, 1, 16).expand(100, 1, 16, 16)
    cropped = ImageAugmentation(**STILL | {"crop": 0.5})(ramp, generator)
    span = cropped[:, 0, 0, -1] - cropped[:, 0, 0, 0]
    assert span.min() > 0.45
    assert span.max() < 1.01
    assert span.mean() == pytest.approx(0.75, abs=0.05)


def test_intensity_and_noise_are_in_standard_deviations(generator):
    blank = torch.zeros(400, 2, 4, 4)
    noisy = ImageAugmentation(**STILL | {"noise": 0.3})(blank, generator)
    assert noisy.std().item() == pytest.approx(0.3, rel=0.05)
    tinted = ImageAugmentation(**STILL | {"intensity": 0.2})(blank, generator)
    assert (tinted == tinted[:, :, :1, :1]).all()
    assert tinted[:, :, 0, 0].std().item() == pytest.approx(0.2, rel=0.1)


def test_vectors_are_masked_swapped_and_noisy_as_often_as_asked(generator):
    vectors = torch.arange(1.0, 201.0)[:, None].expand(200, 100).contiguous()
    changed = VectorAugmentation(mask=0.3, swap=0.2, noise=0.0)(vectors, generator)
    assert (changed == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    swapped = (changed != 0) & (changed != vectors)
    assert swapped.float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert np.isin(changed[swapped], vectors).all()
    noisy = VectorAugmentation(mask=0.0, swap=0.0, noise=0.5)(vectors, generator)
    assert (noisy - vectors).std().item() == pytest.approx(0.5, rel=0.05)


def test_thinned_counts_are_binomial(generator):
    counts = torch.tensor([0.0, 3.0, 40.0]).repeat(20_000, 1)
    thinned = CountAugmentation(keep=0.5)(counts, generator)
    assert (thinned[:, 0] == 0).all()
    assert (thinned <= counts).all()
    assert (thinned == thinned.round()).all()
    # The share is uniform from .5 to 1: mean .75, variance 1/48, on top of the binomial variance n E[p (1 - p)].
    np.testing.assert_allclose(thinned.mean(dim=0)[1:], [2.25, 30.0], rtol=0.01)
    expected = [n * (0.75 - 0.75**2 - 1 / 48) + n**2 / 48 for n in (3, 40)]
    np.testing.assert_allclose(thinned.var(dim=0)[1:], expected, rtol=0.05)


@pytest.mark.parametrize(
    ("augmentation", "batch"),
    [
        (ImageAugmentation(), torch.ones(4, 3, 8, 8)),
        (VectorAugmentation(), torch.ones(4, 9)),
        (CountAugmentation(), torch.full((4, 9), 5.0)),
    ],
)
def test_the_generator_alone_decides(augmentation, batch):
    before, state = batch.clone(), torch.get_rng_state()
    first, again, other = (augmentation(batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(batch, before)
    assert torch.equal(torch.get_rng_state(), state)
