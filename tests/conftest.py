"""Settings and fixtures of every test."""

import importlib.util
import os
import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from ckmeans._lloyd import choose_simd

# Interrupts are tried: but the jobs that a shell runs in the background begin by ignoring them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How many examples a property is tried on is said here alone: --hypothesis-profile=nightly tries
# forty times as many, others in each night.
EXAMPLES = {"quick": 100, "nightly": 4000}
for name, number in EXAMPLES.items():
    settings.register_profile(
        name,
        max_examples=number,
        deadline=None,
        derandomize=name == "quick",
        print_blob=True,
        # The level of SIMD, once for all examples, is what such a fixture sets.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
settings.load_profile("quick")

# Some platforms have no scikit-learn to install, nor SciPy and matplotlib with it.
NEED_SKLEARN = ("bisecting", "estimator", "minibatch", "sparse", "types")
collect_ignore = (
    [] if importlib.util.find_spec("sklearn") else [f"test_{name}.py" for name in NEED_SKLEARN]
)

# All levels of SIMD, or the one that is forced: CI runs some files once for each.
FORCED = os.environ.get("CKMEANS_SIMD")
LEVELS = (FORCED,) if FORCED else ("baseline", "avx2", "avx512", "avx512vnni")


@pytest.fixture(params=LEVELS)
def level(request):
    """Each level of SIMD that this CPU has."""
    try:
        choose_simd(request.param)
    except ValueError:
        pytest.skip("not supported by this CPU")
    yield request.param
    choose_simd(FORCED or None)


@pytest.fixture(autouse=True, scope="session")
def poisoned():
    """Memory that is not filled holds NaN, or a large integer: what reads it is found every time
    and not once in a hundred runs."""

    def poisoning(make):
        def made(*args, **kwargs):
            array = make(*args, **kwargs)
            if array.dtype.kind == "f":
                array.fill(np.nan)
            elif array.dtype.kind in "iu":
                array.fill(np.iinfo(array.dtype).max)
            return array

        return made

    with pytest.MonkeyPatch.context() as patch:
        for make in (np.empty, np.empty_like):
            patch.setattr(np, make.__name__, poisoning(make))
        yield


@pytest.fixture
def threads_for_all(monkeypatch):
    """Threads work on small problems too."""
    for module in ("_iterate", "_rows", "_plus_plus"):
        monkeypatch.setattr(f"ckmeans.{module}.PARALLEL", 1)
