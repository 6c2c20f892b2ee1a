"""The Hopkins test: p-values of uniform rows, and rows that are not."""

import math
import warnings

import numpy as np
import pytest

from ckmeans import check_clusterability
from ckmeans._clusterability import log_ball, upper_tail
from ckmeans.datasets import xclara


@pytest.mark.parametrize("m", [1, 2, 25, 250])
def test_upper_tail_is_the_beta_distributions(m):
    stats = pytest.importorskip("scipy.stats")
    for h in (1e-9, 0.1, 0.47, 0.5, 0.6, 1 - 1e-9):
        found = upper_tail(math.log(h / (1 - h)), m)
        assert found == pytest.approx(stats.beta.sf(h, m, m), rel=1e-6, abs=1e-300)
    assert upper_tail(math.inf, m) == 0 and upper_tail(-math.inf, m) == 1


def test_volumes_of_balls():
    half = np.array([0.25])
    for d, volume in ((1, 1.0), (2, math.pi / 4), (3, math.pi / 6)):
        assert np.exp(log_ball(half, d)) == pytest.approx(volume)
        assert np.exp(log_ball(half / 4, d)) == pytest.approx(volume / 2**d)
    # A square without its four corners beyond the circle of radius r > 1/2.
    r = 0.6
    circle = math.pi * r**2 - 4 * (r**2 * math.acos(0.5 / r) - 0.5 * math.sqrt(r**2 - 0.25))
    assert np.exp(log_ball(np.array([r * r]), 2)) == pytest.approx(circle, rel=3e-3)
    sums = np.square(np.random.default_rng(0).random((20_000, 40)) / 2).sum(axis=1)
    at = np.quantile(sums, [0.01, 0.1, 0.5, 0.9])
    assert np.exp(log_ball(at, 40)) == pytest.approx([0.01, 0.1, 0.5, 0.9], rel=0.1)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 10, 30])
@pytest.mark.parametrize("n", [60, 400])
def test_p_values_of_uniform_rows_are_uniform(n, d):
    """By Kolmogorov's statistic, whose 0.1 % point is 1.95 / sqrt(samples)."""
    rng = np.random.default_rng(d)
    units = 10.0 ** rng.integers(-5, 5, d)
    samples = 300
    p = [check_clusterability(rng.random((n, d)) * units, rng).p_value for _ in range(samples)]
    p = np.sort(p)
    apart = np.abs(p - (np.arange(samples) + 0.5) / samples).max() + 0.5 / samples
    assert apart < 1.95 / math.sqrt(samples)


def test_clustered_rows_are_not_uniform():
    found = check_clusterability(xclara(), 0)
    assert not found.uniform and found.p_value < 1e-20 and found.statistic > 0.8
    assert "not uniform" in str(found) and found.n_sampled == 250
    html = found._repr_html_()
    assert "not uniform" in html and f"<td>{found.statistic:.4g}</td>" in html
    for d in (1, 2, 5, 20):
        rng = np.random.default_rng(d)
        X = 8 * rng.integers(0, 2, (500, 1)) + rng.normal(size=(500, d))
        assert not check_clusterability(X, 0).uniform


def test_units_offsets_and_constant_columns_do_not_matter():
    X = xclara()[:500]
    expected = check_clusterability(X, 0)
    for same in (X * 2.0**20, X * [1, 2.0**-30], np.column_stack([X[:, 0], np.ones(500), X[:, 1]])):
        assert check_clusterability(same, 0) == expected
    assert check_clusterability(X + 1e6, 0).statistic == pytest.approx(expected.statistic)
    narrow = check_clusterability(X.astype(np.float32), 0)
    assert narrow.statistic == pytest.approx(expected.statistic, rel=1e-4)


@pytest.mark.parametrize(("dtype", "n"), [(np.uint8, 2000), (np.int64, 60_000)])
def test_rounded_uniform_rows_look_uniform(dtype, n):
    X = np.random.default_rng(1).integers(0, 256, (n, 2)).astype(dtype)  # many are equal
    found = check_clusterability(X, 0)
    assert found.uniform and "look uniform" in found.reason
    clustered = (X // 4 + 100 * (X[:, :1] > 99)).astype(dtype)
    assert not check_clusterability(clustered, 0).uniform


def test_repeated_and_regular_rows():
    nine = np.random.default_rng(2).random((9, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        repeated = check_clusterability(np.repeat(nine, 30, axis=0), 0)
        assert repeated.statistic == 1 and repeated.p_value == 0
        grid = np.stack(np.meshgrid(np.arange(30.0), np.arange(30.0)), axis=-1).reshape(-1, 2)
        regular = check_clusterability(grid, 0)
        assert regular.statistic < 0.3 and regular.p_value > 0.99 and regular.uniform
        same = check_clusterability(np.full((7, 3), 4), 0)
        assert same.uniform and math.isnan(same.statistic) and same.reason == "all rows are equal"
        assert check_clusterability([[1.0, 2.0]], 0).uniform
        assert check_clusterability([[0.0], [1.0]], 0).p_value > 0.01


def test_same_seed_same_result():
    X = np.random.default_rng(3).random((12_000, 3))
    assert check_clusterability(X, 5) == check_clusterability(X, 5)
    assert check_clusterability(X, 5) != check_clusterability(X, 6)


@pytest.mark.parametrize(
    ("X", "seed", "error", "message"),
    [
        ([[1.0, np.nan]], 0, ValueError, "X contains NaN"),
        ([1.0, 2.0], 0, ValueError, "2-D"),
        ([[1.0], [2.0]], "x", TypeError, "seed"),
    ],
)
def test_bad_input(X, seed, error, message):
    with pytest.raises(error, match=message):
        check_clusterability(X, seed)


def test_a_p_value_too_small_to_tell_is_not_called_0():
    rng = np.random.default_rng(0)
    X = np.repeat([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]], 1000, axis=0)
    found = check_clusterability(X + rng.normal(0, 1e-4, X.shape), seed=1)
    assert found.p_value < 1e-300
    assert found.reason == "the rows are not uniform (p < 1e-300)"
