r"""Recipe and pool in, rows of generated patients out; and how another cohort's cells are brought to where these lie.

*Donor effects.* A real patient's cells lie off the middle of their component together. Coordinates are canonical: the
covariance of cells within patient and component is the identity, that of the patients' offsets diagonal, with variances
:math:`\lambda` by the method of moments. An offset is the sum of one that a patient has in all components, of variance
:math:`c`, and one of its own in each, of variance :math:`\lambda - c`. Both are shrunk by the *square root* of the
reliability :math:`v / (v + 1/n)` of the patient's :math:`n` cells, so that offsets differ as much between patients as
the true ones do (constrained empirical Bayes, Ghosh 1992). A generated patient borrows the offsets :math:`t_k` of a real
one, taken with probability :math:`\exp(-d^2 / h^2)`, d the distance of the square roots of their compositions and h half
the median distance of a real patient from the nearest; and its cells of component k are drawn, without replacement, by
the weights :math:`N(z \mid t_k, W_k) / N(z \mid 0, S_k)`, with S the covariance of all cells of the component and W that
within patients.

.. data:: ALIGNMENTS

    Names of the maps from one cohort's embedding to another's, described at :func:`repatient.tl.assign`.
"""

from repatient.sampling._alignment import AffineMap, Moments, class_moments, moment_map
from repatient.sampling._coverage import can_hold_out, held_out_log_density
from repatient.sampling._dispatch import ALIGNMENTS, AlignmentSide, ArraySide, fit_alignment
from repatient.sampling._donor_effects import DonorEffects, can_fit_donor_effects, fit_donor_effects
from repatient.sampling._draw import Draw, draw_patients, most_per_donor
from repatient.sampling._gaussian import GaussianDraw, draw_gaussians
from repatient.sampling._quantiles import CellsOfClasses, MonotoneMap, QuantileMap, quantile_map
from repatient.sampling._spread import MeanShift, Spread, donor_spread, mean_shift
from repatient.sampling._transport import TransportMap, transport_map
from repatient.sampling._weighted import draw_with_effects

__all__ = [
    "ALIGNMENTS",
    "AffineMap",
    "AlignmentSide",
    "ArraySide",
    "CellsOfClasses",
    "DonorEffects",
    "Draw",
    "GaussianDraw",
    "MeanShift",
    "Moments",
    "MonotoneMap",
    "QuantileMap",
    "Spread",
    "TransportMap",
    "can_fit_donor_effects",
    "can_hold_out",
    "class_moments",
    "donor_spread",
    "draw_gaussians",
    "draw_patients",
    "draw_with_effects",
    "fit_alignment",
    "fit_donor_effects",
    "held_out_log_density",
    "mean_shift",
    "moment_map",
    "most_per_donor",
    "quantile_map",
    "transport_map",
]
