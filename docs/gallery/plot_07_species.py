"""
Species: the iris flowers
=========================

Four measurements of 150 flowers, and how far k-means gets at telling their three species apart
without having been told of them.
"""

# %%
# All columns are lengths in centimetres: they are comparable and need no scaling.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris

from ckmeans import elbow, kmeans, silhouette

iris = load_iris(as_frame=True)
X, species = iris.data, iris.target_names[iris.target]
result = kmeans(X, 3, seed=0, n_init=10).sorted(by="position")
result

# %%
# More than three columns are drawn by their first two principal components.
ax = result.plot(X)

# %%
# One species is found exactly; the other two overlap, and the border between their clusters is not
# the one between the species.
for j in range(3):
    found, counts = np.unique(species[result.labels == j], return_counts=True)
    print(f"cluster {j}:", ", ".join(f"{n} {name}" for n, name in zip(counts, found)))

# %%
# How many clusters?
# ------------------
# Silhouettes compare the distance to the own cluster with that to the next one. They prefer two
# clusters, one of a single species and one of the other two: what the measurements alone say.
ks = range(2, 8)
curve = elbow(X, ks, seed=0, n_init=10)
values = [silhouette(X, r.labels, sample=len(X)) for r in curve.results]
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
curve.plot(axes[0])
axes[1].plot(ks, values, "o-")
axes[1].set(xlabel="number of clusters, k", ylabel="mean silhouette")
axes[1].spines[["top", "right"]].set_visible(False)
