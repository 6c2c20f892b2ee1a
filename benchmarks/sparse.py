"""Sparse rows beside scikit-learn: TF-IDF of generated texts, one thread each, the same starts."""

from __future__ import annotations

import statistics
import time

import numpy as np

ROUNDS = 7


def texts(n=20_000, d=20_000, m=100, topics=20, seed=0):
    """TF-IDF (n, d) of texts of m different words; half of the words are drawn from those of one of
    some topics, and either kind by Zipf's law."""
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(seed)
    words = [rng.permutation(d) for _ in range(topics)]
    columns = np.empty((n, m), dtype=np.int32)
    for i in range(n):
        rank = np.minimum((d ** rng.random(4 * m)).astype(int), d - 1)
        drawn = np.where(rng.random(4 * m) < 0.5, rank, words[i % topics][rank])
        distinct = np.unique(drawn)
        columns[i] = np.sort(rng.choice(distinct, m, replace=False))
    counts = 1 + rng.poisson(0.5, (n, m))
    frequency = np.bincount(columns.ravel(), minlength=d)
    values = counts * (np.log((1 + n) / (1 + frequency)) + 1)[columns]
    values /= np.sqrt(np.square(values).sum(axis=1, keepdims=True))
    return csr_matrix((values.ravel(), columns.ravel(), np.arange(0, n * m + 1, m)), shape=(n, d))


def seconds(function) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def ratio(X, k: int, init, max_iter: int, seed: int) -> float:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    from ckmeans import kmeans

    model = KMeans(k, init=init, n_init=1, max_iter=max_iter, tol=0, random_state=seed)
    with threadpool_limits(1):
        theirs = seconds(lambda: model.fit(X))
    return theirs / seconds(lambda: kmeans(X, k, seed, init=init, max_iter=max_iter, n_threads=1))


def main() -> None:
    texts64 = texts()
    print(f"{texts64.shape[0]} x {texts64.shape[1]}, {texts64.nnz} elements, one thread:")
    print("scikit-learn's time over ours, median (smallest to largest)")
    for X in (texts64, texts64.astype(np.float32)):
        for k in (20, 100):
            start = X[np.random.default_rng(k).choice(X.shape[0], k, replace=False)].toarray()
            for name, init, max_iter in (
                ("one iteration", start, 1),
                ("six iterations", start, 6),
                ("fixed point", start, 300),
                ("seed to solution", "k-means++", 300),
            ):
                ratios = [ratio(X, k, init, max_iter, seed) for seed in range(ROUNDS)]
                print(
                    f"{X.dtype} k={k:<4d} {name:17s} {statistics.median(ratios):6.1f} "
                    f"({min(ratios):.1f} to {max(ratios):.1f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
