from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from ckmeans._source import Source

PLAIN: Final[int]
BOUND: Final[int]
FILTER: Final[int]

@final
class Sweep:
    labels: NDArray[np.int32]
    totals: NDArray[np.float64]
    reference: NDArray[np.float64]
    segment_rows: int
    n_segments: int
    def __init__(
        self,
        source: Source,
        weight: NDArray[np.float64] | None,
        reference: NDArray[np.float64],
        keep_bounds: bool,
    ) -> None: ...
    def begin(self, k: int) -> None: ...
    def aim(
        self, centroids: NDArray[np.float64], mode: int, measure_gaps: bool = True
    ) -> None: ...
    def assign(self, segment: int, first: int, last: int) -> None: ...
    def aim_residuals(self, centroids: NDArray[np.float64]) -> None: ...
    def add(self, segment: int, first: int, last: int) -> None: ...
    def collect(self, totals: NDArray[np.float64]) -> tuple[int, int]: ...
    @property
    def bounded(self) -> bool: ...
    def drop_bounds(self) -> None: ...
    def open_row(self, row: int) -> None: ...
