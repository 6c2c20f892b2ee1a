"""
Where the time goes
===================

Most rows find their cluster in the first iterations. What an exact method need not look at again is
where much of its speed comes from.
"""

# %%
# Every fourth pixel of a photograph, in 256 clusters. A callback sees each iteration: how many rows
# changed their label.
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_image

from ckmeans import kmeans

X = load_sample_image("china.jpg").reshape(-1, 3)[::4].astype(np.float32)
start = X[np.random.default_rng(0).choice(len(X), 256, replace=False)]


def changes(algorithm):
    found = []
    kmeans(
        X, 256, init=start, algorithm=algorithm,
        callback=lambda progress: found.append(progress.rows_changed),
    )  # fmt: skip
    return np.array(found)


changed = changes("auto")
print(f"{len(X)} rows, {len(changed)} iterations")
print("the same changes by both methods:", np.array_equal(changed, changes("lloyd")))
for share in (0.05, 0.01, 0.001):
    first = np.flatnonzero(changed < share * len(X))[0] + 1
    print(f"fewer than {share:.1%} of the rows change their label: from iteration {first} on")

# %%
# "lloyd" compares every row with every centroid each time. "auto" keeps two bounds a row, once few
# rows change: on the distance to the own centroid, and on that to all others. A row whose bounds
# stay apart is not looked at. The times are those of whole calls with `max_iter`, on one thread,
# the least of three: they are of the machine that built this page.


def seconds(function, *arguments, **options):
    begin = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - begin


def ours(**options):
    kmeans(X, 256, init=start, n_threads=1, **options)


ends = [1, *range(20, len(changed), 20), len(changed)]
taken = {"lloyd": np.full(len(ends), np.inf), "auto": np.full(len(ends), np.inf)}
for _ in range(3):
    for i, end in enumerate(ends):
        for algorithm, least in taken.items():
            least[i] = min(least[i], seconds(ours, algorithm=algorithm, max_iter=end))

figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
axes[0].semilogy(range(1, len(changed) + 1), np.maximum(changed, 1) / len(X), color="#0072B2")
axes[0].set(xlabel="iteration", ylabel="share of rows that change their label")
for (algorithm, least), colour in zip(taken.items(), ("#9A9A9A", "#D55E00")):
    axes[1].plot(ends, least, "o-", color=colour, label=f'algorithm="{algorithm}"')
axes[1].set(xlabel="iterations", ylabel="seconds, one thread", ylim=(0, None))
axes[1].legend(frameon=False)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)

# %%
# Beside scikit-learn
# -------------------
# The same rows, start and iterations, one thread each, in turn. `python -m benchmarks` in the
# repository is the careful version of this, with more shapes and peers.
from threadpoolctl import threadpool_limits

theirs = KMeans(256, init=start, n_init=1, max_iter=20, tol=0)


with threadpool_limits(1):
    pairs = np.array([(seconds(ours, max_iter=20), seconds(theirs.fit, X)) for _ in range(4)])[1:]
ratio = np.median(pairs[:, 1]) / np.median(pairs[:, 0])
print(f"20 iterations of {len(X)} x 3, k = 256: scikit-learn's time over ours: {ratio:.1f}")
