from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_integer, check_key, check_name, check_number, check_option, listed
from repatient._docs import shared_docs
from repatient.recipe import contrast, mean_posteriors, moderated_p_values, p_values_of_both

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from repatient.recipe import Contrast, MeanPosterior

_REST = "rest"
_TESTS = ("proportion", "clr")


@shared_docs
def compare_recipes(
    data: AnnData | MuData,
    *,
    reference: Any = None,
    test: str = "proportion",
    fdr: float = 0.1,
    interval: float = 0.95,
    n_draws: int = 4000,
    recipes_key: str = _store.keys.RECIPES,
    key_added: str = _store.keys.COMPARISON,
    random_state: int = 0,
    copy: bool = False,
) -> pd.DataFrame | tuple[pd.DataFrame, AnnData | MuData]:
    """Find the components that classes differ in, with intervals that know how few the patients are.

    What is compared is the mean composition of the donors of a class. Cells are no replicates: a test that counts them
    as such finds differences between any two groups of patients. Nor are generated patients: compare recipes of real
    ones.

    Parameters
    ----------
    %(data)s
    reference
        Class that each of the others is compared with. ``None``: the first of two classes; where there are more, each class
        is compared with the patients of all others. So it is with ``"rest"``, too, unless a class has that name.
    test
        What is tested, and marked as ``significant``: a difference of the mean ``"proportion"`` of a component, or of
        its centred log-ratio, ``"clr"``. Proportions sum to 1, so when one component grows all others shrink; the
        centred log-ratio of a component compares it with the geometric mean of all of them, which one that grows moves
        less.
    fdr
        False discovery rate up to which a row is ``significant``.
    interval
        Posterior probability of the intervals.
    n_draws
        Draws of each posterior behind the intervals.
    %(recipes_key)s Their counts are what is compared, of whatever kind they are.
    key_added
        Key under which the results are stored.
    %(random_state)s
    copy
        Write to a copy and return it, too.

    Returns
    -------
    The table; with ``copy=True``, the table and the copy. Written is ``uns[key_added]``: ``results``, this table, and
    ``params``. It has one row a class (but the reference) and component:

    ``class``, ``reference``, ``component`` (and its ``name``, where :func:`repatient.tl.name_components` gave it one)
        What is compared; a reference of all others is called ``"rest"``, or ``"the rest"`` where that is a class.
    ``n_donors``, ``n_donors_reference``
        Donors of either; without donors, patients.
    ``proportion``, ``proportion_reference``
        Posterior mean of the mean proportion of the component, and ``_low`` and ``_high`` of either.
    ``difference``
        Of the mean proportions, class less reference.
    ``log2_fold_change``
        Binary logarithm of the ratio of the mean proportions.
    ``clr_difference``
        Difference of the centred log-ratios of the mean compositions, in binary logarithms. Of these three, the
        posterior median, and ``_low`` and ``_high``, the ends of the credible interval with equal tails.
    ``tail_probability``
        Twice the posterior probability that the difference which is tested has the other sign.
    ``p_value``
        The larger of that and four fifths of the p-value of a moderated t-test over donors.
    ``q_value``
        The p-value after the correction of Benjamini and Hochberg (1995) over all rows.
    ``significant``
        Whether ``q_value`` is at most ``fdr``.

    Raises
    ------
    KeyError
        If there are no recipes.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If the recipes are of a value or have less than two classes with patients here, no class has two donors, or the
        reference is none of the classes.

    Notes
    -----
    The patients of a class are Dirichlet-multinomial (Mosimann 1962), component by component: counts are beta-binomial
    around the mean proportion. How much patients vary is not the same in all components, so each component of each class
    has its own concentration; all of them together say what is usual, and the fewer the patients the more that counts,
    as in the moderated statistics of Smyth (2004). The posterior is summed over a grid and the concentration integrated
    out (:mod:`repatient.recipe` writes it out), so that there is no chain whose convergence is to be judged.

    Under these flat priors the tail probability of no difference at all is about uniform where the patients vary as the
    model has it. With two or three donors, or patients who vary otherwise (components that rise together), it is too small
    too often. So a component is called different only if a moderated t-test over donors
    (:func:`repatient.recipe.moderated_p_values`) says so, too: the larger of the tail probability and four fifths of its
    p-value counts. How often a component is found where there is nothing, and how often one that is doubled, is measured
    by ``benchmarks/compare_recipes.py``.

    Samples of one donor on one side of a comparison are added up, as they are no replicates either. A donor with samples
    on both sides is taken for two, which makes intervals wider than they need be. Effects of covariates are not taken
    out.

    References
    ----------
    Mosimann (1962), Biometrika 49, 65. Smyth (2004), Stat. Appl. Genet. Mol. Biol. 3, 3. Benjamini and Hochberg (1995),
    J. R. Stat. Soc. B 57, 289. Centred log-ratios: Aitchison (1983), Biometrika 70, 57.

    See Also
    --------
    repatient.pl.compare_recipes : The same as a figure.

    Examples
    --------
    %(example_recipes)s
    >>> table = rp.tl.compare_recipes(adata, n_draws=200)
    >>> len(table)
    5
    """
    from scipy.stats import false_discovery_control

    _store.check_data(data, copy=copy)
    check_key(key_added, "key_added")
    check_option(test, "test", _TESTS)
    fdr, interval = check_number(fdr, "fdr", above=0, maximum=1), _check_interval(interval)
    check_integer(n_draws, "n_draws", minimum=100)
    rng = np.random.default_rng(check_integer(random_state, "random_state", minimum=0))
    entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    if _store.is_continuous(entry["params"]):
        msg = (
            f"`recipes_key`: `uns[{recipes_key!r}]` is one recipe that goes with the values of "
            f"{entry['params']['label_key']!r}; classes to compare are needed (`rp.tl.recipes(..., outcome='class')`)."
        )
        raise ValueError(msg)
    groups = _donors_of_classes(entry, recipes_key)
    reference = _check_reference(reference, list(groups))
    named = _REST
    while reference is None and named in groups:
        named = f"the {named}"

    components = [str(name) for name in entry["counts"].columns]
    called = _store.component_names(data, str(entry["params"]["gmm_key"]))
    tables = []
    for pair in _pairs(groups, reference):
        tested = moderated_p_values(pair.counts.to_numpy(), pair.other_counts.to_numpy(), test)
        found = contrast(pair.these, pair.those, interval=interval, n_draws=n_draws, rng=rng)
        head = {
            "class": pair.name,
            "reference": named if reference is None else reference,
            "component": components,
            **({"name": [called.get(k, k) for k in components]} if called else {}),
            "n_donors": len(pair.counts),
            "n_donors_reference": len(pair.other_counts),
        }
        values = _values(pair, found, test, interval)
        tables.append(pd.DataFrame({**head, **values, "p_value": p_values_of_both(values["tail_probability"], tested)}))
    frame = pd.concat(tables, ignore_index=True)
    frame["q_value"] = false_discovery_control(frame["p_value"].clip(upper=1))
    frame["significant"] = frame["q_value"] <= fdr

    params = _store.record(
        reference=named if reference is None else reference,
        test=test,
        fdr=fdr,
        interval=interval,
        n_draws=n_draws,
        recipes_key=recipes_key,
        random_state=random_state,
        **{name: entry["params"][name] for name in ("patient_key", "label_key", "donor_key", "gmm_key", "mixture")},
    )
    data = data.copy() if copy else data
    data.uns[key_added] = {"results": frame.rename(index=str), "params": params}
    return (frame, data) if copy else frame


def _check_interval(interval: float) -> float:
    if check_number(interval, "interval", above=0, maximum=1) == 1:
        msg = "`interval` is a probability below 1: an interval that holds everything has no ends."
        raise ValueError(msg)
    return float(interval)


def _donors_of_classes(entry: dict[str, Any], key: str) -> dict[str, pd.DataFrame]:
    """Cells of each donor in each component, donors × components, for each class that has patients here."""
    patients = entry["patients"]
    counts = entry["counts"]
    has_cells = counts.to_numpy().sum(axis=1) > 0
    groups = {}
    for name in map(str, entry["classes"]):
        inside = _store.of_class(patients["label"], name) & has_cells
        if inside.any():
            donors = patients["donor"].astype(str).to_numpy()[inside]
            groups[name] = counts[inside].groupby(donors, sort=False).sum()
    if len(groups) < 2:
        msg = (
            f"`recipes_key`: of the classes {listed(entry['classes'])} of `uns[{key!r}]`, {listed(groups)} "
            "have patients in this cohort; two or more are needed. A reference's recipe comes without patients and "
            "cannot be compared."
        )
        raise ValueError(msg)
    if max(map(len, groups.values())) < 2:
        msg = (
            f"`recipes_key`: no class of `uns[{key!r}]` has two donors, so nothing tells how much donors of one class "
            "differ."
        )
        raise ValueError(msg)
    return groups


def _check_reference(reference: Any, classes: list[str]) -> str | None:
    """Name of a class, or ``None`` for all others."""
    if reference is None:
        return classes[0] if len(classes) == 2 else None
    # A class that is called as the option is meant first.
    name = check_name(reference, "reference", classes, [_REST])
    return None if name == _REST and name not in classes else name


class _Pair(NamedTuple):
    """A class and what it is compared with, and the cells of the donors of both."""

    name: str
    these: MeanPosterior
    those: MeanPosterior
    counts: pd.DataFrame
    other_counts: pd.DataFrame


def _pairs(groups: dict[str, pd.DataFrame], reference: str | None) -> list[_Pair]:
    if reference is not None:
        posteriors = mean_posteriors([counts.to_numpy() for counts in groups.values()])
        of = dict(zip(groups, posteriors, strict=True))
        return [
            _Pair(name, of[name], of[reference], groups[name], groups[reference])
            for name in groups
            if name != reference
        ]
    pairs = []
    for name, counts in groups.items():
        others = pd.concat([part for other, part in groups.items() if other != name])
        others = others.groupby(level=0, sort=False).sum()
        these, those = mean_posteriors([counts.to_numpy(), others.to_numpy()])
        pairs.append(_Pair(name, these, those, counts, others))
    return pairs


def _values(pair: _Pair, found: Contrast, test: str, interval: float) -> dict[str, np.ndarray]:
    """Columns of the table that are computed, (K,) each."""
    ends = np.array([(1 - interval) / 2, (1 + interval) / 2])
    columns: dict[str, np.ndarray] = {}
    for name, posterior in (("proportion", pair.these), ("proportion_reference", pair.those)):
        low, high = posterior.quantiles(ends).T
        columns |= {name: posterior.mean, f"{name}_low": low, f"{name}_high": high}
    for name, values in found.effects.items():
        middle, low, high = values.T
        columns |= {name: middle, f"{name}_low": low, f"{name}_high": high}
    return {**columns, "tail_probability": found.tail_probability[test]}
