"""The arms of a comparison: what a primary view is worth without, with synthetic and with measured partners."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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
    "spi",
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

    def errors(self, representation: Representation, *, n_labels: int = 50, random_state: int = 0) -> dict[str, float]:
        """Errors of probes that learn the labels of training rows from their representation, on the test rows.

        Parameters
        ----------
        representation
            Of training and test rows, two arrays (n, ...).
        n_labels
            Labelled rows of the probe with few labels.
        random_state
            Seed of their draws.

        Returns
        -------
        Errors by metric, see :func:`probe_errors`.
        """
        (train, test), (training, tested) = representation, (self.training, self.test)
        return probe_errors(
            train[training.labelled],
            training.labels[training.labelled],
            test[tested.labelled],
            tested.labels[tested.labelled],
            n_labels=n_labels,
            random_state=random_state,
        )


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
    arms, n_pairs, budgets, encoder, random_state
        As for :func:`represent_arms`. Of arms with several budgets, the least error *on the test rows* counts, which
        flatters them.
    n_labels
        Labelled rows of the probe with few labels.

    Yields
    ------
    Name of an arm and its errors by metric, see :func:`probe_errors`.
    """
    of_arms = represent_arms(
        comparison, arms=arms, n_pairs=n_pairs, budgets=budgets, encoder=encoder, random_state=random_state
    )
    for arm, representations in of_arms:
        errors = [
            comparison.errors(representation, n_labels=n_labels, random_state=random_state)
            for representation in representations
        ]
        yield arm, {metric: min(error[metric] for error in errors) for metric in METRICS}


def represent_arms(
    comparison: Comparison,
    *,
    arms: Sequence[str] = ARMS,
    n_pairs: int = 100,
    budgets: Sequence[float] = (0.1, 0.3, 1.0),
    encoder: Mapping[str, Any] | None = None,
    random_state: int = 0,
) -> Iterator[tuple[str, list[Representation]]]:
    """What every arm makes of the rows with one seed, arm by arm.

    Parameters
    ----------
    comparison
        Rows, partners and labels.
    arms
        Some of ``ARMS``. ``"raw"``: the primary view itself, as encoders read it. ``"random"``: an untrained encoder.
        ``"single"``: no partner, the same budget. ``"contrastive_few"``: the first ``n_pairs`` measured pairs alone, by
        the objective alone. ``"authentic_few"``: the same pairs with heads that predict the measured partner, too, as the
        arm ``"synthetic"`` has them. Both at each of ``budgets``. ``"shuffled"``: synthetic partners of other rows.
        ``"translation"``: the synthetic view as features. ``"synthetic"``: an encoder taught by synthetic partners.
        ``"spi"``: the same, with the translation's own features beside it where the embedding loses some of it (``Encoder.carries_``).
        ``"authentic_all"``: all measured pairs. The arms of measured pairs are left out where there are fewer than two.
    n_pairs
        Pairs of ``"contrastive_few"`` and ``"authentic_few"``.
    budgets
        Shares of the steps of the other arms.
    encoder
        Parameters of :class:`Encoder`.
    random_state
        Seed.

    Yields
    ------
    Name of an arm and its representations of training and test rows, one a budget.
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
        "synthetic": bench.synthetic,
        "spi": bench.spi,
        "authentic_all": lambda: bench.measured(len(comparison.paired), (1.0,)),
    }
    for arm in arms:
        if arm not in MEASURED or len(comparison.paired) >= 2:
            yield arm, list(makers[arm]())


@dataclass
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

    def synthetic(self) -> Iterator[Representation]:
        """An encoder taught by synthetic partners."""
        yield self._embed(self._taught)

    def spi(self) -> Iterator[Representation]:
        """The same, with the synthetic view beside it where that says more."""
        encoder, sides = self._taught, (self.comparison.training, self.comparison.test)
        train, test = (encoder.embed(side.rows, side.synthetic if encoder.carries_ else None) for side in sides)
        yield train, test

    @cached_property
    def _taught(self) -> Encoder:
        training = self.comparison.training
        return Encoder(**self.settings).fit(training.rows, training.synthetic, groups=self.comparison.groups)

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
    kind = settings.get(kind_parameter, "auto")
    return as_read(train, train, kind=kind), as_read(train, test, kind=kind)


def as_read(train: NDArray[Any], rows: NDArray[Any], *, kind: str = "auto") -> NDArray[np.float32]:
    """Rows of a view as an encoder reads them, by training rows: wide vectors through principal components.

    Parameters
    ----------
    train
        Training rows, (n, ...).
    rows
        Rows to read, of the same form.
    kind
        As of :class:`Encoder`.

    Returns
    -------
    Shape (n, values).
    """
    known, others = read_view(train, "training rows", fitting=True), read_view(rows, "rows", fitting=False)
    found = find_kind(known, kind, "kind")
    with single_thread():
        return Preparation.fit(known, found, None).flat(others)
