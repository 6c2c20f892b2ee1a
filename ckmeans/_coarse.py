"""Drawn starts that some of the rows bring near a fixed point, before all of them are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ckmeans._iterate import Limits, Problem, Start, lloyd
from ckmeans._refine import swapped
from ckmeans._results import nearest_labels, own_distances2
from ckmeans._rows import scattered

# One of so many rows goes first, then more of them. None of these divides a round number of bytes.
# A third of the rows after them would take as long to read as all, whose lines the processor
# fetches unasked; with 33, 11 and 3 elbows of 200k x 16 and 100k x 32 take 1.15 of the time.
STEPS = (33, 9)
# Rows that are enough to tell where the means of all are: with fewer of a cluster, or for each
# coordinate of the centroids, their own optimum is another (100k x 128, k = 256: 1.2 of the time).
LEAST, LEAST_OF_CLUSTER, LEAST_OF_NUMBER = 4096, 64, 5
# Of the error that means of so few rows have, by which they may still move when more take over:
# with 1, 0.1 and 0.01 all rows are left 15, 2 and 2 iterations at 1M x 8, 37, 30 and 13 at 200k x
# 16, k = 64.
REACHED = 0.01
FEW = 8  # iterations; a level that takes fewer leaves hardly more to the next, which is all rows
WORTHWHILE = 1 << 24  # products in an iteration over all rows
SAMPLE = 2048  # rows, by which starts are compared


class Coarse:
    """Every 33rd row and every ninth, if there are many: fewer than all, and the centroids that
    they come to are nearer to a fixed point of all than the start."""

    def __init__(self, problem: Problem, k: int) -> None:
        self.problem, rows = problem, problem.rows
        least = max(LEAST, k * LEAST_OF_CLUSTER, k * rows.d * LEAST_OF_NUMBER)
        large = large_enough(problem, k) and even(problem.weight)
        self.steps = [step for step in STEPS if large and rows.n >= step * least]
        if self.steps:
            self.sample = rows.subset(scattered(SAMPLE, rows.n))

    def improved(self, start: np.ndarray, limits: Limits, rng: Any = None) -> np.ndarray:
        """The centroids (k, d) that these rows come to from the start, if they are better; by swaps
        too, with an rng."""
        if not self.steps or len(start) == 1:
            return start
        at_start = square = mean_square(self.sample, start)
        centroids = start
        for step in self.steps:
            some = self.problem.every(step)
            # Of a mean of m rows: their variance / m. Each of k clusters has 1 / k of the rows.
            error = len(start) ** 2 * square / some.rows.n
            brief = limits._replace(callback=None, shift=max(limits.shift, REACHED * error))
            run = lloyd(some, Start(centroids, drawn=True), brief, 0)
            if rng is not None and step == self.steps[0]:  # at ten iterations of these a breath
                run = swapped(some, run, brief, rng)
            centroids, square = run.centroids, mean_square(self.sample, run.centroids)
            if run.n_iter < FEW:
                break
        # They are not if rows lie in the order of their clusters, with such a period.
        return centroids if square < at_start else start


def even(weight: np.ndarray | None) -> bool:
    """Whether all rows count the same. Of others, some tell less about the rest; nor do distinct
    colours of a photograph, by how often they occur, gain by it (1.00 to 1.07 of the time)."""
    return weight is None or bool(weight.min() == weight.max())


def mean_square(rows: Any, centroids: np.ndarray) -> float:
    """Of the distances to the nearest centroids."""
    return float(own_distances2(rows, centroids, nearest_labels(rows, centroids, 1), 1).mean())


def large_enough(problem: Problem, k: int) -> bool:
    """Whether some of the rows could spare more than they take."""
    rows = problem.rows
    return k > 1 and rows.n * k * rows.d >= WORTHWHILE


def improved_starts(
    problem: Problem, k: int, starts: Iterator[Start], limits: Limits, rng: Any
) -> Iterator[Start]:
    """The starts, drawn ones of large problems improved by some of the rows."""
    return _improved(problem, starts, limits, rng) if large_enough(problem, k) else starts


def _improved(
    problem: Problem, starts: Iterator[Start], limits: Limits, rng: Any
) -> Iterator[Start]:
    """The same where some of the rows may do: a layer that small problems feel."""
    coarse: Coarse | None = None
    for start in starts:
        if start.drawn:
            coarse = coarse or Coarse(problem, len(start.centroids))
            if coarse.steps:
                centroids = start.centroids
                del start  # with its labels, 4 bytes a row
                start = Start(coarse.improved(centroids, limits, rng), drawn=True)
        yield start
