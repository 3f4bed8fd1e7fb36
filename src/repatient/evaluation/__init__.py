"""Patient-level splits, metrics and comparisons; realism and discrepancy of generated patients.

.. data:: SCENARIOS

    Which patients a split trains on: ``"full"``, ``"low_data"``, ``"rare_class"``, ``"missing_class"``.

.. data:: DEFAULTS

    Methods that are compared in each scenario where none are named.

.. data:: BASELINES

    Method that the others are compared with in each scenario.

.. data:: METHOD_OF_RUNG

    Method that measures each rung of what may travel: ``"nothing"``, ``"recipes"``, ``"offsets"``, ``"model"``, ``"cells"``.

.. data:: METRICS

    Names of the metrics: ``"auroc"``, ``"balanced_accuracy"``, ``"macro_f1"``, ``"brier"``, ``"log_loss"``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from repatient.evaluation._bag_summaries import BagSummaries, summarise_bags
from repatient.evaluation._cohort import Cohort
from repatient.evaluation._comparison import Interval, average_interval, by_split, compare, corrected_interval
from repatient.evaluation._discrepancy import MMD, energy_distance, mmd_test
from repatient.evaluation._familiarity import Familiarity
from repatient.evaluation._familiarity_scores import FamiliarityScores
from repatient.evaluation._fitted_fold import FittedFold, Plan
from repatient.evaluation._fold import SCENARIOS, Fold, Scenario, make_folds
from repatient.evaluation._grouped_auroc import TooFewPatientsError, auroc, grouped_auroc
from repatient.evaluation._labels import method_label
from repatient.evaluation._methods import (
    BASELINES,
    DEFAULTS,
    Method,
    Way,
    check_methods,
    method_names,
    register_method,
    unregister_method,
)
from repatient.evaluation._metrics import METRICS, Reliability, calibration_error, reliability, score
from repatient.evaluation._privacy import (
    Reidentification,
    donor_shares,
    effective_donors,
    membership_auroc,
    reidentification,
    repeated_share,
    statistics_membership,
)
from repatient.evaluation._realism import (
    ComponentAUROC,
    ComponentMeans,
    Discrepancy,
    class_auroc_within_components,
    component_means,
    discrepancy,
    real_against_generated,
    size_auroc,
    variance_ratio,
)
from repatient.evaluation._run import Evaluated, Predictions, run
from repatient.evaluation._splits import group_splits

if TYPE_CHECKING:
    from repatient.evaluation._trained import Trained
    from repatient.evaluation._travels import METHOD_OF_RUNG, Travels

__all__ = [
    "BASELINES",
    "DEFAULTS",
    "METHOD_OF_RUNG",
    "METRICS",
    "MMD",
    "SCENARIOS",
    "BagSummaries",
    "Cohort",
    "ComponentAUROC",
    "ComponentMeans",
    "Discrepancy",
    "Evaluated",
    "Familiarity",
    "FamiliarityScores",
    "FittedFold",
    "Fold",
    "Interval",
    "Method",
    "Plan",
    "Predictions",
    "Reidentification",
    "Reliability",
    "Scenario",
    "TooFewPatientsError",
    "Trained",
    "Travels",
    "Way",
    "auroc",
    "average_interval",
    "by_split",
    "calibration_error",
    "check_methods",
    "class_auroc_within_components",
    "compare",
    "component_means",
    "corrected_interval",
    "discrepancy",
    "donor_shares",
    "effective_donors",
    "energy_distance",
    "group_splits",
    "grouped_auroc",
    "make_folds",
    "membership_auroc",
    "method_label",
    "method_names",
    "mmd_test",
    "real_against_generated",
    "register_method",
    "reidentification",
    "reliability",
    "repeated_share",
    "run",
    "score",
    "size_auroc",
    "statistics_membership",
    "summarise_bags",
    "unregister_method",
    "variance_ratio",
]

# They bring torch, which only what trains is to load.
_OF_TRAINING = {"METHOD_OF_RUNG": "_travels", "Trained": "_trained", "Travels": "_travels"}


def __getattr__(name: str) -> Any:
    if name in _OF_TRAINING:
        return getattr(import_module(f"repatient.evaluation.{_OF_TRAINING[name]}"), name)
    msg = f"module 'repatient.evaluation' has no attribute {name!r}"
    raise AttributeError(msg)
