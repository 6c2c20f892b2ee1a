import numpy as np

from ckmeans.datasets import xclara


def test_xclara_is_the_published_table():
    X = xclara()
    assert X.shape == (3000, 2) and X.dtype == np.float64
    # One mean of all: the total inertia (k = 1) is known, and any changed figure would move it.
    assert np.isclose(((X - X.mean(axis=0)) ** 2).sum(), 5030433.096, rtol=0, atol=1e-3)


def test_each_call_gives_a_fresh_array():
    xclara()[:] = 0
    assert xclara().any()
