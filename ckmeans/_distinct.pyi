from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ckmeans._source import Source

def sort_ties(X: NDArray[np.float64], order: NDArray[np.int64]) -> None: ...
def sums(
    numbers: NDArray[np.int32], count: int, weight: NDArray[np.float64] | None = None
) -> NDArray[np.float64]: ...
def pick(
    values: NDArray[np.int32], numbers: NDArray[np.int32], out: NDArray[np.int32]
) -> NDArray[np.int32]: ...
@final
class Distinct:
    count: int
    def __init__(self, source: Source, most: int) -> None: ...
    @property
    def rows(self) -> NDArray[np.floating[Any]]: ...
    def number(self, first: int, numbers: NDArray[np.int32]) -> bool: ...
