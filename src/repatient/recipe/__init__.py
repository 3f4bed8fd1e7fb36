r"""Counts of cells over components in, distributions of patients out.

A recipe is the distribution of a patient's composition in one class. Every kind is shrunk by empirical Bayes: what all
labelled patients have in common counts as ``shrinkage`` patients of the class. For the Dirichlet and the
Dirichlet-multinomial (Mosimann 1962) with mean m and concentration s, the fit maximises

.. math::

    \log p(\text{patients} \mid s m) + w\, n(s_0)\, m_0 \cdot \log m
    - \tfrac{q}{2} \log\bigl(P\, n(s) + w\, n(s_0)\bigr)
    - \bigl(\tfrac{w q}{4} + \tfrac{1}{8}\bigr) \log^2 \tfrac{s}{s_0}

with q = K - 1 degrees of freedom, P patients of N cells each, pooled mean m0 and concentration s0, the shrinkage w, and
n(s) = N (s + 1) / (N + s), the number of independent cells that one patient is worth. The third term is the Laplace
approximation of integrating the mean out; without it the concentration of few patients would be overestimated.

*Sub-types* of a class are a mixture of such distributions, fitted by expectation and maximisation: patients count by the
probability that they are of a sub-type, and the class takes the place of the pool, with m0 its mean and s0 the
concentration around the sub-types.

*Covariates* x of a patient of class g move its log-ratios y by

.. math::

    y = c_g + (x - \bar x_g) B + e, \qquad B_{jk} \sim N(0, \tau^2 \sigma^2), \quad e_k \sim N(0, \sigma^2),

where all classes share the slopes B, numeric covariates have unit variance, categorical ones a column a level, and
:math:`\tau^2` maximises the marginal likelihood (ridge regression by empirical Bayes). Recipes are fitted to the counts
without this effect and stand at the mean covariates of their class.

*Classes are compared* by the posterior of their mean compositions. Each component of a Dirichlet-multinomial is
beta-binomial: of the :math:`N_i` cells of patient i,

.. math::

    y_{ik} \sim \operatorname{BetaBinomial}\bigl(N_i,\; s_k m_k,\; s_k (1 - m_k)\bigr)

are of component k. With one concentration s for all components, those that vary much between patients would have
intervals that are too short, so each component of each class has its own, drawn towards what they have in common:

.. math::

    m_k \sim \operatorname{Beta}(\tfrac12, \tfrac12), \qquad \log s_k \sim N(\mu, \tau^2), \qquad
    \mu \sim N(\log 50, 2^2), \qquad \log \tau \sim N(\log 0.6, 0.7^2).

The posterior of :math:`(\mu, \tau)`, given all components of all classes with the means integrated out by Laplace's
approximation, is summed over a grid and gives the prior of :math:`\log s_k`; that of :math:`(m_k, \log s_k)` is summed
over a grid of its own. With two unknowns a component there is no need of a sampler, whose convergence would have to be
judged.

*Offsets* are where the cells of a class lie inside a component, over donors; the difference of two classes of one cohort
is free of what the cohort does to all its cells, see :class:`Offsets`.

.. data:: KINDS

    Families of recipes by name, described at :func:`repatient.tl.recipes`; :func:`register_kind` adds one.

.. data:: TRANSFERS

    Ways to take over another cohort's recipes, see :func:`transferred`.
"""

from repatient.recipe._composition import log_ratios, proportions, smoothed_proportions
from repatient.recipe._contrast import Contrast, contrast
from repatient.recipe._counterfactual import counterfactual_compositions, log_likelihood
from repatient.recipe._covariates import Design
from repatient.recipe._kinds import KINDS, Array, Kind, Learning, is_covariance, register_kind
from repatient.recipe._merging import coarsened, groups_of_enough, merged_gaussians, too_small
from repatient.recipe._moderated import moderated_p_values, p_values_of_both
from repatient.recipe._offsets import Offsets, Pooled, fit_offsets, pool_offsets
from repatient.recipe._ordination import ordinate
from repatient.recipe._pooling import pool_recipes
from repatient.recipe._posterior import MeanPosterior, mean_posteriors
from repatient.recipe._recipes import Recipes, fit_recipes
from repatient.recipe._transfer import TRANSFERS, log_ratio_transfer, smoothed, transferred

__all__ = [
    "KINDS",
    "TRANSFERS",
    "Array",
    "Contrast",
    "Design",
    "Kind",
    "Learning",
    "MeanPosterior",
    "Offsets",
    "Pooled",
    "Recipes",
    "coarsened",
    "contrast",
    "counterfactual_compositions",
    "fit_offsets",
    "fit_recipes",
    "groups_of_enough",
    "is_covariance",
    "log_likelihood",
    "log_ratio_transfer",
    "log_ratios",
    "mean_posteriors",
    "merged_gaussians",
    "moderated_p_values",
    "ordinate",
    "p_values_of_both",
    "pool_offsets",
    "pool_recipes",
    "proportions",
    "register_kind",
    "smoothed",
    "smoothed_proportions",
    "too_small",
    "transferred",
]
