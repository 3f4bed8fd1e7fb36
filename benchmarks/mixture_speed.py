"""The mixture against its peers, as ratios: one pass, whole fits, and single precision under stress.

python benchmarks/mixture_speed.py [--quick] [--parts passes fits blob million stress] [--rounds 5] [--seeds 5]

Peers are scikit-learn in float64 and float32, and torchgmm where it is installed. Rounds are interleaved, every library
has one thread, and ratios are taken inside a round, so that load on the machine meets all of them alike. Times are CPU
seconds of this process. Held-out log-likelihood is scored by one float64 scorer (scipy) from the fitted parameters.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from mixture_rows import N_COMPONENTS, as_type, draw, draw_blob
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Peer
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky
from threadpoolctl import threadpool_limits

from repatient.mixture import GaussianMixture
from repatient.mixture._em import RegCovar, Sample, expectation, maximisation
from repatient.mixture._features import FEATURE_MAPS, feature_map_of
from repatient.mixture._parameters import Parameters
from repatient.mixture._whitening import Whitening, moments_of_rows

try:
    import torch
    from torchgmm.bayes import GaussianMixture as TorchPeer
except ImportError:
    TorchPeer = None

if TYPE_CHECKING:
    from collections.abc import Callable

# The slowest peer runs with the first seeds only, as do fits to one Gaussian.
TORCH_SEEDS, BLOB_SEEDS = 2, 2
N_HELD_OUT = 50_000
# Covariance type, dimensions, and the ratios wanted against scikit-learn in float64 and float32.
PASSES = [("full", 32, 8, 4.5), ("full", 8, 14, None), ("full", 64, 4.5, None), ("tied", 32, 30, None)]
PASSES += [("diag", 384, 4, None)]
# Our tolerances: the default, that of scikit-learn, and one at which EM goes over all rows only twice, once it has gone
# over the subsamples.
OURS = {"repatient": 1e-4, "repatient, tol 1e-3": 1e-3, "repatient, tol 0.1": 0.1}
FIT_TARGETS = {"scikit-learn float64": (7, 40), "scikit-learn float32": (3.5, 12), "torchgmm": (5, 50)}
STRESS = {"offset 1e3": (1e3, 1.0), "scale ratio 1e3": (0.0, 1e3), "scale ratio 1e4": (0.0, 1e4)}


class Timed(NamedTuple):
    seconds: float
    held_out: float


def main() -> None:
    arguments = parse_arguments()
    warnings.simplefilter("ignore", ConvergenceWarning)
    with threadpool_limits(limits=1):
        if TorchPeer is None:
            print("torchgmm is not installed: its rows are left out.\n")
        else:
            torch.set_num_threads(1)
            logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        print(f"Load when started: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n")
        reports = {
            "passes": lambda: report_passes(arguments.rows, arguments.rounds),
            "fits": lambda: report_fits(arguments.rows, arguments.seeds, at_least_a_million=False),
            "blob": lambda: report_blob(arguments.rows, min(arguments.seeds, BLOB_SEEDS)),
            "million": lambda: report_fits(1_000_000, 1, at_least_a_million=True),
            "stress": lambda: report_stress(arguments.rows // 5),
        }
        for part in arguments.parts:
            reports[part]()
        print(f"Load when finished: {os.getloadavg()[0]:.1f}.")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20,000 rows, two rounds, two seeds")
    parts = {"nargs": "+", "choices": ("passes", "fits", "blob", "million", "stress")}
    parts["default"] = ["passes", "fits", "blob", "stress"]
    million = "what to measure; blob is whole fits to one Gaussian, million whole fits at 1,000,000 rows with one seed"
    parser.add_argument("--parts", **parts, help=million)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    arguments.rows = 20_000 if arguments.quick else 100_000
    if arguments.quick:
        arguments.rounds, arguments.seeds = min(arguments.rounds, 2), min(arguments.seeds, 2)
    return arguments


def cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def our_pass(rows: np.ndarray, given: Parameters) -> Callable[[], object]:
    """Both steps of EM at given parameters, without what a fit does once."""
    moments = moments_of_rows(rows)
    whitening = Whitening.from_moments(moments, diagonal=given.covariance_type == "diag").rounded()
    sample = Sample.of(rows, whitening, moments)
    feature_map = feature_map_of(given.covariance_type, rows.shape[1], len(given.weights))
    start = whitening.whiten(given)

    def run() -> None:
        expected = expectation(sample, feature_map, feature_map.coefficients(start))
        maximisation(sample, feature_map, expected.sums, start, RegCovar(1e-6))

    return run


def peer_pass(rows: np.ndarray, given: Parameters) -> Callable[[], object]:
    peer = Peer(N_COMPONENTS, covariance_type=given.covariance_type)
    start = (given.weights.astype(rows.dtype), given.means.astype(rows.dtype), given.covariances.astype(rows.dtype))

    def run() -> None:
        peer.weights_, peer.means_, peer.covariances_ = start
        peer.precisions_cholesky_ = _compute_precision_cholesky(start[2], given.covariance_type)
        _, log_responsibilities = peer._e_step(rows)
        peer._m_step(rows, log_responsibilities)

    return run


def sgemm_rate() -> float:
    """Flops a second of a large product in single precision."""
    square = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    return 2 * 2048**3 / min(cpu_seconds(lambda: square @ square) for _ in range(2))


def read_rate() -> float:
    """Bytes a second read from memory by a sum."""
    values = np.ones(1 << 25, dtype=np.float32)
    return values.nbytes / min(cpu_seconds(values.sum) for _ in range(2))


def report_passes(n_rows: int, n_rounds: int) -> None:
    print(f"### One pass of EM, {n_rows:,} rows, {N_COMPONENTS} components, {n_rounds} rounds\n")
    print("| covariance | d | CPU s | against float64 | wanted | against float32 | wanted | share of sgemm |")
    print("|---|---|---|---|---|---|---|---|")
    ceilings, bandwidths = [], []
    for index, (covariance_type, n_dims, *wanted) in enumerate(PASSES):
        drawn = draw(n_rows, n_dims, seed=index)
        given = as_type(drawn.truth, covariance_type)
        runs = [our_pass(drawn.rows, given), peer_pass(drawn.rows.astype(np.float64), given)]
        runs.append(peer_pass(drawn.rows, given))
        runs[0]()
        seconds, rates = [], []
        for _ in range(n_rounds):
            rates.append(sgemm_rate())
            bandwidths.append(read_rate())
            seconds.append([cpu_seconds(run) for run in runs])
        ceilings += rates
        ours, double, single = np.transpose(seconds)
        flops = 4 * FEATURE_MAPS[covariance_type](n_dims).n_features * N_COMPONENTS * n_rows
        share = spread(100 * flops / ours / rates, "{:.0f}") + " %" if covariance_type == "full" else ""
        cells = [covariance_type, n_dims, spread(ours, "{:.3f}"), spread(double / ours), at_least(wanted[0])]
        cells += [spread(single / ours), at_least(wanted[1]), share]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print(f"\nsgemm {spread(np.array(ceilings) / 1e9, '{:.0f}')} Gflop/s; ", end="")
    print(f"read bandwidth {spread(np.array(bandwidths) / 1e9, '{:.0f}')} GB/s. Share of sgemm counts 4 p K n flops.\n")


def parameters_of(fitted: GaussianMixture | Peer) -> Parameters:
    return Parameters("full", *(np.float64(values) for values in (fitted.weights_, fitted.means_, fitted.covariances_)))


def our_fit(seed: int, **settings: float) -> GaussianMixture:
    return GaussianMixture(N_COMPONENTS, random_state=seed, progress=False, **settings)


def fit_torch(rows: np.ndarray, seed: int) -> Parameters:
    torch.manual_seed(seed)
    quiet = {"max_epochs": 300, "enable_progress_bar": False, "accelerator": "cpu", "logger": False}
    peer = TorchPeer(N_COMPONENTS, covariance_type="full", trainer_params=quiet)
    model = peer.fit(torch.from_numpy(rows)).model_
    values = (model.component_probs, model.means, model.covariances)
    return Parameters("full", *(value.detach().double().numpy() for value in values))


def held_out_score(rows: np.ndarray, parameters: Parameters) -> float:
    """Mean log density, in double precision and from the definition."""
    joint = []
    for weight, mean, covariance in zip(parameters.weights, parameters.means, parameters.covariances, strict=True):
        lower = np.linalg.cholesky(covariance)
        distances = np.square(solve_triangular(lower, (rows - mean).T, lower=True)).sum(axis=0)
        log_det = 2 * np.log(np.diag(lower)).sum() + len(mean) * np.log(2 * np.pi)
        joint.append(np.log(weight) - 0.5 * (distances + log_det))
    return float(logsumexp(joint, axis=0).mean())


def report_fits(n_rows: int, n_seeds: int, *, at_least_a_million: bool) -> None:
    print(f"### Whole fits, full covariance, d = 32, {n_rows:,} rows, seeds 0 to {n_seeds - 1}\n")
    compare_fits(draw(n_rows + N_HELD_OUT, 32, seed=100).rows, n_seeds, at_least_a_million=at_least_a_million)


def report_blob(n_rows: int, n_seeds: int) -> None:
    """No component is there to be found, so that EM goes on for longest."""
    print(f"### Whole fits to one Gaussian, full covariance, d = 32, {n_rows:,} rows, seeds 0 to {n_seeds - 1}\n")
    compare_fits(draw_blob(n_rows + N_HELD_OUT, 32, seed=300), n_seeds)


def compare_fits(rows: np.ndarray, n_seeds: int, *, at_least_a_million: bool | None = None) -> None:
    """Fits to all rows but the last, which score them; targets where it is said how many rows there are."""
    train, test = rows[:-N_HELD_OUT], rows[-N_HELD_OUT:].astype(np.float64)
    double = train.astype(np.float64)
    fits: dict[str, Callable[[int], Parameters]] = {
        name: lambda seed, tol=tol: parameters_of(our_fit(seed, tol=tol).fit(train)) for name, tol in OURS.items()
    }
    fits |= {
        "scikit-learn float64": lambda seed: parameters_of(
            Peer(N_COMPONENTS, random_state=seed, max_iter=300).fit(double)
        ),
        "scikit-learn float32": lambda seed: parameters_of(
            Peer(N_COMPONENTS, random_state=seed, max_iter=300).fit(train)
        ),
    }
    if TorchPeer is not None:
        fits["torchgmm"] = lambda seed: fit_torch(train, seed)
    results: dict[str, list[Timed]] = {name: [] for name in fits}
    for seed in range(n_seeds):
        for name, fit in fits.items():
            if name == "torchgmm" and seed >= TORCH_SEEDS:
                continue
            start = time.process_time()
            parameters = fit(seed)
            seconds = time.process_time() - start
            results[name].append(Timed(seconds, held_out_score(test, parameters)))
    print(
        "| fit | CPU s | held-out log-likelihood | "
        + " | ".join(f"{name} is faster by" for name in OURS)
        + " | wanted |"
    )
    print("|---|---|---|" + "---|" * len(OURS) + "---|")
    seconds = {name: np.array([run.seconds for run in runs]) for name, runs in results.items()}
    held_out = {name: np.array([run.held_out for run in runs]) for name, runs in results.items()}
    for name in results:
        cells = [name, spread(seconds[name], "{:.2f}"), spread(held_out[name], "{:.4f}")]
        if name in FIT_TARGETS:
            for ours in OURS:
                worse = np.median(held_out[ours]) < np.median(held_out[name])
                faster = spread(seconds[name] / seconds[ours][: len(seconds[name])])
                cells.append(faster + (", less likely" if worse else ""))
            cells.append("" if at_least_a_million is None else at_least(FIT_TARGETS[name][at_least_a_million]))
        print("| " + " | ".join(cells + [""] * (4 + len(OURS) - len(cells))) + " |", flush=True)
    print()


def report_stress(n_rows: int) -> None:
    print(f"### Single precision against double precision, {n_rows:,} rows, d = 32\n")
    print(
        "| rows | covariance | error of the mean log-likelihood | ARI of the labels | the same for whole fits | ARI |"
    )
    print("|---|---|---|---|---|---|")
    drawn = draw(n_rows, 32, seed=200)
    for name, (offset, ratio) in STRESS.items():
        rows = (drawn.rows * np.geomspace(1, 1 / ratio, 32) + offset).astype(np.float32)
        double = rows.astype(np.float64)
        for covariance_type in ("full", "tied", "diag"):
            settings = {"covariance_type": covariance_type, "progress": False, "max_iter": 50}
            single_fit, double_fit = (
                GaussianMixture(N_COMPONENTS, **settings).fit(values) for values in (rows, double)
            )
            errors = [single_fit.score(rows) - single_fit.score(double)]
            errors.append(single_fit.log_likelihood_ - double_fit.log_likelihood_)
            labels = [single_fit.predict(rows), single_fit.predict(double), double_fit.predict(double)]
            agreement = [adjusted_rand_score(labels[0], other) for other in labels[1:]]
            cells = [f"{value:.1e} | {ari:.5f}" for value, ari in zip(np.abs(errors), agreement, strict=True)]
            print(f"| {name} | {covariance_type} | " + " | ".join(cells) + " |", flush=True)
    print("\nWanted: errors of at most 1e-5 and an ARI of at least 0.9995, with the same parameters.\n")


def spread(values: np.ndarray, form: str = "{:.1f}") -> str:
    """Median and range."""
    low, middle, high = (form.format(value) for value in (values.min(), np.median(values), values.max()))
    return f"{middle} ({low} to {high})"


def at_least(wanted: float | None) -> str:
    return "" if wanted is None else f"≥ {wanted:g}"


if __name__ == "__main__":
    main()
