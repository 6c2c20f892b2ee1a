"""k-means|| (Bahmani et al. 2012): few passes over rows in chunks, each of which draws many."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ckmeans import _validation as valid
from ckmeans._chunks import Chunk, Chunks, added
from ckmeans._kmeans import kmeans
from ckmeans._results import nearest_labels, own_distances2

ROUNDS = 5
OVERSAMPLING = 2  # candidates a round, expected, as multiples of k
RECLUSTERED = 3  # runs over the candidates, of which the best is kept


class Population(Protocol):
    """Rows to draw from."""

    n: int
    weighted: bool

    @property
    def chunks(self) -> Chunks: ...

    def __getitem__(self, index: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Round:
    """What a pass needs to know."""

    candidates: np.ndarray  # (m, d)
    expected: int  # rows to be drawn
    entropy: tuple[int, ...]  # of the draws; with the number of the chunk it makes a stream


@dataclass
class Drawn:
    """Rows drawn in some chunks.

    A row is drawn where u < expected * w * D^2 / (their sum over all rows). The sum of all is not
    known before the last chunk; that of some chunks is less, so that they draw too many, and lose
    them where chunks come together. One pass a round is enough, and a message stays O(k d).
    """

    expected: int
    potential: float
    keys: np.ndarray  # (m,) u / (w * D^2)
    rows: np.ndarray  # (m, d)

    def __add__(self, other: Drawn) -> Drawn:
        return Drawn(
            self.expected,
            self.potential + other.potential,
            np.concatenate([self.keys, other.keys]),
            np.concatenate([self.rows, other.rows]),
        ).kept()

    def kept(self) -> Drawn:
        with np.errstate(divide="ignore", over="ignore"):
            drawn = self.keys < np.divide(self.expected, self.potential)
        return Drawn(self.expected, self.potential, self.keys[drawn], self.rows[drawn])


def draw(chunk: Chunk, turn: Round) -> Drawn:
    """Rows of a chunk, each by a chance proportional to its weighted squared distance."""
    rows = chunk.rows
    assert rows is not None
    labels = nearest_labels(rows, turn.candidates, chunk.n_threads)
    mass = own_distances2(rows, turn.candidates, labels, chunk.n_threads)
    if chunk.weight is not None:
        mass *= chunk.weight
    rng = np.random.default_rng([*turn.entropy, chunk.number])
    # Above 0, or a row of no distance could be drawn.
    uniform = 1 - rng.random(rows.n)
    with np.errstate(divide="ignore", over="ignore"):
        keys = uniform / mass
    potential = float(mass.sum())
    with np.errstate(divide="ignore", over="ignore"):
        places = np.flatnonzero(keys < np.divide(turn.expected, potential))
    return Drawn(turn.expected, potential, keys[places], rows[places])


def weights_of(chunk: Chunk, candidates: np.ndarray) -> np.ndarray:
    """The weight of the rows nearest to each candidate: (m,)."""
    assert chunk.rows is not None
    labels = nearest_labels(chunk.rows, candidates, chunk.n_threads)
    return np.bincount(labels, weights=chunk.weight, minlength=len(candidates)).astype(np.float64)


@dataclass(frozen=True)
class Candidates:
    """Points that stand for the rows: each has the weight of the rows nearest to it."""

    points: np.ndarray  # (m, d)
    weight: np.ndarray  # (m,)

    def start(self, k: int, rng: Any) -> np.ndarray:
        """k centroids of the candidates."""
        points, weight = self.points[self.weight > 0], self.weight[self.weight > 0]
        if len(points) <= k:  # rows with fewer distinct points than k: repeat some
            return np.concatenate([points, points[rng.integers(len(points), size=k - len(points))]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", valid.ConvergenceWarning)
            return kmeans(
                points, k, rng, sample_weight=weight, n_init=RECLUSTERED, n_threads=1
            ).centroids


def candidates(rows: Population, k: int, rng: Any) -> Candidates:
    """About 2 k candidates from each of 5 rounds, more where these were fewer than k."""
    points = first_row(rows, rng)
    turn = 0
    while turn < ROUNDS or len(points) < k:
        entropy = tuple(int(word) for word in rng.integers(1 << 32, size=4))
        drawn = rows.chunks.reduced(draw, added, Round(points, OVERSAMPLING * k, entropy)).kept()
        if not drawn.potential > 0:  # every row is a candidate already
            break
        points = np.concatenate([points, drawn.rows])
        turn += 1
    return Candidates(points, rows.chunks.reduced(weights_of, added, points))


def first_row(rows: Population, rng: Any) -> np.ndarray:
    """One row by its weight: (1, d)."""
    if not rows.weighted:
        return rows[rng.integers(rows.n, size=1)]
    return random_rows(rows, 1, rng)


def random_rows(rows: Population, k: int, rng: Any) -> np.ndarray:
    """k distinct rows, by their weights where they have some."""
    if not rows.weighted:
        return rows[rng.choice(rows.n, size=k, replace=False)]
    entropy = tuple(int(word) for word in rng.integers(1 << 32, size=4))
    return rows.chunks.reduced(smallest_in, smallest, (k, entropy)).rows


def smallest_in(chunk: Chunk, shared: tuple[int, tuple[int, ...]]) -> Drawn:
    """The k rows of smallest E / weight (Efraimidis & Spirakis 2006)."""
    k, entropy = shared
    rows = chunk.rows
    assert rows is not None and chunk.weight is not None
    rng = np.random.default_rng([*entropy, chunk.number])
    with np.errstate(divide="ignore"):
        keys = rng.standard_exponential(rows.n) / chunk.weight
    places = np.argsort(keys, kind="stable")[:k]
    return Drawn(k, 0.0, keys[places], rows[places])


def smallest(parts: list[Drawn | None]) -> Drawn:
    some = [part for part in parts if part is not None]
    keys = np.concatenate([part.keys for part in some])
    places = np.argsort(keys, kind="stable")[: some[0].expected]
    return Drawn(some[0].expected, 0.0, keys[places],
                 np.concatenate([part.rows for part in some])[places])  # fmt: skip


