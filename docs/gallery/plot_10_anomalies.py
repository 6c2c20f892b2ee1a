"""
Anomalies: far from every cluster
=================================

The distance of a row to its own centroid is an anomaly score: large for a row unlike all groups
that were seen before.
"""

# %%
# A machine has three modes of work, seen by temperature and vibration. Clusters are learnt from
# 1500 ordinary hours.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

from ckmeans import kmeans

modes = [[40, 1.0], [62, 2.2], [78, 1.4]]
ordinary, _ = make_blobs(1500, centers=modes, cluster_std=[[3, 0.15]] * 3, random_state=0)
result = kmeans(ordinary, 3, seed=0, n_init=5, scale="std")

# %%
# The limit is the score that one ordinary hour in two hundred exceeds. Distances are in standard
# deviations, since the columns were scaled.
limit = np.quantile(result.distances(ordinary), 0.995)
print(f"limit: {limit:.2f}")

# %%
# New hours: 300 ordinary ones and 12 that are not.
rng = np.random.default_rng(1)
usual, _ = make_blobs(300, centers=modes, cluster_std=[[3, 0.15]] * 3, random_state=1)
odd = np.column_stack([rng.uniform(35, 85, 12), rng.uniform(2.7, 3.3, 12)])
new = np.vstack([usual, odd])
scores = result.distances(new)
flagged = scores > limit
print("flagged among the ordinary:", np.count_nonzero(flagged[:300]), "of 300")
print("flagged among the odd:     ", np.count_nonzero(flagged[300:]), "of 12")

# %%
figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.4), layout="constrained")
result.plot(new, axes[0])
axes[0].get_legend().remove()
axes[0].plot(*new[flagged].T, "o", mfc="none", mec="black", ms=10)
axes[0].set(xlabel="temperature", ylabel="vibration")
axes[0].set_title("flagged rows are circled", loc="left")
axes[1].hist([scores[:300], scores[300:]], 40, stacked=True, label=["ordinary", "odd"])
axes[1].axvline(limit, color="black", linestyle="--")
axes[1].set(xlabel="distance to the own centroid (standard deviations)", ylabel="rows")
axes[1].spines[["top", "right"]].set_visible(False)
axes[1].legend(frameon=False)
