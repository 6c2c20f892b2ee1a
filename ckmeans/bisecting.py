"""Bisecting k-means: clusters are split in two, one after another."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from ckmeans import _validation as valid
from ckmeans._results import nearest_labels
from ckmeans._sklearn import ConvergenceWarning, StrOptions, check_random_state
from ckmeans.estimator import (
    ALGORITHMS,
    COUNT,
    CentroidEstimator,
    as_weights,
    best_of,
    dtype_like,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRATEGIES = {"biggest_inertia": "inertia", "largest_cluster": "size"}


@dataclass(eq=False)
class _Cluster:
    """A node of the tree; a leaf until it is split, which then holds no rows."""

    rows: np.ndarray
    centroid: np.ndarray
    inertia: float
    size: int
    halves: tuple[int, int] | None = None
    label: int = -1


class BisectingKMeans(CentroidEstimator):
    """Bisecting k-means: the parameters and attributes of scikit-learn's BisectingKMeans.

    All rows are one cluster first; then the worst cluster is split in two by k-means, until there
    are `n_clusters` [1]_.

    Parameters
    ----------
    n_clusters : int
        Number of clusters.
    init : {"random", "k-means++"} or callable
        How a split starts; a function of ``(X, n_clusters, random_state)`` returns the two starting
        centroids of the rows X that are split, of which ``n_clusters`` is 2.
    n_init : int
        Starts of a split, of which the best is kept.
    random_state : int, RandomState or None
        An int gives the same result at every fit.
    max_iter : int
        Most iterations of a split.
    verbose : int
        Whether to print the inertia after each split.
    tol : float
        As for `KMeans`.
    copy_x : bool
        Has no effect: X is never written to.
    algorithm : {"lloyd", "auto", "elkan", "hamerly"}
        As for `KMeans`.
    bisecting_strategy : {"biggest_inertia", "largest_cluster"}
        Which cluster is split next.
    n_threads : int, optional
        Threads to use at most; the CPUs of this process for None.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Means of the clusters.
    labels_ : ndarray of shape (n_samples,), int32
        The cluster of each row: by the splits, as `predict` tells it too, so not always that of the
        nearest centroid.
    inertia_ : float
        Weighted sum of squared distances to the own centroid.
    n_features_in_, feature_names_in_
        Columns of X and their names.

    References
    ----------
    .. [1] M. Steinbach, G. Karypis and V. Kumar, "A comparison of document clustering techniques",
       KDD Workshop on Text Mining 2000.

    Examples
    --------
    >>> from ckmeans import BisectingKMeans
    >>> from ckmeans.datasets import xclara
    >>> model = BisectingKMeans(3, random_state=0).fit(xclara())
    >>> sorted(model.cluster_centers_[:, 0].round(1).tolist())
    [9.5, 39.8, 69.9]
    """

    n_init: int
    labels_: NDArray[np.int32]
    inertia_: float

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CentroidEstimator._parameter_constraints,
        "init": [StrOptions({"k-means++", "random"}), callable],
        "n_init": [COUNT],
        "copy_x": ["boolean"],
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "bisecting_strategy": [StrOptions(set(STRATEGIES))],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Literal["random", "k-means++"] | Callable[..., Any] = "random",
        n_init: int = 1,
        random_state: Any = None,
        max_iter: int = 300,
        verbose: int = 0,
        tol: float = 1e-4,
        copy_x: bool = True,
        algorithm: Literal["lloyd", "auto", "elkan", "hamerly"] = "lloyd",
        bisecting_strategy: Literal["biggest_inertia", "largest_cluster"] = "biggest_inertia",
        n_threads: int | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.random_state = random_state
        self.max_iter = max_iter
        self.verbose = verbose
        self.tol = tol
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.bisecting_strategy = bisecting_strategy
        self.n_threads = n_threads

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Cluster the rows of X, (n_samples, n_features), dense or sparse."""
        self._check_parameters()
        rows = self._checked(X, reset=True)
        n = rows.shape[0]
        k = self._clusters(n)
        weight = as_weights(sample_weight, n)
        random_state = check_random_state(self.random_state)
        worst = STRATEGIES[self.bisecting_strategy]
        nodes = self._clustered(rows, np.arange(n), weight, 1, random_state)
        leaves = nodes[:]  # from the first split's first half on
        while len(leaves) < k:
            # A cluster of equal rows cannot be split.
            divisible = [node for node in nodes if node.halves is None and node.inertia > 0]
            if not divisible:
                warnings.warn(
                    f"Number of distinct clusters ({len(leaves)}) found smaller than n_clusters "
                    f"({k}). Possibly due to duplicate points in X.",
                    ConvergenceWarning,
                    stacklevel=valid.callers_level(),
                )
                break
            split = max(divisible, key=lambda node: getattr(node, worst))
            two = self._clustered(rows, split.rows, weight, 2, random_state)
            if not (two[0].size and two[1].size):
                split.inertia = 0.0  # which was that of rounding
                continue
            split.halves, split.rows = (len(nodes), len(nodes) + 1), split.rows[:0]
            nodes += two
            place = leaves.index(split)
            leaves[place : place + 1] = two
            if self.verbose:
                inertia = sum(leaf.inertia for leaf in leaves)
                print(f"{len(leaves)} clusters, inertia {inertia:.6g}.")
        self._nodes = nodes
        self._keep(np.array([leaf.centroid for leaf in leaves]), dtype_like(rows))
        self.labels_ = np.empty(n, dtype=np.int32)
        for label, leaf in enumerate(leaves):
            self.labels_[leaf.rows] = leaf.label = label
            leaf.rows = leaf.rows[:0]
        self.inertia_ = float(sum(leaf.inertia for leaf in leaves))
        return self

    def _clustered(
        self, X: Any, rows: np.ndarray, weight: np.ndarray | None, k: int, random_state: Any
    ) -> list[_Cluster]:
        """The chosen rows in k clusters."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", valid.ConvergenceWarning)
            result = best_of(
                X if len(rows) == X.shape[0] else X[rows],
                k,
                random_state,
                init=self.init if k > 1 else "random",
                n_init=self.n_init,
                max_iter=self.max_iter,
                tol=self.tol,
                sample_weight=None if weight is None else weight[rows],
                algorithm=ALGORITHMS[self.algorithm],
                n_threads=self.n_threads,
            )
        members = [rows[result.labels == j] for j in range(k)]
        inertias, sizes = result.cluster_inertias.tolist(), result.sizes.tolist()
        return list(map(_Cluster, members, result.centroids, inertias, sizes))

    def _labelling(self, n_threads: int | None) -> Callable[[Any, np.ndarray], np.ndarray]:
        return partial(labels_by_splits, self._nodes, n_threads)


def labels_by_splits(
    nodes: list[_Cluster], n_threads: int | None, rows: Any, _: np.ndarray
) -> np.ndarray:
    """The cluster of each row by the splits of the fit, whatever centroid is the nearest."""
    labels = np.empty(rows.n, dtype=np.int32)
    stack = [(nodes[0], np.arange(rows.n))]
    while stack:
        node, members = stack.pop()
        if node.halves is None:
            labels[members] = node.label
            continue
        halves = [nodes[half] for half in node.halves]
        centroids = np.array([half.centroid for half in halves])
        if len(members):
            side = nearest_labels(rows.subset(members), centroids, n_threads)
            stack += [(half, members[side == j]) for j, half in enumerate(halves)]
    return labels
