from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from repatient.sampling._streams import PatientStreams, patient_keys

PATIENTS, NUMBER = 2000, 200


@pytest.fixture(scope="module")
def words():
    return PatientStreams(patient_keys(0, 0, PATIENTS)).take(np.full(PATIENTS, NUMBER)).reshape(PATIENTS, NUMBER)


def pairs_are_independent(first, second, shift):
    """Chi-square p-value of four bits of each of two words, taken together."""
    nibbles = [((w >> np.uint64(shift)) & np.uint64(15)).astype(int).ravel() for w in (first, second)]
    return stats.chisquare(np.bincount(16 * nibbles[0] + nibbles[1], minlength=256)).pvalue


def test_words_are_those_of_splitmix64():
    # Published outputs of the generator for the state 0, which adds its step before it mixes.
    step = np.array([0x9E3779B97F4A7C15], dtype=np.uint64)
    drawn = PatientStreams(step).take(np.array([3]))
    assert [hex(word) for word in drawn] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


@pytest.mark.parametrize("shift", range(0, 64, 8))
def test_every_byte_is_uniform(words, shift):
    values = ((words >> np.uint64(shift)) & np.uint64(255)).astype(int).ravel()
    assert stats.chisquare(np.bincount(values, minlength=256)).pvalue > 1e-3


@pytest.mark.parametrize("shift", [0, 28, 32, 60])
@pytest.mark.parametrize("lag", [1, 2, 7])
def test_neighbours_are_independent(words, lag, shift):
    assert pairs_are_independent(words[lag:], words[:-lag], shift) > 1e-3
    assert pairs_are_independent(words[:, lag:], words[:, :-lag], shift) > 1e-3
    assert pairs_are_independent(words[lag:, lag:], words[:-lag, :-lag], shift) > 1e-3


@pytest.mark.parametrize("neighbours", ["patients", "numbers", "seeds"])
def test_neighbours_differ_in_half_of_their_bits(words, neighbours):
    if neighbours == "seeds":
        other = PatientStreams(patient_keys(1, 0, PATIENTS)).take(np.full(PATIENTS, NUMBER)).reshape(words.shape)
        differing = words ^ other
    else:
        differing = words[1:] ^ words[:-1] if neighbours == "patients" else words[:, 1:] ^ words[:, :-1]
    differing = differing.ravel()
    each = [np.mean((differing >> np.uint64(bit)) & np.uint64(1)) for bit in range(64)]
    # 64 bits, each with a standard error of 1 / (2 sqrt(n)).
    assert np.abs(np.array(each) - 0.5).max() < 4.5 * 0.5 / np.sqrt(len(differing))


def test_no_word_comes_twice(words):
    # 400,000 of 2**64 words: two equal ones would be expected once in 2e8 times.
    assert len(np.unique(words)) == words.size


def test_words_do_not_depend_on_portions_nor_on_the_other_patients(words):
    keys = patient_keys(0, 0, PATIENTS)
    np.testing.assert_array_equal(patient_keys(0, 30, 5), keys[30:35])
    some = PatientStreams(keys[30:33])
    first, second = some.take(np.array([2, 0, 5])), some.take(np.array([1, 3, 0]))
    np.testing.assert_array_equal(first, np.concatenate([words[30, :2], words[32, :5]]))
    np.testing.assert_array_equal(second, np.concatenate([words[30, 2:3], words[31, :3]]))


def test_short_words_are_the_halves(words):
    keys = patient_keys(0, 0, 3)
    drawn = PatientStreams(keys).take_short(np.array([4, 3, 1]))
    halves = words[:3].copy().view(np.uint32)
    np.testing.assert_array_equal(drawn, np.concatenate([halves[0, :4], halves[1, :3], halves[2, :1]]))
    np.testing.assert_array_equal(PatientStreams(keys).take_short(np.array([2, 0, 2])), halves[[0, 2], :2].ravel())
    assert len(PatientStreams(keys).take_short(np.zeros(3, dtype=int))) == 0


def test_seed_must_not_be_negative():
    with pytest.raises(ValueError, match="non-negative"):
        patient_keys(-1, 0, 2)
