"""What is clustered: the data of each case, its start, and how many iterations a pass takes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """Rows, clusters, the fixed number of iterations of mode "pass", and the modes it runs in."""

    title: str
    k: int
    iterations: int
    rows: Callable[[int], np.ndarray]  # takes the divisor of n that --quick sets
    modes: tuple[str, ...] = ("pass", "fixed")


# Half the median distance from a centre to the nearest other one, in standard deviations of the
# noise: the halfway plane of such a pair cuts off 7 % of either blob. One value for all cases, not
# tuned to any: scikit-learn takes 35 to 213 iterations to their fixed points. With 1 or 2 some
# cases took 300 and more, and with 2 one took only 25.
SEPARATION = 1.5


def blobs(n, d, k, dtype="f4"):
    """Rows of k equal Gaussian blobs whose neighbours overlap, by the same rule in every case."""

    def rows(divisor):
        rng = np.random.default_rng(20240501)
        centres = rng.normal(size=(k, d))
        apart2 = np.square(centres[:, None] - centres).sum(axis=2) + np.diag([np.inf] * k)
        spread = np.median(np.sqrt(apart2.min(axis=1))) / 2 / SEPARATION
        X = rng.standard_normal((n // divisor, d), dtype=dtype)
        X *= X.dtype.type(spread)
        X += centres.astype(dtype)[rng.integers(k, size=len(X))]
        return X

    return rows


def photograph(divisor):
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg").reshape(-1, 3)[::divisor].astype("f4")


def digits(divisor):
    from sklearn.datasets import load_digits

    return load_digits().data.astype("f4")


def xclara(divisor):
    from ckmeans.datasets import xclara

    return xclara()


def start_of(X, k, seed=7):
    """k distinct rows, each moved by about a thousandth of the spread of X.

    Equal centroids would leave clusters empty, which each library fills in its own way; and rows
    of whole numbers lie halfway between two others by the thousand, where rounding would choose.
    """
    rng = np.random.default_rng(seed)
    rows = np.unique(X[rng.choice(len(X), min(len(X), 8 * k), replace=False)], axis=0)
    moves = 1e-3 * X.std() * rng.standard_normal((k, X.shape[1]))
    return (rng.permutation(rows)[:k] + moves).astype(X.dtype)


EVERY = ("pass", "fixed", "seeded")
CASES = {
    "tiny": Case("xclara 3000 x 2, k=3, float64", 3, 2, xclara, EVERY),
    "m2": Case("1M x 2, k=10", 10, 10, blobs(1_000_000, 2, 10)),
    "m3": Case("1M x 3, k=16", 16, 10, blobs(1_000_000, 3, 16)),
    "photo64": Case("photograph 273k x 3, k=64", 64, 10, photograph, EVERY),
    "photo256": Case("photograph 273k x 3, k=256", 256, 10, photograph, EVERY),
    "m8": Case("1M x 8, k=16", 16, 10, blobs(1_000_000, 8, 16)),
    "d16": Case("200k x 16, k=64", 64, 10, blobs(200_000, 16, 64)),
    "d32": Case("100k x 32, k=50, float64", 50, 10, blobs(100_000, 32, 50, "f8")),
    "d128": Case("100k x 128, k=256", 256, 5, blobs(100_000, 128, 256)),
    "d784": Case("60k x 784, k=10", 10, 5, blobs(60_000, 784, 10)),
    "k1000": Case("50k x 64, k=1000", 1000, 5, blobs(50_000, 64, 1000)),
    "digits": Case("digits 1797 x 64, k=10", 10, 10, digits),
}
