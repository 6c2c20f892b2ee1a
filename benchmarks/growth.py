"""How our time changes with the shape of X, and with its layout and dtype."""

import statistics
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.cases import blobs
from benchmarks.compare import interleaved, iteration_seconds
from benchmarks.peers import Job, ours

BASE = {"n": 200_000, "d": 8, "k": 16}
RANGES = {
    "n": [50_000, 100_000, 200_000, 400_000, 800_000],
    "d": [2, 4, 8, 16, 32, 64, 128],
    "k": [4, 8, 16, 32, 64, 128, 256],
}


def scaling(rounds, divisor):
    """A plain iteration along n, d and k; the exponents are slopes of log-log fits."""
    figures = {}
    for axis, sizes in RANGES.items():
        milliseconds = []
        for size in sizes:
            shape = BASE | {axis: size}
            X = blobs(**shape)(divisor)
            milliseconds.append(1e3 * iteration_seconds(X, shape["k"], 10, rounds))
            figures[f"{axis}={size // (divisor if axis == 'n' else 1)}"] = milliseconds[-1]
        slope = np.polyfit(np.log(sizes), np.log(milliseconds), 1)[0]
        figures[f"exponent of {axis}"] = float(slope)
    base = f"n={BASE['n'] // divisor}, d={BASE['d']}, k={BASE['k']}"
    return {"what": f"ms of a plain iteration, one thread, float32, {base}", "figures": figures}


def layouts(rounds, divisor):
    rounds *= 8  # of 30 ms each: by 5 of them a figure wanders by a tenth
    figures = of_layouts(1_000_000 // divisor, 3, 16, rounds)
    figures |= of_layouts(100_000 // divisor, 64, 64, rounds)
    return {"what": "time over that of float32 C-contiguous, 10 iterations", "figures": figures}


def of_layouts(n, d, k, rounds):
    # Whole numbers below 256 are the same values in every dtype: the same work.
    pixels = np.random.default_rng(3).integers(0, 256, size=(n, d), dtype="u1")
    native = pixels.astype("f4")
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "X.npy"), native)
        inputs = {
            "float32": native,
            "uint8": pixels,
            "int16": pixels.astype("i2"),
            "float16": pixels.astype("f2"),
            "Fortran order": np.asfortranarray(native),
            "column slice": np.hstack([native, native])[:, 1 : 1 + d],
            "memory map": np.load(Path(folder, "X.npy"), mmap_mode="r"),
        }
        inputs["column slice"][:] = native
        start = np.unique(native[: 2 * k], axis=0)[:k]
        calls = {name: ours(Job(X, k, start, 10, False, 1)) for name, X in inputs.items()}
        times, _ = interleaved(calls, rounds)
    own = statistics.median(times.pop("float32"))
    return {f"d={d}, {name}": statistics.median(taken) / own for name, taken in times.items()}
