"""Settings and fixtures of every test."""

import os

import pytest
from hypothesis import HealthCheck, settings

from ckmeans._lloyd import choose_simd

# The level of SIMD, once for all examples, is what such a fixture sets.
settings.register_profile(
    "deterministic",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("deterministic")

LEVELS = ("baseline", "avx2", "avx512")


@pytest.fixture(params=LEVELS)
def level(request):
    """Each level of SIMD that this CPU has."""
    try:
        choose_simd(request.param)
    except ValueError:
        pytest.skip("not supported by this CPU")
    yield request.param
    choose_simd(os.environ.get("CKMEANS_SIMD") or None)
