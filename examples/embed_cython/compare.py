"""The embedded loop beside ckmeans.kmeans() called for each window; run it to see the ratio."""

import statistics
import time

import numpy as np
from many import track

from ckmeans import kmeans


def by_python(X, window, step, start):
    centroids, inertias = [], []
    for first in range(0, len(X) - window + 1, step):
        result = kmeans(X[first : first + window], len(start), init=start, n_threads=1)
        start = result.centroids
        centroids.append(start)
        inertias.append(result.inertia)
    return np.array(centroids), np.array(inertias)


def main() -> None:
    rng = np.random.default_rng(0)
    drift = np.cumsum(rng.normal(size=(21_000, 1)), axis=0) / 50
    X = (rng.normal(size=(21_000, 4)) + 4 * rng.integers(0, 5, (21_000, 1)) + drift).astype("f4")
    arguments = X, 200, 10, X[:5].astype(float)
    times = {by_python: [], track: []}
    for _ in range(5):
        for function, taken in times.items():
            begin = time.perf_counter()
            centroids, inertias = function(*arguments)
            taken.append(time.perf_counter() - begin)
            if function is by_python:
                expected = centroids, inertias
    # Both are fixed points of the same iteration; only rounding tells them apart.
    np.testing.assert_allclose(centroids, expected[0], rtol=1e-9)
    np.testing.assert_allclose(inertias, expected[1], rtol=1e-9)
    python, cython = (statistics.median(taken) for taken in times.values())
    print(f"{len(inertias)} windows of 200 x 4, k=5, each from the centroids of the one before")
    print(f"kmeans() in a loop {1e6 * python / len(inertias):6.1f} us a window")
    print(f"embedded           {1e6 * cython / len(inertias):6.1f} us a window")
    print(f"ratio              {python / cython:6.1f}")


if __name__ == "__main__":
    main()
