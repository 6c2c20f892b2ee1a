"""What kmeans() and elbow() return."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy as np

from ckmeans import _lloyd
from ckmeans import _validation as valid

if TYPE_CHECKING:
    from dask.array import Array as DaskArray
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


T = TypeVar("T")


def nearest_labels(
    rows: Any, centroids: np.ndarray, n_threads: int | None = None
) -> np.ndarray:
    """Index of the nearest centroid of each row, the lowest on ties: (n,) int32."""
    if rows.sparse:
        return rows.nearest_labels(centroids, valid.threads(n_threads))
    packed = _lloyd.pack(centroids, centroids.mean(axis=0), rows.source.single)
    labels = np.empty(rows.n, dtype=np.int32)

    def assign(first: int, last: int) -> None:
        upper2, lower2 = np.empty((2, last - first), dtype=rows.dtype)
        block = rows.block(first, last)
        _lloyd.assign(block, centroids, packed, labels[first:last], upper2, lower2)

    rows.each_block(assign, valid.threads(n_threads))
    return labels


def transformed(
    rows: Any, centroids: np.ndarray, n_threads: int | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """Distance of each row to every centroid: (n, k) float64."""
    distances = valid.room_for_distances(out, rows.n, len(centroids), rows.X)
    measure = rows.distances_to(centroids)
    rows.each_block(
        lambda first, last: measure(first, last, distances[first:last]), valid.threads(n_threads)
    )
    return distances


def own_distances2(
    rows: Any, centroids: np.ndarray, labels: np.ndarray, n_threads: int | None = None
) -> np.ndarray:
    """Squared distance of each row to the centroid of its label: (n,) float64."""
    if rows.sparse:
        return rows.own_distances2(centroids, labels, valid.threads(n_threads))
    squares = np.empty(rows.n)

    def measure(first: int, last: int) -> None:
        block = rows.block(first, last)
        _lloyd.own_distances2(block, centroids, labels[first:last], squares[first:last])

    rows.each_block(measure, valid.threads(n_threads))
    return squares


def made(cls: type[T], **fields: Any) -> T:
    """An instance of a frozen dataclass, which itself would set each field by a call: 4 of the 110
    us of a small fit."""
    instance = object.__new__(cls)
    instance.__dict__.update(fields)
    return instance


@dataclass(frozen=True, eq=False)
class KMeansResult:
    """A clustering and what can be asked of it.

    Attributes
    ----------
    centroids : ndarray of shape (k, d), float64
        Means of the clusters, in the units of X.
    labels : ndarray of shape (n,), int32
        Index of each row's nearest centroid, the lowest on ties. From `ckmeans.dask`, a Dask array.
    inertia : float
        Weighted sum of the rows' squared distances to their centroids.
    n_iter : int
        Iterations of the best run.
    converged : bool
        Whether the run reached its fixed point (or the tolerance) rather than another limit.
    sizes : ndarray of shape (k,), int64
        Rows of each cluster.
    cluster_inertias : ndarray of shape (k,), float64
        Each cluster's part of the inertia.
    run_inertias : ndarray of shape (n_init,), float64
        Inertia of each run; shorter where a callback or max_seconds ended the work early.
    offset, scale : ndarray of shape (d,), or None
        Column means and standard deviations when scale="std" was used: distances are between
        ``(x - offset) / scale``.
    metric : {"euclidean", "cosine"}
        "cosine" where rows and centroids are compared at length 1: distances are then
        ``sqrt(2 - 2 cos)``.
    """

    centroids: NDArray[np.float64]
    labels: NDArray[np.int32]
    inertia: float
    n_iter: int
    converged: bool
    sizes: NDArray[np.int64]
    cluster_inertias: NDArray[np.float64]
    run_inertias: NDArray[np.float64]
    offset: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None
    metric: str = "euclidean"

    def __repr__(self) -> str:
        k, d = self.centroids.shape
        return (
            f"KMeansResult(k={k}, d={d}, n={len(self.labels)}, inertia={self.inertia:.6g}, "
            f"n_iter={self.n_iter}, converged={self.converged})"
        )

    def _repr_html_(self) -> str:
        from ckmeans._html import clusters_table

        return clusters_table(self)

    @overload
    def predict(self, X: valid.Dask) -> DaskArray: ...
    @overload
    def predict(self, X: Any) -> NDArray[np.int32]: ...
    def predict(self, X: Any) -> Any:
        """Index of the nearest centroid of each row, shape (n,), int32; the lowest on ties.

        A Dask array for one, here and below.
        """
        if valid.is_dask(X):
            from ckmeans import dask

            return dask.predict(X, self)
        rows = self._rows(X)
        return nearest_labels(rows, self._computed_centroids(rows))

    @overload
    def transform(self, X: valid.Dask) -> DaskArray: ...
    @overload
    def transform(self, X: Any, out: np.ndarray | None = None) -> NDArray[np.float64]: ...
    def transform(self, X: Any, out: np.ndarray | None = None) -> Any:
        """Euclidean distance of each row to every centroid, shape (n, k), float64.

        They are written to `out`, where it is given: for a million rows of few columns, fresh
        memory takes as long as the distances do.
        """
        if valid.is_dask(X):
            from ckmeans import dask

            if out is not None:
                raise TypeError("out must be None for a Dask array, which is computed later")
            return dask.transform(X, self)
        rows = self._rows(X)
        return transformed(rows, self._computed_centroids(rows), out=out)

    @overload
    def distances(self, X: valid.Dask) -> DaskArray: ...
    @overload
    def distances(self, X: Any) -> NDArray[np.float64]: ...
    def distances(self, X: Any) -> Any:
        """Euclidean distance of each row to its nearest centroid, shape (n,), float64.

        The anomaly score: large for rows unlike every cluster.
        """
        if valid.is_dask(X):
            from ckmeans import dask

            return dask.distances(X, self)
        rows = self._rows(X)
        centroids = self._computed_centroids(rows)
        squares = own_distances2(rows, centroids, nearest_labels(rows, centroids))
        return np.sqrt(squares, out=squares)

    def sorted(self, by: Literal["size", "position"] = "size") -> KMeansResult:
        """The same clustering with its labels in a canonical order.

        Parameters
        ----------
        by : {"size", "position"}
            Largest cluster first (ties by position), or by the centroids' coordinates, the
            first column first.

        Returns
        -------
        KMeansResult
        """
        if not isinstance(by, str) or by not in ("size", "position"):
            raise ValueError(f'by must be "size" or "position", got {by!r}')
        keys = list(self.centroids.T[::-1])
        if by == "size":
            keys.append(-self.sizes)
        order = np.lexsort(keys)
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        labels: Any = self.labels
        lazy = valid.is_dask(labels)
        return replace(
            self,
            centroids=self.centroids[order],
            labels=labels.map_blocks(rank.take) if lazy else rank[labels],
            sizes=self.sizes[order],
            cluster_inertias=self.cluster_inertias[order],
        )

    def plot(self, X: Any, ax: Axes | None = None, *, cells: bool = True) -> Axes:
        """Draw the rows in their clusters' colours, centroids as stars.

        One column gives a histogram with cut points, two the plane (tinted by nearest centroid
        unless ``cells=False``), three a 3-D view, more the first two principal components. Where
        the metric is cosine, rows are drawn at length 1, as they are compared.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, d)
            The rows to draw.
        ax : matplotlib Axes, optional
            Where to draw; a new figure is made without it.
        cells : bool
            Whether to tint the centroids' Voronoi cells, for two columns.

        Returns
        -------
        ax : matplotlib Axes
            The figure is not shown.
        """
        from ckmeans.plotting import plot_clusters

        return plot_clusters(self, X, ax, cells=cells)

    def _rows(self, X: Any) -> Any:
        n_threads, d = valid.threads(None), self.centroids.shape[1]
        rows = valid.finite_rows(X, None, n_threads, self.metric, d)
        if self.scale is None:
            return rows
        rows = rows.scaled(self.offset, self.scale)
        if self.scale.min() < 1:  # or no number grows
            valid.check_standardised(rows)
        return rows

    def _computed_centroids(self, rows: Any) -> np.ndarray:
        # Directions have length 1: to divide them again would change last digits.
        centroids = self.centroids if self.metric == "cosine" else rows.computed(self.centroids)
        return np.ascontiguousarray(centroids, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class ElbowResult:
    """The curve of inertia against k, and its knee.

    Attributes
    ----------
    ks : ndarray of shape (m,), int64
        The numbers of clusters, ascending.
    inertias : ndarray of shape (m,), float64
        Inertia at each k; never rises.
    knee : int or None
        The k of `ks` at the elbow of the curve.
    knee_reason : str or None
        Why there is no knee.
    results : tuple of KMeansResult
        One for each k.
    calinski_harabasz : ndarray of shape (m,), float64
        Variance between the clusters over that within at each k, large for compact clusters far
        apart (Calinski & Harabasz 1974); NaN at k = 1 and at k = n, infinite where the inertia
        is 0.
    """

    ks: NDArray[np.int64]
    inertias: NDArray[np.float64]
    knee: int | None
    knee_reason: str | None
    results: tuple[KMeansResult, ...]
    calinski_harabasz: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"ElbowResult(ks={self.ks.tolist()}, knee={self.knee})"

    def _repr_html_(self) -> str:
        from ckmeans._html import elbow_table

        return elbow_table(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw inertia against k with the knee marked; returns the Axes."""
        from ckmeans.plotting import plot_elbow

        return plot_elbow(self, ax)
