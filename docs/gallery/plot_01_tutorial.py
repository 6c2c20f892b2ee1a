"""
The tutorial: three clusters in the plane
=========================================

The classic first example of k-means: the xclara points, how many clusters they have, what a wrong
k looks like, and the same in three dimensions.
"""

# %%
# The data come with the package: 3000 points in the plane.
import matplotlib.pyplot as plt
import numpy as np

from ckmeans import elbow, kmeans
from ckmeans.datasets import xclara

X = xclara()
X.shape

# %%
# Three clusters
# --------------
# `n_init=5` starts five times and keeps the best; `sorted` gives the clusters a canonical order. A
# result shows itself as a table in a notebook.
result = kmeans(X, 3, seed=0, n_init=5).sorted(by="size")
result

# %%
# Points in their clusters' colours, centroids as stars. The tints are the cells of the plane
# that are nearest to each centroid.
ax = result.plot(X)

# %%
# New points go to the nearest centroid.
result.predict([[10.0, 10.0], [45.0, 60.0], [70.0, -10.0]])

# %%
# The wrong number of clusters
# ----------------------------
# k-means finds as many clusters as it is asked for. With two, separate groups are taken together;
# with four and more, groups are cut where there is nothing to cut.
figure, axes = plt.subplots(2, 2, figsize=(9.5, 7.4), layout="constrained")
for ax, k in zip(axes.flat, (2, 4, 5, 6)):
    wrong = kmeans(X, k, seed=0, n_init=5)
    wrong.plot(X, ax)
    if ax.get_legend():
        ax.get_legend().remove()
    ax.set_title(f"k = {k}: inertia {wrong.inertia:,.0f}", loc="left")

# %%
# The elbow
# ---------
# Inertia always falls with k. It falls fast while clusters are still to be found, and slowly when
# groups are merely cut: the number of clusters is at the bend.
curve = elbow(X, 10, seed=0, n_init=5)
ax = curve.plot()

# %%
curve

# %%
# The same by scikit-learn
# ------------------------
# Both libraries run to the fixed point from the same starting points.
from sklearn.cluster import KMeans

start = X[[0, 1000, 2500]]
ours = kmeans(X, 3, init=start)
theirs = KMeans(3, init=start, n_init=1, tol=0).fit(X)
print("largest difference of the centroids:", abs(ours.centroids - theirs.cluster_centers_).max())
print("labels that differ:                 ", np.count_nonzero(ours.labels != theirs.labels_))
print("inertia, ours and theirs:           ", round(ours.inertia, 6), round(theirs.inertia_, 6))

# %%
# Three dimensions
# ----------------
# 800 points around four centres. Three columns are drawn in space.
from sklearn.datasets import make_blobs

blobs, truth = make_blobs(n_samples=800, n_features=3, centers=4, random_state=1)
found = kmeans(blobs, 4, seed=0, n_init=5)
ax = found.plot(blobs)

# %%
# How well the clusters agree with the centres that the points were drawn around: 1 is perfect.
from sklearn.metrics import adjusted_rand_score

round(adjusted_rand_score(truth, found.labels), 3)
