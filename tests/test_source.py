"""Rows of every layout, element type and SIMD level: the bits that NumPy's astype gives."""

import threading

import numpy as np
import pytest

from ckmeans._source import Source

DTYPES = ["?", "u1", "i1", "u2", "i2", "f2", "f4", "f8", "u4", "i4", "u8", "i8"]
FLOATS = ["f2", "f4", "f8"]
# Around the tiles' edges, and one row longer than a piece of 8 KB.
SHAPES = [(1, 1), (40, 1), (70, 2), (200, 3), (33, 4), (19, 5), (150, 17), (20, 64), (3, 8200)]


def unaligned(X):
    raw = np.empty(X.nbytes + 1, np.uint8)
    moved = raw[1:].view(X.dtype).reshape(X.shape)
    moved[...] = X
    return moved


def swapped(X):
    return X.astype(X.dtype.newbyteorder("S"))


# Each makes an (n, d) view of the elements that `draw` gives.
LAYOUTS = {
    "C": lambda draw, n, d: draw(n, d),
    "Fortran": lambda draw, n, d: draw(d, n).T,
    "columns": lambda draw, n, d: draw(n, d + 2)[:, 1 : d + 1],
    "Fortran columns": lambda draw, n, d: draw(d + 2, n + 3).T[2 : n + 2, 1 : d + 1],
    "reversed rows": lambda draw, n, d: draw(n, d)[::-1],
    "reversed columns": lambda draw, n, d: draw(n, d)[:, ::-1],
    "every second row": lambda draw, n, d: draw(2 * n, d)[::2],
    "every second column": lambda draw, n, d: draw(n, 2 * d)[:, ::2],
    "Fortran, every second row": lambda draw, n, d: draw(d, 2 * n).T[::2],
    "one row": lambda draw, n, d: np.broadcast_to(draw(1, d), (n, d)),
    "one column": lambda draw, n, d: np.broadcast_to(draw(n, 1), (n, d)),
    "swapped": lambda draw, n, d: swapped(draw(n, d)),
    "swapped Fortran": lambda draw, n, d: swapped(draw(d, n)).T,
    "unaligned": lambda draw, n, d: unaligned(draw(n, d)),
    "unaligned Fortran": lambda draw, n, d: unaligned(draw(d, n)).T,
    "unaligned columns": lambda draw, n, d: unaligned(draw(n, d + 2))[:, 1 : d + 1],
}


def random_bits(dtype, seed=0):
    """Draws arrays of all bit patterns: subnormal numbers, infinities and NaN among them."""
    rng = np.random.default_rng(seed)

    def draw(n, d):
        bits = np.frombuffer(rng.bytes(n * d * np.dtype(dtype).itemsize), dtype)
        return bits.reshape(n, d).copy()

    return draw


def same_bits(a, b):
    assert a.dtype == b.dtype and a.shape == b.shape
    same = a.view(f"u{a.itemsize}") == b.view(f"u{b.itemsize}")
    return bool((same | (np.isnan(a) & np.isnan(b))).all())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_equal_astype(level, dtype, layout):
    for n, d in SHAPES:
        X = LAYOUTS[layout](random_bits(dtype), n, d)
        source = Source(X)
        assert source.single == (X.dtype.itemsize <= 2 or dtype == "f4")
        first = n // 3
        out = np.empty((n - first, d), np.float32 if source.single else np.float64)
        rows = np.arange(n - 1 - first, -1, -3)
        with np.errstate(invalid="ignore"):  # NumPy's own, of signalling NaN
            expected, wide = X[first:].astype(out.dtype), X[first:].astype(np.float64)
        source.read(first, n, out)
        assert same_bits(out, expected), (n, d)
        source.gather(first, rows.astype(np.int32), out[: len(rows)])
        assert same_bits(out[: len(rows)], expected[rows]), (n, d)
        assert same_bits(source.take(first + rows), wide[rows]), (n, d)


def test_all_halves(level):
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(-1, 4)
    out = np.empty(halves.shape, np.float32)
    Source(halves).read(0, len(halves), out)
    assert same_bits(out, halves.astype(np.float32))


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "i8"])
@pytest.mark.parametrize("layout", ["C", "Fortran", "columns"])
def test_standardised(level, dtype, layout):
    X = LAYOUTS[layout](lambda n, d: (np.arange(n * d) % 251).reshape(n, d).astype(dtype), 50, 7)
    offset, scale = np.linspace(-1, 5, 7), np.linspace(0.3, 9, 7)
    source, out = Source(X, offset, scale), np.empty((50, 7))
    expected = (X.astype(np.float64) - offset) / scale
    source.read(0, 50, out)
    assert not source.single and same_bits(out, expected)
    assert same_bits(source.take(np.array([49, 0, 7])), expected[[49, 0, 7]])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_first_bad_is_the_first_in_row_major_order(level, dtype, layout):
    rng = np.random.default_rng(1)
    for n, d in SHAPES:
        for n_bad in (0, 1, 3):

            def draw(n, d, n_bad=n_bad):
                drawn = rng.uniform(-9, 9, (n, d)).astype(dtype)
                bad = rng.choice([np.nan, np.inf, -np.inf, 11])
                drawn.flat[rng.integers(0, n * d, n_bad)] = bad
                return drawn

            X = LAYOUTS[layout](draw, n, d)
            source, first = Source(X), n // 3
            for limit in (np.finfo(float).max, 10.0):
                ok = np.abs(X[first:].astype(np.float64)) <= limit
                places = np.argwhere(~ok)
                expected = (first + places[0][0], places[0][1]) if len(places) else None
                assert source.first_bad(first, n, limit) == expected
            if np.isfinite(X[first:]).all():
                assert source.largest(first, n) == np.abs(X[first:]).max()


@pytest.mark.parametrize("dtype", FLOATS)
def test_extremes_are_finite(level, dtype):
    limits = np.finfo(dtype)
    X = np.zeros((100, 3), dtype)
    X[70] = limits.smallest_subnormal, -limits.max, limits.tiny
    assert Source(X).first_bad(0, 100) is None
    assert Source(X).largest(0, 100) == limits.max
    assert Source(X).largest(0, 70) == 0


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
def test_integers_are_never_bad(dtype):
    X = random_bits(dtype)(20, 3)
    bound = 1 if dtype == "?" else max(abs(int(np.iinfo(dtype).min)), int(np.iinfo(dtype).max))
    assert Source(X).first_bad(0, 20, 0.5) is None
    assert Source(X).largest(0, 20) == float(bound)


def test_read_only_rows_outlive_their_name():
    X = np.arange(30.0).reshape(10, 3)
    X.flags.writeable = False
    source, expected = Source(X[::2]), X[::2].copy()
    del X
    np.testing.assert_array_equal(source.take(np.arange(5)), expected)


def test_threads_read_the_same():
    X = random_bits("i2")(4000, 6)[:, 1:4]
    source, outs = Source(X), [np.empty(X.shape, np.float32) for _ in range(4)]
    threads = [threading.Thread(target=source.read, args=(0, 4000, out)) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same_bits(out, X.astype(np.float32)) for out in outs)


def test_wrong_arguments():
    X = np.zeros((5, 2))
    with pytest.raises(TypeError, match="NumPy array, got list"):
        Source([[1.0, 2.0]])
    with pytest.raises(TypeError, match="complex128"):
        Source(X.astype(complex))
    with pytest.raises(ValueError, match="2-D"):
        Source(X[0])
    with pytest.raises(ValueError, match="together"):
        Source(X, np.zeros(2))
    with pytest.raises(ValueError, match="shape"):
        Source(X, np.zeros(3), np.ones(3))
    with pytest.raises(IndexError, match="3:6"):
        Source(X).read(3, 6, np.empty((3, 2)))
    with pytest.raises(IndexError, match="-1:0"):
        Source(X).take(np.array([-1]))
    with pytest.raises(IndexError, match="5:6"):
        Source(X).gather(4, np.array([0, 1], np.int32), np.empty((2, 2)))
    with pytest.raises(ValueError, match="shape"):
        Source(X).read(0, 5, np.empty((4, 2)))
    with pytest.raises(ValueError, match="mismatch"):
        Source(X).read(0, 5, np.empty((5, 2), np.float32))
