"""elbow(): one nested seeding for every k, and the knee of the curve."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ckmeans import _validation as valid
from ckmeans._coarse import Coarse
from ckmeans._column import Column
from ckmeans._iterate import Limits, Problem, Run, Start, inertia_of, lloyd, problem_of
from ckmeans._kmeans import checked_limits, deadline, finished, kmeans, solved, starts
from ckmeans._refine import refined
from ckmeans._results import ElbowResult, KMeansResult, transformed
from ckmeans._rows import Rows

# Rows without clusters follow a power of k (uniform rows in d columns: k ** (-2 / d)), which the
# chord takes for a knee. A power has one slope in logarithms; a knee has two. The uniform square,
# whose four clusters fit a grid, reaches a ratio of 2.3 at k = 4; xclara has at least 7 at k = 3.
LEAST_SLOPE_RATIO = 3.0
# From k of 20 on, neighbours differ by no more than the luck of a run: uniform rows had a ratio of
# over 3 somewhere in 4 of 14 curves to k = 30 or 40. Over half as many and 1.5 times as many
# clusters the luck evens out; uniform rows reached 2.2, clustered ones at least 3 at their k.
SPAN = 1.5
LEAST_WIDE_RATIO = 2.5
SAMPLE = 4096  # rows at least, from which the seeds that extend a clustering are chosen


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
    among those where the fall, as a power of k, slows down at least threefold. The ``kneed``
    package takes the first of these two conditions alone: it finds a knee in every convex
    curve, at k = 4 for rows uniform in a square. Of its own examples none slows down so.
    Each of the `n_init` runs is seeded once, for the largest k: the start of a smaller k is a
    prefix of it. But the first run of every k after the smallest starts from the centroids of the k
    before and the seeds that would lower its inertia most, which takes fewer iterations and lets
    the inertia never rise. Of many rows, some alone first bring each start nearer to a
    fixed point; and the centroids go beyond the means, with momentum [2]_. Where a run ends, all
    rows are assigned and the centroids are their means, as ever.

    References
    ----------
    .. [1] Ville Satopaa et al., "Finding a 'Kneedle' in a Haystack", ICDCS Workshops 2011.
    .. [2] Yurii Nesterov, "A method for solving the convex programming problem with convergence
       rate O(1/k^2)", Soviet Mathematics Doklady 27 (1983) 372-376.

    Examples
    --------
    >>> from ckmeans import elbow
    >>> from ckmeans.datasets import xclara
    >>> elbow(xclara(), 10, seed=0, n_init=3).knee
    3
    """
    options = all_options(kmeans_options)
    n_threads = valid.threads(options["n_threads"])
    rows = valid.finite_rows(X, options["scale"], n_threads, options["metric"])
    ks = cluster_numbers(ks, rows.n)
    init = options["init"]
    if not isinstance(init, str):
        raise ValueError(
            f'init must be "k-means++" or "random" for an elbow, got {type(init).__name__}'
        )
    init = valid.starting_centroids(init, ks[-1], rows.d)
    weight = valid.weights(options["sample_weight"], rows.n)
    valid.check_weighted(rows, weight, n_threads)
    limited = [options[name] for name in ("n_init", "max_iter", "tol", "max_seconds", "callback")]
    limits = checked_limits(rows, *limited)
    prune = valid.pruning(options["algorithm"])
    problem = problem_of(rows, weight, ks[-1], prune, n_threads)
    refine = valid.refinement(options["refine"])
    rng = valid.generator(seed)

    column = Column(rows, weight) if solved(rows, init) else None
    if column:
        seedings = [column.optimum(ks[-1])]
    else:
        found = starts(problem, ks[-1], rng, init, limits.n_init)
        seedings = [start.centroids for start in found]
    some = None if column else Sample(rows, weight, seedings[0], rng)
    coarse = None if column else Coarse(problem, ks[-1])
    results: list[KMeansResult] = []
    smaller: Run | None = None
    for k in ks:
        limits = limits._replace(deadline=deadline(options["max_seconds"]))
        if column:
            first = [column.optimum(k) if k < ks[-1] else seedings[0]]
        else:
            first = [seeding[:k] for seeding in seedings]
            if smaller and some:
                first[0] = some.extended(smaller.centroids, k)
        near = [Start(coarse.improved(c, limits) if coarse else c, drawn=not column) for c in first]
        runs = [lloyd(problem, start, limits, i) for i, start in enumerate(near)]
        if smaller and min(map(inertia_of, runs)) > smaller.inertia:
            runs[0] = lloyd(problem, Start(first[0]), limits, 0)
        best = min(runs, key=inertia_of)
        if refine and not column:
            best = refined(problem, best, limits, rng)
        run_inertias = [run.inertia for run in runs]
        stopped = best.stopped
        results.append(finished(problem, best, stopped, run_inertias, limits.n_init, last=False))
        smaller = best
    # What is left of a rise is the rounding of equal inertias.
    inertias = np.minimum.accumulate([result.inertia for result in results])
    knee, reason = knee_of(np.array(ks), inertias)
    mass = float(rows.n if weight is None else weight.sum())
    whole = inertias[0] if ks[0] == 1 else whole_inertia(problem, limits)
    separation = calinski_harabasz(np.array(ks), inertias, whole, mass)
    return ElbowResult(np.array(ks), inertias, knee, reason, tuple(results), separation)


def whole_inertia(problem: Problem, limits: Limits) -> float:
    """Inertia of all rows in one cluster."""
    once = limits._replace(max_iter=1, deadline=math.inf, callback=None)
    return lloyd(problem, Start(problem.reference[None]), once, 0).inertia


def calinski_harabasz(
    ks: np.ndarray, inertias: np.ndarray, whole: float, mass: float
) -> np.ndarray:
    """Variance between clusters over that within (Calinski & Harabasz 1974, eq. 3)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        between, within = (whole - inertias) / (ks - 1), inertias / (mass - ks)
        return np.where((ks > 1) & (ks < mass), between / within, np.nan)


def all_options(given: dict[str, Any], function: Any = kmeans) -> dict[str, Any]:
    """The options of kmeans(), those not given at their defaults."""
    known = dict(list(inspect.signature(function).parameters.items())[3:])
    for name in given:
        if name not in known:
            raise TypeError(f"elbow() has no option {name!r}; it takes {sorted(known)}")
    return {name: given.get(name, parameter.default) for name, parameter in known.items()}


def cluster_numbers(ks: Any, n: int) -> list[int]:
    """Ascending distinct ks."""
    if hasattr(ks, "__index__") and np.ndim(ks) == 0:
        return list(range(1, valid.clusters(ks, n, "ks") + 1))
    if isinstance(ks, (str, bytes, dict)) or not isinstance(ks, Iterable):
        raise TypeError(f"ks must be an int or an iterable of ints, got {ks!r}")
    numbers = sorted({valid.clusters(k, n, "ks") for k in ks})
    if not numbers:
        raise ValueError("ks must hold at least one number of clusters, got none")
    return numbers


class Sample:
    """Some rows, to tell which seeds are worth most: the choice need not be exact."""

    def __init__(self, rows: Rows, weight: np.ndarray | None, seeds: np.ndarray, rng: Any) -> None:
        size = max(SAMPLE, 16 * len(seeds))
        chosen = np.arange(rows.n) if rows.n <= size else rng.integers(rows.n, size=size)
        self.rows = rows.subset(chosen)
        self.weight = np.ones(len(chosen)) if weight is None else weight[chosen]
        self.seeds, self.to_seeds = seeds, self.squares(seeds)

    def squares(self, centroids: np.ndarray) -> np.ndarray:
        """Squared distances to each centroid: (rows, k)."""
        distances = transformed(self.rows, centroids, 1)
        return np.square(distances, out=distances)

    def extended(self, centroids: np.ndarray, k: int) -> np.ndarray:
        """The centroids and the seeds that would lower their inertia most, k in all."""
        nearest = self.squares(centroids).min(axis=1)
        # No product of matrices: without memory OpenBLAS ends the process, and einsum crashes.
        gains = np.maximum(nearest[:, None] - self.to_seeds, 0)
        gains = (self.weight[:, None] * gains).sum(axis=0)
        best = np.argsort(-gains, kind="stable")[: k - len(centroids)]
        return np.concatenate([centroids, self.seeds[best]])


def knee_of(ks: np.ndarray, inertias: np.ndarray) -> tuple[int | None, str | None]:
    """The k of largest distance below the chord, or None and the reason."""
    if len(ks) < 3:
        return None, f"a knee needs at least 3 values of k, got {len(ks)}"
    if inertias[0] <= inertias[-1]:
        return None, "the inertia does not fall with k"
    below = below_chord(ks, inertias)[1:-1]
    if below.max() <= 0:
        return None, "the curve does not bend below its chord"
    bends = (
        (below > 0)
        & (slope_ratios(ks, inertias, 1.0) > LEAST_SLOPE_RATIO)
        & (slope_ratios(ks, inertias, SPAN) > LEAST_WIDE_RATIO)
    )
    if not bends.any():
        return None, "the curve falls as evenly as that of rows without clusters"
    return int(ks[1 + np.argmax(np.where(bends, below, -np.inf))]), None


def below_chord(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far a falling curve lies below its chord, in the unit square."""
    return 1 - (x - x[0]) / (x[-1] - x[0]) - (y - y[-1]) / (y[0] - y[-1])


def slope_ratios(ks: np.ndarray, inertias: np.ndarray, span: float) -> np.ndarray:
    """How many times faster the inertia falls before each inner k than after it, as a power of k;
    between k / span and k * span, or the neighbours where they are farther."""
    log_k = np.log(ks)
    log_inertia = np.log(np.maximum(inertias, inertias[0] * np.finfo(np.float64).eps))
    inner = np.arange(1, len(ks) - 1)
    first = np.minimum(inner - 1, np.searchsorted(ks, ks[inner] / span))
    last = np.maximum(inner + 1, np.searchsorted(ks, ks[inner] * span, side="right") - 1)

    def slope(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return (log_inertia[i] - log_inertia[j]) / (log_k[j] - log_k[i])

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(slope(first, inner) / slope(inner, last), nan=0.0)
