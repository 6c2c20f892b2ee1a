"""Data that ships with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def xclara() -> NDArray[np.float64]:
    """The xclara points: three well-separated clusters in the plane.

    Returns
    -------
    X : ndarray of shape (3000, 2), dtype float64
        A fresh array at each call, yours to change.

    Notes
    -----
    Lloyd's fixed point for k = 3 has centroids near (9.478, 10.686), (40.684, 59.716) and
    (69.924, -10.120), and inertia 611605.88.

    References
    ----------
    A. Struyf, M. Hubert and P. J. Rousseeuw, "Integrating Robust Clustering Techniques in
    S-PLUS", Computational Statistics & Data Analysis 26 (1997) 17-37; as distributed with the
    R package ``cluster`` (GPL-2 or later).

    Examples
    --------
    >>> from ckmeans.datasets import xclara
    >>> X = xclara()
    >>> X.shape
    (3000, 2)
    >>> X[0].tolist()
    [2.072345, -3.241693]
    """
    from importlib.resources import files

    with files("ckmeans").joinpath("data", "xclara.csv").open("rb") as file:
        return np.loadtxt(file, delimiter=",", skiprows=1)
