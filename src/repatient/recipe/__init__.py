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
"""

from repatient.recipe._composition import proportions
from repatient.recipe._covariates import Design
from repatient.recipe._recipes import KINDS, Recipes, fit_recipes

__all__ = ["KINDS", "Design", "Recipes", "fit_recipes", "proportions"]
