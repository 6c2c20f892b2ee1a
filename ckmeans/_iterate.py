"""Lloyd's iteration from a start to the fixed point or another stop."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ckmeans import _lloyd, _team
from ckmeans._bounds import (
    BOUND,
    FILTER,
    GIVEN,
    PLAIN,
    SCREENED,
    Sweep,
    added_up,
    shift_between,
)  # fmt: skip
from ckmeans._momentum import Momentum
from ckmeans._rows import Rows, directions

# Bounds are first set once fewer rows change than this share: where 1 to 3 % of them do (k = 10 to
# 50) or 5 to 9 % (k = 256 and 1000), the filter leaves less than WORTHWHILE of the comparisons.
# From then on the slack of some rows says what it would leave.
SETTLED, SETTLED_BY_K, MOST_SETTLED = 0.0225, 1 / 2700, 0.1
# A filter that leaves more of the comparisons costs more than it saves: most of them where a row
# has many, less where a look at its bounds costs as much (32 operations). To gather a row that
# bounds leave open counts as comparisons; one that integers leave undecided takes 40 operations
# more.
WORTHWHILE, FILTERING, GATHERING = 0.9, 32, 40
RESUMED = 0.9  # of that: below, bounds are set again where integers have to make room for them
# Short rows are kept as integers: from so many on, as their scale is told by a sample; and where an
# iteration saves this many times as many products as there are pairs of columns to round: from
# k = 4 on at d = 2, 4 and 8, and from k = 8 on at d = 3, where ten iterations take 0.96 of the time
# (0.83 to 0.9 with k = 8 and 9 at d = 2, 8 at d = 4, 12 at d = 5; one iteration up to 1.07). To
# assign a row by its integers takes, whatever k is, as long as so many operations more: 0.89 of 220
# iterations at d = 2, k = 10, whose bounds are used with it. Integers are given up where they leave
# more than this share of the rows undecided.
ROUNDED_FROM_ROWS, ROUNDING, ROUNDED_READING, MOST_UNDECIDED = 1 << 16, 4, 20, 0.2
# Operations in an iteration; with fewer, bounds and the interpreter between iterations cost more
# than they save: a whole run at once takes 0.7 to 0.8 of the time at 20k x 2, k = 10, and as much
# at three times the operations; more where bounds leave little of many columns.
SMALL = 1 << 20
AT_ONCE = 1000  # small iterations that an interrupt has to wait for
# Momentum takes 30 us an iteration, where fewer products take hardly more; and some passes over the
# centroids, which sparse rows of as many columns feel (20k x 20k: 0.7 of the speed). The rule does
# not ask whether they are, so that dense and sparse rows have the same result.
LONG = 1 << 22  # products in an iteration from which drawn starts have it
ROWS_A_COLUMN = 2  # and so many
PARALLEL = 1 << 20  # products in an iteration; with fewer, a second thread saves little or nothing
UNINTERRUPTED = 1 << 29  # products between looks at pending signals
READING = 16  # products, at least, that take as long as reading an element of any kind
# To find the rows that repeat pays within 10 iterations from k = 16 on (pixels of a photograph, a
# third of them distinct); down to here in a whole run with its seeding: 1.8 times as fast.
REPEATS_FROM_ROWS, REPEATS_FROM_K = 1 << 16, 8
LENT_FROM_ROWS = 1 << 16
ROUNDED = 1e-15  # by which a coordinate of the same direction may differ
NONE = np.empty(0, dtype=np.intp)
NO_LABELS = np.empty(0, dtype=np.int32)


@dataclass(frozen=True)
class Progress:
    """What a callback is told after each iteration.

    Attributes
    ----------
    run : int
        Which of the n_init runs, from 0.
    iteration : int
        From 1.
    rows_changed : int
        Rows whose label this iteration changed.
    centroid_shift : float
        Sum of the squared distances from the centroids to their clusters' means.
    inertia : float
        Weighted sum of squared distances at this iteration's labels, before the update.
    n_init, max_iter : int
        The limits of the call.
    """

    run: int
    iteration: int
    rows_changed: int
    centroid_shift: float
    inertia: float
    n_init: int
    max_iter: int


class Limits(NamedTuple):
    """When to stop before the fixed point."""

    max_iter: int
    shift: float
    deadline: float
    callback: Callable[[Progress], object] | None
    n_init: int


class Start(NamedTuple):
    """Where a run starts."""

    centroids: np.ndarray  # (k, d) float64
    labels: np.ndarray | None = None  # (n,) int32, of the nearest centroids, where known
    drawn: bool = False  # and not given: the run may take a shorter way than Lloyd's


@dataclass
class Run:
    """One run from one start."""

    centroids: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    cluster_inertias: np.ndarray
    inertia: float
    n_iter: int
    converged: bool
    stopped: bool = False
    too_few_points: bool = False


def inertia_of(run: Run) -> float:
    return run.inertia


def problem_of(
    rows: Any, weight: np.ndarray | None, k: int, prune: bool | None, n_threads: int
) -> Problem:
    """The problem of dense or sparse rows, each computed with once where they repeat."""
    if rows.sparse:
        from ckmeans._sparse import SparseProblem

        return SparseProblem(rows, weight, prune, n_threads)
    if rows.n >= REPEATS_FROM_ROWS and k >= REPEATS_FROM_K:
        from ckmeans._repeats import repeating_problem

        problem = repeating_problem(rows, weight, k, prune, n_threads)
        if problem is not None:
            return problem
    return Problem(rows, weight, prune, n_threads)


class Problem:
    """Rows to cluster, and what is known of them between iterations.

    The centroids of the next iteration are ``reference + sums / mass``; the sweep moves rows that
    change their label between the sums.
    """

    runs_at_once = True  # small ones
    goes_on = True  # by several iterations at once
    watched = False  # whether somebody asks how many rows changed
    where_not_finite: Callable[[], None] | None = None  # raises, where the first sums are not

    def __init__(
        self, rows: Rows, weight: np.ndarray | None, prune: bool | None, n_threads: int,
        memory: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """memory: (m,) uint8 that nobody else uses, or None."""
        self.rows, self.weight, self.prune, self.n_threads = rows, weight, prune, n_threads
        self.memory = memory
        self._prepare()

    @functools.cached_property
    def company(self) -> Any:
        """The threads that work on the segments."""
        return _team.Company(self.sweep)

    def _prepare(self) -> None:
        self.reference = self.rows.middle()
        self.sweep = Sweep(
            self.rows.source, self.weight, self.reference, self.prune is not False,
            memory=self.memory,
        )  # fmt: skip

    def begin(self, k: int, labels: np.ndarray | None) -> None:
        """Start a run: new totals, no bounds, and the labels of the first assignment if known."""
        self.given = labels is not None and self.prune is not True  # which needs bounds
        self.sweep.begin(k, labels if self.given else None)
        self.labels = self.sweep.labels
        self.changed, self.share, self.undecided = self.rows.n, 1.0, 0.0

    @property
    def sums(self) -> np.ndarray:
        return self.sweep.totals[:, :-2]

    @property
    def mass(self) -> np.ndarray:
        return self.sweep.totals[:, -2]

    def lend(self) -> np.ndarray | None:
        """The memory of the bounds, for the seeding before they are set: that either takes its own
        costs 8 bytes a row or more, and the time to touch them for the first time. None if it is
        little. Labels are forgotten, so that those of the next run take their place."""
        if self.rows.sparse or self.rows.n < LENT_FROM_ROWS:
            return None
        self.labels = NO_LABELS
        return self.sweep.lend()

    def assign(self, centroids: np.ndarray, measure: bool = False) -> int:
        """Assign every row and move those that change; returns how many did.

        With `measure`, the residuals need no pass of their own afterwards.
        """
        self.mode = self._mode(centroids)
        self._aim(centroids, self.mode, measure)
        self._each_segment(adding=False)
        self.changed, comparisons = self._collected()
        if self.where_not_finite:
            if not np.isfinite(self.sums).all():
                self.where_not_finite()
            self.where_not_finite = None
        self._learn(comparisons)
        return self.changed

    def go_on(
        self, centroids: np.ndarray, most: int, least_shift: float
    ) -> tuple[np.ndarray, int]:
        """After an assignment, iterations like it in one compiled call: the interpreter adds 20 to
        30 us to each, of 0.4 to 1 ms at 1M x 2. They end where there is more to decide than the
        means. Returns the centroids that rows are assigned to then, and how many there were.
        """
        if not self.goes_on or self.mode == GIVEN or self.rows.norms is not None:
            return centroids, 0
        if self._is_long(self.sweep.segment_rows):
            return centroids, 0
        n, k = self.rows.n, len(centroids)
        unsettled, limit = -1.0, 1.0
        if self.prune is None and not self._is_small(k):
            unsettled, limit = n * self._settled(k), self._most_share(k)
        centroids, steps, self.changed, comparisons = self.sweep.go_on(
            centroids, self.mode, most, least_shift, unsettled, limit,
            int((1 + MOST_UNDECIDED) * n * k), self.company, self._guests(), self._is_long(n),
        )  # fmt: skip
        self._learn(comparisons)
        return centroids, steps

    def _learn(self, comparisons: int) -> None:
        """From how many an assignment took."""
        self.share = comparisons / (self.rows.n * len(self.sums))
        if self.mode == SCREENED:
            self.undecided = self.share - 1
            if self.undecided > MOST_UNDECIDED:
                self.sweep.stop_rounding()

    def _aim(self, centroids: np.ndarray, mode: int, measure: bool) -> None:
        self.sweep.aim(centroids, mode, self.sweep.gaps_pay, measure)

    def _collected(self) -> tuple[int, int]:
        """Rows that changed and comparisons made."""
        return self.sweep.collect()

    def run_at_once(self, start: np.ndarray, limits: Limits) -> Run | None:
        """A whole run in one compiled call, where each iteration takes less time than what the
        interpreter adds to it, and nobody watches. None where it has to be done step by step, as
        with a cluster that is emptied, or rows that the first step has to tell of."""
        k, most = len(start), min(limits.max_iter, AT_ONCE)
        watched = limits.callback is not None or limits.deadline < math.inf
        stepwise = watched or self.where_not_finite or self.prune or self.rows.norms is not None
        if stepwise or not self.runs_at_once:
            return None
        if not self._is_small(k) or self.sweep.n_segments > 1:
            return None
        found = self.sweep.run(start, self.given, most, limits.shift)
        if found is not None:
            centroids, sizes, inertias, inertia, n_iter, converged = found
            if converged or n_iter == limits.max_iter:
                if self.weight is not None:
                    sizes = self.sizes_by_labels(k)
                return Run(centroids, self.labels, sizes, inertias, inertia, n_iter, converged)
        self.begin(k, None)
        return None

    def every(self, step: int) -> Problem:
        """The problem of every step-th row, without weights, in the memory that is lent until
        begin()."""
        rows, memory = self.rows.every(step, self.lend())
        return self._of(rows, memory)

    def _of(self, rows: Any, memory: np.ndarray | None) -> Problem:
        return Problem(rows, None, self.prune, self.n_threads, memory)

    def _is_small(self, k: int) -> bool:
        return self.rows.n * k * (self.rows.width + 3) < SMALL

    def _is_long(self, n: int) -> bool:
        """Whether somebody may want to interrupt the assignment of n rows."""
        return n * (len(self.sums) + READING) * self.rows.width >= UNINTERRUPTED

    def _mode(self, centroids: np.ndarray) -> int:
        """Filter where bounds leave little, set them where they would, else do without; but take
        the labels given for the first assignment."""
        k = len(centroids)
        if self.given:
            self.given = False
            return GIVEN
        plain = SCREENED if self._screens(k) else PLAIN
        if self.prune is False:
            return plain
        if self._is_small(k) and not self.prune:
            return plain
        share = self.sweep.expected_share(centroids)
        if self.prune:  # set anew where they would leave as much as that
            return FILTER if self.sweep.bounded and share is not None and share <= 1 else BOUND
        if share is None:  # no bounds yet: as few rows change, they will do so for long
            return plain if self.changed > self.rows.n * self._settled(k) else BOUND
        if share > self._most_share(k):
            return plain
        return FILTER if self.sweep.bounded else BOUND

    def _settled(self, k: int) -> float:
        """The share of rows that change from which on bounds are set for the first time."""
        settled = min(SETTLED + k * SETTLED_BY_K, MOST_SETTLED)
        # Of what bounds leave, integers take half and less, and the filter pays later still.
        settled *= (self._worthwhile(k) / WORTHWHILE) ** (1 + self._screens(k))
        return settled

    def _most_share(self, k: int) -> float:
        """The share of comparisons that bounds may leave."""
        resumed = RESUMED if not self.sweep.bounded and self._screens(k) else 1.0
        return self._worthwhile(k) * resumed

    def _worthwhile(self, k: int) -> float:
        operations = k * (self.rows.width + 3)
        instead = float(operations)
        if self._screens(k):
            instead = k * ((self.rows.d + 1) // 2 + 1) * 4 / self.rows.dtype.itemsize
            instead += ROUNDED_READING
            instead += 2 * self.undecided * (operations + GATHERING)
        return max(0.0, min(WORTHWHILE, (instead - FILTERING) / operations))

    def _screens(self, k: int) -> bool:
        """Whether assignments without bounds are made by integers."""
        rows = self.rows
        if rows.sparse or rows.n < ROUNDED_FROM_ROWS or not self.sweep.rounds:
            return False
        pairs, products = (rows.d + 1) // 2, rows.d * rows.dtype.itemsize // 4
        return k * (products - pairs) >= ROUNDING * pairs

    def _each_segment(self, adding: bool) -> None:
        """Assign every segment, or add it to the residuals. An interrupt ends that: if it takes
        long, between two of them; and within one, if that does."""
        n, size = self.rows.n, self.sweep.segment_rows
        if not self._is_long(size):
            with self.company:
                self.sweep.open(adding)
                self.company.invite(self._guests())
                self.sweep.work(self._is_long(n))
            return
        function = self.sweep.add if adding else self.sweep.assign
        products = len(self.sums) * self.rows.width
        piece = min(size, max(48, UNINTERRUPTED // products // 48 * 48))  # whole tiles

        def segment(number: int) -> Iterator[None]:
            end = min(n, (number + 1) * size)
            for first in range(number * size, end, piece):
                function(number, first, min(end, first + piece))
                yield

        tasks = [(number,) for number in range(self.sweep.n_segments)]
        _team.each(segment, tasks, 1 + self._guests())

    def _guests(self) -> int:
        """Threads that work on the segments, beside this one."""
        if self.rows.n * len(self.sums) * self.rows.width < PARALLEL:
            return 0
        return min(self.n_threads, self.sweep.n_segments) - 1

    def residuals(self, centroids: np.ndarray) -> np.ndarray:
        """Sums over each cluster of x - c, of 1 and of |x - c|^2: (k, d + 2)."""
        self.sweep.aim_residuals(centroids)
        self._each_segment(adding=True)
        return self.sweep.residuals()

    def rebuilt(self, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The means added anew: the very centroids, unless the moves between sums have cost digits;
        and the residuals to the centroids."""
        residuals = self.residuals(centroids)
        means = self.sweep.rebuild(centroids, residuals)
        if means is not None and self.rows.norms is not None:
            means = turned(means, centroids)
            if np.array_equal(means, centroids):
                means = None
        return (centroids if means is None else means), residuals

    def measured(self) -> np.ndarray:
        """The residuals of an assignment that measured them."""
        return self.sweep.residuals()

    def carried(
        self, centroids: np.ndarray, means: np.ndarray, residuals: np.ndarray
    ) -> np.ndarray | None:
        """The residuals to means that are nearest to the same rows as the centroids; None if they
        have to be measured."""
        found: np.ndarray | None = self.sweep.carried(centroids, means, residuals)
        return found

    def means(self, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means of the clusters, those of emptied ones where they were; and which are emptied."""
        means, n_empty = self.sweep.means(centroids)
        if self.rows.norms is not None:
            means = turned(means, centroids)
        return means, np.flatnonzero(self.mass <= 0) if n_empty else NONE

    def mean_of(self, cluster: int) -> np.ndarray:
        """The same of one cluster that holds rows."""
        mean = self.reference + self.sums[cluster] / self.mass[cluster]
        return mean if self.rows.norms is None else directions(mean[None], mean[None])[0]

    def move(self, row: int, x: np.ndarray, cluster: int) -> None:
        """Put one row into an empty cluster."""
        donor = self.labels[row]
        w = 1.0 if self.weight is None else self.weight[row]
        difference = w * (x - self.reference)
        self.sums[donor] -= difference
        self.sums[cluster] = difference
        self.mass[donor] -= w
        self.mass[cluster] = w
        self.labels[row] = cluster
        self.sweep.open_row(row)

    def farthest(self, means: np.ndarray, pure: set[int]) -> int:
        """The row of positive weight farthest from its cluster's mean, the first on ties; or -1."""
        best, best_row = 0.0, -1
        distance2 = np.empty(self.rows.block_rows)
        for first, block in self.rows.blocks():
            labels = self.labels[first : first + len(block)]
            squares = distance2[: len(block)]
            _lloyd.own_distances2(block, means, labels, squares)
            weight = self.weight_of(first, block)
            if weight is not None:
                squares[weight == 0] = 0.0
            if pure:
                squares[np.isin(labels, list(pure))] = 0.0
            i = int(squares.argmax())
            if squares[i] > best:
                best, best_row = float(squares[i]), first + i
        return best_row

    def all_equal(self, cluster: int, row: np.ndarray) -> bool:
        """Whether all rows of positive weight in the cluster equal this one."""
        for first, block in self.rows.blocks():
            members = self.labels[first : first + len(block)] == cluster
            weight = self.weight_of(first, block)
            if weight is not None:
                members &= weight > 0
            if (block[members] != row).any():
                return False
        return True

    def sizes(self, residuals: np.ndarray) -> np.ndarray:
        """Rows of each cluster."""
        if self.weight is None:
            return residuals[:, -2].astype(np.int64)
        return self.sizes_by_labels(len(residuals))

    def sizes_by_labels(self, k: int) -> np.ndarray:
        """The same by labels."""
        return _lloyd.count(self.labels, k)

    @property
    def rows_changed(self) -> int:
        """Rows of X whose label the last assignment changed."""
        return self.changed

    def labels_of_all(self, labels: np.ndarray, last: bool = True) -> np.ndarray:
        """Labels (n,) of the rows of X; `last`: the problem is not used any more."""
        return labels

    def weight_of(self, first: int, block: np.ndarray) -> np.ndarray | None:
        return None if self.weight is None else self.weight[first : first + len(block)]


def turned(means: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The directions of the means; or the centroids, where these are the same up to rounding: else
    rows of one direction, which differ by that, could go round for ever."""
    new = directions(means, centroids)
    still = np.abs(new - centroids).max(axis=1) <= ROUNDED
    new[still] = centroids[still]
    return new


def lloyd(problem: Problem, start: Start, limits: Limits, run: int) -> Run:
    """Assign and update from `start` until no label changes or a limit is reached."""
    problem.begin(len(start.centroids), start.labels)
    if whole := problem.run_at_once(start.centroids, limits):
        return whole
    with problem.company:
        return iterated(problem, start, limits, run)


def iterated(problem: Problem, start: Start, limits: Limits, run: int) -> Run:
    k = len(start.centroids)
    watched, too_few = limits.callback is not None, False
    problem.watched = watched
    free = start.drawn and pays(problem.rows, k)
    momentum = Momentum(problem.reference) if free else None
    plain = not (free or watched or limits.deadline < math.inf)
    centroids, n_iter = start.centroids, 0
    while n_iter < limits.max_iter:
        n_iter += 1
        centroids, inertia, moving = assigned(problem, centroids, momentum, watched)
        if moving and plain:
            centroids, steps = problem.go_on(centroids, limits.max_iter - n_iter, limits.shift)
            n_iter, moving = n_iter + steps, problem.changed > 0
        if moving:
            means, too_few = updated(problem, centroids)
        else:
            means, residuals = problem.rebuilt(centroids)
        shift = shift_between(centroids, means) if watched or limits.shift else math.inf
        progress = (run, n_iter, problem.rows_changed, shift, inertia)
        stopped = told_to_stop(limits, *progress, limits.n_init, limits.max_iter)
        fixed = not moving and means is centroids
        if stopped or fixed or 0 < limits.shift >= shift:
            break
        if not moving and not problem.assign(means):
            carried = problem.carried(centroids, means, residuals)
            if carried is not None:
                residuals, fixed = carried, True
            break
        centroids = momentum.beyond(centroids, means) if momentum and moving else means
    settled = not moving and problem.changed == 0
    converged = not stopped and (settled or 0 < limits.shift >= shift)
    if not fixed:
        # Labels must belong to the centroids that are returned.
        converged |= problem.assign(means, measure=True) == 0 and not stopped
        residuals = problem.measured()
    return run_of(problem, means, residuals, n_iter, converged, stopped, too_few)


def run_of(
    problem: Problem, centroids: np.ndarray, residuals: np.ndarray, n_iter: int, converged: bool,
    stopped: bool = False, too_few: bool = False,
) -> Run:  # fmt: skip
    sizes, inertias = problem.sizes(residuals), residuals[:, -1].copy()
    inertia = added_up(inertias)
    return Run(
        centroids, problem.labels, sizes, inertias, inertia, n_iter, converged, stopped, too_few
    )  # fmt: skip


def assigned(
    problem: Problem, centroids: np.ndarray, momentum: Momentum | None, watched: bool
) -> tuple[np.ndarray, float, bool]:
    """Assign every row, to the means before instead if momentum went too far. Returns to which
    centroids; the inertia, where watched; and whether the run goes on: from a step beyond the means
    it does, though no label changed."""
    changed = problem.assign(centroids, measure=watched)
    inertia = added_up(problem.measured()[:, -1]) if watched else math.nan
    if momentum is None:
        return centroids, inertia, changed > 0
    moving = changed > 0 or momentum.steps > 0
    if momentum.overshot(centroids, *problem.means(centroids), problem.mass):
        return assigned(problem, momentum.back(), momentum, watched)[:2] + (True,)
    return centroids, inertia, moving


def pays(rows: Rows, k: int) -> bool:
    """Whether momentum does. Of directions the means are no minimum of what it goes down."""
    long = rows.n * k * rows.d >= LONG
    return long and rows.n >= ROWS_A_COLUMN * rows.d and rows.norms is None


def reassigned(problem: Problem, run: Run, centroids: np.ndarray) -> Run:
    """The run with its rows assigned to these centroids, a rounding away from its own."""
    problem.begin(len(centroids), None)
    problem.assign(centroids, measure=True)
    residuals = problem.measured()
    inertias = residuals[:, -1].copy()
    return replace(
        run, labels=problem.labels, sizes=problem.sizes(residuals), cluster_inertias=inertias,
        inertia=added_up(inertias),
    )  # fmt: skip


def told_to_stop(limits: Limits, *progress: Any) -> bool:
    """Whether the callback or the clock ends the work after this iteration."""
    stop = limits.callback is not None and limits.callback(Progress(*progress)) is True
    return stop or time.monotonic() > limits.deadline


def updated(problem: Problem, centroids: np.ndarray) -> tuple[np.ndarray, bool]:
    """Means of the clusters, emptied ones refilled; and whether some could not be."""
    means, empty = problem.means(centroids)
    pure: set[int] = set()
    for cluster in empty:
        if not refill(problem, means, int(cluster), pure):
            return means, True
    return means, False


def refill(problem: Problem, means: np.ndarray, cluster: int, pure: set[int]) -> bool:
    """Move the row farthest from its mean into an emptied cluster; False if there is none.

    A cluster of equal rows gives none away: its mean is only a rounding error away from them.
    """
    while (row := problem.farthest(means, pure)) >= 0:
        donor = int(problem.labels[row])
        x = problem.rows[np.array([row])][0]
        if not problem.all_equal(donor, x):
            problem.move(row, x, cluster)
            means[donor] = problem.mean_of(donor)
            means[cluster] = x
            return True
        means[donor] = x
        pure.add(donor)
    return False
