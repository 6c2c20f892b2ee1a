"""show_config() names the level that is in use and the default number of threads."""

import os
import subprocess
import sys

import pytest

import ckmeans
from ckmeans._lloyd import choose_simd, simd_level
from ckmeans._validation import threads


def test_shows_the_level_in_use(capsys):
    try:
        choose_simd("baseline")
        ckmeans.show_config()
    finally:
        choose_simd(os.environ.get("CKMEANS_SIMD") or None)
    shown = capsys.readouterr().out
    assert f"ckmeans {ckmeans.__version__}" in shown
    assert "SIMD level: baseline" in shown and f"threads: {threads(None)} " in shown


def import_with(level):
    environment = {**os.environ, "CKMEANS_SIMD": level}
    return subprocess.run(
        [sys.executable, "-c", "import ckmeans; ckmeans.show_config()"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_environment_forces_a_level(level):
    forced = import_with(level)
    assert forced.returncode == 0 and f"SIMD level: {level} (CKMEANS_SIMD)" in forced.stdout


@pytest.mark.parametrize("level", ["baseline", "avx2", "avx512", "avx512vnni"])
def test_a_level_is_there_or_an_error(level):
    try:
        assert choose_simd(level) == simd_level() == level
    except ValueError as error:
        assert str(error) == f"CKMEANS_SIMD={level} is not supported by this CPU"
        failed = import_with(level)
        assert failed.returncode and f"ValueError: {error}" in failed.stderr
    finally:
        choose_simd(os.environ.get("CKMEANS_SIMD") or None)


@pytest.mark.parametrize("level", ["sse9", "AVX2", "avx2 "])
def test_an_unknown_level_is_an_error(level):
    failed = import_with(level)
    known = "baseline, avx2, avx512 or avx512vnni"
    assert failed.returncode and f"CKMEANS_SIMD must be {known}, got" in failed.stderr


def test_an_empty_level_means_the_best():
    best = import_with("")
    choose_simd(None)
    assert f"SIMD level: {simd_level()}\n" in best.stdout
    choose_simd(os.environ.get("CKMEANS_SIMD") or None)
