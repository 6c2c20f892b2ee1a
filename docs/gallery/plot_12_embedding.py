"""
Embedding in Cython
===================

The loops of the package can be called from your own Cython code, without the GIL and without a
Python object in sight.
"""

# %%
# A module that assigns rows to centroids with the package's own `distance2`, the float64 distance
# that decides every label. It is declared in `_lloyd.pxd`, which is installed beside the package.
from pathlib import Path
from tempfile import mkdtemp

SOURCE = '''
# cython: language_level=3, boundscheck=False, wraparound=False
from ckmeans._lloyd cimport distance2


def nearest(const double[:, ::1] X, const double[:, ::1] centroids, int[::1] labels):
    """Index of the nearest centroid of each row, the lowest on ties."""
    cdef Py_ssize_t i, j
    cdef double least, found
    with nogil:
        for i in range(X.shape[0]):
            least = -1
            for j in range(centroids.shape[0]):
                found = distance2(&X[i, 0], 1, &centroids[j, 0], X.shape[1])
                if least < 0 or found < least:
                    least = found
                    labels[i] = <int> j
'''
folder = Path(mkdtemp())
(folder / "embedded.pyx").write_text(SOURCE)

# %%
# The only thing to tell the compiler is where the package lies: its header is in there.
import sys

import numpy as np
from Cython.Build import cythonize
from setuptools import Distribution, Extension

import ckmeans

package = str(Path(ckmeans.__file__).parent)
extension = Extension("embedded", [str(folder / "embedded.pyx")], include_dirs=[package])
modules = cythonize([extension], quiet=True, include_path=[str(Path(package).parent)])
build = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
build.build_lib, build.build_temp = str(folder), str(folder / "temp")
build.ensure_finalized()
build.run()
sys.path.insert(0, str(folder))
import embedded

# %%
# The same labels as those of the package.
from ckmeans.datasets import xclara

X = xclara()
result = ckmeans.kmeans(X, 3, seed=0)
labels = np.empty(len(X), dtype=np.int32)
embedded.nearest(X, result.centroids, labels)
print("labels that differ:", np.count_nonzero(labels != result.labels))
