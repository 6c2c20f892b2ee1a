from typing import Any, Final, Self, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

BAD_VALUE: Final[int]
BAD_COLUMN: Final[int]
UNSORTED: Final[int]
WIDTH: Final[int]

def plain_norms2(centroids: NDArray[np.float64]) -> NDArray[np.float64]: ...
def panels_of(centroids: NDArray[np.float64]) -> NDArray[np.float64]: ...
def by_cluster(labels: NDArray[np.int32], k: int) -> NDArray[np.int32]: ...

@final
class Csr:
    n: int
    d: int
    longest: int
    values: NDArray[Any]
    columns: NDArray[Any]
    starts: NDArray[np.int64]
    norms2: NDArray[np.float64]
    def __new__(
        cls, values: NDArray[Any], columns: NDArray[Any], starts: NDArray[np.int64], d: int
    ) -> Self: ...
    def look(self, first: int, last: int, limit: float) -> tuple[int, int] | None: ...
    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float64]: ...
    def all_equal(
        self,
        labels: NDArray[np.int32],
        cluster: int,
        weight: NDArray[np.float64] | None,
        x: NDArray[np.float64],
    ) -> bool: ...
    def adds_exactly(self) -> bool: ...
    def own_squares(
        self,
        rows: NDArray[np.int32],
        first: int,
        last: int,
        centroids: NDArray[np.float64],
        norms2: NDArray[np.float64],
        labels: NDArray[np.int32],
        squares: NDArray[np.float64],
    ) -> None: ...
    def all_squares(
        self,
        first: int,
        last: int,
        panels: NDArray[np.float64],
        norms2: NDArray[np.float64],
        squares: NDArray[np.float64],
    ) -> None: ...

@disjoint_base
class Products:
    segment_rows: int
    n_segments: int
    def aim(self, points: NDArray[np.int64]) -> None: ...
    def gains(
        self,
        segment: int,
        nearest: NDArray[np.float64],
        weight: NDArray[np.float64] | None,
        squares: NDArray[np.float64],
        gains: NDArray[np.float64],
    ) -> None: ...

@final
class ByLists(Products):
    def __new__(cls, rows: Csr) -> Self: ...

@final
class ByPanel(Products):
    def __new__(cls, rows: Csr, most: int) -> Self: ...

@final
class CsrSweep:
    labels: NDArray[np.int32]
    totals: NDArray[np.float64]
    segment_rows: int
    n_segments: int
    def __init__(
        self, rows: Csr, weight: NDArray[np.float64] | None, keep_bounds: bool
    ) -> None: ...
    def begin(self, k: int, labels: NDArray[np.int32] | None = None) -> None: ...
    def aim(self, centroids: NDArray[np.float64], mode: int) -> None: ...
    def expected_share(self, centroids: NDArray[np.float64]) -> float | None: ...
    def assign(self, segment: int, first: int, last: int) -> None: ...
    def open(self, adding: bool) -> None: ...
    def work(self) -> None: ...
    def attend(self) -> None: ...
    def dismiss(self, ended: bool) -> None: ...
    def list_moves(self, anew: bool) -> None: ...
    def move(self, first: int, last: int) -> None: ...
    def moved(self) -> None: ...
    def n_changed(self) -> int: ...
    def collect(self) -> int: ...
    def means(self, centroids: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]: ...
    @property
    def bounded(self) -> bool: ...
    def open_row(self, row: int) -> None: ...
