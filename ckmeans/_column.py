"""The global optimum of one column.

The least cost f(k) of k clusters of a sorted column is convex in k. Hence a price per cluster
exists at which k clusters are a best partition of any number of clusters, and that partition
is the optimum for k. `Costs.path` finds one for a price; the search for the price ends exactly, at
k clusters or at an edge of the convex curve on which k lies (Aggarwal, Schieber & Tokuyama 1994).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ckmeans._optimal_1d import Costs
from ckmeans._rows import Rows

TOLERANCE = 1e-8  # of the inertia; where rounding could cost more, digits are doubled
COARSE = 1 << 13  # cuts that tell the price for all
SORTED_AT_ONCE = 1 << 21  # values, of which NumPy can be interrupted only in between


@dataclass
class Partition:
    """A vertex of the curve: the least cost for its number of clusters, at a price."""

    cuts: np.ndarray | range
    cost: float
    price: float = math.nan

    @property
    def k(self) -> int:
        return len(self.cuts) - 1


class Column:
    """The distinct values of one column and their weights, sorted once for every k."""

    def __init__(self, rows: Rows, weight: np.ndarray | None) -> None:
        self.values, self.mass = distinct_values(rows, weight)
        self._costs: Costs | None = None
        self._twofold = False

    def optimum(self, k: int) -> np.ndarray:
        """Centroids (k, 1); with fewer distinct values than k, the last one is repeated."""
        values, m = self.values, len(self.values)
        if m <= k:
            return np.concatenate([values, np.repeat(values[-1], k - m)])[:, None]
        best = self.guess(k)
        if best is None or self.is_exact(best):
            best = optimal(self.costs(), k, best)
        if not self.is_exact(best):
            self._costs, self._twofold = None, True
            best = optimal(self.costs(), k, best)
        return self.means(best.cuts)[:, None]

    def costs(self) -> Costs:
        if self._costs is None:
            centre = self.values[len(self.values) // 2]
            reach = max(self.values[-1] - centre, centre - self.values[0])
            scale = power_to_one(reach)
            self._costs = Costs.of(self.values, self.mass, centre, scale, self._twofold)
        return self._costs

    def is_exact(self, found: Partition) -> bool:
        """Whether rounding cannot have changed the cost by more than the tolerance."""
        return self._twofold or found.k * self.costs().rounding <= TOLERANCE * found.cost

    def guess(self, k: int) -> Partition | None:
        """The optimum over some of the cuts, whose cost and price are near those of all."""
        step = len(self.values) // max(COARSE, 16 * k)
        if step < 4 or k == 1:
            return None
        coarse = self.costs().coarse(self.widest_gaps(step))
        found = optimal(coarse, k)
        gain = optimal(coarse, k - 1).cost - found.cost
        loss = found.cost - optimal(coarse, k + 1).cost
        if gain > 0 and loss > 0:  # prices from the loss to the gain give k
            found.price = math.sqrt(gain * loss)
        return found

    def widest_gaps(self, step: int) -> np.ndarray:
        """Cuts from 0 to m: the widest gap of every `step` between values."""
        m = len(self.values)
        gaps = np.diff(self.values[: (m - 1) // step * step + 1]).reshape(-1, step)
        inner = gaps.argmax(axis=1) + np.arange(1, m - step + 1, step)
        return np.concatenate([[0], inner, [m]])

    def means(self, cuts: np.ndarray | range) -> np.ndarray:
        """Means of the clusters, about a value of each."""
        means = np.empty(len(cuts) - 1)
        for j in range(len(means)):
            own = slice(cuts[j], cuts[j + 1])
            first = self.values[own][0]
            mass = None if self.mass is None else self.mass[own]
            means[j] = first + np.average(self.values[own] - first, weights=mass)
        return means


def distinct_values(rows: Rows, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Ascending distinct values of positive weight, and the weight of each; None for all ones."""
    column = np.empty(rows.n, dtype=rows.dtype)
    for first, block in rows.blocks():
        column[first : first + len(block)] = block[:, 0]
    if weight is None:
        sort_by_halves(column)
    else:
        order = sorting_order(column)
        order = order[weight[order] > 0]
        column, weight = column[order], weight[order]
        weight *= power_to_one(weight.max())  # so that no product overflows
    new = np.empty(len(column), dtype=bool)
    new[0] = True
    np.not_equal(column[1:], column[:-1], out=new[1:])
    if new.all():
        return column.astype(np.float64, copy=False), weight
    first_of = np.flatnonzero(new)
    values = column[first_of].astype(np.float64)
    if weight is None:
        return values, np.diff(first_of, append=len(column)).astype(np.float64)
    return values, np.add.reduceat(weight, first_of)


def sort_by_halves(values: np.ndarray) -> None:
    """Sort in place; a tenth slower than in one call, and can be interrupted."""
    if len(values) <= SORTED_AT_ONCE:
        values.sort()
        return
    middle = len(values) // 2
    values.partition(middle)
    sort_by_halves(values[:middle])
    sort_by_halves(values[middle:])


def sorting_order(column: np.ndarray) -> np.ndarray:
    """The indices that sort a column, by parts that lie between quantiles of some values."""
    n, n_parts = len(column), min(255, -(-len(column) // SORTED_AT_ONCE))
    if n_parts == 1:
        return np.argsort(column)
    some = np.sort(column[:: max(1, n // (64 * n_parts))])
    limits = some[np.arange(1, n_parts) * len(some) // n_parts]
    part = np.empty(n, dtype=np.uint8)
    for first in range(0, n, SORTED_AT_ONCE):
        values = column[first : first + SORTED_AT_ONCE]
        part[first : first + len(values)] = np.searchsorted(limits, values, side="right")
    order, done = np.empty(n, dtype=np.intp), 0
    for number in range(n_parts):
        own = np.flatnonzero(part == number)
        order[done : done + len(own)] = own[np.argsort(column[own])]
        done += len(own)
    return order


def power_to_one(largest: float) -> float:
    """The power of two that brings a number to 1/2..1; denormal ones stay smaller."""
    return 0.5 ** max(math.frexp(largest)[1], -1000)


def optimal(costs: Costs, k: int, guess: Partition | None = None) -> Partition:
    """The partition of least cost into 1 <= k < m clusters; `guess` has about its price."""
    whole = np.array([0, costs.m])
    fewer, more = Partition(whole, costs.cost(whole)), Partition(range(costs.m + 1), 0.0)
    if k == 1:
        return fewer
    price = guess.price if guess else slope(fewer, more)
    while True:
        if not math.isfinite(price):  # no secant would ever end
            raise ValueError("X or sample_weight was changed by others while it was read")
        found = priced(costs, price)
        if found.k == k:
            return found
        if fewer.k < found.k < k:
            fewer = found
        elif k < found.k < more.k:
            more = found
        elif price == slope(fewer, more):
            return between(costs, fewer, more, k)
        else:
            guess = None
        # A price is about a constant over k^3, which finds the other side of k.
        one_side = fewer.k == 1 or more.k == costs.m
        price = price * (found.k / k) ** 3 if guess and one_side else slope(fewer, more)


def slope(fewer: Partition, more: Partition) -> float:
    """The price at which both cost the same, and any vertex between them less."""
    return (fewer.cost - more.cost) / (more.k - fewer.k)


def priced(costs: Costs, price: float) -> Partition:
    cuts = costs.path(price)
    return Partition(cuts, costs.cost(cuts), price)


def between(costs: Costs, fewer: Partition, more: Partition, k: int) -> Partition:
    """k clusters of the cost that lies on the line between two neighbouring vertices.

    Where a cluster of `more` lies within one of `fewer`, the paths may change places: by the
    quadrangle inequality the two new ones cost no more.
    """
    x, y, shift = np.asarray(fewer.cuts), np.asarray(more.cuts), k - fewer.k
    i = int(np.flatnonzero(x <= y[shift : k + 1])[-1])
    cuts = np.concatenate([y[: i + shift + 1], x[i + 1 :]])
    return Partition(cuts, costs.cost(cuts), slope(fewer, more))
