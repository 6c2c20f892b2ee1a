"""
First warning: clusters in uniform data
=======================================

k-means returns k clusters whatever it is given, even where there is nothing to find.
"""

# %%
# Points drawn uniformly in a square are cut into tidy cells. Nothing in the picture says that the
# borders mean nothing.
import matplotlib.pyplot as plt
import numpy as np

from ckmeans import check_clusterability, elbow, kmeans
from ckmeans.datasets import xclara

uniform = np.random.default_rng(0).random((3000, 2))
clustered = xclara()

figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
for ax, X, name in zip(axes, (uniform, clustered), ("uniform", "xclara")):
    kmeans(X, 3, seed=0, n_init=5).plot(X, ax)
    ax.get_legend().remove()
    ax.set_title(f"{name}, k = 3", loc="left")

# %%
# Ask first
# ---------
# `check_clusterability` is the Hopkins test: are rows nearer to each other than uniform ones would
# be? At its level of 5 %, it takes about one in twenty uniform samples for clustered: here are a
# hundred of them. The seed of the test must not be the one that the data were drawn with.
found = check_clusterability(clustered, seed=1)
print(f"xclara: statistic {found.statistic:.2f}: {found.reason}")

samples = [np.random.default_rng(seed).random((1000, 2)) for seed in range(100)]
verdicts = [check_clusterability(X, seed=1000 + i).uniform for i, X in enumerate(samples)]
print(f"uniform samples that look uniform: {sum(verdicts)} of 100")

# %%
# Ask afterwards
# --------------
# The elbow of uniform rows has no bend, and none is invented.
figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
for ax, X, name in zip(axes, (uniform, clustered), ("uniform", "xclara")):
    elbow(X, 10, seed=0, n_init=5).plot(ax)
    ax.set_title(name, loc="left")
