from typing import Any

import numpy as np
from numpy.typing import NDArray

def choose_simd(name: str | None = None) -> str: ...
def simd_level() -> str: ...
def pack(
    centroids: NDArray[np.float64], shift: NDArray[np.float64], single: bool
) -> NDArray[np.uint8]: ...
def assign(
    X: NDArray[Any],
    centroids: NDArray[np.float64],
    packed: NDArray[np.uint8],
    labels: NDArray[np.int32],
    upper2: NDArray[Any] | None = None,
    lower2: NDArray[Any] | None = None,
) -> None: ...
def accumulate(
    X: NDArray[Any],
    centroids: NDArray[np.float64],
    weight: NDArray[np.float64] | None,
    labels: NDArray[np.int32],
    totals: NDArray[np.float64],
) -> None: ...
def mean_variance(totals: NDArray[np.float64]) -> float: ...
def count(labels: NDArray[np.int32], k: int) -> NDArray[np.int64]: ...
def own_distances2(
    X: NDArray[Any],
    centroids: NDArray[np.float64],
    labels: NDArray[np.int32],
    out: NDArray[np.float64],
) -> None: ...
def all_distances(
    X: NDArray[np.float64], columns: NDArray[np.float64], out: NDArray[np.float64]
) -> None: ...
def columns_of(centroids: NDArray[np.float64]) -> NDArray[np.float64]: ...
c_api: object
