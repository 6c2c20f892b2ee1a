from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES: dict[str, int]

class Source:
    n: int
    d: int
    single: bool
    X: NDArray[Any]
    offset: NDArray[np.float64] | None
    scale: NDArray[np.float64] | None
    def __init__(
        self,
        X: NDArray[Any],
        offset: NDArray[np.float64] | None = None,
        scale: NDArray[np.float64] | None = None,
    ) -> None: ...
    def read(self, first: int, last: int, out: NDArray[Any]) -> None: ...
    def gather(self, first: int, rows: NDArray[np.int32], out: NDArray[Any]) -> None: ...
    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float64]: ...
    def first_bad(self, first: int, last: int, limit: float = ...) -> tuple[int, int] | None: ...
    def largest(self, first: int, last: int) -> float: ...
