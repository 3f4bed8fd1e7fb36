"""Random words that depend on the seed, the patient and their number, and on nothing else."""

from __future__ import annotations

import numpy as np

# Odd, so that multiples of it run through all words before one comes twice.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_PATIENT_STEP = np.uint64(0xD1342543DE82EF95)


def patient_keys(seed: int, first: int, n_patients: int) -> np.ndarray:
    """Where the random streams of ``n_patients`` patients begin, numbered from ``first``, (patients,) uint64."""
    key = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    return _mixed(key + _PATIENT_STEP * np.arange(first, first + n_patients, dtype=np.uint64))


class PatientStreams:
    """A random stream for each of some patients.

    Parameters
    ----------
    keys
        The patients' part of what :func:`patient_keys` gives.

    Notes
    -----
    Word ``j`` of patient ``i`` is a mixture of the bits of ``key_i + j * step`` [1]_, and ``key_i`` is one of the
    bits of the seed and ``i``. No word needs the one before it, so that all patients are served by a few
    operations on arrays, and patients may be drawn in any blocks.

    References
    ----------
    .. [1] G. L. Steele, D. Lea and C. H. Flood. Fast splittable pseudorandom number generators. OOPSLA 2014.
    """

    def __init__(self, keys: np.ndarray) -> None:
        self._next = keys.copy()

    def __len__(self) -> int:
        return len(self._next)

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """The next ``numbers[i]`` words of every patient ``i``, patient after patient, uint64."""
        numbers = numbers.astype(np.uint64)
        ends = np.cumsum(numbers, dtype=np.uint64)
        words = np.arange(int(numbers.sum()), dtype=np.uint64)
        words *= _STEP
        words += np.repeat(self._next - _STEP * (ends - numbers), numbers.astype(np.intp))
        self._next += _STEP * numbers
        return _mixed(words)

    def take_short(self, numbers: np.ndarray) -> np.ndarray:
        """The same in words of 32 bits, two out of each of 64."""
        whole = (numbers + 1) // 2
        words = self.take(whole).view(np.uint32)
        odd = numbers % 2 == 1
        return np.delete(words, 2 * np.cumsum(whole)[odd] - 1) if odd.any() else words


def _mixed(words: np.ndarray) -> np.ndarray:
    """Every bit made to depend on all bits of its word, in place; different words stay different."""
    shifted = words >> np.uint64(30)
    words ^= shifted
    words *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(words, np.uint64(27), out=shifted)
    words ^= shifted
    words *= np.uint64(0x94D049BB133111EB)
    np.right_shift(words, np.uint64(31), out=shifted)
    words ^= shifted
    return words
