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
"""

from repatient.recipe._composition import proportions
from repatient.recipe._recipes import KINDS, Recipes, fit_recipes

__all__ = ["KINDS", "Recipes", "fit_recipes", "proportions"]
