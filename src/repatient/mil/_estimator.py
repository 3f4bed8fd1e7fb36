"""What all that learns from bags is called with, and how it is kept in files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from repatient.mil._inputs import Given
from repatient.mil._persistence import KINDS, load, save

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from repatient.mil._augment import Augmenter
    from repatient.mil._bags import Bags


class BagEstimator(BaseEstimator, ABC):
    """The signature of ``fit``, said once, and saving and loading.

    Attributes
    ----------
    kind
        Name of the kind in saved models, by which a subclass that sets it is found again.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in cls.__dict__:
            KINDS[cls.kind] = cls

    def fit(
        self,
        bags: Bags,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        generated: Bags | None = None,
        generated_y: ArrayLike | None = None,
        source_groups: ArrayLike | None = None,
        augment: Augmenter | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Learn from real and, if given, generated bags.

        Parameters
        ----------
        bags
            Real bags, none empty.
        y
            Label of each real bag (strings, integers, booleans or floats), its grade, or its value, a finite number.
        groups
            Donor of each real bag, the unit of every split; by default each bag is its own.
        generated
            Generated bags over the same ``X``: trained on, never validated on.
        generated_y
            Their labels, of which some may be of no real bag, their grades or values.
        source_groups
            Donor of each row of ``X``, in the words of ``groups``. Rows of validation donors are removed from the
            generated bags, and bags that this empties are dropped. Rows of validation bags are removed in any case.
        augment
            What makes bags out of the real training bags, see :mod:`repatient.mixing`; not together with ``generated``.
            A network takes other bags of it at every step, with the cross-entropy to their labels, which may be soft; what
            takes no steps learns from a number of bags that are drawn once, where real and drawn bags of a class weigh
            the same together. Every value counts as a class of its own, and a bag that is of several has their mean; what
            mixes bags of one class cannot be used with values.
        classes
            Labels to tell apart, where no real or generated bag has one that ``augment`` makes bags of, or all grades, the
            lowest first; ``None`` takes those of the bags, sorted, where grades have to be numbers. Values have none. A
            network shifts the logit of a label without a bag, after training, by the distance in mean log-odds to it
            between real bags of the other labels and those that ``augment`` made in their place.

        Returns
        -------
        What was fitted.

        Raises
        ------
        TypeError, ValueError
            If bags and what is to be predicted do not fit together, a bag is empty, a value is not finite, there are
            fewer than two bags, only one class or only one value, the order of grades that are no numbers is not given, a
            parameter is out of its range, or ``augment`` uses cells of other bags or needs classes that there are not.
        FloatingPointError
            If the loss of a network does not stay finite.
        """
        self.check_params()
        return self._fit_given(Given(bags, y, groups, generated, generated_y, source_groups, augment, classes))

    def save(self, folder: str | PathLike[str]) -> None:
        """Write what is fitted to a folder of ``model.json`` and ``weights.npz``, without pickle.

        Parameters
        ----------
        folder
            A new folder, or that of a saved model, which is replaced.

        Raises
        ------
        ValueError
            If the folder exists and holds no model.
        """
        check_is_fitted(self)
        save(self, folder)

    @classmethod
    def load(cls, folder: str | PathLike[str], *, device: str = "auto") -> Self:
        """Read a model of this kind that :meth:`save` wrote, onto a device; :func:`load_model` reads any kind.

        Raises
        ------
        FileNotFoundError
            If the folder or one of its files is missing.
        ValueError
            If what is there is no model of this kind, of another format, or damaged, or torch does not have the device.
        """
        return load(folder, device, cls)

    @abstractmethod
    def check_params(self) -> None:
        """Raise on a parameter that is out of its range."""

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What a file has to hold beside the parameters: a description for JSON, and arrays."""

    @abstractmethod
    def restore(self, content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """The inverse of :meth:`state`, for an estimator with the parameters that were saved."""

    @abstractmethod
    def _fit_given(self, given: Given) -> Self:
        """Learn; the parameters are checked, what is given is not."""


class NetworkEstimator(BagEstimator):
    """The parameters of a network with gated attention, said once; see :class:`repatient.mil.MILClassifier`."""

    def __init__(
        self,
        *,
        hidden: int = 64,
        attention_hidden: int = 32,
        n_layers: int = 1,
        dropout: float = 0.5,
        learning_rate: float = 1e-3,
        weight_decay: float = 1.0,
        batch_size: int = 16,
        n_steps: int = 200,
        max_epochs: int | None = None,
        cells_per_step: int | None = 128,
        patience: int = 10,
        validation_fraction: float = 0.2,
        class_weight: Literal["balanced"] | None = "balanced",
        standardize: bool = True,
        n_passes: int = 50,
        device: str = "auto",
        random_state: int | None = 0,
        progress: bool | None = None,
    ) -> None:
        self.hidden = hidden
        self.attention_hidden = attention_hidden
        self.n_layers = n_layers
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.max_epochs = max_epochs
        self.cells_per_step = cells_per_step
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight
        self.standardize = standardize
        self.n_passes = n_passes
        self.device = device
        self.random_state = random_state
        self.progress = progress
