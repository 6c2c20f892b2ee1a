"""Children of a seed draw what those of numpy.random draw."""

import copy

import numpy as np
import pytest
from numpy.random import MT19937, PCG64, PCG64DXSM, Philox, SeedSequence, default_rng

from ckmeans import _generators, kmeans_batch
from ckmeans._generators import Children
from ckmeans._seeding import Uniforms

LIKE_PCG64 = [
    0, 5, 2**31, 2**32, 2**40, 2**200 + 7, [], [1, 2, 3], (2**33, 5, 6, 7, 8), [0, 0], np.int64(3),
    np.array([7, 8], np.uint32), SeedSequence(5), SeedSequence(2**70, spawn_key=(3, 2**40)),
    SeedSequence([1, 2, 3, 4, 5], spawn_key=(0,)), PCG64(9), default_rng(9),
]  # fmt: skip
OTHERS = [SeedSequence(5, pool_size=8), PCG64DXSM(1), MT19937(1), default_rng(Philox(3))]


def drawn(seed, b, numbers):
    return np.array([child.random(numbers) for child in default_rng(seed).spawn(b)])


@pytest.mark.parametrize("seed", [*LIKE_PCG64, *OTHERS])
def test_children_draw_as_numpy_s(seed):
    children = Children(copy.deepcopy(seed), 6)
    assert bool(children.n_words) == (not any(seed is other for other in OTHERS))
    wanted = drawn(copy.deepcopy(seed), 6, 7)
    found = np.empty((4, 7))
    children.uniforms(2, found)
    np.testing.assert_array_equal(found, wanted[2:])
    np.testing.assert_array_equal(children.generator(5).random(7), wanted[5])


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1, 2**32, 2**40 + 7, 2**64 - 1])
def test_uniforms_of_an_integer_are_numpy_s(seed):
    ours, numpys = _generators.generator(seed), default_rng(seed)
    assert type(ours) is Uniforms
    for size in (None, 5, (3, 4), 0, (2, 0)):
        found, wanted = ours.random(size), numpys.random(size)
        assert type(found) is type(wanted)
        np.testing.assert_array_equal(found, wanted)
    # Another method goes on from there, and so does random() after it.
    np.testing.assert_array_equal(ours.integers(1000, size=3), numpys.integers(1000, size=3))
    np.testing.assert_array_equal(ours.random((2, 3)), numpys.random((2, 3)))
    assert ours.bit_generator.state == numpys.bit_generator.state
    with pytest.raises(AttributeError, match="no attribute 'randoms'"):
        ours.randoms(3)


@pytest.mark.parametrize("seed", [2**64, np.int64(3), [1, 2], SeedSequence(4), None])
def test_other_seeds_are_left_to_numpy(seed):
    ours = _generators.generator(copy.deepcopy(seed))
    assert type(ours.bit_generator.seed_seq) is SeedSequence
    if seed is not None:
        assert ours.random() == default_rng(seed).random()


def test_a_numpy_that_seeds_in_another_way(monkeypatch):
    monkeypatch.setattr(_generators, "Uniforms", lambda seed: default_rng(seed + 1))
    _generators.numpy_draws_so.cache_clear()
    assert _generators.generator(5).random() == default_rng(5).random()
    _generators.numpy_draws_so.cache_clear()


@pytest.mark.parametrize("kind", [SeedSequence, PCG64, default_rng])
def test_what_has_spawned_goes_on_from_there(kind):
    ours, theirs = kind(4), kind(4)
    for b in (3, 4):
        found = np.empty((b, 5))
        Children(ours, b).uniforms(0, found)
        np.testing.assert_array_equal(found, drawn(theirs, b, 5))


def test_no_seed_is_another_one_each_time():
    first, second = np.empty((2, 3, 4))
    Children(None, 3).uniforms(0, first)
    Children(None, 3).uniforms(0, second)
    assert len(np.unique([first, second])) == 24


def test_another_numpy_is_followed(monkeypatch):
    monkeypatch.setattr(_generators, "spawned_uniforms", lambda pool, n, key, out: out.fill(0.5))
    found = np.empty((3, 5))
    Children(1, 3).uniforms(0, found)
    np.testing.assert_array_equal(found, drawn(1, 3, 5))


def test_a_generator_is_not_used_up():
    X = default_rng(0).normal(size=(5, 40, 2))
    rng = default_rng(2)
    first, second = kmeans_batch(X, 3, rng), kmeans_batch(X, 3, rng)
    assert (first.inertia != second.inertia).any()
