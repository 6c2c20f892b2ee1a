"""From seed to solution: seeding, whole calls, elbows and better optima, beside the peers.

One thread. Each library draws its own starts, so that times and inertias are compared as medians
over seeds, each seed run by both in turn.
"""

import math
import statistics
import time
from functools import partial

import numpy as np

from benchmarks import peers
from benchmarks.cases import CASES, start_of

SMALL = 1 << 30  # products in an iteration up to which a case runs with all seeds
SHORT, ROUNDS = 1 << 21, 10  # and up to which it takes a few milliseconds: often with each of them
TOLERANCES = (0.0, 1e-4)
STARTS = 20


def in_turn(functions, seeds):
    """Median seconds and values by seed of each function(seed), each seed run by all in turn."""
    times, values = {name: [] for name in functions}, {name: [] for name in functions}
    for seed in seeds:
        for name, function in functions.items():
            begin = time.perf_counter()
            values[name].append(function(seed))
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(taken) for name, taken in times.items()}, values


def on_one_thread(measure):
    def measured(options):
        import sklearn.cluster  # noqa: F401  whose OpenMP is not limited before it is there
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return measure(options)

    return measured


def ours(X, k, seed, **options):
    from ckmeans import kmeans

    return kmeans(X, k, seed, n_threads=1, **options).inertia


def theirs(X, k, seed, tol, n_init=1):
    from sklearn.cluster import KMeans

    return float(KMeans(k, n_init=n_init, tol=tol, random_state=seed).fit(X).inertia_)


@on_one_thread
def seeding(options):
    """The draw of the starts alone."""
    from sklearn.cluster import kmeans_plusplus

    from ckmeans import _plus_plus
    from ckmeans._validation import finite_rows

    cases = {
        "photograph, k=64": (CASES["photo64"].rows, 64),
        "photograph, k=256": (CASES["photo256"].rows, 256),
        "1M x 8, k=50": (CASES["m8"].rows, 50),
        "100k x 128, k=256": (CASES["d128"].rows, 256),
        "50k x 64, k=1000": (CASES["k1000"].rows, 1000),
    }

    def seeds(X, k, seed):
        return _plus_plus.seeds(finite_rows(X), k, np.random.default_rng(seed), None)

    figures = {}
    for name, (rows, k) in cases.items():
        X = rows(options.divisor)
        functions = {
            "ours": partial(seeds, X, k),
            "sklearn": lambda seed, X=X, k=k: kmeans_plusplus(X, k, random_state=seed),
        }
        seconds, _ = in_turn(functions, range(3))
        figures[name] = seconds["sklearn"] / seconds["ours"]
    return {"what": "scikit-learn's greedy k-means++ over ours", "figures": figures}


@on_one_thread
def whole(options):
    """kmeans(X, k, seed) beside KMeans(k, n_init=1), at either's default tolerance."""
    figures = {}
    for tol in TOLERANCES:
        speeds = []
        for name in options.cases:
            X, k = CASES[name].rows(options.divisor), CASES[name].k
            functions = {
                "ours": partial(ours, X, k, tol=tol),
                "sklearn": partial(theirs, X, k, tol=tol),
            }
            ours(X, k, 0, max_iter=2)
            products = X.size * k
            seeds = [*range(10 if products <= SMALL else 3)] * (ROUNDS if products <= SHORT else 1)
            seconds, inertias = in_turn(functions, seeds)
            speeds.append(seconds["sklearn"] / seconds["ours"])
            medians = {which: statistics.median(found) for which, found in inertias.items()}
            figures[f"{name}, tol {tol:g}"] = speeds[-1]
            figures[f"{name}, tol {tol:g}: inertia"] = medians["ours"] / medians["sklearn"]
        figures[f"geometric mean, tol {tol:g}"] = statistics.geometric_mean(speeds)
    return {"what": "scikit-learn's time over ours, our inertia over its; medians of 10 seeds, or "
            f"3 for more than {SMALL} products in an iteration", "figures": figures}  # fmt: skip


@on_one_thread
def starts(options):
    """To the fixed point from many given starts. In float32 sums, rounding decides how many
    iterations scikit-learn takes from one of them: the times of all are what can be compared."""
    X, k = CASES["d784"].rows(options.divisor), CASES["d784"].k
    seconds, iterations = [0.0, 0.0], [0, 0]
    for seed in range(STARTS):
        job = peers.Job(X, k, start_of(X, k, seed), 300, True, 1)
        for i, peer in enumerate((peers.ours, peers.sklearn_lloyd)):
            run = peer(job)
            begin = time.perf_counter()
            _, n_iter = run()
            seconds[i] += time.perf_counter() - begin
            iterations[i] += n_iter
    time_ratio, steps_ratio = seconds[1] / seconds[0], iterations[1] / iterations[0]
    figures = {
        "d784: time": time_ratio,
        "d784: iterations": steps_ratio,
        "d784: time of an iteration": time_ratio / steps_ratio,
    }
    return {"what": f"scikit-learn's over ours, sums of {STARTS} starts", "figures": figures}


def momentum(options):
    """Seed to fixed point, of all rows from the first iteration on, with and without momentum."""
    from unittest import mock

    def of_all_rows(X, k, seed):
        with mock.patch("ckmeans._coarse.WORTHWHILE", math.inf):
            return ours(X, k, seed)

    def without(X, k, seed):
        with mock.patch("ckmeans._iterate.LONG", math.inf):
            return of_all_rows(X, k, seed)

    figures = {}
    for name in options.cases:
        X, k = CASES[name].rows(options.divisor), CASES[name].k
        functions = {"with": partial(of_all_rows, X, k), "without": partial(without, X, k)}
        ours(X, k, 0, max_iter=2)
        seconds, inertias = in_turn(functions, range(5))
        medians = {which: statistics.median(found) for which, found in inertias.items()}
        figures[name] = seconds["without"] / seconds["with"]
        figures[f"{name}: inertia"] = medians["with"] / medians["without"]
    what = "time without momentum over with, inertia with over without"
    return {"what": what, "figures": figures}


def coarse(options):
    """Seed to solution as it is, and without the iterations of some rows before those of all."""
    from unittest import mock

    def without(X, k, seed, **limits):
        with mock.patch("ckmeans._coarse.WORTHWHILE", math.inf):
            return ours(X, k, seed, **limits)

    figures = {}
    for tol in TOLERANCES:
        for name in options.cases:
            X, k = CASES[name].rows(options.divisor), CASES[name].k
            functions = {
                "with": partial(ours, X, k, tol=tol), "without": partial(without, X, k, tol=tol)
            }  # fmt: skip
            ours(X, k, 0, max_iter=2)
            seconds, inertias = in_turn(functions, range(30))
            medians = {which: statistics.median(found) for which, found in inertias.items()}
            figures[f"{name}, tol {tol:g}"] = seconds["without"] / seconds["with"]
            figures[f"{name}, tol {tol:g}: inertia"] = medians["with"] / medians["without"]
    what = "time without a coarse start over with, inertia with over without; medians of 30 seeds"
    return {"what": what, "figures": figures}


@on_one_thread
def elbows(options):
    """k = 1..20 beside a loop over scikit-learn."""
    from ckmeans import elbow

    def loop(X, seed):
        return [theirs(X, k, seed, 1e-4) for k in range(1, 21)]

    figures = {}
    for name in ("photo64", "d16"):
        X = CASES[name].rows(options.divisor)
        functions = {
            "ours": lambda seed, X=X: elbow(X, 20, seed, tol=1e-4, n_threads=1).inertias,
            "sklearn": partial(loop, X),
        }
        seconds, curves = in_turn(functions, range(7))
        figures[name] = seconds["sklearn"] / seconds["ours"]
        medians = {which: np.median(found, axis=0) for which, found in curves.items()}
        figures[f"{name}: inertia, mean of ks"] = (medians["ours"] / medians["sklearn"]).mean()
    return {"what": "k = 1..20, scikit-learn's time over ours, tol 1e-4", "figures": figures}


def on_a_grid(side, n):
    """Gaussian clusters on the points of a square grid."""
    rng = np.random.default_rng(1)
    centres = np.stack(np.meshgrid(range(side), range(side)), -1).reshape(-1, 2)
    rows = centres[rng.integers(len(centres), size=n)] + rng.normal(scale=0.12, size=(n, 2))
    return rows.astype("f4"), side**2


def on_a_plane(k):
    """k clusters of 150 rows anywhere on a plane, some of which overlap."""
    rng = np.random.default_rng(2)
    centres = rng.uniform(0, 3 * math.sqrt(k), size=(k, 2))
    rows = np.repeat(centres, 150, axis=0) + rng.normal(scale=0.5, size=(150 * k, 2))
    return rows.astype("f4"), k


@on_one_thread
def refined(options):
    """refine="swap" beside the best of scikit-learn's ten starts."""
    cases = {"grid of 49": on_a_grid(7, 20_000)}
    cases |= {f"{k} on a plane": on_a_plane(k) for k in (20, 35, 50)}
    for k in (64, 256):
        cases[f"photograph, k={k}"] = CASES["photo64"].rows(options.divisor), k
    figures = {}
    for name, (X, k) in cases.items():
        seconds, inertias = in_turn({"sklearn": partial(theirs, X, k, tol=1e-4)}, range(10))
        best = min(inertias["sklearn"])
        own, found = in_turn({"ours": partial(ours, X, k, tol=1e-4, refine="swap")}, range(5))
        figures[f"{name}: time over one start"] = own["ours"] / seconds["sklearn"]
        figures[f"{name}: inertia, median"] = statistics.median(found["ours"]) / best
        figures[f"{name}: inertia, worst of 5"] = max(found["ours"]) / best
    return {"what": 'refine="swap" over scikit-learn: its best of 10 starts', "figures": figures}


@on_one_thread
def column(options):
    """The global optimum of one column, beside kmeans1d."""
    import kmeans1d

    x = np.random.default_rng(0).normal(size=1_000_000 // options.divisor)
    functions = {
        "ours": lambda seed: ours(x[:, None], 10, seed),
        "kmeans1d": lambda seed: kmeans1d.cluster(x, 10),
    }
    seconds, _ = in_turn(functions, range(3))
    figures = {"1M, k=10": seconds["kmeans1d"] / seconds["ours"]}
    return {"what": "kmeans1d's time over ours", "figures": figures}


PARTS = {
    "seeding": seeding, "whole": whole, "starts": starts, "momentum": momentum,
    "coarse": coarse, "elbow": elbows, "refine": refined, "column": column,
}  # fmt: skip
