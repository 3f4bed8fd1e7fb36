"""Translator from one view to another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from repatient._checks import check_integer, check_option
from repatient._device import find_device
from repatient._files._model_folder import TRANSLATOR as FOLDER
from repatient._files._model_folder import UNFITTING, with_nan, without_nan
from repatient._files._networks import network_of
from repatient._files._read import boolean, check_values, history, optional, sequence_of, text
from repatient.views._arrays import check_together, read_like, read_links, read_pairs, read_view
from repatient.views._auto import choose
from repatient.views._cyclegan import CycleNetworks
from repatient.views._generators import PairedViews, Shapes, forth_of, make_members, members_of, train_members
from repatient.views._spaces import ImageSpace, VectorSpace, fit_space
from repatient.views._torch import build, single_thread, torch_generator
from repatient.views._translator_parameters import check_parameters
from repatient.views._transport import linked_features

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

_ROWS_AT_A_TIME = 1024
_COUNT = partial(check_integer, minimum=0)
_NAMES = optional(sequence_of(text))
_FITTED = {
    "generator_": partial(check_option, options=("cyclegan", "ot", "regression")),
    "reason_": text,
    "n_source_": _COUNT,
    "n_target_": _COUNT,
    "n_pairs_": _COUNT,
    "source_names_": _NAMES,
    "target_names_": _NAMES,
}
_SIDES = ("source", "target")


class Translator(BaseEstimator):
    """Map from one view of observations to another, learnt from pairs, from linked features, or from neither.

    Vectors that are counts (whole numbers from 0 on, some above 1) are taken as logarithms, after scaling to the median
    depth where there are 200 features or more.

    Parameters
    ----------
    generator
        ``"cyclegan"``: two generators and two discriminators, for views without partners; few pairs and links add to its
        losses. ``"ot"``: a network that follows the entropic optimal transport between linked features of vectors.
        ``"regression"``: a network that follows pairs. ``"auto"``: regression from 100 pairs on; else ``"cyclegan"`` for
        images and ``"ot"`` for vectors with links; ``generator_`` and ``reason_`` say which and why.
    n_members
        Translators that are trained, each from other first weights and batches, and averaged. Where the map between
        vectors stays linear, they are all the same.
    n_steps
        Gradient steps; None: 2,000 for images and 1,000 for vectors.
    batch_size
        Rows a step; None: 16 images, 128 vectors.
    learning_rate
        None: 5e-4 for ``"cyclegan"``, 1e-3 for the others.
    width
        Channels of the networks of images at half resolution.
    hidden
        Width of the networks of vectors.
    networks
        ``"builtin"``, or ``"monai"`` for the U-Net and the discriminator of MONAI (images).
    cycle_weights
        Weights in ``"cyclegan"`` of the ways source → target → source and target → source → target. The first is low:
        what the source alone has, the target does not keep.
    identity_weight, pair_weight, link_weight
        Weights in ``"cyclegan"`` of targets left as they are (images), of known pairs and of linked features.
    noise_channels
        Channels of noise that the way back of images reads, since one target has many sources.
    n_neighbors
        Neighbours that ``"ot"`` smooths linked features over, in views of 200 features or more; a third as many in others.
    regularisation
        Entropy of the plan of ``"ot"``, in mean costs.
    max_rows
        Rows of each view that the plan of ``"ot"`` is made for, drawn at random where there are more.
    allow_unanchored
        Whether to go on with vectors that have neither links nor pairs, between which nothing identifies a map.
    device
        Name of a torch device; ``"auto"`` takes CUDA, then MPS, then the CPU.
    random_state
        Seed. On the CPU the same seed gives the same bits.
    progress
        Whether to show a progress bar; None shows it where a person can see it.

    Attributes
    ----------
    generator_, reason_
        The generator that was taken, and why.
    source_shape_, target_shape_
        Shape of a row of each view.
    n_source_, n_target_, n_pairs_
        Rows and pairs that it was fitted on.
    links_
        Linked columns, (n_links, 2).
    source_names_, target_names_
        Names of the columns, where :func:`repatient.tl.synthesize` read them; else None.
    source_steps_, target_steps_
        Steps to each view from measured features (settings, and arrays by name), where :func:`repatient.tl.synthesize` found
        them; else None. They are kept for it, and not applied here.
    history_
        Lists of ``step`` and losses, one entry each 50 steps; means over members.

    References
    ----------
    Zhu et al. (2017), Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks. Cuturi (2013),
    Sinkhorn Distances. Farndale et al. (2024), arXiv:2403.05220.
    """

    def __init__(
        self,
        generator: Literal["auto", "cyclegan", "ot", "regression"] = "auto",
        *,
        n_members: int = 1,
        n_steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        width: int = 16,
        hidden: int = 128,
        networks: Literal["builtin", "monai"] = "builtin",
        cycle_weights: tuple[float, float] = (1.0, 10.0),
        identity_weight: float = 5.0,
        pair_weight: float = 10.0,
        link_weight: float = 10.0,
        noise_channels: int = 2,
        n_neighbors: int = 30,
        regularisation: float = 0.02,
        max_rows: int = 3000,
        allow_unanchored: bool = False,
        device: str = "auto",
        random_state: int | None = 0,
        progress: bool | None = None,
    ) -> None:
        self.generator = generator
        self.n_members = n_members
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.width = width
        self.hidden = hidden
        self.networks = networks
        self.cycle_weights = cycle_weights
        self.identity_weight = identity_weight
        self.pair_weight = pair_weight
        self.link_weight = link_weight
        self.noise_channels = noise_channels
        self.n_neighbors = n_neighbors
        self.regularisation = regularisation
        self.max_rows = max_rows
        self.allow_unanchored = allow_unanchored
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def fit(self, A: ArrayLike, B: ArrayLike, pairs: ArrayLike | None = None, links: ArrayLike | None = None) -> Self:
        """Learn the map from rows of ``A`` to rows of ``B``, which need not be of the same observations.

        Parameters
        ----------
        A, B
            Source and target: vectors (n, d) and (m, e), or images (n, C, H, W) and (m, D, H, W) whose sides are divisible
            by 4.
        pairs
            Rows of ``A`` and ``B`` that belong together, integers (n_pairs, 2). None: that rows are as many, or in one
            order, says nothing.
        links
            Columns of ``A`` and ``B`` that rise together, integers (n_links, 2), each column as often as wanted.

        Returns
        -------
        The fitted translator.

        Raises
        ------
        TypeError, ValueError
            If a view is neither vectors nor images with channels first, has sides that are not divisible by 4, values
            that are not finite or beyond ±1e15, fewer than two rows or no variation; if both are the same; if pairs or
            links point outside; if no linked feature varies; if a parameter is out of its range; or if vectors have
            neither links nor pairs.
        ImportError
            If the generator needs a package that is not installed.
        FloatingPointError
            If the loss, or the transport plan, does not stay finite.
        """
        check_parameters(self.get_params())
        source, target = read_view(A, "A", fitting=True), read_view(B, "B", fitting=True)
        check_together(source, target)
        views = PairedViews(
            source, target, read_pairs(pairs, len(source), len(target)), read_links(links, source, target)
        )
        choice = choose(
            self.generator,
            images=source.ndim == 4,
            n_pairs=len(views.pairs),
            n_links=len(views.links),
            allow_unanchored=self.allow_unanchored,
        )
        rng = np.random.default_rng(self.random_state)
        generator = torch_generator(rng)
        with single_thread():
            seed = int(rng.integers(2**31))
            self._spaces = fit_space(source, seed), fit_space(target, seed)
            self._shapes = Shapes.of(views, self._spaces)
            settings = self.get_params() | {"device": find_device(self.device)}
            randoms = [generator, *(torch_generator(rng) for _ in range(self.n_members - 1))]
            networks, self.history_ = train_members(
                choice.generator, self._shapes, views, self._spaces, settings, randoms
            )
        self._networks = networks.eval()
        self.generator_, self.reason_ = choice
        self.source_shape_, self.target_shape_ = source.shape[1:], target.shape[1:]
        self.n_source_, self.n_target_, self.n_pairs_ = len(source), len(target), len(views.pairs)
        self.links_ = views.links
        self.source_names_: list[str] | None = None
        self.target_names_: list[str] | None = None
        self.source_steps_: tuple[dict[str, Any], dict[str, NDArray[Any]]] | None = None
        self.target_steps_: tuple[dict[str, Any], dict[str, NDArray[Any]]] | None = None
        return self

    def translate(self, A: ArrayLike) -> NDArray[np.float32]:
        """The view that rows of the source would have, in the units of the target.

        Parameters
        ----------
        A
            Rows of the form that was fitted on.

        Returns
        -------
        Shape (n, e) or (n, D, H, W); counts of 200 features or more at the median depth of the target.

        Raises
        ------
        TypeError, ValueError
            If rows are of another shape or hold values that are not finite or beyond ±1e15.
        """
        return self._spaces[1].restore(self.predict_features(A)).astype(np.float32)

    def predict_features(self, A: ArrayLike) -> NDArray[np.float32]:
        """Translated rows in the standardised features of the target, where distances mean something."""
        check_is_fitted(self)
        source = read_like(A, self.source_shape_, "A")
        return self._run(forth_of(self._networks), self._spaces[0].inputs, source, self._shapes.target)

    def target_features(self, B: ArrayLike) -> NDArray[np.float32]:
        """Measured rows of the target in the same features."""
        check_is_fitted(self)
        target = read_like(B, self.target_shape_, "B")
        return self._spaces[1].features(target).astype(np.float32)

    def linked_features(
        self, A: ArrayLike, B: ArrayLike, links: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Features that rows of both views share through links, smoothed and standardised in each, for comparing them."""
        check_is_fitted(self)
        source, target = read_like(A, self.source_shape_, "A"), read_like(B, self.target_shape_, "B")
        spaces = cast("tuple[VectorSpace, VectorSpace]", self._spaces)
        with single_thread():
            linked = linked_features(source, target, read_links(links, source, target), spaces, self.n_neighbors)
        return linked.source, linked.target

    def cycle_error(self, A: ArrayLike) -> float:
        """Mean absolute error of source → target → source in the networks' units, over members; NaN without a way back.

        Weak evidence: a map that confuses everything consistently has a low one, too.
        """
        check_is_fitted(self)
        members = [member for member in members_of(self._networks) if isinstance(member, CycleNetworks)]
        if not members:
            return float("nan")
        source, inputs = read_like(A, self.source_shape_, "A"), self._spaces[0].inputs
        ways = [partial(member.there_and_back, noise=torch.Generator().manual_seed(0)) for member in members]
        errors = [np.abs(self._run(way, inputs, source, self._shapes.source) - inputs(source)).mean() for way in ways]
        return float(np.mean(errors))

    def save(self, folder: str | PathLike[str]) -> None:
        """Write ``translator.json`` and ``weights.npz``, no pickle, to a new folder or over a saved translator.

        Raises
        ------
        ValueError
            If the folder exists and holds no translator.
        """
        check_is_fitted(self)
        arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in self._networks.state_dict().items()}
        for side, space in zip(_SIDES, self._spaces, strict=True):
            arrays |= {f"{side}.{name}": array for name, array in space.arrays().items()}
        arrays["links"] = self.links_
        steps = {side: getattr(self, f"{side}_steps_") for side in _SIDES}
        for side, of_side in steps.items():
            arrays |= {f"{side}_steps.{name}": array for name, array in ({} if of_side is None else of_side[1]).items()}
        content = {
            "steps": {side: None if of_side is None else of_side[0] for side, of_side in steps.items()},
            "params": self.get_params(),
            "fitted": {name: getattr(self, name) for name in _FITTED} | {"history": without_nan(self.history_)},
            "rows": {"source": self.source_shape_, "target": self.target_shape_},
            "network": {"source": self._shapes.source, "target": self._shapes.target},
        }
        FOLDER.write(folder, content, arrays)

    @classmethod
    def load(cls, folder: str | PathLike[str], *, device: str = "auto") -> Self:
        """Read a translator that :meth:`save` wrote to a folder, onto a device.

        Raises
        ------
        FileNotFoundError
            If the folder or one of its files is missing.
        ValueError
            If what is there is no translator, of a newer format, or damaged, or torch does not have the device.
        """
        place = find_device(device)
        stored = FOLDER.read(folder)
        description = stored.description
        try:
            params = description["params"] | {"cycle_weights": tuple(description["params"]["cycle_weights"])}
            model = cls(**{**params, "device": device})
            check_parameters(model.get_params())
            boolean(model.allow_unanchored, "allow_unanchored")
            fitted, rows, shapes = description["fitted"], description["rows"], description["network"]
            check_values(fitted, _FITTED | {"history": history}, "fitted")
            for size in (size for sizes in (*rows.values(), *shapes.values()) for size in sizes):
                check_integer(size, "shape", minimum=1)
            for name in _FITTED:
                setattr(model, name, fitted[name])
            model.history_, model.links_ = with_nan(fitted["history"]), stored.arrays["links"]
            for side in _SIDES:
                settings = description.get("steps", {}).get(side)
                steps = None if settings is None else (settings, stored.part(f"{side}_steps."))
                setattr(model, f"{side}_steps_", steps)
            model.source_shape_, model.target_shape_ = tuple(rows["source"]), tuple(rows["target"])
            model._shapes = Shapes(tuple(shapes["source"]), tuple(shapes["target"]))
            if {len(model._shapes.source), len(model._shapes.target)} not in ({1}, {3}):
                msg = f"networks read rows of shape {model._shapes.source} and write {model._shapes.target}: features or images"
                raise ValueError(msg)
            space = ImageSpace if model._shapes.images else VectorSpace
            source, target = (space.from_arrays(stored.part(f"{side}.")) for side in _SIDES)
            if not (source.fits(model.source_shape_) and target.fits(model.target_shape_)):
                msg = f"its spaces are not of rows of the shapes {model.source_shape_} and {model.target_shape_}"
                raise ValueError(msg)
            model._spaces = source, target
            networks = network_of(
                lambda: build(
                    lambda: make_members(model.generator_, model._shapes, model.get_params()), torch.Generator()
                ),
                stored.part("network."),
            )
        except UNFITTING as error:
            raise FOLDER.incomplete(folder, error) from error
        model._networks = networks.to(place).eval()
        return model

    @torch.no_grad()
    def _run(self, network: Any, inputs: Any, rows: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Pass rows through a network, some at a time."""
        device = next(self._networks.parameters()).device
        result = np.empty((len(rows), *shape), dtype=np.float32)
        with single_thread():
            for start in range(0, len(rows), _ROWS_AT_A_TIME):
                block = slice(start, start + _ROWS_AT_A_TIME)
                result[block] = network(torch.from_numpy(inputs(rows[block])).to(device)).cpu().numpy()
        return result
