import numpy as np
from numpy.typing import NDArray

def simplified(
    distances: NDArray[np.float64], labels: NDArray[np.int32], sizes: NDArray[np.int64]
) -> float: ...
def add_by_cluster(
    distances: NDArray[np.float64], labels: NDArray[np.int32], sums: NDArray[np.float64]
) -> None: ...
def classical(
    sums: NDArray[np.float64], labels: NDArray[np.int32], sizes: NDArray[np.int64]
) -> float: ...
