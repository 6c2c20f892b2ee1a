"""A fuzz target: bytes become a problem, and the oracle judges what kmeans() makes of it.

    python -m pip install atheris
    python tests/fuzz_kmeans.py -max_len=600 -max_total_time=600 CORPUS

CORPUS is a folder, which may be empty. `tests/test_fuzz.py` passes bytes to the same judge.
"""

import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import oracle

DTYPES = ("f4", "f8", "f2", "u1", "i2", "i8", "u8", "?", ">f4", ">f8", "f8", "f4")
LAYOUTS = ("C", "F", "wide", "reversed", "unaligned")
INITS = ("k-means++", "random", "rows", "numbers")
HEADER = 10


@dataclass
class Case:
    X: np.ndarray
    k: int
    options: dict[str, Any]


def case_of(data: bytes) -> Case:
    """A problem of up to 40 columns and 20 clusters, which need not be a sound one."""
    head = data[:HEADER].ljust(HEADER, b"\0")
    choices = zip(head, (DTYPES, LAYOUTS, INITS), strict=False)
    dtype, layout, init = (names[byte % len(names)] for byte, names in choices)
    d, k, flags, repeat, seed = 1 + head[3] % 40, head[4] % 20, head[5], 1 + head[6] % 3, head[7]
    if flags & 32:
        d = 1 + d % 3
    values = values_of(data[HEADER:], np.dtype(dtype), flags & 1)
    n = len(values) // d
    rows = np.tile(values[: n * d].reshape(n, d), (repeat, 1))
    options: dict[str, Any] = {"seed": seed, "init": init, "max_iter": 1 + 2 * head[8]}
    if init in ("rows", "numbers"):
        with np.errstate(invalid="ignore"):  # of signalling NaN
            start = np.resize(rows[::-1].astype(np.float64), (k, d)) if n else np.zeros((k, d))
            options["init"] = start if init == "rows" else np.round(start, 1)
    if flags & 2:
        options["sample_weight"] = np.resize(np.frombuffer(data, np.uint8) % 7, len(rows))
    if flags & 4:
        options["scale"] = "std"
    if flags & 8:
        options["refine"] = "swap"
    if flags & 16:
        options["tol"] = 1e-3
    options["algorithm"] = ("auto", "lloyd", "hamerly", "auto")[head[9] % 4]
    options["n_init"] = 1 + head[9] // 4 % 3
    return Case(laid_out(rows, layout), k, options)


def values_of(body: bytes, dtype: np.dtype, small: int) -> np.ndarray:
    """Small whole numbers, which tie often, or whatever the bits say: NaN and infinity too."""
    if small or dtype == np.dtype("?"):
        return (np.frombuffer(body, np.int8) // 16).astype(dtype)
    whole = len(body) // dtype.itemsize * dtype.itemsize
    return np.frombuffer(body[:whole], dtype)


def laid_out(rows: np.ndarray, layout: str) -> np.ndarray:
    n, d = rows.shape
    if layout == "F":
        return np.asfortranarray(rows)
    if layout == "wide":
        wide = np.zeros((n, 2 * d + 1), rows.dtype)
        wide[:, 1::2] = rows
        return wide[:, 1::2]
    if layout == "reversed":
        return np.ascontiguousarray(rows[::-1, ::-1])[::-1, ::-1]
    if layout == "unaligned":
        room = np.zeros(rows.nbytes + 1, np.uint8)
        room[1:] = np.frombuffer(rows.tobytes(), np.uint8)
        return room[1:].view(rows.dtype).reshape(n, d)
    return rows


def judge(data: bytes) -> None:
    """Raises where the answer is wrong; refusing what cannot be computed is right."""
    from ckmeans import ConvergenceWarning, kmeans

    case = case_of(data)
    before = case.X.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            result = kmeans(case.X, case.k, **case.options)
        except ValueError as error:
            assert is_unsound(case), error
            return
    assert not is_unsound(case)
    assert case.X.tobytes() == before
    np.testing.assert_array_equal(result.predict(case.X), result.labels)
    assert np.isfinite(result.centroids).all() and np.isfinite(result.inertia)
    assert np.isfinite(result.transform(case.X)).all()
    if result.converged and "scale" not in case.options and "tol" not in case.options:
        assert_answer(case, result)


def is_unsound(case: Case) -> bool:
    """Whether there is nothing to compute: no rows, too many clusters, numbers out of range."""
    n = len(case.X)
    weight = case.options.get("sample_weight")
    if not 1 <= case.k <= n or (weight is not None and not weight.any()):
        return True
    with np.errstate(all="ignore"):
        return not (np.abs(case.X.astype(np.float64)) <= 1e145).all()


def assert_answer(case: Case, result: Any) -> None:
    """The oracle's answer; labels alone where its squares leave the range of normal numbers."""
    rows = case.X.astype(np.float64)
    squares = oracle.squares(rows, result.centroids)
    largest = np.abs(rows).max()
    if 1e-140 < largest < 1e140:
        oracle.assert_fixed_point(rows, result, case.options.get("sample_weight"))
    else:
        np.testing.assert_array_equal(result.labels, squares.argmin(axis=1))


if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["ckmeans"]):
        import ckmeans.cli
        import ckmeans.estimator  # noqa: F401
    warnings.simplefilter("ignore")  # of whatever the bits say, when rows are made of them
    atheris.Setup(sys.argv, judge)
    atheris.Fuzz()
