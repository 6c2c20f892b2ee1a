"""Rows in files: the bits of the run in memory, whatever the files and the pieces."""

import gc
import os
import subprocess
import sys

import numpy as np
import pytest
from oracle import assert_same_bits

import ckmeans
from ckmeans import _readers
from ckmeans.out_of_core import kmeans

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(scale=3, size=(7, 3))
X = CENTRES[RNG.integers(7, size=60_000)] + RNG.normal(size=(60_000, 3))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(_readers, "PIECE", 1 << 15)


def table_of(rows, **more):
    return pa.table({f"c{j}": rows[:, j] for j in range(rows.shape[1])} | more)


def stored(rows, kind, folder):
    """The rows as files of a kind; the path."""
    if kind == "npy":
        np.save(folder / "X.npy", rows)
        return folder / "X.npy"
    if kind == "fortran":
        np.save(folder / "F.npy", np.asfortranarray(rows))
        return folder / "F.npy"
    if kind == "parquet":
        parquet.write_table(table_of(rows), folder / "X.parquet", row_group_size=7001)
        return folder / "X.parquet"
    if kind == "memmap":
        np.save(folder / "X.npy", rows)
        return np.load(folder / "X.npy", mmap_mode="r")
    many = folder / kind
    many.mkdir()
    for i, part in enumerate(np.split(rows, [100, 100, 21_001, 21_002])):
        if kind == "folder":
            np.save(many / f"{i}.npy", part)
        else:
            parquet.write_table(table_of(part), many / f"{i}.parquet")
    return many


KINDS = ("npy", "fortran", "parquet", "memmap", "folder", "folder of parquet")


@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_as_in_memory(kind, tmp_path):
    path = stored(X, kind, tmp_path)
    expected = ckmeans.kmeans(X, 7, init=X[:7])
    assert_same_bits(kmeans(path, 7, init=X[:7]), expected)


@pytest.mark.parametrize("d", [1, 3, 20, 70])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i8", ">f4"])
def test_same_bits_of_every_dtype_and_width(dtype, d, tmp_path):
    rows = (RNG.normal(size=(9000, d)) * 100).astype(dtype)
    start = rows[:5].astype("f8")
    expected = ckmeans.kmeans(rows, 5, init=start, max_iter=20)
    assert_same_bits(kmeans(stored(rows, "npy", tmp_path), 5, init=start, max_iter=20), expected)


@pytest.mark.parametrize(
    "options", [{"max_iter": 3}, {"tol": 1e-2}, {"scale": "std"}, {"scale": "std", "tol": 1e-3}]
)
def test_same_bits_with_options(options, tmp_path):
    rows = X * [1, 10, 100]
    path = stored(rows, "parquet", tmp_path)
    expected = ckmeans.kmeans(rows, 7, init=rows[:7], **options)
    assert_same_bits(kmeans(path, 7, init=rows[:7], n_threads=1, **options), expected)


def test_same_bits_where_rows_fill_emptied_clusters():
    rows = np.repeat(RNG.normal(size=(9, 4)), 5, axis=0)[RNG.permutation(45)]
    start = np.concatenate([rows[:2], np.full((5, 4), 1e6)])
    assert_same_bits(kmeans(rows, 7, init=start), ckmeans.kmeans(rows, 7, init=start))


def test_far_from_the_origin():
    rows = X + 1e8
    assert_same_bits(kmeans(rows, 7, init=rows[:7]), ckmeans.kmeans(rows, 7, init=rows[:7]))


def test_progress_is_that_in_memory():
    seen, expected = [], []
    kmeans(X, 7, init=X[:7], callback=seen.append)
    ckmeans.kmeans(X, 7, init=X[:7], callback=expected.append)
    assert seen == expected
    stopped = kmeans(X, 7, init=X[:7], callback=lambda progress: progress.iteration == 2)
    assert stopped.n_iter == 2 and not stopped.converged


@pytest.mark.parametrize("init", ["k-means||", "random"])
def test_from_seed_to_solution(init):
    one, two = (kmeans(X, 7, 3, init=init, n_init=3, n_threads=t) for t in (1, 2))
    assert_same_bits(one, two)
    assert one.inertia == one.run_inertias.min()
    np.testing.assert_array_equal(one.labels, ckmeans.kmeans(X, 7, init=one.centroids).labels)
    assert one.inertia < 1.01 * ckmeans.kmeans(X, 7, 0, n_init=5).inertia


def test_columns_are_chosen(tmp_path):
    expected = ckmeans.kmeans(X[:, [2, 0]], 4, init=X[:4][:, [2, 0]])
    named = stored(X, "parquet", tmp_path)
    assert_same_bits(kmeans(named, 4, columns=["c2", "c0"], init=X[:4][:, [2, 0]]), expected)
    numbered = stored(X, "npy", tmp_path)
    assert_same_bits(kmeans(numbered, 4, columns=["2", "0"], init=X[:4][:, [2, 0]]), expected)


def test_mixed_columns_are_promoted(tmp_path):
    from decimal import Decimal

    flags, floats = np.arange(500) % 2 == 0, np.linspace(0, 9, 500, dtype="f4")
    decimals = pa.array([Decimal(i % 5) / 4 for i in range(500)])
    table = pa.table({"a": flags, "b": floats, "c": decimals, "name": ["x"] * 500})
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=99)
    rows = np.column_stack([flags, floats, np.arange(500) % 5 / 4])
    result = kmeans(tmp_path / "t.parquet", 3, columns=["a", "b", "c"], init=rows[:3])
    assert_same_bits(result, ckmeans.kmeans(rows, 3, init=rows[:3]))
    with pytest.raises(ValueError, match="'name' holds string, not numbers"):
        kmeans(tmp_path / "t.parquet", 3)
    with pytest.raises(ValueError, match="no column 'z'; its columns are a, b, c, name"):
        kmeans(tmp_path / "t.parquet", 3, columns=["z"])


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_a_bad_value_is_named(kind, tmp_path):
    rows = X.copy()
    rows[54_321, 1] = np.nan
    column = "1" if kind == "npy" else "'c1'"
    with pytest.raises(ValueError, match=f"X.{kind} contains NaN at row 54321, column {column}"):
        kmeans(stored(rows, kind, tmp_path), 3)


def test_a_missing_value_is_named(tmp_path):
    table = table_of(X[:9000], gap=pa.array([1.0] * 8765 + [None] * 235))
    parquet.write_table(table, tmp_path / "gap.parquet", row_group_size=1000)
    with pytest.raises(ValueError, match="empty or NaN at row 8765, column 'gap'"):
        kmeans(tmp_path / "gap.parquet", 3)


def test_files_that_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("1,2\n")
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "text.parquet").write_text("no table")
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "none.npy", np.zeros((0, 2)))
    whole = stored(X[:1000], "npy", tmp_path)
    (tmp_path / "cut.npy").write_bytes(whole.read_bytes()[:-9])
    empty, mixed, uneven = (tmp_path / name for name in ("empty", "mixed", "uneven"))
    for folder in (empty, mixed, uneven):
        folder.mkdir()
    np.save(mixed / "a.npy", X[:9])
    parquet.write_table(table_of(X[:9]), mixed / "b.parquet")
    np.save(uneven / "a.npy", X[:9])
    np.save(uneven / "b.npy", X[:9, :2])
    for name, message in (
        ("t.csv", "must be a .npy or .parquet file or a folder"),
        ("text.npy", "not a readable .npy"),
        ("text.parquet", "not a readable .parquet"),
        ("cube.npy", "must hold a matrix"),
        ("none.npy", "has no rows"),
        ("cut.npy", "ends too early"),
        ("empty", "must hold .npy or .parquet files, got none"),
        ("mixed", "files of one kind"),
        ("uneven", "same columns and dtype, got 3 of float64"),
    ):
        with pytest.raises(ValueError, match=message):
            kmeans(tmp_path / name, 2)
    with pytest.raises(TypeError, match="real numbers"):
        kmeans(tmp_path / "words.npy", 1)
    with pytest.raises(FileNotFoundError):
        kmeans(tmp_path / "missing.npy", 2)


def test_bad_arguments():
    for wrong, error, message in (
        (([[1.0]], 1), TypeError, "a path or a NumPy array, got list"),
        ((X, 0), ValueError, "k must be between 1"),
    ):
        with pytest.raises(error, match=message):
            kmeans(*wrong)
    for option, message in (
        ({"init": "k-means++"}, r"k-means\|\|"),
        ({"scale": "max"}, "scale must be"),
        ({"columns": ["7"]}, "positions from 0 to 2"),
        ({"init": X[:2]}, r"init must have shape \(3, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            kmeans(X, 3, **option)


def test_a_file_that_changes_is_noticed(tmp_path):
    path = stored(X, "npy", tmp_path)
    with pytest.raises(ValueError, match="ends too early"):
        kmeans(path, 7, init=X[:7], callback=lambda progress: os.truncate(path, 9999))


def test_labels_outlive_the_files(tmp_path):
    result = kmeans(stored(X, "npy", tmp_path), 7, init=X[:7])
    (tmp_path / "X.npy").unlink()
    gc.collect()
    assert np.bincount(result.labels).tolist() == result.sizes.tolist()
    assert np.array_equal(result.sorted().labels, ckmeans.kmeans(X, 7, init=X[:7]).sorted().labels)


MEASURED = """
import resource, sys
import numpy as np
import pyarrow.parquet
from ckmeans.out_of_core import kmeans
start = np.load(sys.argv[2])
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
kmeans(sys.argv[1], len(start), init=start, max_iter=2, n_threads=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss in kB")
@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_memory_does_not_grow_with_the_rows(kind, tmp_path):
    rows = np.tile(X.astype("f4"), (200, 1))  # 144 MB
    path = stored(rows, kind, tmp_path)
    np.save(tmp_path / "start.npy", X[:7])
    program = subprocess.run(
        [sys.executable, "-c", MEASURED, path, tmp_path / "start.npy"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(program.stdout) < 100_000
