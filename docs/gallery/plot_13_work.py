"""
Where the time goes
===================

Most rows find their cluster in the first iterations. What an exact method need not look at again is
where its speed comes from.
"""

# %%
# The pixels of a photograph in 64 clusters. A callback sees every iteration: how many rows changed
# their label, and when it was done.
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_image

from ckmeans import kmeans

X = load_sample_image("china.jpg").reshape(-1, 3).astype(np.float32)
start = X[np.random.default_rng(0).choice(len(X), 64, replace=False)]


def run(algorithm):
    changed, stamps = [], [time.perf_counter()]

    def watch(progress):
        changed.append(progress.rows_changed)
        stamps.append(time.perf_counter())

    kmeans(X, 64, init=start, algorithm=algorithm, callback=watch, n_threads=1)
    return np.array(changed), np.diff(stamps)


runs = {algorithm: run(algorithm) for algorithm in ("lloyd", "auto")}
changed = runs["auto"][0]
print("iterations:", len(changed))
print("the same changes by both methods:", np.array_equal(changed, runs["lloyd"][0]))
for share in (0.05, 0.01, 0.001):
    fewer = np.flatnonzero(changed < share * len(X))[0] + 1
    print(f"from iteration {fewer} on, fewer than {share:.1%} of the rows change their label")

# %%
# "lloyd" compares every row with every centroid each time. "auto" keeps two bounds a row, once few
# rows change: on the distance to the own centroid, and on that to all others. A row whose bounds
# stay apart is not looked at.
figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
axes[0].semilogy(range(1, len(changed) + 1), np.maximum(changed, 1) / len(X), color="#0072B2")
axes[0].set(xlabel="iteration", ylabel="share of rows that change their label")
for (algorithm, (_, seconds)), colour in zip(runs.items(), ("#9A9A9A", "#D55E00")):
    axes[1].plot(
        range(1, len(seconds) + 1), 1e3 * seconds, color=colour, label=f'algorithm="{algorithm}"'
    )
axes[1].set(xlabel="iteration", ylabel="milliseconds, one thread", ylim=(0, None))
axes[1].legend(frameon=False)

# %%
# Beside scikit-learn
# -------------------
# The same rows, start and iterations, one thread each, in turn; `python -m benchmarks` in the
# repository is the careful version of this, with more shapes and peers. The ratio depends on the
# CPU: these are of the machine that built this page.
from threadpoolctl import threadpool_limits


def seconds_of(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def ours():
    kmeans(X, 64, init=start, max_iter=10, n_threads=1)


def theirs():
    KMeans(64, init=start, n_init=1, max_iter=10, tol=0).fit(X)


with threadpool_limits(1):
    pairs = [(seconds_of(ours), seconds_of(theirs)) for _ in range(4)][1:]
ratio = np.median([b for _, b in pairs]) / np.median([a for a, _ in pairs])
print(f"10 iterations, 273k x 3 float32, k = 64: scikit-learn's time over ours {ratio:.1f}")
