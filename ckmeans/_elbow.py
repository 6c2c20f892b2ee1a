"""elbow(): one nested seeding for every k, and the knee of the curve."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np

from ckmeans import _validation as valid
from ckmeans._column import Column
from ckmeans._iterate import Limits, Problem, Run, inertia_of, lloyd
from ckmeans._kmeans import checked_limits, finished, kmeans, solved, starts
from ckmeans._refine import refined
from ckmeans._results import ElbowResult, KMeansResult

# Rows without clusters follow a power of k (uniform rows in d columns: k ** (-2 / d)), which the
# chord takes for a knee. A power has one slope in logarithms; a knee has two. The uniform square,
# whose four clusters fit a grid, reaches a ratio of 2.3 at k = 4; xclara has at least 7 at k = 3.
LEAST_SLOPE_RATIO = 3.0


def elbow(X: Any, ks: Any, seed: Any = None, **kmeans_options: Any) -> ElbowResult:
    """Inertia for several k, and the k where the curve bends.

    Parameters
    ----------
    X : array_like of shape (n, d)
        As `kmeans` takes it.
    ks : iterable of int, or int
        The numbers of clusters in any order; an int K stands for 1..K.
    seed : as `numpy.random.default_rng` takes it
    **kmeans_options
        Options of `kmeans` for each clustering; an array as `init` is refused, since it has one k.

    Returns
    -------
    ElbowResult

    Notes
    -----
    The knee is the k farthest below the chord of the curve normalised to the unit square [1]_,
    among those where the fall, as a power of k, slows down at least threefold.
    Each run is seeded once for the largest k, and the start of a smaller k is a prefix of it.
    Where the inertia would rise with k, the smaller k's centroids and further rows start another
    run.

    References
    ----------
    .. [1] V. Satopaa et al., "Finding a 'Kneedle' in a Haystack", ICDCS Workshops 2011.

    Examples
    --------
    >>> from ckmeans import elbow
    >>> from ckmeans.datasets import xclara
    >>> elbow(xclara(), 10, seed=0, n_init=3).knee
    3
    """
    options = all_options(kmeans_options)
    n_threads = valid.threads(options["n_threads"])
    rows = valid.finite_rows(X, options["scale"], n_threads)
    ks = cluster_numbers(ks, rows.n)
    init = valid.starting_centroids(options["init"], ks[-1], rows.d)
    if not isinstance(init, str):
        raise ValueError('init must be "k-means++" or "random" for an elbow, got an array')
    weight = valid.weights(options["sample_weight"], rows.n)
    limited = [options[name] for name in ("n_init", "max_iter", "tol", "max_seconds", "callback")]
    limits = checked_limits(rows, *limited)
    problem = Problem(rows, weight, valid.pruning(options["algorithm"]), n_threads)
    refine = valid.refinement(options["refine"])
    rng = valid.generator(seed)

    column = Column(rows, weight) if solved(rows, init) else None
    if column:
        seedings = [column.optimum(ks[-1])]
    else:
        found = starts(rows, ks[-1], rng, weight, init, limits.n_init, n_threads)
        seedings = [start.centroids for start in found]
    results: list[KMeansResult] = []
    smaller = None
    for k in ks:
        limits = checked_limits(rows, *limited)
        if column and k < ks[-1]:
            first = [column.optimum(k)]
        else:
            first = [seeding[:k] for seeding in seedings]
        runs = [lloyd(problem, start, limits, i) for i, start in enumerate(first)]
        best = best_of(runs, smaller, seedings[0], problem, limits)
        if refine and not column:
            best = refined(problem, best, limits, rng)
        run_inertias = [run.inertia for run in runs]
        results.append(finished(rows, best, best.stopped, run_inertias, limits.n_init))
        smaller = best
    # What is left of a rise is the rounding of equal inertias.
    inertias = np.minimum.accumulate([result.inertia for result in results])
    knee, reason = knee_of(np.array(ks), inertias)
    return ElbowResult(np.array(ks), inertias, knee, reason, tuple(results))


def all_options(given: dict[str, Any]) -> dict[str, Any]:
    """The options of kmeans(), those not given at their defaults."""
    known = dict(list(inspect.signature(kmeans).parameters.items())[3:])
    for name in given:
        if name not in known:
            raise TypeError(f"elbow() has no option {name!r}; it takes {sorted(known)}")
    return {name: given.get(name, parameter.default) for name, parameter in known.items()}


def cluster_numbers(ks: Any, n: int) -> list[int]:
    """Ascending distinct ks."""
    if isinstance(ks, (int, np.integer)):
        return list(range(1, valid.clusters(ks, n, "ks") + 1))
    if isinstance(ks, (str, bytes)) or not isinstance(ks, Iterable):
        raise TypeError(f"ks must be an int or an iterable of ints, got {ks!r}")
    numbers = sorted({valid.clusters(k, n, "ks") for k in ks})
    if not numbers:
        raise ValueError("ks must hold at least one number of clusters, got none")
    return numbers


def best_of(
    runs: list[Run], smaller: Run | None, seeding: np.ndarray, problem: Problem, limits: Limits
) -> Run:
    """The run of least inertia: less than that of the smaller clustering, which has fewer
    centroids."""
    best = min(runs, key=inertia_of)
    if smaller is None or best.inertia <= smaller.inertia:
        return best
    start = extended(smaller, len(best.centroids), seeding)
    return min(best, lloyd(problem, start, limits, len(runs)), key=inertia_of)


def extended(smaller: Run, k: int, seeding: np.ndarray) -> np.ndarray:
    """The smaller clustering's centroids and the seeds farthest from them, k in all."""
    squares = np.square(seeding[:, None] - smaller.centroids).sum(axis=2).min(axis=1)
    extra = np.argsort(-squares, kind="stable")[: k - len(smaller.centroids)]
    return np.concatenate([smaller.centroids, seeding[extra]])


def knee_of(ks: np.ndarray, inertias: np.ndarray) -> tuple[int | None, str | None]:
    """The k of largest distance below the chord, or None and the reason."""
    if len(ks) < 3:
        return None, f"a knee needs at least 3 values of k, got {len(ks)}"
    if inertias[0] <= inertias[-1]:
        return None, "the inertia does not fall with k"
    x = (ks - ks[0]) / (ks[-1] - ks[0])
    y = (inertias - inertias[-1]) / (inertias[0] - inertias[-1])
    below = (1 - x - y)[1:-1]
    if below.max() <= 0:
        return None, "the curve does not bend below its chord"
    slopes = log_slopes(ks, inertias)
    bends = (below > 0) & (slopes[:-1] > LEAST_SLOPE_RATIO * slopes[1:])
    if not bends.any():
        return None, "the curve falls as evenly as that of rows without clusters"
    return int(ks[1 + np.argmax(np.where(bends, below, -np.inf))]), None


def log_slopes(ks: np.ndarray, inertias: np.ndarray) -> np.ndarray:
    """How fast the inertia falls between neighbours, as a power of k."""
    floor = inertias[0] * np.finfo(np.float64).eps
    return -np.diff(np.log(np.maximum(inertias, floor))) / np.diff(np.log(ks))
