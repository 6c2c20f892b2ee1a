from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from ckmeans._source import Source

GIVEN: Final[int]
PLAIN: Final[int]
SCREENED: Final[int]
BOUND: Final[int]
FILTER: Final[int]

def shift_between(a: NDArray[np.float64], b: NDArray[np.float64]) -> float: ...
def weighted_shift(
    mass: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]
) -> float: ...
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
        counts: bool = False,
        memory: NDArray[np.uint8] | None = None,
    ) -> None: ...
    def lend(self) -> NDArray[np.uint8]: ...
    def expect(self, n: int) -> None: ...
    def show(
        self, piece: Source, labels: NDArray[np.int32], before: NDArray[np.int32]
    ) -> None: ...
    def begin(self, k: int, labels: NDArray[np.int32] | None = None) -> None: ...
    def aim(
        self, centroids: NDArray[np.float64], mode: int, measure_gaps: bool, measure: bool
    ) -> None: ...
    def expected_share(self, centroids: NDArray[np.float64]) -> float | None: ...
    def assign(self, segment: int, first: int, last: int) -> None: ...
    def open(self, adding: bool) -> None: ...
    def work(self, attentive: bool) -> None: ...
    def attend(self) -> None: ...
    def present(self) -> int: ...
    def dismiss(self, ended: bool) -> None: ...
    def go_on(
        self,
        centroids: NDArray[np.float64],
        changed: int,
        comparisons: int,
        mode: int,
        most: int,
        least_shift: float,
        gaps: bool,
        unsettled: float,
        limit: float,
        most_comparisons: int,
        company: Any,
        guests: int,
        attentive: bool,
    ) -> tuple[NDArray[np.float64], int, int, int]: ...
    def aim_residuals(self, centroids: NDArray[np.float64]) -> None: ...
    def add(self, segment: int, first: int, last: int) -> None: ...
    def collect(self) -> tuple[int, int]: ...
    def run(
        self, start: NDArray[np.float64], given: bool, max_iter: int, least_shift: float
    ) -> (
        tuple[
            NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], int,
            bool,
        ]
        | None
    ): ...  # fmt: skip
    def solve_each(
        self, first: int, stride: int, centroids: NDArray[np.float64], labels: NDArray[np.int32],
        given: bool, max_iter: int, least_shifts: NDArray[np.float64],
        residuals: NDArray[np.float64], n_iter: NDArray[np.int64], converged: NDArray[np.uint8],
    ) -> None: ...
    def residuals(self) -> NDArray[np.float64]: ...
    def means(self, centroids: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]: ...
    def rebuild(
        self, centroids: NDArray[np.float64], residuals: NDArray[np.float64]
    ) -> NDArray[np.float64] | None: ...
    def carried(
        self,
        centroids: NDArray[np.float64],
        means: NDArray[np.float64],
        residuals: NDArray[np.float64],
    ) -> NDArray[np.float64] | None: ...
    @property
    def rounds(self) -> bool: ...
    def stop_rounding(self) -> None: ...
    @property
    def bounded(self) -> bool: ...
    @property
    def sort_cost(self) -> int: ...
    @sort_cost.setter
    def sort_cost(self, comparisons: int) -> None: ...
    def open_row(self, row: int) -> None: ...
