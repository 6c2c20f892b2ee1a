from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

TYPES: dict[str, int]
NUMBERS: dict[int, int | None]

@final
class Source:
    n: int
    d: int
    single: bool
    X: NDArray[Any]
    offset: NDArray[np.float64] | None
    scale: NDArray[np.float64] | None
    norms: NDArray[np.float64] | None
    def __new__(
        cls,
        X: NDArray[Any],
        offset: NDArray[np.float64] | None = None,
        scale: NDArray[np.float64] | None = None,
        norms: NDArray[np.float64] | None = None,
    ) -> Self: ...
    @property
    def native(self) -> bool: ...
    def read(self, first: int, last: int, out: NDArray[Any]) -> None: ...
    def gather(self, first: int, rows: NDArray[np.int32], out: NDArray[Any]) -> None: ...
    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float64]: ...
    def middle(self) -> NDArray[np.float64]: ...
    def first_bad(self, first: int, last: int, limit: float = ...) -> tuple[int, int] | None: ...
    def largest(self, first: int, last: int) -> float: ...
