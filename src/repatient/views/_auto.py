"""Which generator suits what there is to learn from."""

from __future__ import annotations

from typing import NamedTuple

GENERATORS = ("auto", "cyclegan", "ot", "regression")
ENOUGH_PAIRS = 100
FEWEST_PAIRS = 10


class Choice(NamedTuple):
    """A generator and why."""

    generator: str
    reason: str


def choose(generator: str, *, images: bool, n_pairs: int, n_links: int, allow_unanchored: bool) -> Choice:
    """Resolve ``"auto"`` and refuse what cannot identify a map."""
    if generator not in GENERATORS:
        msg = f"`generator` is one of {list(GENERATORS)}, not {generator!r}."
        raise ValueError(msg)
    if not images and not n_pairs and not n_links and not allow_unanchored:
        msg = (
            "Two views of vectors without `pairs` or `links`: nothing says which of all maps between their "
            "distributions is right. On a real cohort, unpaired generators came out at a FOSCTTM of .42 to .56, where .5 "
            "is chance; with links at .09. Give links (features that rise together) or pairs, or pass "
            "`allow_unanchored=True` and trust no row."
        )
        raise ValueError(msg)
    if generator == "auto":
        return _automatic(images=images, n_pairs=n_pairs, n_links=n_links)
    if generator == "ot" and (images or not n_links):
        msg = "`generator='ot'` compares features of vectors that are linked; give `links`, or take another generator."
        raise ValueError(msg)
    if generator == "regression" and n_pairs < FEWEST_PAIRS:
        msg = f"`generator='regression'` learns from pairs; {FEWEST_PAIRS} or more are needed, found {n_pairs}."
        raise ValueError(msg)
    return Choice(generator, "asked for")


def _automatic(*, images: bool, n_pairs: int, n_links: int) -> Choice:
    if n_pairs >= ENOUGH_PAIRS:
        return Choice("regression", f"{n_pairs} pairs, and {ENOUGH_PAIRS} suffice")
    if images:
        pairs = f"{n_pairs} pairs, fewer than {ENOUGH_PAIRS}" if n_pairs else "no pairs"
        return Choice("cyclegan", f"images with {pairs}")
    if n_links:
        return Choice("ot", f"vectors with {n_links} links and fewer than {ENOUGH_PAIRS} pairs")
    if n_pairs >= FEWEST_PAIRS:
        return Choice("regression", f"vectors without links; {n_pairs} pairs are few, more would help")
    return Choice("cyclegan", "vectors with neither links nor enough pairs: the map is not identified")
