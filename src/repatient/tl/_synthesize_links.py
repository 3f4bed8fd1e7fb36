"""Features of two modalities that rise together, named by the user or proposed by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient._checks import check_option, listed
from repatient.tl._view_pair import repeated

if TYPE_CHECKING:
    from collections.abc import Sequence

BY_NAME = "names"

# Antibody targets whose genes have another name (HGNC). Isoforms, such as CD45RA and CD45RO, are not what a gene's counts
# show, and are left out.
_GENES_OF_PROTEINS = {
    "CD1c": ("CD1C",),
    "CD3": ("CD3D", "CD3E", "CD3G"),
    "CD8": ("CD8A", "CD8B"),
    "CD8a": ("CD8A", "CD8B"),
    "CD10": ("MME",),
    "CD11a": ("ITGAL",),
    "CD11b": ("ITGAM",),
    "CD11c": ("ITGAX",),
    "CD13": ("ANPEP",),
    "CD15": ("FUT4",),
    "CD16": ("FCGR3A",),
    "CD18": ("ITGB2",),
    "CD20": ("MS4A1",),
    "CD21": ("CR2",),
    "CD23": ("FCER2",),
    "CD25": ("IL2RA",),
    "CD31": ("PECAM1",),
    "CD32": ("FCGR2A",),
    "CD39": ("ENTPD1",),
    "CD41": ("ITGA2B",),
    "CD45": ("PTPRC",),
    "CD49d": ("ITGA4",),
    "CD56": ("NCAM1",),
    "CD57": ("B3GAT1",),
    "CD61": ("ITGB3",),
    "CD62L": ("SELL",),
    "CD62P": ("SELP",),
    "CD64": ("FCGR1A",),
    "CD66b": ("CEACAM8",),
    "CD71": ("TFRC",),
    "CD73": ("NT5E",),
    "CD80": ("CD80",),
    "CD90": ("THY1",),
    "CD94": ("KLRD1",),
    "CD95": ("FAS",),
    "CD103": ("ITGAE",),
    "CD105": ("ENG",),
    "CD107a": ("LAMP1",),
    "CD117": ("KIT",),
    "CD122": ("IL2RB",),
    "CD123": ("IL3RA",),
    "CD127": ("IL7R",),
    "CD134": ("TNFRSF4",),
    "CD137": ("TNFRSF9",),
    "CD138": ("SDC1",),
    "CD141": ("THBD",),
    "CD152": ("CTLA4",),
    "CD154": ("CD40LG",),
    "CD161": ("KLRB1",),
    "CD183": ("CXCR3",),
    "CD184": ("CXCR4",),
    "CD185": ("CXCR5",),
    "CD194": ("CCR4",),
    "CD195": ("CCR5",),
    "CD196": ("CCR6",),
    "CD197": ("CCR7",),
    "CD223": ("LAG3",),
    "CD235a": ("GYPA",),
    "CD273": ("PDCD1LG2",),
    "CD274": ("CD274",),
    "CD278": ("ICOS",),
    "CD279": ("PDCD1",),
    "CD303": ("CLEC4C",),
    "CD304": ("NRP1",),
    "CD314": ("KLRK1",),
    "CD335": ("NCR1",),
    "CD366": ("HAVCR2",),
    "HLA-DR": ("HLA-DRA", "HLA-DRB1"),
    "PD-1": ("PDCD1",),
    "PD-L1": ("CD274",),
    "TIM-3": ("HAVCR2",),
    "LAG-3": ("LAG3",),
    "CTLA-4": ("CTLA4",),
    "IgD": ("IGHD",),
    "IgM": ("IGHM",),
}
_SUFFIX = re.compile(r"([ _.-]?(totalseq[a-c]?|protein|prot|adt|ab)|\(.*\))$", re.IGNORECASE)


def read_links(links: Any, source: Sequence[Any], target: Sequence[Any]) -> np.ndarray | None:
    """Table of columns (n_links, 2) from a mapping of names, or by the names themselves."""
    if links is None:
        return None
    if isinstance(links, list | tuple) and links:
        tables = [table for part in links if (table := read_links(part, source, target)) is not None]
        return np.unique(np.concatenate(tables), axis=0) if tables else None
    if isinstance(links, str):
        check_option(links, "links", [BY_NAME])
        named = propose(source, target)
        if not named:
            msg = (
                f"`links={BY_NAME!r}` finds no feature of the source that belongs to one of the target, "
                f"{listed(target, 5)}; pass a mapping of a feature of the source to one of the target."
            )
            raise ValueError(msg)
    elif isinstance(links, Mapping):
        named = _pairs_of(links)
    else:
        msg = (
            f"`links` is a mapping of features of the source to features of the target, {BY_NAME!r}, or a list of both, "
            f"not {links!r}."
        )
        raise TypeError(msg)
    if not named:
        msg = "`links` is empty; name at least one, or pass None."
        raise ValueError(msg)
    columns = [
        _positions([pair[i] for pair in named], names, side)
        for i, (names, side) in enumerate(((source, "source"), (target, "target")))
    ]
    return np.unique(np.column_stack(columns), axis=0)


def _pairs_of(links: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """Each feature of the source with each of those it is mapped to."""
    several = {a: [b] if isinstance(b, str) or not isinstance(b, Iterable) else list(b) for a, b in links.items()}
    return [(a, b) for a, bs in several.items() for b in bs]


def propose(source: Sequence[Any], target: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Pairs of a feature of the source and one of the target that stand for the same gene."""
    of_gene: dict[str, list[str]] = {}
    for name in source:
        for gene in _genes(str(name)):
            of_gene.setdefault(gene, []).append(str(name))
    found = [(name, str(other)) for other in target for gene in _genes(str(other)) for name in of_gene.get(gene, ())]
    return list(dict.fromkeys(found))


def links_frame(table: np.ndarray | None, source: Sequence[Any], target: Sequence[Any]) -> pd.DataFrame:
    """Links by the names of their features."""
    rows = np.empty((0, 2), dtype=np.int64) if table is None else table
    return pd.DataFrame(
        {"source": [str(source[i]) for i in rows[:, 0]], "target": [str(target[i]) for i in rows[:, 1]]}, dtype=object
    ).rename(index=str)


def _genes(name: str) -> tuple[str, ...]:
    """Genes that a feature stands for; its own name where it is no antibody that the table knows."""
    plain = _plain(name)
    return _BY_PLAIN_NAME.get(plain, (plain,))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _SUFFIX.sub("", name.strip()).lower())


_BY_PLAIN_NAME = {_plain(name): tuple(_plain(gene) for gene in genes) for name, genes in _GENES_OF_PROTEINS.items()}


def _positions(wanted: Sequence[Any], names: Sequence[Any], side: str) -> np.ndarray:
    twice = [name for name in repeated(names) if name in wanted]
    if twice:
        msg = (
            f"`links`: the {side} has several features called {listed(twice, 5)}; give each a name of its own, for "
            "instance by `var_names_make_unique()`."
        )
        raise ValueError(msg)
    where = {name: place for place, name in enumerate(names)}
    places = np.array([where.get(name, -1) for name in wanted], dtype=np.int64)
    if (places < 0).any():
        unknown = [name for name, place in zip(wanted, places, strict=True) if place < 0]
        msg = f"`links`: {listed(unknown, 5)} are no features of the {side}, which has {listed(names, 5)}."
        raise KeyError(msg)
    return places
