"""Rows in chunks that nobody holds together: what is computed of a chunk, and the problem that the
chunks' totals make up.

A chunk's totals are those of its rows' differences to one common reference, which depend on the
labels alone. So nothing need be remembered between two iterations: where the totals are those of
the iteration before, no label has changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from ckmeans import _lloyd
from ckmeans import _validation as valid
from ckmeans._bounds import PLAIN, Sweep
from ckmeans._iterate import Problem
from ckmeans._results import nearest_labels, own_distances2
from ckmeans._rows import Rows


class Chunk(NamedTuple):
    """What a function of a chunk is told of it; `rows` is None where it has none."""

    number: int
    rows: Rows | None
    weight: np.ndarray | None
    n_threads: int = 1


class Chunks(Protocol):
    """An engine that reaches every chunk."""

    n_chunks: int

    def reduced(
        self,
        function: Callable[[Chunk, Any], Any],
        combine: Callable[[list[Any]], Any],
        shared: Any = None,
        only: list[int] | None = None,
    ) -> Any:
        """function(chunk, shared) of all chunks, or `only` some, combined by a tree whose shape
        depends on how many there are. An empty chunk has the answer None."""


def joined(parts: list[list[Any]]) -> list[Any]:
    """Lists one after another."""
    return [entry for part in parts if part is not None for entry in part]


def added(parts: list[Any]) -> Any:
    """The sum of arrays or numbers, added in order; None where there is nothing to add."""
    total = None
    for part in parts:
        if part is not None:
            total = part if total is None else total + part
    return total


# Looking at a chunk for the first time


@dataclass(frozen=True)
class Glance:
    """The size of a chunk and the first of its values that cannot be."""

    number: int
    n: int
    d: int
    bad: tuple[int, int] | None
    value: float


def glance(chunk: Chunk, limit: float) -> list[Glance]:
    rows = chunk.rows
    if rows is None:
        return []
    bad = rows.first_bad(limit, 1)
    value = 0.0 if bad is None else float(rows.X[bad])
    return [Glance(chunk.number, rows.n, rows.d, bad, value)]


def weigh(chunk: Chunk, _: Any) -> list[tuple[int, int, float, float]]:
    """Number, rows, the sum of the weights and the first of them that cannot be, else 0."""
    weight = chunk.weight
    if chunk.rows is None or weight is None:
        return []
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    bad = float(weight[np.argmax(wrong)]) if wrong.any() else 0.0
    return [(chunk.number, int(np.argmax(wrong)), float(weight.sum()), bad)]


class ChunkedRows:
    """Sizes and values of rows in chunks: what the iteration asks of its rows."""

    scale = offset = norms = None
    n: int
    d: int
    mass: float  # sum of the weights
    ends: np.ndarray  # row after each chunk's last
    weighted: bool

    def __init__(self, chunks: Chunks) -> None:
        self.chunks = chunks
        self.weighted = False
        glances = chunks.reduced(glance, joined, valid.LARGEST)
        sizes = np.zeros(chunks.n_chunks, dtype=np.int64)
        for seen in glances:
            sizes[seen.number] = seen.n
        self.sizes = sizes
        self.ends = np.cumsum(sizes)
        self.n = int(sizes.sum())
        if not self.n:
            raise ValueError("X must have at least one row, got none in any chunk")
        self.d, self.mass = glances[0].d, float(self.n)
        for seen in glances:
            if seen.d != self.d:
                raise ValueError(
                    f"X must have the same columns in every chunk, got {self.d} in chunk "
                    f"{glances[0].number} and {seen.d} in chunk {seen.number}"
                )
        self._refuse(glances, valid.LARGEST, "")

    def _refuse(self, glances: list[Glance], limit: float, why: str) -> None:
        for seen in glances:
            if seen.bad is not None:
                first = int(self.ends[seen.number] - self.sizes[seen.number])
                row, column = seen.bad
                place = f"chunk {seen.number}, row {row}, column {column} (row {first + row} of X)"
                raise valid.bad_value(seen.value, place, limit=limit, why=why)

    def check_weights(self) -> None:
        self.weighted = True
        found = self.chunks.reduced(weigh, joined)
        for number, row, _, bad in found:
            if bad:
                what = "non-negative" if math.isfinite(bad) else "finite"
                place = f"chunk {number}, row {row}"
                raise ValueError(f"sample_weight must be {what}, got {bad} at {place}")
        total = sum(part[2] for part in found)
        valid.check_total(total)
        limit, why = valid.limit_of_weighted(total, self.d)
        if limit < valid.LARGEST:
            self._refuse(self.chunks.reduced(glance, joined, limit), limit, why)
        self.mass = total

    def place(self, row: int) -> tuple[int, int]:
        """Chunk, and row in it, of a row."""
        number = int(np.searchsorted(self.ends, row, side="right"))
        return number, int(row - self.ends[number] + self.sizes[number])

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """Chosen rows in float64, in the order asked for."""
        wanted: dict[int, list[int]] = {}
        for row in np.unique(index).tolist():
            number, place = self.place(row)
            wanted.setdefault(number, []).append(place)
        found = self.chunks.reduced(taken, joined, wanted, sorted(wanted))
        values = {
            int(self.ends[number] - self.sizes[number]) + place: x for number, place, x in found
        }
        return np.array([values[int(row)] for row in index])

    def middle(self) -> np.ndarray:
        """Median by column of the first, the middle and the last row, as a Source has it."""
        return np.sort(self[np.array([0, self.n // 2, self.n - 1])], axis=0)[1]

    def mean_variance(self) -> float:
        """Mean of the columns' variances, which weights do not enter."""
        return _lloyd.mean_variance(self.chunks.reduced(spread, added, self.middle()[None]))

    def original(self, centroids: np.ndarray) -> np.ndarray:
        return centroids

    computed = original


def taken(chunk: Chunk, wanted: dict[int, list[int]]) -> list[tuple[int, int, np.ndarray]]:
    assert chunk.rows is not None
    places = wanted[chunk.number]
    values = chunk.rows[np.array(places)]
    return [(chunk.number, place, x) for place, x in zip(places, values, strict=True)]


def spread(chunk: Chunk, centre: np.ndarray) -> np.ndarray:
    """Sums of x - centre, of 1 and of |x - centre|^2, without weights: (1, d + 2)."""
    assert chunk.rows is not None
    totals = np.zeros((1, chunk.rows.d + 2))
    for _, block in chunk.rows.blocks():
        _lloyd.accumulate(block, centre, None, np.zeros(len(block), dtype=np.int32), totals)
    return totals


# An iteration


@dataclass(frozen=True)
class Step:
    """What an assignment needs to know."""

    centroids: np.ndarray  # (k, d)
    reference: np.ndarray  # (d,)
    measure: bool = False
    before: np.ndarray | None = None  # (k, d) centroids of the labels to compare with


@dataclass
class Totals:
    """What an assignment found, in one chunk or in several."""

    sums: np.ndarray  # (k, d + 2) of x - reference, and of 1
    residuals: np.ndarray | None  # (k, d + 2) of x - c, 1 and |x - c|^2
    counts: np.ndarray | None  # (k,) rows, where weights make them differ from the mass
    changed: int

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.sums + other.sums,
            added([self.residuals, other.residuals]),
            added([self.counts, other.counts]),
            self.changed + other.changed,
        )


def assigned(chunk: Chunk, step: Step) -> Totals:
    """Assign the rows of a chunk and add them up."""
    rows = chunk.rows
    assert rows is not None
    k = len(step.centroids)
    sweep = Sweep(rows.source, chunk.weight, step.reference, False)
    sweep.begin(k)
    sweep.aim(step.centroids, PLAIN, False, step.measure)
    for segment in range(sweep.n_segments):
        first = segment * sweep.segment_rows
        sweep.assign(segment, first, min(rows.n, first + sweep.segment_rows))
    changed, _ = sweep.collect()
    if step.before is not None:
        before = nearest_labels(rows, step.before, n_threads=1)
        changed = int(np.count_nonzero(before != sweep.labels))
    return Totals(
        sweep.totals,
        sweep.residuals() if step.measure else None,
        _lloyd.count(sweep.labels, k) if step.measure and chunk.weight is not None else None,
        changed,
    )


@dataclass(frozen=True)
class Refill:
    """What the search for a row to fill an emptied cluster needs to know."""

    centroids: np.ndarray  # (k, d) of the last assignment
    moved: dict[int, int]  # labels of the rows that have filled others since then
    firsts: np.ndarray  # (n_chunks,) first row of each chunk

    def labels(self, chunk: Chunk) -> np.ndarray:
        assert chunk.rows is not None
        labels = nearest_labels(chunk.rows, self.centroids, n_threads=1)
        first = int(self.firsts[chunk.number])
        for row, label in self.moved.items():
            if first <= row < first + len(labels):
                labels[row - first] = label
        return labels


@dataclass(frozen=True)
class Farthest:
    """The row of positive weight farthest from the mean of its cluster."""

    square: float
    row: int
    label: int
    weight: float


def farthest_in(chunk: Chunk, shared: tuple[Refill, np.ndarray, list[int]]) -> list[Farthest]:
    """One, unless no row is away from its mean."""
    refill, means, pure = shared
    rows, weight = chunk.rows, chunk.weight
    assert rows is not None
    labels = refill.labels(chunk)
    squares = own_distances2(rows, means, labels, n_threads=1)
    if weight is not None:
        squares[weight == 0] = 0.0
    squares[np.isin(labels, pure)] = 0.0
    i = int(squares.argmax())
    if not squares[i] > 0:
        return []
    row, mass = int(refill.firsts[chunk.number]) + i, 1.0 if weight is None else float(weight[i])
    return [Farthest(float(squares[i]), row, int(labels[i]), mass)]


def farther(parts: list[list[Farthest]]) -> list[Farthest]:
    """The first of the farthest."""
    found = joined(parts)
    return [min(found, key=lambda one: (-one.square, one.row))] if found else []


def differing_in(chunk: Chunk, shared: tuple[Refill, int, np.ndarray]) -> int:
    """How many rows of positive weight of a cluster differ from x."""
    refill, cluster, x = shared
    assert chunk.rows is not None
    members = refill.labels(chunk) == cluster
    if chunk.weight is not None:
        members &= chunk.weight > 0
    count = 0
    for first, block in chunk.rows.blocks():
        count += int((block[members[first : first + len(block)]] != x).any(axis=1).sum())
    return count


class ChunkedProblem(Problem):
    """A problem of which this process holds the totals alone: memory O(k d).

    Each assignment is one round trip to the chunks. `watched`: count the labels that change, for
    which the rows are assigned to the centroids before as well.
    """

    runs_at_once = goes_on = False
    rows: Any
    labels: Any

    def __init__(self, rows: ChunkedRows, watched: bool = False) -> None:
        self.rows, self.chunks, self.watched = rows, rows.chunks, watched
        self.weight, self.prune, self.n_threads = None, False, 1
        self.reference = rows.middle()
        # Means, and their rebuilding, are those of a sweep that sees no row but the reference.
        self.sweep = Sweep(Rows(self.reference[None]).source, None, self.reference, False)

    def begin(self, k: int, labels: np.ndarray | None) -> None:
        self.sweep.begin(k)
        self.assigned: np.ndarray | None = None
        self.last: np.ndarray | None = None
        self.labels = {}

    def assign(self, centroids: np.ndarray, measure: bool = False) -> int:
        """Assign every row; returns how many changed their label where that is counted, else all
        where some may have."""
        before = self.assigned if self.watched else None
        self.assigned = np.ascontiguousarray(centroids)
        self.moved: dict[int, int] = {}  # rows that fill emptied clusters
        self.found = self._totals(Step(self.assigned, self.reference, measure, before))
        unchanged = self.last is not None and np.array_equal(self.last, self.found.sums)
        self.last = self.found.sums
        self.sweep.totals[:] = self.last
        self.changed = 0 if unchanged else max(1, self.found.changed)
        return self.changed

    def _totals(self, step: Step) -> Totals:
        return self.chunks.reduced(assigned, added, step)

    def measured(self) -> np.ndarray:
        assert self.found.residuals is not None
        return self.found.residuals

    def carried(self, centroids: np.ndarray, means: np.ndarray, residuals: np.ndarray) -> None:
        """They are not: rows are counted with the residuals."""

    def residuals(self, centroids: np.ndarray) -> np.ndarray:
        self.found = self._totals(Step(np.ascontiguousarray(centroids), self.reference, True))
        return self.measured()

    def inertias(self, centroids: np.ndarray) -> np.ndarray:
        """Each cluster's weighted sum of squared distances."""
        return self.residuals(centroids)[:, -1]

    def sizes(self, residuals: np.ndarray) -> np.ndarray:
        counts = self.found.counts
        return residuals[:, -2].astype(np.int64) if counts is None else counts

    def farthest(self, means: np.ndarray, pure: set[int]) -> int:
        found = self.chunks.reduced(farthest_in, farther, (self._refill(), means, sorted(pure)))
        if not found:
            return -1
        self.candidate = found[0]
        self.labels[self.candidate.row] = self.candidate.label
        return self.candidate.row

    def all_equal(self, cluster: int, row: np.ndarray) -> bool:
        return not self.chunks.reduced(differing_in, added, (self._refill(), cluster, row))

    def move(self, row: int, x: np.ndarray, cluster: int) -> None:
        one = self.candidate
        difference = one.weight * (x - self.reference)
        self.sums[one.label] -= difference
        self.sums[cluster] = difference
        self.mass[one.label] -= one.weight
        self.mass[cluster] = one.weight
        self.moved[row] = cluster

    def _refill(self) -> Refill:
        assert self.assigned is not None
        return Refill(self.assigned, self.moved, self.rows.ends - self.rows.sizes)
