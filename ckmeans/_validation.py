"""What an argument may be, and how it is refused: one vocabulary of errors."""

from __future__ import annotations

import math
import operator
import os
import sys
from typing import Any, Literal, Protocol

import numpy as np

from ckmeans._memory import fresh
from ckmeans._rows import Rows

LARGEST = 1e145  # the squares of smaller values cannot add up to infinity, in any array
HEAVIEST = 1e150  # the largest sum of weights
MOST_STARTS = 10**6  # each leaves its inertia in the result
MOST_CLUSTERS = 2**31 - 1  # labels are int32
BY_SUMS_FROM = 1 << 20  # elements; to look at fewer takes less than 0.1 ms
ALGORITHMS = {"auto": None, "lloyd": False, "hamerly": True}


class ConvergenceWarning(UserWarning):
    """Fewer clusters than asked for: the rows hold fewer distinct points than k."""


def callers_level() -> int:
    """The stacklevel by which a warning names the line that called an estimator."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(("ckmeans.", "sklearn.")):
        level, frame = level + 1, frame.f_back
    return level


def as_matrix(X: Any, name: str = "X") -> np.ndarray:
    """X as a 2-D array of a supported dtype, without a copy where NumPy can give a view."""
    array = X if type(X) is np.ndarray else _as_array(X, name)
    if array.dtype.kind not in "buif" or array.dtype.itemsize > 8:
        raise TypeError(
            f"{name} must hold real numbers (bool, integers, float16, float32 or float64), "
            f"got dtype {array.dtype}"
        )
    if array.ndim != 2:
        hint = f"; use {name}.reshape(-1, 1) for one column" if array.ndim == 1 else ""
        raise ValueError(f"{name} must be 2-D (rows, columns), got shape {array.shape}{hint}")
    if not array.size:
        raise ValueError(f"{name} must have at least one row and one column, got {array.shape}")
    return array


def _as_array(X: Any, name: str) -> np.ndarray:
    """The array that X is, holds or hands out."""
    refuse_masked(X, name)
    if X is None or isinstance(X, (str, bytes, dict, set)):
        raise TypeError(f"{name} must be a 2-D array of numbers, got {type(X).__name__}")
    refuse_sparse(X, name)
    try:
        if not hasattr(X, "__array__") and hasattr(X, "__dlpack__"):
            array = np.from_dlpack(X)
        else:
            array = np.asarray(X)
    except (ValueError, TypeError, BufferError) as error:
        raise ValueError(f"{name} must be a 2-D array of numbers: {error}") from None
    if array.dtype.kind == "O" and hasattr(X, "columns"):
        array = _frame_values(X, name)
    return array


class Dask(Protocol):
    """A Dask array or data frame."""

    def __dask_graph__(self) -> Any: ...


def is_sparse(X: Any) -> bool:
    """Whether X is a sparse matrix or array of SciPy, or by its interface another's."""
    return hasattr(X, "tocsr")


def refuse_sparse(X: Any, name: str) -> None:
    if is_sparse(X):
        raise TypeError(
            f"{name} must be a dense array, got a sparse {type(X).__name__}; use {name}.toarray()"
        )


def as_csr(X: Any, name: str = "X") -> Any:
    """A sparse X in CSR format."""
    if len(X.shape) != 2:
        raise ValueError(f"{name} must be 2-D (rows, columns), got shape {X.shape}")
    if X.dtype.kind not in "buif" or X.dtype.itemsize > 8:
        raise TypeError(
            f"{name} must hold real numbers (bool, integers, float16, float32 or float64), "
            f"got dtype {X.dtype}"
        )
    if not X.shape[0] or not X.shape[1]:
        raise ValueError(f"{name} must have at least one row and one column, got {X.shape}")
    if X.shape[1] > MOST_CLUSTERS:
        raise ValueError(f"{name} must have at most {MOST_CLUSTERS} columns, got {X.shape[1]}")
    return X if getattr(X, "format", "") == "csr" else X.tocsr()


def as_rows(X: Any, n_threads: int = 1, d: int | None = None, by_sums: bool = False) -> Any:
    """The rows of X, dense or sparse, checked to be finite; or, with `by_sums`, marked as unchecked
    where the caller's first sums of the rows tell. d: the columns that they must have."""
    rows: Any
    if type(X) is not np.ndarray and is_sparse(X):
        from ckmeans._sparse import SparseRows

        rows = SparseRows(as_csr(X))
    else:
        rows = Rows(as_matrix(X))
    if d is not None and rows.d != d:
        raise ValueError(f"X must have {d} columns like the fitted data, got {rows.d}")
    rows.unchecked = by_sums and told_by_sums(rows)
    if not rows.unchecked:
        check_finite(rows, n_threads=n_threads)
    # One column has an optimum, and loops of its own.
    return Rows(rows.dense()) if rows.sparse and rows.d == 1 else rows


def told_by_sums(rows: Any) -> bool:
    """Whether sums of the rows in float64 are finite where the rows are, and only there. (To look
    at float32 rows takes as long as to read them, 8 % of five iterations of 60k x 784, k = 10.)"""
    if rows.sparse or rows.dtype != np.float32 or rows.n * rows.d < BY_SUMS_FROM:
        return False
    return bool(np.isfinite(rows.middle()).all())  # which is what is added up, too


def is_dask(X: Any) -> bool:
    return hasattr(X, "__dask_graph__")


def refuse_masked(values: Any, name: str) -> None:
    """What is masked has no value: NumPy would hand out the one underneath."""
    if not isinstance(values, np.ndarray) or type(values) is np.ndarray:
        return  # the others need not import numpy.ma, which takes as long as the first fit
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        where = np.argwhere(np.ma.getmaskarray(values))[0]
        raise ValueError(f"{name} is masked at {_place(where)}; drop or impute such rows")


def _frame_values(frame: Any, name: str) -> np.ndarray:
    """A data frame with nullable or mixed columns, as float64."""
    columns = []
    for label in frame.columns:
        values = frame[label]
        try:
            columns.append(np.asarray(values.to_numpy(dtype="float64", na_value=np.nan)))
        except (TypeError, ValueError):
            raise TypeError(f"{name} must hold numbers, column {label!r} does not") from None
    return np.column_stack(columns)


def finite_rows(
    X: Any, scale: str | None = None, n_threads: int = 1, metric: str = "euclidean",
    d: int | None = None, by_sums: bool = False,
) -> Any:  # fmt: skip
    """The rows of X, dense or sparse, checked to be finite (see as_rows); standardised by column
    for scale="std", of length 1 for metric="cosine". d: the columns that they must have."""
    if scale is not None and (not isinstance(scale, str) or scale != "std"):
        raise ValueError(f'scale must be None or "std", got {scale!r}')
    if not isinstance(metric, str) or metric not in ("euclidean", "cosine"):
        raise ValueError(f'metric must be "euclidean" or "cosine", got {metric!r}')
    if scale is not None and metric == "cosine":
        raise ValueError('scale must be None where metric is "cosine", got "std"')
    plain = scale is None and metric == "euclidean"
    rows = as_rows(X, n_threads, d, by_sums and plain)
    if metric == "cosine":
        return rows.directions(norms_of(rows))
    return rows.standardised() if scale else rows


def norms_of(rows: Any, name: str = "X") -> np.ndarray:
    """The rows' norms, none of them 0."""
    norms = rows.lengths()
    if not norms.all():
        raise ValueError(
            f"{name} must have no row of zeros where metric is \"cosine\", got one at row "
            f"{int(np.argmin(norms != 0))}; such a row has no direction: drop it"
        )
    return norms


def dense_rows(X: Any, n_threads: int = 1) -> Rows:
    """The rows of X, checked to be finite, for what has no use of sparse ones."""
    rows = Rows(as_matrix(X))
    check_finite(rows, n_threads=n_threads)
    return rows


def check_finite(
    rows: Rows, name: str = "X", n_threads: int = 1, limit: float = LARGEST, why: str = ""
) -> None:
    bad = rows.first_bad(limit, n_threads)
    if bad is None:
        return
    raise bad_value(rows.value(bad), _place(bad), name, limit, why)


def bad_value(
    value: float, place: str, name: str = "X", limit: float = LARGEST, why: str = ""
) -> ValueError:
    if math.isfinite(value):
        return ValueError(
            f"{name} must lie within +-{limit:g}{why}, got {value:g} at {place}; "
            "larger squared distances overflow"
        )
    found = "NaN" if math.isnan(value) else "infinity"
    return ValueError(f"{name} contains {found} at {place}; drop or impute such rows")


def check_standardised(rows: Any, name: str = "X") -> None:
    """Rows in another fit's standard deviations, which may be tiny beside them."""
    if rows.sparse:
        bad = rows.first_bad(LARGEST, 1)
        if bad is not None:
            raise far_out(rows.value(bad), bad, name)
        return
    for first, block in rows.blocks():
        with np.errstate(all="ignore"):
            wrong = ~(np.abs(block) <= LARGEST)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            place = (first + int(row), int(column))
            raise far_out(rows.value(place), place, name)


def far_out(value: float, place: Any, name: str) -> ValueError:
    return ValueError(
        f"{name} must lie within {LARGEST:g} standard deviations of the mean, got {value:g} at "
        f"{_place(place)}; larger squared distances overflow"
    )


def _place(where: Any) -> str:
    if len(where) == 1:
        return f"row {int(where[0])}"
    return f"row {int(where[0])}, column {int(where[1])}"


def integer(value: Any, name: str, low: int, high: int | None = None, limit: str = "{}") -> int:
    """An integer in [low, high], of which `limit` says what it is; bools and floats are refused."""
    number = value if type(value) is int else _index(value, name)
    if number < low or (high is not None and number > high):
        allowed = f"at least {low}" if high is None else f"between {low} and {limit.format(high)}"
        raise ValueError(f"{name} must be {allowed}, got {number}")
    return number


def _index(value: Any, name: str) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def clusters(k: Any, n: int, name: str = "k") -> int:
    if n > MOST_CLUSTERS:
        return integer(k, name, 1, MOST_CLUSTERS)
    return integer(k, name, 1, n, "the number of rows ({})")


def non_negative(value: Any, name: str) -> float:
    if type(value) is not float and isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    except OverflowError:
        number = math.inf
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, got {number}")
    return number


def weights(sample_weight: Any, n: int) -> np.ndarray | None:
    """Weights as a float64 array of shape (n,), or None for all ones."""
    if sample_weight is None:
        return None
    refuse_masked(sample_weight, "sample_weight")
    try:
        array = np.asarray(sample_weight)
    except ValueError as error:
        raise ValueError(f"sample_weight must be a 1-D array: {error}") from None
    if array.dtype.kind not in "buif":
        raise TypeError(f"sample_weight must hold real numbers, got dtype {array.dtype}")
    if array.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), got {array.shape}")
    array = np.ascontiguousarray(array, dtype=np.float64)
    for wrong, what in ((~np.isfinite(array), "finite"), (array < 0, "non-negative")):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"sample_weight must be {what}, got {array[row]} at row {row}")
    with np.errstate(over="ignore"):
        check_total(float(array.sum()))
    return array


def check_total(weight: float) -> None:
    if not 0 < weight <= HEAVIEST:
        raise ValueError(
            f"sample_weight must have a sum of at most {HEAVIEST:g}, and not zeros alone; "
            f"got a sum of {weight:g}"
        )


def check_weighted(rows: Rows, weight: np.ndarray | None, n_threads: int = 1) -> None:
    """Heavy rows must be nearer to each other, so that weighted squared distances have a sum."""
    if weight is None or rows.scale is not None:  # standardised rows are near
        return
    limit, why = limit_of_weighted(float(weight.sum()), rows.d)
    if limit < LARGEST:
        check_finite(rows, n_threads=n_threads, limit=limit, why=why)


def limit_of_weighted(total: float, d: int) -> tuple[float, str]:
    """The largest magnitude of a value, and why, where weights have this sum."""
    # Two rows differ by up to twice the limit in each column.
    limit = math.sqrt(sys.float_info.max / total / d) / 4
    return limit, f" where sample_weight has a sum of {total:g}"


def starting_centroids(init: Any, k: int, d: int) -> np.ndarray | str:
    """The name of a method, or a float64 copy of an array of shape (k, d)."""
    if isinstance(init, str):
        if init not in ("k-means++", "random"):
            raise ValueError(
                f'init must be "k-means++", "random" or an array of shape ({k}, {d}), got {init!r}'
            )
        return init
    if init is None:
        raise TypeError(
            f'init must be "k-means++", "random" or an array of shape ({k}, {d}), got None'
        )
    centroids = as_matrix(init, "init")
    if centroids.shape != (k, d):
        raise ValueError(f"init must have shape ({k}, {d}), got {centroids.shape}")
    check_finite(Rows(centroids), "init")
    copy = fresh(k * d).reshape(k, d)
    copy[...] = centroids
    return copy


def room_for_distances(out: Any, n: int, k: int, X: Any) -> np.ndarray:
    """`out`, or a fresh array for None: (n, k) float64."""
    if out is None:
        return np.empty((n, k))
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__}")
    if out.shape != (n, k) or out.dtype != np.float64:
        raise ValueError(
            f"out must be of shape ({n}, {k}) and native float64, got {out.shape} and {out.dtype}"
        )
    if not (out.flags.c_contiguous and out.flags.writeable and out.flags.aligned):
        raise ValueError("out must be C-contiguous, aligned and writeable")
    if isinstance(X, np.ndarray) and np.may_share_memory(out, X):
        raise ValueError("out must not overlap X")
    return out


def generator(seed: Any, wanted: bool = True) -> Any:
    """What numpy.random.default_rng makes of the seed; None for none that is not wanted."""
    if seed is None and not wanted:
        return None
    from numpy.random import default_rng

    if isinstance(seed, (bool, np.bool_, str, float)):
        raise TypeError(f"seed must be what numpy.random.default_rng takes, got {seed!r}")
    try:
        return default_rng(seed)
    except ValueError as error:
        raise ValueError(f"seed must be what numpy.random.default_rng takes: {error}") from None
    except TypeError as error:
        raise TypeError(f"seed must be what numpy.random.default_rng takes: {error}") from None


def pruning(algorithm: Any) -> bool | None:
    """Whether the named algorithm keeps bounds; None where the measured share decides."""
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm must be one of {tuple(ALGORITHMS)}, got {algorithm!r}")
    return ALGORITHMS[algorithm]


def refinement(refine: Any) -> Literal["swap"] | None:
    if refine is None:
        return None
    if isinstance(refine, str) and refine == "swap":
        return "swap"
    raise ValueError(f'refine must be None or "swap", got {refine!r}')


def threads(n_threads: Any) -> int:
    """How many threads to use; the CPUs of this process for None."""
    if n_threads is not None:
        return integer(n_threads, "n_threads", 1)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def watcher(callback: Any) -> Any:
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, got {callback!r}")
    return callback
