"""Rows that repeat, as colours do in photographs: each is computed with once, and counted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ckmeans._bounds import Sweep
from ckmeans._distinct import Distinct, pick, sums
from ckmeans._iterate import Problem
from ckmeans._memory import fresh
from ckmeans._rows import Rows, scattered

AT_ONCE = 1 << 22  # elements, of which Python can be interrupted only in between
MOST = 2**30 - 1  # numbers


class RepeatingProblem(Problem):
    """A problem whose rows are the distinct ones of many, of the sum of their weights."""

    def __init__(
        self, rows: Rows, distinct: np.ndarray, numbers: np.ndarray, weight: np.ndarray | None,
        prune: bool | None, n_threads: int,
    ) -> None:  # fmt: skip
        self.numbers, self.counted, self.moved = numbers, weight is None, 0
        self.middle = rows.middle()
        mass = sums(numbers, len(distinct), weight)
        super().__init__(rows.of(distinct), mass, prune, n_threads)

    def _prepare(self) -> None:
        self.reference = self.middle  # sums of integers have the same bits as those of all rows
        self.sweep = Sweep(
            self.rows.source, self.weight, self.reference, self.prune is not False, self.counted
        )

    def times(self) -> Any:
        """How many rows each of the distinct ones stands for."""
        return self.weight if self.counted else sums(self.numbers, self.rows.n)

    def assign(self, centroids: np.ndarray, measure: bool = False) -> int:
        before = self.labels.copy() if self.watched else None
        changed = super().assign(centroids, measure)
        if before is not None:
            # Labels that are given for the first assignment are those before it, too.
            moved = self.labels != before if changed < self.rows.n else True
            self.moved = int(np.sum(self.times(), where=moved))
        return changed

    @property
    def rows_changed(self) -> int:
        return self.moved

    def sizes_by_labels(self, k: int) -> np.ndarray:
        return sums(self.labels, k, self.times()).astype(np.int64)

    def labels_of_all(self, labels: np.ndarray, last: bool = True) -> np.ndarray:
        return pick(labels, self.numbers, self.numbers if last else np.empty_like(self.numbers))


def repeating_problem(
    rows: Rows, weight: np.ndarray | None, k: int, prune: bool | None, n_threads: int
) -> RepeatingProblem | None:
    """The problem of the distinct rows, where these are few enough: at most 2/5 of all, and so few
    that all that is kept of them takes at most 24 bytes a row of X."""
    room = 20 if rows.norms is None else 12
    kept = (4 if rows.source.single else 8) * (rows.d + 2) + 16  # of a distinct row and its bounds
    most = min(rows.n * 2 // 5, rows.n * room // kept, MOST)
    if most < k or fewest_distinct(rows, most) > most:
        return None
    distinct = Distinct(rows.source, most)
    numbers = fresh(rows.n, np.int32)
    at_once = max(1, AT_ONCE // rows.d)
    for first in range(0, rows.n, at_once):
        if not distinct.number(first, numbers[first : first + at_once]):
            return None
    if distinct.count < k:
        return None
    return RepeatingProblem(rows, distinct.rows, numbers, weight, prune, n_threads)


def fewest_distinct(rows: Rows, most: int) -> float:
    """A lower bound on the number of distinct rows, by how many of some occur once and twice among
    them (Chao, "Nonparametric estimation of the number of classes in a population", Scandinavian
    Journal of Statistics 11 (1984) 265-270).

    The sample is so large that of `most` distinct rows, all equally frequent, about two occur
    twice.
    """
    some = rows.subset(scattered(math.isqrt(4 * most), rows.n))
    distinct, numbers = Distinct(some.source, some.n), np.empty(some.n, dtype=np.int32)
    distinct.number(0, numbers)
    times = sums(numbers, distinct.count)
    once, twice = np.count_nonzero(times == 1), np.count_nonzero(times == 2)
    return distinct.count + once * (once - 1) / (2 * (twice + 1))
