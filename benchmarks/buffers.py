"""What `out=` saves: KMeansResult.transform() into an array that is there, beside a fresh one."""

from __future__ import annotations

import statistics
import time

import numpy as np

CASES = ((1_000, 4, 5), (100_000, 4, 5), (1_000_000, 4, 5), (1_000_000, 3, 16), (200_000, 16, 64))


def milliseconds(function, *arguments) -> float:
    begin = time.perf_counter()
    function(*arguments)
    return 1e3 * (time.perf_counter() - begin)


def main(rounds: int = 9) -> None:
    from ckmeans import kmeans

    rng = np.random.default_rng(0)
    for n, d, k in CASES:
        X = rng.normal(size=(n, d)).astype(np.float32)
        result = kmeans(X, k, 0, max_iter=1)
        out = result.transform(X)
        times = [
            (milliseconds(result.transform, X), milliseconds(result.transform, X, out))
            for _ in range(rounds)
        ]
        fresh, reused = (statistics.median(taken) for taken in zip(*times, strict=True))
        print(
            f"{n} x {d}, k={k}: {fresh:.2f} ms, with out= {reused:.2f} ms, "
            f"ratio {fresh / reused:.1f}"
        )


if __name__ == "__main__":
    main()
