from typing import final

import numpy as np
from numpy.typing import NDArray

@final
class Costs:
    m: int
    rounding: float
    @staticmethod
    def of(
        values: NDArray[np.float64],
        weight: NDArray[np.float64] | None,
        centre: float,
        scale: float,
        twofold: bool,
    ) -> Costs: ...
    def coarse(self, kept: NDArray[np.int64]) -> Costs: ...
    def path(self, price: float) -> NDArray[np.int64]: ...
    def cost(self, cuts: NDArray[np.int64]) -> float: ...
