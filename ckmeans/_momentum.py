"""Steps beyond the means, with which a run that may go its own way takes half the iterations."""

from __future__ import annotations

import math

import numpy as np


class Momentum:
    """Nesterov's steps ("A method for solving the convex programming problem with convergence rate
    O(1/k^2)", Soviet Mathematics Doklady 27 (1983) 372-376), started anew where they lead back
    (O'Donoghue & Candes, "Adaptive restart for accelerated gradient schemes", Foundations of
    Computational Mathematics 15 (2015) 715-732).

    A move to the means is a step of gradient descent on the inertia (Bottou & Bengio, "Convergence
    properties of the k-means algorithms", NIPS 1994). One beyond them may raise it: it is taken
    back then, so that the inertia never rises.
    """

    def __init__(self) -> None:
        self.means: np.ndarray | None = None  # of the last iteration, (k, d)
        self.steps = 0
        self.inertia = math.inf

    def overshot(self, centroids: np.ndarray, means: np.ndarray, mass: np.ndarray) -> bool:
        """Whether the inertia has risen with the step to these centroids (k, d), whose clusters
        have these means and masses (k,)."""
        if self.means is None:
            self.origin = means[0]
        # Less that of all rows about the origin, which is the same in each iteration.
        squares = np.square(centroids - means).sum(axis=1)
        squares -= np.square(means - self.origin).sum(axis=1)
        inertia = float((mass * squares).sum())
        if self.steps and inertia > self.inertia:
            return True
        self.inertia = inertia
        return False

    def back(self) -> np.ndarray:
        """Where to go instead."""
        assert self.means is not None
        self.steps = 0
        return self.means

    def beyond(self, centroids: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Where to go next."""
        before, self.means = self.means, means
        if before is None:
            return means
        move = means - before
        leads_back = ((means - centroids) * move).sum() < 0
        self.steps = 0 if leads_back else self.steps + 1
        # Nesterov's 3 in the place of 1 takes 5 to 10 % more iterations.
        return means + self.steps / (self.steps + 1) * move if self.steps else means
