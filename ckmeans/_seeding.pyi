from typing import Any

import numpy as np
from numpy.typing import NDArray

def lower_distances(
    X: NDArray[Any],
    candidates: NDArray[np.float64],
    weight: NDArray[np.float64] | None,
    nearest: NDArray[np.float64],
    potentials: NDArray[np.float64],
) -> None: ...
def choose(
    X: NDArray[Any], centroid: NDArray[np.float64], nearest: NDArray[np.float64]
) -> None: ...
