from typing import Any

import numpy as np
from numpy.typing import NDArray

def step(
    mode: int,
    X: NDArray[Any],
    centroids: NDArray[np.float64],
    packed: NDArray[np.uint8],
    weight: NDArray[np.float64] | None,
    reference: NDArray[np.float64],
    drift: NDArray[Any],
    half_gap: NDArray[Any],
    largest: float,
    second: float,
    labels: NDArray[np.int32],
    upper: NDArray[Any],
    lower: NDArray[Any],
    gathered: NDArray[Any],
    indices: NDArray[np.int32],
    bounds2: NDArray[Any],
    sums: NDArray[np.float64],
    mass: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> tuple[int, int]: ...
