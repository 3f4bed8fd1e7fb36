"""Bags taken apart and put together, all bags of a batch at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.mil import Bags

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shares_of_classes(y: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Share of each class among some bags, (n_classes,)."""
    return np.bincount(y, minlength=n_classes) / len(y)


def one_hot(y: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """Certain targets, (bags, n_classes)."""
    return np.eye(n_classes, dtype=np.float32)[y]


def soft(first: NDArray[np.float32], second: NDArray[np.float32], share: Any) -> NDArray[np.float32]:
    """Targets (bags, classes) of which ``share``, a number or one a bag, is that of the second bag."""
    weight = np.broadcast_to(np.asarray(share, dtype=np.float32), len(first))[:, None]
    return (1 - weight) * first + weight * second


def bag_of_entries(bags: Bags) -> NDArray[np.int64]:
    """Bag of each entry of ``bags.rows``."""
    return np.repeat(np.arange(len(bags)), bags.sizes)


def keep(bags: Bags, kept: NDArray[np.bool_]) -> Bags:
    """The same bags with some of their entries only."""
    return Bags(bags.X, bags.rows[kept], np.concatenate([[0], np.cumsum(kept)])[bags.indptr])


def shuffle(bags: Bags, rng: np.random.Generator, which: NDArray[np.bool_] | None = None) -> Bags:
    """The same bags, the entries of each (of those in ``which``) in random order."""
    bag = bag_of_entries(bags)
    keys = rng.random(len(bag))
    if which is not None:
        keys = np.where(which[bag], keys, np.arange(len(bag)) / len(bag))
    order = np.argsort(bag + keys)
    return Bags(bags.X, bags.rows[order], bags.indptr)


def head(bags: Bags, sizes: NDArray[np.int64]) -> Bags:
    """The first ``sizes[b]`` entries of each bag ``b``."""
    position = np.arange(len(bags.rows)) - np.repeat(bags.indptr[:-1], bags.sizes)
    return keep(bags, position < np.repeat(sizes, bags.sizes))


def draw(bags: Bags, sizes: NDArray[np.int64], rng: np.random.Generator) -> Bags:
    """``sizes[b]`` random entries of each bag ``b``, without replacement."""
    return head(shuffle(bags, rng), sizes)


def unite(first: Bags, second: Bags) -> Bags:
    """Bag ``b`` of the first together with bag ``b`` of the second, for all of them."""
    indptr = first.indptr + second.indptr
    rows = np.empty(indptr[-1], dtype=np.int64)
    rows[np.arange(len(first.rows)) + np.repeat(second.indptr[:-1], first.sizes)] = first.rows
    rows[np.arange(len(second.rows)) + np.repeat(first.indptr[1:], second.sizes)] = second.rows
    return Bags(first.X, rows, indptr)


def blend(first: Bags, second: Bags, share: float) -> Bags:
    """Entries of bags of equal sizes interpolated in order, with weight ``share`` on the second."""
    weight = np.asarray(share, dtype=np.result_type(first.X.dtype, np.float32))
    X = (1 - weight) * first.X[first.rows] + weight * second.X[second.rows]
    return Bags(X, np.arange(len(X)), first.indptr)


def bags_of_classes(wanted: NDArray[np.int64], y: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random bag of each wanted class, all of which must have one."""
    order = np.argsort(y, kind="stable")
    counts = np.bincount(y)
    starts = np.cumsum(counts) - counts
    return order[starts[wanted] + rng.integers(counts[wanted])]
