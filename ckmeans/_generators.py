"""What ``numpy.random.default_rng(seed)`` and its children draw, without all of their objects."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np

from ckmeans import _validation as valid
from ckmeans._seeding import Uniforms, spawned_uniforms

FRESH = (type(None), int, np.integer, list, tuple, np.ndarray)  # seeds that nobody else draws from


def generator(seed: Any, wanted: bool = True) -> Any:
    """What numpy.random.default_rng makes of the seed, save that it has no children; None for none
    that is not wanted."""
    if type(seed) is int and 0 <= seed < 1 << 64 and numpy_draws_so():
        return Uniforms(seed)
    return valid.generator(seed, wanted)


@functools.cache
def numpy_draws_so() -> bool:
    """Whether this NumPy draws from an integer seed what Uniforms does."""
    seed = 1 << 40 | 3
    return bool(Uniforms(seed).random() == valid.generator(seed).random())


def drawn_rows(cumulative: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Rows by chances that are summed so far (n,), one for each uniform."""
    rows = np.searchsorted(cumulative, uniforms * cumulative[-1], side="right")
    last = np.searchsorted(cumulative, cumulative[-1])  # the last row of any chance
    drawn: np.ndarray = np.minimum(rows, last)
    return drawn


class Children:
    """b children of a seed. To make the objects takes as long as half a fit of 200 x 4, k = 5."""

    def __init__(self, seed: Any, b: int) -> None:
        parent = valid.generator(seed).bit_generator
        self.bit_generator, self.sequence = type(parent), parent.seed_seq
        self.key = getattr(self.sequence, "n_children_spawned", 0)
        # Only the sequence itself can be told that it has b children more.
        self.spawned = None if isinstance(seed, FRESH) else self.sequence.spawn(b)
        self.n_words = n_words(self.sequence) if self.known(b) else 0
        if self.n_words:
            ours = np.empty((1, 2))
            self.uniforms(0, ours)
            if (ours[0] != self.generator(0).random(2)).any():
                self.n_words = 0  # a NumPy that draws in another way

    def known(self, b: int) -> bool:
        """Whether spawned_uniforms() knows how these children draw."""
        from numpy.random import PCG64, SeedSequence

        kinds = self.bit_generator is PCG64 and type(self.sequence) is SeedSequence
        return kinds and self.sequence.pool_size == 4 and self.key + b < 1 << 32

    def generator(self, i: int) -> np.random.Generator:
        """Child i."""
        if self.spawned is not None:
            child = self.spawned[i]
        else:
            child = np.random.SeedSequence(
                self.sequence.entropy, spawn_key=(*self.sequence.spawn_key, self.key + i)
            )
        return np.random.Generator(self.bit_generator(child))

    def uniforms(self, first: int, numbers: np.ndarray) -> None:
        """Fill row i of `numbers` with what child first + i draws first."""
        if self.n_words:
            spawned_uniforms(self.sequence.pool, self.n_words, self.key + first, numbers)
            return
        for i, row in enumerate(numbers):
            self.generator(first + i).random(out=row)


def n_words(sequence: Any) -> int:
    """How many words of 32 bits a SeedSequence mixes before those of its children."""

    def words(value: Any) -> int:
        if np.ndim(value):
            return sum(words(entry) for entry in value)
        return max(1, -(-operator.index(value).bit_length() // 32))

    return max(4, words(sequence.entropy)) + words(sequence.spawn_key)
