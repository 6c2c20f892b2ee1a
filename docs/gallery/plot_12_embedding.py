"""
Embedding in Cython
===================

Windows of a signal are clustered in one loop without the GIL and without a Python object in sight,
by the functions that the package offers to compiled code.
"""

# %%
# Each window starts from the centroids of the one before: no call for a batch could do that.
# `ckmeans_iterate_f64` is one whole iteration; it allocates nothing, so the caller brings the
# workspace. Its contract is in `_lloyd.pxd`, which is installed with the package.
from pathlib import Path
from tempfile import mkdtemp

SOURCE = '''
# cython: language_level=3, boundscheck=False, wraparound=False
from libc.stdint cimport int32_t
from libc.string cimport memset

import numpy as np

from ckmeans._lloyd cimport ckmeans_iterate_f64, ckmeans_workspace_bytes_f64


def track(const double[:, ::1] X, Py_ssize_t window, Py_ssize_t step, start):
    """Centroids of X[0:window], X[step:step+window], ...: (windows, k, d)."""
    cdef Py_ssize_t d = X.shape[1], k = len(start), w, i
    cdef Py_ssize_t n_windows = (X.shape[0] - window) // step + 1
    path = np.empty((n_windows, k, d))
    cdef double[:, :, ::1] out = path
    cdef double[:, ::1] centroids = np.array(start, dtype=np.float64)
    cdef int32_t[::1] labels = np.empty(window, np.int32)
    cdef unsigned char[::1] workspace = np.empty(ckmeans_workspace_bytes_f64(k, d), np.uint8)
    cdef double inertia
    with nogil:
        for w in range(n_windows):
            memset(&labels[0], 0xFF, window * sizeof(int32_t))  # -1: no labels yet
            for i in range(300):
                if not ckmeans_iterate_f64(&X[w * step, 0], window, d, d, NULL, &centroids[0, 0],
                                           k, &labels[0], &inertia, &workspace[0]):
                    break
            out[w] = centroids
    return path
'''
folder = Path(mkdtemp())
with (folder / "windows.pyx").open("w") as file:
    file.write(SOURCE)

# %%
# In a project of its own, `Extension(..., include_dirs=[ckmeans.get_include()])` in `setup.py` is
# all that the build has to know. Here the same is done in place.
import sys

import matplotlib.pyplot as plt
import numpy as np
from Cython.Build import cythonize
from setuptools import Distribution, Extension

import ckmeans

extension = Extension(
    "windows", [str(folder / "windows.pyx")], include_dirs=[ckmeans.get_include()]
)
modules = cythonize(
    [extension], quiet=True, include_path=[str(Path(ckmeans.get_include()).parent)]
)
build = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
build.build_lib, build.build_temp = str(folder), str(folder / "temp")
build.ensure_finalized()
build.run()
sys.path.insert(0, str(folder))
import windows

# %%
# A signal of two columns around three levels that drift.
rng = np.random.default_rng(0)
steps = np.arange(12_000)
levels = np.array([[0.0, 0.0], [6.0, 0.0], [3.0, 5.0]])
drift = np.column_stack([np.sin(steps / 1500), np.cos(steps / 2500)])
signal = levels[rng.integers(3, size=len(steps))] + drift + rng.normal(0, 0.6, (len(steps), 2))
path = windows.track(signal, 400, 40, levels)
path.shape

# %%
# Each window ends in the fixed point that `kmeans` finds from the same start.
start, differ = levels, 0.0
for w, found in enumerate(path):
    start = ckmeans.kmeans(signal[40 * w : 40 * w + 400], 3, init=start).centroids
    differ = max(differ, abs(start - found).max())
print(f"largest difference of a coordinate: {differ:.0e}")

# %%
figure, ax = plt.subplots(figsize=(7, 5.4), layout="constrained")
ax.plot(*signal[::4].T, ".", color="0.85", markersize=3, zorder=0)
for j, colour in enumerate(("#0072B2", "#E69F00", "#009E73")):
    ax.plot(*path[:, j].T, color=colour, linewidth=1.5)
    ax.plot(*path[-1, j], "*", color=colour, markersize=15, markeredgecolor="black")
ax.spines[["top", "right"]].set_visible(False)
ax.set_title("centroids of 291 windows, the last ones as stars", loc="left")
