"""
Third warning: local minima
===========================

Lloyd's algorithm ends where no row changes its cluster. That need not be the best clustering, and
depends on the start.
"""

# %%
# Fifty small groups on a plane. Each k-means run below ends in a fixed point, with another inertia.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

from ckmeans import kmeans

X, _ = make_blobs(5000, centers=50, cluster_std=0.25, random_state=3)

random = [kmeans(X, 50, seed, init="random").inertia for seed in range(30)]
greedy = [kmeans(X, 50, seed).inertia for seed in range(30)]
several = [kmeans(X, 50, seed, n_init=10).inertia for seed in range(30)]
refined = [kmeans(X, 50, seed, refine="swap").inertia for seed in range(30)]

least = min(random + greedy + several + refined)
figure, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
names = ['init="random"', "default: greedy k-means++", "n_init=10", 'refine="swap"']
for position, inertias in enumerate((random, greedy, several, refined)):
    jitter = np.random.default_rng(0).uniform(-0.15, 0.15, len(inertias))
    ax.plot(np.array(inertias) / least, position + jitter, "o", alpha=0.6)
ax.set_yticks(range(4), names)
ax.invert_yaxis()
ax.spines[["top", "right"]].set_visible(False)
ax.set_xlabel("inertia / the least found, one point a seed")

# %%
# The median over the seeds, relative to the least inertia found:
for name, inertias in zip(names, (random, greedy, several, refined)):
    print(f"{name:26} {np.median(inertias) / least:.3f}")

# %%
# What a bad optimum looks like
# -----------------------------
# One centroid serves two groups, and another group is shared by two. No row is nearer to another
# centroid, so Lloyd's algorithm has no way out. `refine="swap"` moves centroids from where they are
# of little use to where the error is.
worst = kmeans(X, 50, seed=int(np.argmax(random)), init="random")
best = kmeans(X, 50, seed=0, refine="swap")
figure, axes = plt.subplots(1, 2, figsize=(10.5, 5), layout="constrained")
for ax, result, name in zip(axes, (worst, best), ("stuck", "refined")):
    result.plot(X, ax, cells=False)
    ax.set_title(f"{name}: inertia {result.inertia:.0f}", loc="left")
