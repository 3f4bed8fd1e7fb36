"""The arms of a comparison: what a primary view is worth without, with synthetic and with measured partners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.views._arrays import read_view
from repatient.views._encoder import Encoder
from repatient.views._preparation import Preparation, find_kind
from repatient.views._probes import METRICS, probe_errors
from repatient.views._torch import single_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Representation = tuple[NDArray[np.float32], NDArray[np.float32]]

ARMS = (
    "raw",
    "random",
    "single",
    "contrastive_few",
    "authentic_few",
    "shuffled",
    "translation",
    "synthetic",
    "authentic_all",
)
MEASURED = ("contrastive_few", "authentic_few", "authentic_all")


@dataclass(frozen=True)
class Side:
    """Rows of the primary view with their synthetic partners and their labels.

    Parameters
    ----------
    rows, synthetic
        The views, (n, ...).
    labels
        Class of each row, (n,).
    labelled
        Whether a row has a class, (n,); the others train encoders, but no probes.
    """

    rows: NDArray[np.float32]
    synthetic: NDArray[np.float32]
    labels: NDArray[Any]
    labelled: NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """What the arms are trained and tested on.

    Parameters
    ----------
    training, test
        Rows to train encoders and probes on, and rows held out from both.
    paired
        Training rows whose partner was measured, in the order in which few of them are taken.
    authentic
        These partners.
    groups
        Patient of each training row, for the rows that stop the training of an encoder; None where there are none.
    """

    training: Side
    test: Side
    paired: NDArray[np.int64]
    authentic: NDArray[np.float32]
    groups: NDArray[Any] | None = None


def compare_arms(
    comparison: Comparison,
    *,
    arms: Sequence[str] = ARMS,
    n_pairs: int = 100,
    budgets: Sequence[float] = (0.1, 0.3, 1.0),
    n_labels: int = 50,
    encoder: Mapping[str, Any] | None = None,
    random_state: int = 0,
) -> Iterator[tuple[str, dict[str, float]]]:
    """Errors of every arm with one seed, arm by arm.

    Parameters
    ----------
    comparison
        Rows, partners and labels.
    arms
        Some of ``ARMS``. ``"raw"``: the primary view itself, as encoders read it. ``"random"``: an untrained encoder.
        ``"single"``: no partner, the same budget. ``"contrastive_few"``: the first ``n_pairs`` measured pairs alone, by
        the objective alone. ``"authentic_few"``: the same pairs with heads that predict the measured partner, too, as the
        arm ``"synthetic"`` has them. Both are at the best of ``budgets`` *on the test rows*, which flatters them. ``"shuffled"``: synthetic partners of other rows. ``"translation"``: the
        synthetic view as features. ``"synthetic"``: what is put to the test. ``"authentic_all"``: all measured pairs.
        The arms of measured pairs are left out where there are fewer than two.
    n_pairs
        Pairs of ``"contrastive_few"`` and ``"authentic_few"``.
    budgets
        Shares of the steps of the other arms.
    n_labels
        Labelled rows of the probe with few labels.
    encoder
        Parameters of :class:`Encoder`.
    random_state
        Seed.

    Yields
    ------
    Name of an arm and its errors by metric, see :func:`probe_errors`.
    """
    settings: dict[str, Any] = {"random_state": random_state, **(encoder or {})}
    bench = _Bench(comparison, settings)
    few = min(n_pairs, len(comparison.paired))
    makers: dict[str, Callable[[], Iterator[Representation]]] = {
        "raw": bench.raw,
        "random": lambda: bench.encoded(None, n_steps=0),
        "single": lambda: bench.encoded(None),
        "contrastive_few": lambda: bench.measured(few, budgets, distill=0.0),
        "authentic_few": lambda: bench.measured(few, budgets),
        "shuffled": bench.shuffled,
        "translation": bench.translation,
        "synthetic": lambda: bench.encoded(comparison.training.synthetic),
        "authentic_all": lambda: bench.measured(len(comparison.paired), (1.0,)),
    }
    for arm in arms:
        if arm in MEASURED and len(comparison.paired) < 2:
            continue
        training, tested = comparison.training, comparison.test
        errors = [
            probe_errors(
                train[training.labelled],
                training.labels[training.labelled],
                test[tested.labelled],
                tested.labels[tested.labelled],
                n_labels=n_labels,
                random_state=random_state,
            )
            for train, test in makers[arm]()
        ]
        yield arm, {metric: min(error[metric] for error in errors) for metric in METRICS}


@dataclass(frozen=True)
class _Bench:
    """Makes the representations of the arms; one that has several budgets gives several."""

    comparison: Comparison
    settings: dict[str, Any]

    def raw(self) -> Iterator[Representation]:
        """The primary view."""
        yield _read(self.comparison.training.rows, self.comparison.test.rows, self.settings, "kind")

    def translation(self) -> Iterator[Representation]:
        """The synthetic view."""
        yield _read(self.comparison.training.synthetic, self.comparison.test.synthetic, self.settings, "partner_kind")

    def encoded(self, partners: NDArray[np.float32] | None, **changes: Any) -> Iterator[Representation]:
        """An encoder trained on all training rows."""
        encoder = Encoder(**{**self.settings, **changes})
        yield self._embed(encoder.fit(self.comparison.training.rows, partners, groups=self.comparison.groups))

    def shuffled(self) -> Iterator[Representation]:
        """Partners that say nothing of their rows."""
        partners = self.comparison.training.synthetic
        order = np.random.default_rng(self.settings["random_state"]).permutation(len(partners))
        yield from self.encoded(partners[order])

    def measured(self, n_pairs: int, budgets: Sequence[float], **changes: Any) -> Iterator[Representation]:
        """Encoders trained on measured pairs alone."""
        of, groups = self.comparison.paired[:n_pairs], self.comparison.groups
        full = int(self.settings.get("n_steps", Encoder().n_steps))
        for share in budgets:
            encoder = Encoder(**{**self.settings, "n_steps": max(round(share * full), 1), **changes})
            rows, partners = self.comparison.training.rows[of], self.comparison.authentic[:n_pairs]
            yield self._embed(encoder.fit(rows, partners, groups=None if groups is None else groups[of]))

    def _embed(self, encoder: Encoder) -> Representation:
        return encoder.embed(self.comparison.training.rows), encoder.embed(self.comparison.test.rows)


def _read(train: NDArray[Any], test: NDArray[Any], settings: dict[str, Any], kind_parameter: str) -> Representation:
    """A view as an encoder reads it: wide vectors through principal components."""
    rows, others = read_view(train, "training rows", fitting=True), read_view(test, "test rows", fitting=False)
    kind = find_kind(rows, settings.get(kind_parameter, "auto"), kind_parameter)
    with single_thread():
        preparation = Preparation.fit(rows, kind, None)
        return preparation.flat(rows), preparation.flat(others)
