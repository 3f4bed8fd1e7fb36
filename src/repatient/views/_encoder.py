"""Encoder of one view, trained against another."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from repatient._checks import check_integer, check_number, check_option
from repatient._device import find_device
from repatient._files._model_folder import ENCODER as FOLDER
from repatient._files._model_folder import UNFITTING, with_nan, without_nan
from repatient._files._networks import network_of
from repatient._files._read import boolean, check_values, history, optional
from repatient._files._sealed_json import plain
from repatient.views._arrays import read_view
from repatient.views._beside import Beside
from repatient.views._checkpoint import TrainingCheckpoint
from repatient.views._encoder_inputs import check_parameters, hold_out, prepare, read_views
from repatient.views._encoder_networks import encoder
from repatient.views._preparation import AUGMENTATIONS, ROWS_AT_A_TIME, Preparation
from repatient.views._torch import build, single_thread, torch_generator
from repatient.views._training import EncoderSchedule, Training
from repatient.views._trust import kept_share

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from repatient.views._augmentations import Augmentation
    from repatient.views._encoder_inputs import Prepared, Views
    from repatient.views._preparation import ViewKind

_KIND = partial(check_option, options=AUGMENTATIONS)
_COUNT = partial(check_integer, minimum=0)
_FITTED = {
    "trust_": partial(check_number, minimum=0, maximum=1),
    "n_steps_": _COUNT,
    "best_step_": _COUNT,
    "early_stopped_": boolean,
    "kind_": _KIND,
    "partner_kind_": optional(_KIND),
}
# Of what a partner says, an embedding that keeps less leaves something to be carried beside it.
_KEPT = 0.95
_AUGMENTATION_CLASSES = {cls.__name__: cls for cls in AUGMENTATIONS.values()}


class Encoder(BaseEstimator):
    """Embedding of a primary view, learnt by agreeing with a privileged view that is needed in training alone.

    The privileged view (the partner) may have been measured or be synthetic, from
    :class:`repatient.views.Translator`. Without one, two augmentations of the primary view are to agree: what can be
    learnt from a single modality on the same budget.

    Parameters
    ----------
    objective
        ``"infonce"``: each row finds its partner in the batch. ``"vicreg"``: projections of partners are close, vary
        and are uncorrelated. ``"barlow"``: their cross-correlation is the identity.
    branches
        2: an augmentation of the primary view and the partner. 3: two augmentations of the primary view, which share one
        encoder, and the partner; all pairs are to agree, and the partner weighs as much as held-out partners correlate
        with their prediction from the rows by ridge regression (``trust_``): one that says nothing does no harm.
    distill
        Weight of heads that predict the partner (or the ``teacher`` of :meth:`fit`) beside the objective: linearly from
        the embedding, images at 8 × 8 places, and, where both views are images of one size, pixel by pixel from the
        inner layers of the encoder. Of images, it is what they show beyond the mean partner. What the partner says
        linearly, the embedding then says, too. 0 for none.
    dim
        Dimensions of the embedding.
    width
        Width of the hidden layers of vectors; images begin with an eighth as many channels.
    projection
        Width of the projectors, on which the objective is computed.
    kind, partner_kind
        What rows are, which decides how they are augmented: ``"images"``, ``"vectors"``, ``"counts"``. ``"auto"`` takes
        four-dimensional arrays for images, and whole numbers from 0 in 200 columns or more for counts. Vectors of 200
        columns or more are read through their first 50 principal components; whole numbers from 0 are logarithmised
        before, and in 200 columns or more scaled to equal totals.
    augmentation, partner_augmentation
        :class:`ImageAugmentation`, :class:`VectorAugmentation` or :class:`CountAugmentation`; None takes the default
        settings of the kind.
    n_steps
        Most gradient steps.
    batch_size
        Rows a step.
    learning_rate, weight_decay
        Of AdamW; the rate warms up and falls along a cosine.
    validation_fraction
        Share of the groups of rows whose loss decides which weights are kept; 0 keeps the last.
    evaluate_every
        Steps between evaluations of the held-out rows, and between checkpoints.
    patience
        Evaluations without a lower loss of the held-out rows after which training stops.
    device
        Name of a torch device; ``"auto"`` takes CUDA, then MPS, then the CPU.
    random_state
        Seed. On the CPU the same seed gives the same bits.
    progress
        Whether to show a progress bar; None shows it where a person can see it.

    Attributes
    ----------
    shape_in_
        Shape of a row of the primary view.
    kind_, partner_kind_
        What the rows were taken for; the latter None without a partner.
    history_
        Lists ``step``, ``train_loss`` and ``validation_loss``, one entry an evaluation; NaN without held-out rows.
    held_out_
        Indices of the rows that were held out.
    trust_
        Weight of the partner: 1 with two branches, and from 0 to 1 with three.
    n_steps_, best_step_
        Steps taken, and the step whose weights were kept.
    early_stopped_
        Whether the patience ran out.
    kept_
        Share of the variance of partners that a linear reader of the embedding predicts on the rows that were held out, at
        most 1; NaN without a partner or held-out rows.
    carries_
        Whether partners say more than the embedding: ``kept_`` is below .95, or nobody knows. Then ``embed`` with the
        partners is the representation to hand on, which holds what they say beside what the encoder learnt.

    References
    ----------
    Farndale et al. (2024), Synthetic Privileged Information Enhances Medical Image Representation Learning,
    arXiv:2403.05220. Farndale et al. (2023), TriDeNT: Triple Deep Network Training for Privileged Knowledge
    Distillation in Histopathology, arXiv:2312.02111. van den Oord et al. (2018), arXiv:1807.03748. Bardes, Ponce and
    LeCun (2022), arXiv:2105.04906. Zbontar et al. (2021), arXiv:2103.03230.
    """

    def __init__(
        self,
        *,
        objective: Literal["infonce", "vicreg", "barlow"] = "infonce",
        branches: Literal[2, 3] = 2,
        distill: float = 1.0,
        dim: int = 128,
        width: int = 256,
        projection: int = 256,
        kind: ViewKind | Literal["auto"] = "auto",
        partner_kind: ViewKind | Literal["auto"] = "auto",
        augmentation: Augmentation | None = None,
        partner_augmentation: Augmentation | None = None,
        n_steps: int = 2000,
        batch_size: int = 128,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-4,
        validation_fraction: float = 0.1,
        evaluate_every: int = 100,
        patience: int = 10,
        device: str = "auto",
        random_state: int | None = 0,
        progress: bool | None = None,
    ) -> None:
        self.objective = objective
        self.branches = branches
        self.distill = distill
        self.dim = dim
        self.width = width
        self.projection = projection
        self.kind = kind
        self.partner_kind = partner_kind
        self.augmentation = augmentation
        self.partner_augmentation = partner_augmentation
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.evaluate_every = evaluate_every
        self.patience = patience
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def fit(
        self,
        X: ArrayLike,
        partner: ArrayLike | None = None,
        *,
        teacher: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        checkpoint: str | PathLike[str] | None = None,
    ) -> Self:
        """Train on rows of the primary view and their partners.

        Parameters
        ----------
        X
            Primary view: vectors or counts (n, d), or images (n, C, H, W).
        partner
            Privileged view of the same rows in the same order, of any such form. None trains on ``X`` alone.
        teacher
            Features (n, f) for the head of ``distill`` in place of the partner, such as inner features of the generator;
            works without a partner, too.
        groups
            Patient (or donor) of each row, (n,); held-out rows are of whole groups. By default each row is its own.
        checkpoint
            File in which training is kept. A later call with the same data and parameters goes on from there, to the
            same bits.

        Returns
        -------
        The fitted encoder.

        Raises
        ------
        TypeError, ValueError
            If a value is not finite or beyond ±1e15, a shape is not one of those above, rows do not correspond, there are
            fewer than two rows, a parameter is out of its range, or the checkpoint is of another training.
        FloatingPointError
            If the loss does not stay finite.
        """
        check_parameters(self.get_params())
        views = read_views(X, partner, teacher)
        rng = np.random.default_rng(self.random_state)
        held_out = hold_out(len(views.rows), groups, self.validation_fraction, rng)
        training = np.setdiff1d(np.arange(len(views.rows)), held_out)
        with single_thread():
            prepared = prepare(
                views,
                training,
                kinds=(self.kind, self.partner_kind),
                augmentations=(self.augmentation, self.partner_augmentation),
                distill=self.distill > 0,
                weigh=self.branches == 3,
            )
        self.trust_ = prepared.trust
        self._train(prepared, views, training, held_out, torch_generator(rng), checkpoint)
        self.held_out_, self.shape_in_, self.kind_ = held_out, prepared.primary.shape, prepared.primary.kind
        self.partner_kind_ = None if prepared.privileged is None else prepared.privileged.kind
        embedded = self._embed(views.rows[training]).astype(np.float64)
        scale = embedded.std(axis=0)
        self._mean, self._scale = embedded.mean(axis=0), np.where(scale > 0, scale, 1.0)
        self._judge_partners(views, training, prepared.privileged)
        return self

    def embed(self, X: ArrayLike, partner: ArrayLike | None = None) -> NDArray[np.float32]:
        """Embedding of rows of the primary view alone, or with their partners beside it.

        Parameters
        ----------
        X
            Rows of the form that the encoder was trained on.
        partner
            Partners of these rows, of the form of those in training, such as the translation of ``X``: what an encoder
            reads of them follows the embedding, images pixel by pixel and wide vectors through their principal components.

        Returns
        -------
        Shape (n, dim), or (n, dim + values of a partner); every dimension has mean 0 and variance 1 over the training rows.

        Raises
        ------
        TypeError, ValueError
            If rows are of another shape or hold values that are not finite or beyond ±1e15, or partners are given to an
            encoder that was trained without.
        """
        check_is_fitted(self)
        # Products of arrays in another memory order differ in the last bits.
        rows = np.ascontiguousarray(read_view(X, "X", fitting=False))
        if rows.shape[1:] != self.shape_in_:
            msg = f"`X` has rows of shape {rows.shape[1:]}; the encoder was trained on rows of shape {self.shape_in_}."
            raise ValueError(msg)
        embedded = ((self._embed(rows) - self._mean) / self._scale).astype(np.float32)
        return embedded if partner is None else np.hstack([embedded, self._features_of(partner, len(rows))])

    @property
    def carries_(self) -> bool:
        """Whether partners say more than the embedding, so that they are worth carrying beside it."""
        return self._partner is not None and not self.kept_ >= _KEPT

    def save(self, folder: str | PathLike[str]) -> None:
        """Write ``encoder.json`` and ``weights.npz``, no pickle, to a new folder or over a saved encoder.

        What served training alone, the encoder of the privileged view and the projectors, is left out.

        Raises
        ------
        ValueError
            If the folder exists and holds no encoder.
        """
        check_is_fitted(self)
        arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in self._network.state_dict().items()}
        arrays |= {f"primary.{name}": array for name, array in self._primary.arrays.items()}
        arrays |= {"mean": self._mean, "scale": self._scale, "held_out": self.held_out_}
        if self._partner is not None:
            arrays |= {f"partner.{name}": array for name, array in self._partner.arrays().items()}
        content = {
            "params": self.get_params(deep=False),
            "fitted": {name: getattr(self, name) for name in _FITTED}
            | {"history": without_nan(self.history_), "kept": None if np.isnan(self.kept_) else self.kept_},
            "primary": {"shape": list(self.shape_in_), "augmentation": self._primary.augmentation},
            "partner": None if self._partner is None else self._partner.description(),
        }
        FOLDER.write(folder, content, arrays, default=_plain)

    @classmethod
    def load(cls, folder: str | PathLike[str], *, device: str = "auto") -> Self:
        """Read an encoder that :meth:`save` wrote to a folder, onto a device.

        Raises
        ------
        FileNotFoundError
            If the folder or one of its files is missing.
        ValueError
            If what is there is no encoder, of a newer format, or damaged, or torch does not have the device.
        """
        place = find_device(device)
        stored = FOLDER.read(folder)
        try:
            model = cls._of(stored.description, stored.arrays, stored.part("primary."), device)
            # Encoders of before partners were kept have none.
            partner = stored.description.get("partner")
            model._partner = None if partner is None else Beside.stored(partner, stored.part("partner."))
            input_shape = model._primary.input_shape
            network = network_of(
                lambda: build(lambda: encoder(input_shape, model.width, model.dim), torch.Generator()),
                stored.part("network."),
            )
            if not model._mean.shape == model._scale.shape == (model.dim,) or not (model._scale > 0).all():
                msg = "its embedding has no mean and no scale above 0 for each dimension"
                raise ValueError(msg)
        except UNFITTING as error:
            raise FOLDER.incomplete(folder, error) from error
        model._network = network.to(place).eval()
        return model

    @classmethod
    def _of(
        cls, description: dict[str, Any], arrays: dict[str, NDArray[Any]], primary: dict[str, NDArray[Any]], device: str
    ) -> Self:
        """All but the network of what was saved."""
        given = description["params"]
        params = {name: _augmentation(v) if name.endswith("augmentation") else v for name, v in given.items()}
        model = cls(**{**params, "device": device})
        check_parameters(model.get_params())
        fitted, shape = description["fitted"], tuple(description["primary"]["shape"])
        fitted = {"kept": None, **fitted}
        check_values(
            fitted, _FITTED | {"history": history, "kept": optional(partial(check_number, maximum=1))}, "fitted"
        )
        for size in shape:
            check_integer(size, "shape", minimum=1)
        for name in _FITTED:
            setattr(model, name, fitted[name])
        model.history_ = with_nan(fitted["history"])
        model.kept_ = float("nan") if fitted["kept"] is None else float(fitted["kept"])
        model.shape_in_, model.held_out_ = shape, arrays["held_out"]
        model._mean, model._scale = arrays["mean"], arrays["scale"]
        augmentation = _augmentation(description["primary"]["augmentation"])
        model._primary = Preparation.stored(model.kind_, shape, augmentation, primary)
        return model

    def _train(
        self,
        prepared: Prepared,
        views: Views,
        training: NDArray[np.int64],
        held_out: NDArray[np.int64],
        generator: torch.Generator,
        checkpoint: str | PathLike[str] | None,
    ) -> None:
        """Build and train the network; only the encoder of the primary view is kept."""
        device = find_device(self.device)
        network = prepared.network(generator, width=self.width, dim=self.dim, projection=self.projection).to(device)
        plan = EncoderSchedule(**{setting.name: getattr(self, setting.name) for setting in fields(EncoderSchedule)})
        arrays = {"X": views.rows, "partner": views.partners, "teacher": views.features, "held_out": held_out}
        kept = None if checkpoint is None else TrainingCheckpoint.of(checkpoint, self.get_params(), arrays)
        validation = prepared.material(views, held_out, device) if len(held_out) else None
        with single_thread():
            run = Training(network, prepared.material(views, training, device), validation, plan, generator)
            state = run.run(kept)
        self._network, self._primary = network.encoder, prepared.primary
        self.history_, self.n_steps_, self.best_step_ = state.history, state.step, state.best_step
        self.early_stopped_ = run.early_stopped

    def _judge_partners(self, views: Views, training: NDArray[np.int64], privileged: Preparation | None) -> None:
        """How partners are read, and how much of them the embedding keeps."""
        self._partner, self.kept_ = None, float("nan")
        if privileged is None or views.partners is None:
            return
        self._partner = Beside.fit(privileged, views.partners[training])
        features = self._partner.features(views.partners, len(views.rows))
        with single_thread():
            self.kept_ = kept_share(self._embed(views.rows), features, self.held_out_)

    def _features_of(self, partner: ArrayLike, n_rows: int) -> NDArray[np.float32]:
        if self._partner is None:
            msg = "`partner`: the encoder was trained without one; embed rows alone."
            raise ValueError(msg)
        return self._partner.features(partner, n_rows)

    @torch.no_grad()
    def _embed(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embedding before standardising, (n, dim)."""
        device = next(self._network.parameters()).device
        with single_thread():
            blocks = torch.from_numpy(rows).split(ROWS_AT_A_TIME)
            return torch.cat([self._network(self._primary.plain(block.to(device))).cpu() for block in blocks]).numpy()


def _augmentation(entry: dict[str, Any] | None) -> Any:
    """The augmentation that :func:`_plain` described."""
    if entry is None:
        return None
    augmentation = _AUGMENTATION_CLASSES[entry["type"]](**entry["settings"])
    for name, value in asdict(augmentation).items():
        if not isinstance(value, bool):
            check_number(value, name, minimum=0)
    return augmentation


def _plain(value: Any) -> Any:
    """Augmentations, and numpy scalars, of which users make parameters, as JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__, "settings": asdict(value)}
    return plain(value)
