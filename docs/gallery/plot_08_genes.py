"""
Gene expression: profiles over time
===================================

Genes that are switched on together have profiles of the same shape. Shapes are clustered after
each profile has been standardised.
"""

# %%
# Generated measurements of 2000 genes at 12 times: four programmes, each gene with a level and a
# strength of its own, and noise.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import adjusted_rand_score

from ckmeans import elbow, kmeans

rng = np.random.default_rng(0)
hours = np.linspace(0, 22, 12)
programmes = np.array(
    [
        np.sin(2 * np.pi * hours / 24),  # by day
        -np.cos(4 * np.pi * hours / 24),  # twice a day
        1 / (1 + np.exp(10 - hours)),  # switched on
        np.exp(-hours / 4),  # an early answer
    ]
)
truth = rng.integers(4, size=2000)
strength = rng.lognormal(0.5, 0.5, size=(2000, 1))
level = rng.normal(8, 2, size=(2000, 1))
expression = level + strength * programmes[truth] + rng.normal(0, 0.4, size=(2000, 12))

# %%
# As they are, genes are grouped by their level. With the mean of each row taken off and its spread
# brought to 1, shapes remain.
shapes = expression - expression.mean(axis=1, keepdims=True)
shapes /= shapes.std(axis=1, keepdims=True)
raw = kmeans(expression, 4, seed=0, n_init=5)
result = kmeans(shapes, 4, seed=0, n_init=5)
print("agreement, levels:", round(adjusted_rand_score(truth, raw.labels), 2))
print("agreement, shapes:", round(adjusted_rand_score(truth, result.labels), 2))

# %%
figure, axes = plt.subplots(2, 2, figsize=(9.5, 6), layout="constrained", sharex=True, sharey=True)
for j, ax in enumerate(axes.flat):
    ax.plot(hours, shapes[result.labels == j][:80].T, color="0.75", linewidth=0.6)
    ax.plot(hours, result.centroids[j], color="#D55E00", linewidth=2.5)
    ax.set_title(f"cluster {j}: {result.sizes[j]} genes", loc="left")
for ax in axes[1]:
    ax.set_xlabel("hours")

# %%
# The number of programmes is seen from the profiles alone.
ax = elbow(shapes, 10, seed=0, n_init=5).plot()
