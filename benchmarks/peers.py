"""Each library's k-means behind one face: a `Job` in, out comes the function to be timed.

That returns the centroids and the number of iterations (None where the library does not tell).

"Same work" is the same rows in the same dtype, the same start, the same number of centroid
updates, tolerance 0, and labels that belong to the centroids returned. Where a library does
something else, its adapter says so, or raises `Skip` where that makes the comparison moot.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


class Skip(Exception):
    """Why this library does not run this job."""


@dataclass(frozen=True)
class Job:
    """A case in one mode at one number of threads; `start` is None where each seeds itself."""

    X: np.ndarray
    k: int
    start: np.ndarray | None
    max_iter: int
    to_fixed_point: bool
    threads: int


def ours(job, algorithm="auto", threads=None):
    """The whole call: validation, iterations, the last assignment, the rebuilt inertia."""
    from ckmeans import kmeans

    init = "k-means++" if job.start is None else job.start

    def run():
        result = kmeans(
            job.X, job.k, 0, init=init, max_iter=job.max_iter, algorithm=algorithm,
            n_threads=threads or job.threads,
        )  # fmt: skip
        return result.centroids, result.n_iter

    return run


def estimator(job, KMeans, **options):
    """A fit with scikit-learn's arguments: start, updates and stop are as ours."""
    init = "k-means++" if job.start is None else job.start
    model = KMeans(
        job.k, init=init, n_init=1, max_iter=job.max_iter, tol=0, random_state=0, **options
    )

    def run():
        model.fit(job.X)
        return model.cluster_centers_, model.n_iter_

    return run


def sklearn_lloyd(job):
    from sklearn.cluster import KMeans

    return estimator(job, KMeans)


def sklearn_elkan(job):
    from sklearn.cluster import KMeans

    if len(job.X) * job.k * job.X.itemsize > 2e9:
        raise Skip("its n x k bounds exceed 2 GB")
    if job.to_fixed_point and job.threads > 1:
        raise Skip("to the fixed point at one thread only, for the time it takes")
    return estimator(job, KMeans, algorithm="elkan")


def sklearnex(job):
    """scikit-learn-intelex's own estimator, without patching scikit-learn.

    oneDAL has thread settings of its own, reached by `n_jobs`.
    """
    from sklearnex.cluster import KMeans

    given_start(job)
    return estimator(job, KMeans, n_jobs=job.threads)


def faiss(job):
    """faiss.Kmeans on every row (no subsampling), then `assign`: training returns no labels.

    It stops by itself when the objective repeats. An emptied cluster is split off another one.
    """
    import faiss

    given_start(job)
    float32_only(job)
    faiss.omp_set_num_threads(job.threads)

    def run():
        model = faiss.Kmeans(
            job.X.shape[1], job.k, niter=job.max_iter,
            min_points_per_centroid=1, max_points_per_centroid=len(job.X),
        )  # fmt: skip
        model.train(job.X, init_centroids=job.start)
        model.assign(job.X)
        return model.centroids, len(model.obj)

    return run


def scipy(job):
    """kmeans2 for so many iterations, then `vq`: its labels precede the last update."""
    from scipy.cluster.vq import kmeans2, vq

    given_start(job)
    if job.to_fixed_point:
        raise Skip("has no stop of its own")
    if job.threads > 1:
        raise Skip("has no threads")

    def run():
        centroids, _ = kmeans2(job.X, job.start, iter=job.max_iter, minit="matrix", missing="warn")
        vq(job.X, centroids)
        return centroids, None

    return run


def opencv(job):
    """cv2.kmeans takes no centroids but labels, so it is given those of the start, unclocked.

    It makes the same updates in two assignments fewer: the first one is given, and instead of
    one after the last update it only sums distances. The ratio errs in its favour.
    """
    import cv2

    given_start(job)
    float32_only(job)
    if job.to_fixed_point:
        raise Skip("stops at 100 iterations")
    cv2.setNumThreads(job.threads)
    labels = nearest(job.X, job.start)[0].astype(np.int32)[:, None]
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, job.max_iter, 0.0)

    def run():
        flags = cv2.KMEANS_USE_INITIAL_LABELS  # it writes to them: hence the copy
        _, _, centroids = cv2.kmeans(job.X, job.k, labels.copy(), criteria, 1, flags)
        return centroids, None

    return run


PEERS: dict[str, Callable[[Job], Callable[[], tuple]]] = {
    "sklearn": sklearn_lloyd,
    "elkan": sklearn_elkan,
    "sklearnex": sklearnex,
    "faiss": faiss,
    "scipy": scipy,
    "opencv": opencv,
}


def given_start(job):
    if job.start is None:
        raise Skip("no greedy k-means++")


def float32_only(job):
    if job.X.dtype != np.float32:
        raise Skip("computes float32 only")


def nearest(X, centroids):
    """Labels and inertia by NumPy in float64: the judge of every library's centroids."""
    centroids = centroids.astype("f8")
    norms, labels, inertia = np.square(centroids).sum(axis=1), np.empty(len(X), np.intp), 0.0
    for first in range(0, len(X), 4096):
        block = X[first : first + 4096].astype("f8")
        distance2 = norms - 2 * block @ centroids.T
        labels[first : first + len(block)] = distance2.argmin(axis=1)
        inertia += distance2.min(axis=1).sum() + np.square(block).sum()
    return labels, inertia
