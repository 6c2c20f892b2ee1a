"""
Exact labels
============

The usual way to compute distances loses digits far from the origin. Labels here are those of
float64 differences, wherever the rows are.
"""

# %%
# ``|x - c|^2 = |x|^2 - 2 x c + |c|^2`` turns distances into a product of matrices, which is fast.
# But it takes the difference of large numbers: with the rows at an offset, the digits that tell two
# centroids apart are rounded away.
import matplotlib.pyplot as plt
import numpy as np

from ckmeans import kmeans

rng = np.random.default_rng(0)
centres = rng.normal(size=(8, 4))
rows = centres[rng.integers(8, size=4000)] + 0.5 * rng.normal(size=(4000, 4))


def brute_force(X, centroids):
    """Labels by float64 differences: the definition."""
    return np.square(X[:, None].astype(np.float64) - centroids).sum(axis=2).argmin(axis=1)


def expanded(X, centroids):
    """Labels by the expansion, in the dtype of the rows; |x|^2 is the same for all centroids."""
    C = centroids.astype(X.dtype)
    return (np.square(C).sum(axis=1) - 2 * X @ C.T).argmin(axis=1)


def shares_wrong(offset, dtype):
    """Of the labels by the expansion, and of ours."""
    X = (rows + offset).astype(dtype)
    result = kmeans(X, 8, init=centres + offset)
    truth = brute_force(X, result.centroids)
    return np.mean(expanded(X, result.centroids) != truth), np.mean(result.labels != truth)


# %%
# The same problem at growing distance from the origin.
offsets = {"float32": 10.0 ** np.arange(7), "float64": 10.0 ** np.arange(4, 14, 2)}
wrong = {
    dtype: np.array([shares_wrong(offset, dtype) for offset in some])
    for dtype, some in offsets.items()
}
print("  rows   offset   expansion   ckmeans")
for dtype, some in offsets.items():
    for offset, (theirs, ours) in zip(some, wrong[dtype]):
        print(f"{dtype}  {offset:7.0e}  {theirs:10.2%}  {ours:8.2%}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
for ax, (dtype, some) in zip(axes, offsets.items()):
    ax.semilogx(some, wrong[dtype][:, 0], "o-", color="#D55E00", label="expansion")
    ax.semilogx(some, wrong[dtype][:, 1], "*-", color="#0072B2", markersize=10, label="ckmeans")
    ax.set(xlabel="offset of the rows from the origin", title=f"{dtype} rows")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("share of labels that are wrong")
axes[0].yaxis.set_major_formatter("{x:.0%}")
axes[0].legend(frameon=False)
