"""Many small problems: kmeans_batch() beside a loop over scikit-learn and one over kmeans()."""

from __future__ import annotations

import statistics
import time

import numpy as np


def seconds(function) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def main(rounds: int = 5) -> None:
    from sklearn.cluster import KMeans

    from ckmeans import kmeans, kmeans_batch

    rng = np.random.default_rng(0)
    b, n, d, k = 10_000, 200, 4, 5
    X = rng.normal(size=(b, n, d)) + 3 * rng.integers(0, 4, size=(b, n, 1))
    X = X.astype(np.float32)
    result, some = kmeans_batch(X, k, seed=0), X[:200]

    def each_by_ours():
        return [kmeans(x, k, 0, n_threads=1) for x in some]

    def each_by_theirs():
        return [KMeans(k, n_init=1, random_state=0).fit(x) for x in some]

    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, function, share in (
            ("kmeans_batch", lambda: kmeans_batch(X, k, seed=0), 1),
            ("kmeans_batch, out=", lambda: kmeans_batch(X, k, seed=0, out=result), 1),
            ("kmeans_batch, one thread", lambda: kmeans_batch(X, k, seed=0, n_threads=1), 1),
            ("kmeans in a loop", each_by_ours, b / 200),
            ("scikit-learn in a loop", each_by_theirs, b / 200),
        ):
            times.setdefault(name, []).append(seconds(function) * share)
    print(f"{b} fits of {n} x {d}, k={k}, float32 (loops: over 200 of them)")
    ours = statistics.median(times["kmeans_batch"])
    for name, values in times.items():
        took = statistics.median(values)
        print(f"{name:26s} {1e6 * took / b:8.1f} us a fit {took / ours:7.1f}")


if __name__ == "__main__":
    main()
