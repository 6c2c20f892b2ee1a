"""Greedy k-means++ (Arthur & Vassilvitskii 2007), exact."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ckmeans import _team
from ckmeans._rows import Rows
from ckmeans._seeding import Seeding

PARALLEL = 1 << 20  # elements times candidates; a step with fewer is done by one thread
UNINTERRUPTED = 1 << 27  # the same, between two chances for an interrupt
AHEAD = 1 << 20  # elements; of as many, candidates are drawn ahead


def seeds(
    rows: Rows, k: int, rng: Any, weight: np.ndarray | None, n_threads: int = 1,
    memory: np.ndarray | None = None,
) -> Any:  # fmt: skip
    """k rows, each drawn with 2 + floor(ln k) candidates of which the best is kept.

    The first K rows drawn for k are a start for every K < k. Squared distances are kept in `memory`
    (m,) uint8 if that is given and large enough.

    Returns
    -------
    Seeding, with
        centroids : ndarray of shape (k, d), float64
        owner : ndarray of shape (n,), int32, or None
            The nearest centroid, the lowest index on ties (also among repeated ones); None for
            sparse rows.
        nearest : ndarray of shape (n,), float64
            The squared distance to it; in the memory that was given, if any.
    """
    n_candidates = 2 + int(math.log(k))
    seeding = seeding_of(rows, weight, k, n_candidates, memory)
    cost = rows.n * rows.width * n_candidates
    threads = n_threads if cost >= PARALLEL else 1
    if threads == 1 and k * cost <= UNINTERRUPTED and not rows.sparse:
        reached = seeding.seed(rng.random(1 + (k - 1) * seeding.n_uniforms))
    else:
        in_passes = cost > UNINTERRUPTED or (rows.sparse and threads > 1)
        at_once = 0 if in_passes else UNINTERRUPTED // cost
        reached = grown(seeding, k, rng, threads, at_once)
    if reached < k:  # every row of any weight is a centroid already: repeat some
        seeding.centroids[reached:] = seeding.centroids[rng.integers(reached, size=k - reached)]
    return seeding


def grown(seeding: Any, k: int, rng: Any, threads: int, at_once: int) -> int:
    """seeding.seed() with threads, or with chances for an interrupt: after so many steps at once,
    or for 0 after each pass."""
    begin(seeding, rng.random(), threads)
    reached, aim = 1, 1
    with _team.Company(seeding) as company:
        while reached == aim < k:
            aim = min(k, reached + max(1, at_once))
            uniforms = rng.random((aim - reached, seeding.n_uniforms))
            if not at_once:
                reached = shared(seeding, uniforms, threads)
            elif threads > 1:
                reached = together(seeding, uniforms, threads, company)
            else:
                reached = seeding.steps(uniforms)
    return reached


def seeding_of(
    rows: Any, weight: np.ndarray | None, k: int, n_candidates: int, memory: np.ndarray | None
) -> Any:
    ahead = rows.n * rows.d >= AHEAD
    if rows.sparse:
        from ckmeans._sparse import SparseSeeding

        return SparseSeeding(rows, weight, k, n_candidates, ahead)
    return Seeding(rows.source, weight, k, n_candidates, memory, ahead)


def begin(seeding: Any, uniform: float, threads: int) -> None:
    """The first centroid."""
    seeding.begin(uniform)
    _team.each(seeding.work, segments(seeding), threads)
    seeding.begun()


def together(
    seeding: Seeding, uniforms: np.ndarray, threads: int, company: _team.Company
) -> int:
    """seeding.steps(uniforms) with guests, who may have left after a long one."""
    for row in uniforms:
        company.invite(min(threads, seeding.n_segments) - 1)
        seeding.steps(row[None])
    return seeding.reached


def shared(seeding: Any, uniforms: np.ndarray, threads: int) -> int:
    """seeding.steps(uniforms) with each pass shared out among threads."""
    for row in uniforms:
        while seeding.next_pass(row):
            _team.each(seeding.work, segments(seeding), threads)
    return seeding.reached


def segments(seeding: Any) -> list[tuple[int]]:
    return [(segment,) for segment in range(seeding.n_segments)]
