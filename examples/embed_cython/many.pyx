# cython: language_level=3, boundscheck=False, wraparound=False
"""k-means of windows of a signal, in one loop without the GIL: windows overlap, and none is copied.

Each window starts from the centroids of the one before, which no batched call could do.
"""
from libc.stdint cimport int32_t
from libc.string cimport memset

import numpy as np

from ckmeans._lloyd cimport ckmeans_iterate_f32, ckmeans_workspace_bytes_f32


def track(const float[:, ::1] X, Py_ssize_t window, Py_ssize_t step, const double[:, ::1] start):
    """Centroids of X[0:window], X[step:step+window], ...: (windows, k, d), with their inertias."""
    cdef Py_ssize_t d = X.shape[1], k = start.shape[0], w, i, j, f
    cdef Py_ssize_t n_windows = (X.shape[0] - window) // step + 1
    centroids = np.empty((n_windows, k, d))
    inertias = np.empty(n_windows)
    cdef double[:, :, ::1] out = centroids
    cdef double[::1] inertia = inertias
    cdef int32_t[::1] labels = np.empty(window, np.int32)
    cdef unsigned char[::1] workspace = np.empty(ckmeans_workspace_bytes_f32(k, d), np.uint8)
    with nogil:
        for w in range(n_windows):
            for j in range(k):
                for f in range(d):
                    out[w, j, f] = out[w - 1, j, f] if w else start[j, f]
            memset(&labels[0], 0xFF, window * sizeof(int32_t))
            for i in range(300):
                if not ckmeans_iterate_f32(&X[w * step, 0], window, d, d, NULL, &out[w, 0, 0], k,
                                           &labels[0], &inertia[w], &workspace[0]):
                    break
    return centroids, inertias
