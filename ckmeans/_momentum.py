"""Longer steps than to the means: fewer iterations to a fixed point, not always the nearest one."""

from __future__ import annotations

import numpy as np


class Momentum:
    """Nesterov's steps ("A method for solving the convex programming problem with convergence rate
    O(1/k^2)", Soviet Mathematics Doklady 27 (1983) 372-376), started anew where they lead back
    (O'Donoghue & Candes, "Adaptive restart for accelerated gradient schemes", Foundations of
    Computational Mathematics 15 (2015) 715-732).

    A move to the means is a step of gradient descent on the inertia (Bottou & Bengio, "Convergence
    properties of the k-means algorithms", NIPS 1994).
    """

    def __init__(self) -> None:
        self.before: np.ndarray | None = None
        self.steps = 0

    def beyond(self, centroids: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Where to go from the centroids (k, d), whose clusters have these means."""
        before, self.before = self.before, means
        if before is None:
            return means
        move = means - before
        if ((means - centroids) * move).sum() < 0:
            self.steps = 0
            return means
        self.steps += 1
        return means + self.steps / (self.steps + 3) * move
