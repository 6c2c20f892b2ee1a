"""
Second warning: columns of different scale
==========================================

k-means adds squared differences of all columns. A column in small units counts for more, whatever
it means.
"""

# %%
# Two groups of people differ in height, and not in income. Height is given in metres, income in
# euros: the differences in income are ten thousand times as large.
import matplotlib.pyplot as plt
import numpy as np

from ckmeans import kmeans

rng = np.random.default_rng(0)
height = np.concatenate([rng.normal(1.58, 0.04, 300), rng.normal(1.86, 0.04, 300)])
income = rng.normal(35_000, 8_000, 600)
X = np.column_stack([height, income])
truth = np.repeat([0, 1], 300)


def agreement(labels):
    """Share of rows in the right one of two groups, whichever is called 0."""
    share = (labels == truth).mean()
    return max(share, 1 - share)


# %%
# As they are, the columns give a cut through income. `scale="std"` clusters columns of unit
# standard deviation; its centroids are still in metres and euros.
figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
for ax, scale in zip(axes, (None, "std")):
    result = kmeans(X, 2, seed=0, n_init=5, scale=scale)
    result.plot(X, ax)
    ax.get_legend().remove()
    ax.set(xlabel="height (m)", ylabel="income (euros)")
    ax.set_title(f"scale={scale!r}: {agreement(result.labels):.0%} in the right group", loc="left")

# %%
result.centroids.round(2)

# %%
# On the command line, `ckmeans fit` gives a hint where the columns' spreads differ much, and
# `--scale` does the same. Do not scale blindly: columns of one unit, such as coordinates or the
# channels of a picture, are comparable as they are.
