import numpy as np
from numpy.typing import NDArray

def fill_row(
    s1: NDArray[np.float64],
    s2: NDArray[np.float64],
    w: NDArray[np.float64],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    cut: NDArray[np.int32],
    q: int,
) -> None: ...
def first_row(
    s1: NDArray[np.float64],
    s2: NDArray[np.float64],
    w: NDArray[np.float64],
    after: NDArray[np.float64],
) -> None: ...
