"""The C interface: its table, its capsules and its header."""

import ctypes
import shutil
import subprocess
import sysconfig

import numpy as np
import pytest
from oracle import nearest

import ckmeans
from ckmeans import _lloyd, kmeans

P, SIZE = ctypes.c_void_p, ctypes.c_ssize_t
SIGNATURES = {  # as in ckmeans.h
    "packed_bytes": (ctypes.c_size_t, SIZE, SIZE),
    "workspace_bytes": (ctypes.c_size_t, SIZE, SIZE),
    "pack": (None, P, SIZE, SIZE, P),
    "assign": (None, P, SIZE, SIZE, SIZE, P, SIZE, P, P),
    "accumulate": (None, P, SIZE, SIZE, SIZE, P, P, P, P),
    "iterate": (SIZE, P, SIZE, SIZE, SIZE, P, P, SIZE, P, P, P),
}
UPDATE = ctypes.CFUNCTYPE(SIZE, P, SIZE, SIZE, P, P)


class Table(ctypes.Structure):
    _fields_ = [("abi", SIZE), ("size", ctypes.c_size_t), ("update", UPDATE)] + [
        (f"{name}_{suffix}", ctypes.CFUNCTYPE(*signature))
        for suffix in ("f32", "f64")
        for name, signature in SIGNATURES.items()
    ]


def pointer(capsule, name):
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = P, [ctypes.py_object, ctypes.c_char_p]
    return get(capsule, name)


@pytest.fixture
def table():
    return Table.from_address(pointer(_lloyd.c_api, b"ckmeans._lloyd.c_api"))


def data(dtype, n=700, d=5, k=9):
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(n, d + 2)).astype(dtype)
    return wide[:, :d], rng.normal(size=(k, d))


SUFFIX = pytest.mark.parametrize(("suffix", "dtype"), [("f32", np.float32), ("f64", np.float64)])


def test_the_table_is_that_of_the_header(table):
    assert (table.abi, table.size) == (1, ctypes.sizeof(Table))


@SUFFIX
def test_assign_and_accumulate(table, suffix, dtype):
    X, centroids = data(dtype)
    (n, d), k = X.shape, len(centroids)
    packed = np.empty(getattr(table, f"packed_bytes_{suffix}")(k, d) + 1, np.uint8)[1:]
    labels = np.full(n, -1, np.int32)
    getattr(table, f"pack_{suffix}")(centroids.ctypes.data, k, d, packed.ctypes.data)
    getattr(table, f"assign_{suffix}")(
        X.ctypes.data, n, d, d + 2, centroids.ctypes.data, k, packed.ctypes.data,
        labels.ctypes.data,
    )  # fmt: skip
    np.testing.assert_array_equal(labels, nearest(X, centroids))

    weight = np.random.default_rng(1).uniform(size=n)
    totals = np.zeros((k, d + 2))
    getattr(table, f"accumulate_{suffix}")(
        X.ctypes.data, n, d, d + 2, weight.ctypes.data, labels.ctypes.data,
        centroids.ctypes.data, totals.ctypes.data,
    )  # fmt: skip
    mass = np.bincount(labels, weight, minlength=k)
    np.testing.assert_allclose(totals[:, d], mass, rtol=1e-12)
    inertia = np.zeros(1)
    squares = weight @ ((X - centroids[labels]) ** 2).sum(axis=1)
    moved = centroids.copy()
    assert table.update(totals.ctypes.data, k, d, moved.ctypes.data, inertia.ctypes.data) == 0
    np.testing.assert_allclose(inertia[0], squares, rtol=1e-6)
    for j in range(k):
        mean = np.average(X[labels == j].astype(float), axis=0, weights=weight[labels == j])
        np.testing.assert_allclose(moved[j], mean, rtol=1e-9, atol=1e-12)
    assert not totals.any()


@SUFFIX
def test_iterate_to_the_fixed_point(table, suffix, dtype):
    X, centroids = data(dtype)
    (n, d), k = X.shape, len(centroids)
    wanted = kmeans(X, k, init=centroids)
    workspace = np.empty(getattr(table, f"workspace_bytes_{suffix}")(k, d), np.uint8)
    labels, inertia, n_iter = np.full(n, -1, np.int32), np.zeros(1), 1
    while getattr(table, f"iterate_{suffix}")(
        X.ctypes.data, n, d, d + 2, None, centroids.ctypes.data, k, labels.ctypes.data,
        inertia.ctypes.data, workspace.ctypes.data,
    ):  # fmt: skip
        n_iter += 1
    np.testing.assert_array_equal(labels, wanted.labels)
    np.testing.assert_allclose(centroids, wanted.centroids, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(inertia[0], wanted.inertia, rtol=1e-12)
    assert n_iter == wanted.n_iter


def test_an_empty_cluster_stays(table):
    X, centroids = data(np.float64)
    centroids[3] = 1e6
    (n, d), k = X.shape, len(centroids)
    workspace = np.empty(table.workspace_bytes_f64(k, d), np.uint8)
    labels = np.full(n, -1, np.int32)
    assert n == table.iterate_f64(
        X.ctypes.data, n, d, d + 2, None, centroids.ctypes.data, k, labels.ctypes.data, None,
        workspace.ctypes.data,
    )  # fmt: skip
    assert (centroids[3] == 1e6).all() and 3 not in labels


def test_names_and_signatures_stay():
    """What cimport and numba's get_cython_function_address look up."""
    size, real = "Py_ssize_t", {"f32": "float", "f64": "double"}
    found = {name: capsule for name, capsule in _lloyd.__pyx_capi__.items() if "ckmeans_" in name}
    wanted = {"ckmeans_update": f"{size} (double *, {size}, {size}, double *, double *)"}
    for suffix, t in real.items():
        wanted |= {
            f"ckmeans_packed_bytes_{suffix}": f"size_t ({size}, {size})",
            f"ckmeans_workspace_bytes_{suffix}": f"size_t ({size}, {size})",
            f"ckmeans_pack_{suffix}": f"void (double const *, {size}, {size}, void *)",
            f"ckmeans_assign_{suffix}": f"void ({t} const *, {size}, {size}, {size}, "
            f"double const *, {size}, void const *, int32_t *)",
            f"ckmeans_accumulate_{suffix}": f"void ({t} const *, {size}, {size}, {size}, "
            "double const *, int32_t const *, double const *, double *)",
            f"ckmeans_iterate_{suffix}": f"{size} ({t} const *, {size}, {size}, {size}, "
            f"double const *, double *, {size}, int32_t *, double *, void *)",
        }
    assert set(found) == set(wanted)
    for name, signature in wanted.items():
        assert pointer(found[name], signature.encode())


def test_numba():
    """Compiled callers take the functions by address."""
    numba = pytest.importorskip("numba")
    extending = pytest.importorskip("numba.extending")
    address = extending.get_cython_function_address("ckmeans._lloyd", "ckmeans_iterate_f64")
    iterate = ctypes.CFUNCTYPE(*SIGNATURES["iterate"])(address)
    room = table_of()

    @numba.njit
    def run(X, centroids, labels, inertia, workspace):
        n_iter = 1
        while iterate(
            X.ctypes.data, X.shape[0], X.shape[1], X.shape[1], 0, centroids.ctypes.data,
            centroids.shape[0], labels.ctypes.data, inertia.ctypes.data, workspace.ctypes.data,
        ):  # fmt: skip
            n_iter += 1
        return n_iter

    X, centroids = data(np.float64)
    X = X.copy()
    wanted = kmeans(X, len(centroids), init=centroids)
    labels = np.full(len(X), -1, np.int32)
    workspace = np.empty(room.workspace_bytes_f64(*centroids.shape), np.uint8)
    assert run(X, centroids, labels, np.zeros(1), workspace) == wanted.n_iter
    np.testing.assert_array_equal(labels, wanted.labels)


def table_of():
    return Table.from_address(pointer(_lloyd.c_api, b"ckmeans._lloyd.c_api"))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("language", ["c", "c++"])
def test_the_header_compiles(tmp_path, compiler, language):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not there")
    source = tmp_path / "use.c"
    source.write_text(
        "#include <Python.h>\n#include <ckmeans.h>\n"
        "ptrdiff_t room(void);\n"
        "ptrdiff_t room(void) { const ckmeans_api* ck = ckmeans_import();\n"
        "    return ck ? (ptrdiff_t)ck->packed_bytes_f32(3, 2) : -1; }\n"
    )
    include = [f"-I{ckmeans.get_include()}", f"-isystem{sysconfig.get_path('include')}"]
    flags = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", language]
    subprocess.run([compiler, *flags, *include, str(source)], check=True)
