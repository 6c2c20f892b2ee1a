"""
A stream: partial_fit
=====================

Rows that arrive in batches, or that are too many to be kept, are clustered a batch at a time.
"""

# %%
# Batches of 200 rows around four centres. The memory needed is that of one batch and the centroids.
# These are put in the middle to begin with, which makes their way longer than k-means++ would.
import matplotlib.pyplot as plt
import numpy as np

from ckmeans import MiniBatchKMeans, kmeans

centres = np.array([[0.0, 0.0], [6.0, 1.0], [1.0, 6.0], [6.0, 7.0]])
rng = np.random.default_rng(0)


def batch():
    return centres[rng.integers(4, size=200)] + rng.normal(0, 0.9, size=(200, 2))


middle = centres.mean(axis=0)
model = MiniBatchKMeans(4, init=middle + 0.1 * (centres - middle), random_state=0)
held_out = np.vstack([batch() for _ in range(10)])
path, scores = [model.init], []
for _ in range(60):
    model.partial_fit(batch())
    path.append(model.cluster_centers_.copy())
    scores.append(-model.score(held_out) / len(held_out))
path = np.array(path)

# %%
# Compared with all rows at once: the inertia on rows that neither has seen.
everything = np.vstack([batch() for _ in range(60)])
exact = kmeans(everything, 4, seed=0, n_init=5)
reference = np.mean(exact.distances(held_out) ** 2)
print(f"mini-batches {scores[-1]:.4f}, all rows at once {reference:.4f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.4), layout="constrained")
axes[0].plot(*held_out.T, ".", color="0.8", zorder=0)
for j in range(4):
    axes[0].plot(*path[:, j].T, ".-", linewidth=1.5)
axes[0].plot(*path[-1].T, "k*", markersize=13)
axes[0].spines[["top", "right"]].set_visible(False)
axes[0].set_title("the centroids' paths", loc="left")
axes[1].semilogx(range(1, 61), scores)
axes[1].axhline(reference, color="black", linestyle="--", label="all rows at once")
axes[1].set(xlabel="batches", ylabel="mean squared distance, held-out rows")
axes[1].set_xticks([1, 3, 10, 30], [1, 3, 10, 30])
axes[1].spines[["top", "right"]].set_visible(False)
axes[1].legend(frameon=False)
