"""Build of the Cython extensions; everything else about the package is in pyproject.toml."""

import os
import sys
import sysconfig
from glob import glob

import numpy as np
from setuptools import Extension, setup

os.umask(0o022)  # a wheel holds its files' modes: the same bits whoever builds it

# One wheel serves CPython 3.11 and later; free-threaded builds have no Limited API.
LIMITED = not sysconfig.get_config_var("Py_GIL_DISABLED")
MACROS = []
if LIMITED:
    MACROS.append(("Py_LIMITED_API", "0x030B0000"))

# No contraction to FMA: a float64 distance must have the same bits on every machine.
GNU_FLAGS = ["-O3", "-g0", "-ffp-contract=off"]
FLAGS = ["/O2"] if sys.platform == "win32" else GNU_FLAGS
LINK_FLAGS = ["-Wl,-s"] if sys.platform.startswith("linux") else []

# Builds that watch what the compiled code does; see .ci/watch.
WATCHED = {
    # Without the checks of pointers whose use AddressSanitizer sees itself: with them GCC takes
    # 510 s for the tiles instead of 200.
    "address": [
        "-fsanitize=address,undefined",
        "-fno-sanitize=null,object-size,pointer-overflow",
        "-fno-sanitize-recover=undefined",
    ],
    "thread": ["-fsanitize=thread"],
    "coverage": ["--coverage"],
}
WATCH = os.environ.get("CKMEANS_WATCH")
if WATCH:
    LINK_FLAGS = WATCHED[WATCH]
    # Lines, not variables: following those through the tiles takes GCC a quarter of its time.
    FLAGS = ["-O1", "-g1", "-fno-omit-frame-pointer", "-ffp-contract=off", *LINK_FLAGS]


def extension(name: str, *sources: str) -> Extension:
    return Extension(
        f"ckmeans.{name}",
        [f"ckmeans/{name}.pyx", *sources],
        include_dirs=[np.get_include(), "ckmeans"],
        depends=glob("ckmeans/_tiles/*.h") + glob("ckmeans/*.pxd") + ["ckmeans/ckmeans.h"],
        define_macros=MACROS,
        extra_compile_args=FLAGS,
        extra_link_args=LINK_FLAGS,
        py_limited_api=LIMITED,
    )


setup(
    ext_modules=[
        extension("_lloyd", "ckmeans/_tiles/tiles.c"),
        extension("_source"),
        extension("_distinct"),
        extension("_bounds"),
        extension("_seeding"),
        extension("_optimal_1d"),
        extension("_silhouette"),
        extension("_csr"),
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"} if LIMITED else {}},
)
