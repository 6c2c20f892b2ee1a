"""elbow(): one nested seeding for every k, and the knee of the curve."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np

from ckmeans import _validation as valid
from ckmeans._kmeans import kmeans
from ckmeans._results import ElbowResult, KMeansResult
from ckmeans._rows import Rows
from ckmeans._starts import starting_rows

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
        Options of `kmeans`; an array as `init` is refused, since it has one k.

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
    known = set(inspect.signature(kmeans).parameters) - {"X", "k", "seed"}
    for name in kmeans_options:
        if name not in known:
            raise TypeError(f"elbow() has no option {name!r}; it takes {sorted(known)}")
    options = dict(kmeans_options)
    init = options.pop("init", "k-means++")
    if not isinstance(init, str):
        raise ValueError('init must be "k-means++" or "random" for an elbow, got an array')
    rows = valid.finite_rows(X, options.get("scale"))
    ks = cluster_numbers(ks, rows.n)
    valid.starting_centroids(init, ks[-1], rows.d)
    weight = valid.weights(options.get("sample_weight"), rows.n)
    n_init = valid.integer(options.pop("n_init", 1), "n_init", 1)
    rng = valid.generator(seed)

    if rows.d == 1 and init == "k-means++":
        results = [kmeans(X, k, rng, n_init=n_init, **options) for k in ks]
    else:
        seedings = [starting_rows(rows, ks[-1], rng, weight, init) for _ in range(n_init)]
        results = []
        for k in ks:
            best = best_of([kmeans(X, k, init=rows.original(s[:k]), **options) for s in seedings])
            if results and best.inertia > results[-1].inertia:
                start = extended(rows, results[-1], k, seedings[0])
                best = lower(kmeans(X, k, init=start, **options), best)
            results.append(best)
    # What is left of a rise is the rounding of equal inertias.
    inertias = np.minimum.accumulate([result.inertia for result in results])
    knee, reason = knee_of(np.array(ks), inertias)
    return ElbowResult(np.array(ks), inertias, knee, reason, tuple(results))


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


def best_of(results: list[KMeansResult]) -> KMeansResult:
    """The run of least inertia, with the inertias of all."""
    from dataclasses import replace

    best = min(results, key=lambda result: result.inertia)
    return replace(best, run_inertias=np.array([result.inertia for result in results]))


def lower(candidate: KMeansResult, result: KMeansResult) -> KMeansResult:
    return candidate if candidate.inertia <= result.inertia else result


def extended(rows: Rows, smaller: KMeansResult, k: int, seeding: np.ndarray) -> np.ndarray:
    """The smaller clustering's centroids and the seeds farthest from them, k in all."""
    have = rows.original(seeding)
    distance = smaller.distances(have)
    extra = np.argsort(-distance, kind="stable")[: k - len(smaller.centroids)]
    return np.concatenate([smaller.centroids, have[extra]])


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
