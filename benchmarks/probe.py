"""The machine: what it is, and what NumPy reaches on one thread of it.

No compiler at hand, so the peaks are practical ones: the multiply-adds of the BLAS in a square
product (a few per cent below what the units could do) and the reads of `max` over an array that
no cache holds.
"""

import contextlib
import io
import os
import platform
import time
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

DISTRIBUTIONS = [
    "ckmeans-lloyd", "numpy", "scikit-learn", "scikit-learn-intelex", "faiss-cpu", "scipy",
    "opencv-python-headless", "threadpoolctl",
]  # fmt: skip


def peaks():
    """Flop/s of either dtype (a multiply-add is two) and bytes/s read, the best of five each."""
    from threadpoolctl import threadpool_limits

    rates = {}
    with threadpool_limits(1):
        for dtype in ("float32", "float64"):
            squares = [np.ones((m, m), dtype) for m in (512, 1024, 2048)]
            rates[dtype] = max(2 * len(A) ** 3 / best(partial(np.matmul, A, A)) for A in squares)
        array = np.ones(1 << 26, "f4")
        rates["read"] = array.nbytes / best(array.max)
    return rates


def best(function):
    def seconds():
        begin = time.perf_counter()
        function()
        return time.perf_counter() - begin

    return min(seconds() for _ in range(5))


def machine():
    """Facts to read the figures by."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "ckmeans": shown_config(),
        "versions": {name: installed(name) for name in DISTRIBUTIONS},
    }


def shown_config():
    import ckmeans

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if hasattr(ckmeans, "show_config"):
            ckmeans.show_config()
    return printed.getvalue().splitlines()


def installed(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
