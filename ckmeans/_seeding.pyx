# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""Distances for k-means++ (Arthur & Vassilvitskii 2007): all candidates of a step in one pass."""
from ckmeans._lloyd cimport distance2, real


def lower_distances(
    const real[:, ::1] X,                  # in   (n, d)
    const double[:, ::1] candidates,       # in   (t, d)
    const double[::1] weight,              # in   (n,) or None
    const double[::1] nearest,             # in   (n,) squared distance to the chosen centroids
    double[::1] potentials,                # in/out  (t,) inertia if the candidate were chosen
):
    """Add the potential that each candidate would leave over these rows."""
    cdef Py_ssize_t i, t
    cdef double squares, w = 1.0
    with nogil:
        for i in range(X.shape[0]):
            if weight is not None:
                w = weight[i]
            for t in range(candidates.shape[0]):
                squares = distance2(&X[i, 0], &candidates[t, 0], X.shape[1])
                potentials[t] += w * (squares if squares < nearest[i] else nearest[i])


def choose(const real[:, ::1] X, const double[::1] centroid, double[::1] nearest):
    """Lower each row's nearest squared distance by a new centroid."""
    cdef Py_ssize_t i
    cdef double squares
    with nogil:
        for i in range(X.shape[0]):
            squares = distance2(&X[i, 0], &centroid[0], X.shape[1])
            if squares < nearest[i]:
                nearest[i] = squares
