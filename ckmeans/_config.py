"""show_config(): what this process computes with."""

from __future__ import annotations

import os
import platform

from ckmeans import _lloyd
from ckmeans._validation import threads
from ckmeans._version import __version__


def show_config() -> None:
    """Print the version, the SIMD level in use and the number of threads used by default.

    The environment variable ``CKMEANS_SIMD``, read at import, forces a level: "baseline", "avx2",
    "avx512" or "avx512vnni".

    Examples
    --------
    >>> import ckmeans
    >>> ckmeans.show_config()  # doctest: +ELLIPSIS
    ckmeans ...
    SIMD level: ...
    threads: ...
    """
    forced = " (CKMEANS_SIMD)" if os.environ.get("CKMEANS_SIMD") else ""
    print(f"ckmeans {__version__}, Python {platform.python_version()}, {platform.machine()}")
    print(f"SIMD level: {_lloyd.simd_level()}{forced}")
    print(f"threads: {threads(None)} by default, the CPUs of this process")


def get_include() -> str:
    """The directory to compile with, of ``ckmeans.h`` and of what the installed .pxd files need.

    Examples
    --------
    >>> import ckmeans, os
    >>> os.path.exists(os.path.join(ckmeans.get_include(), "ckmeans.h"))
    True
    """
    return os.path.dirname(os.path.abspath(__file__))
