"""k-means over small batches, for streams and for more rows than one wants to read often."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from ckmeans import _validation as valid
from ckmeans._generators import drawn_rows
from ckmeans._results import nearest_labels, own_distances2
from ckmeans._sklearn import Interval, check_random_state
from ckmeans._starts import starting_rows
from ckmeans.estimator import (
    COUNT,
    NOT_NEGATIVE,
    CentroidEstimator,
    as_weights,
    dtype_like,
    given_centers,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

REASSIGN_EVERY = 10  # rows seen for each cluster between two looks at clusters that get few


class MiniBatchKMeans(CentroidEstimator):
    """Mini-batch k-means: the parameters and attributes of scikit-learn's MiniBatchKMeans.

    Each step assigns a batch of rows and moves every centroid to the mean of all rows that it has
    been given so far [1]_. Centroids that get few rows are moved onto rows of the batch.

    Parameters
    ----------
    n_clusters : int
        Number of clusters.
    init : {"k-means++", "random"}, array_like of shape (n_clusters, n_features) or callable
        As for `KMeans`; chosen among `init_size` rows.
    max_iter : int
        Most passes over X in `fit`.
    batch_size : int
        Rows of a batch.
    verbose : int
        Whether to print the inertia of each start and batch, and when centroids are moved.
    compute_labels : bool
        Whether rows are assigned once more at the end: all of them by `fit`, the batch by
        `partial_fit`. Else there are no `labels_`; `fit` estimates the inertia.
    random_state : int, RandomState or None
        An int gives the same result at every fit.
    tol : float
        `fit` also stops when a step shifts the centroids by a summed square of at most ``tol``
        times the mean of the columns' variances, unless 0.
    max_no_improvement : int or None
        `fit` also stops after so many steps in turn that did not lower the smoothed inertia.
    init_size : int, optional
        Rows among which to look for starts; by default 3 batches, and 3 n_clusters at least.
    n_init : "auto" or int
        Starts, of which the best on `init_size` rows is kept; "auto" is 3 for random and callable.
    reassignment_ratio : float
        A centroid with less than this share of the rows of the largest cluster is moved.
    n_threads : int, optional
        Threads to use at most; the CPUs of this process for None.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centroids; float32 if all rows so far were, else float64.
    labels_ : ndarray of shape (n_samples,), int32
        Index of each row's nearest centroid; of the last batch after `partial_fit`.
    inertia_ : float
        Weighted sum of squared distances to the nearest centroid.
    n_iter_ : int
        Passes over X, the last one counted whole.
    n_steps_ : int
        Batches so far.
    n_features_in_, feature_names_in_
        As for `KMeans`.

    References
    ----------
    .. [1] D. Sculley, "Web-scale k-means clustering", Proceedings of the 19th International
       Conference on World Wide Web (2010) 1177-1178.

    Examples
    --------
    >>> from ckmeans import MiniBatchKMeans
    >>> from ckmeans.datasets import xclara
    >>> model = MiniBatchKMeans(3, random_state=0)
    >>> for batch in xclara().reshape(3, 1000, 2)[:, ::2]:
    ...     model = model.partial_fit(batch)
    >>> model.n_steps_, model.cluster_centers_.shape
    (3, (3, 2))
    """

    labels_: NDArray[np.int32]
    inertia_: float
    n_iter_: int
    n_steps_: int
    set_partial_fit_request: Callable[..., Self]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CentroidEstimator._parameter_constraints,
        "batch_size": [COUNT],
        "compute_labels": ["boolean"],
        "max_no_improvement": [Interval(Integral, 0, None, closed="left"), None],
        "init_size": [COUNT, None],
        "reassignment_ratio": [NOT_NEGATIVE],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        max_iter: int = 100,
        batch_size: int = 1024,
        verbose: int = 0,
        compute_labels: bool = True,
        random_state: Any = None,
        tol: float = 0.0,
        max_no_improvement: int | None = 10,
        init_size: int | None = None,
        n_init: int | Literal["auto"] = "auto",
        reassignment_ratio: float = 0.01,
        n_threads: int | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.verbose = verbose
        self.compute_labels = compute_labels
        self.random_state = random_state
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.init_size = init_size
        self.n_init = n_init
        self.reassignment_ratio = reassignment_ratio
        self.n_threads = n_threads

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Cluster the rows of X, of which batches are drawn at random by their weights."""
        self._check_parameters()
        rows, weight = self._finite(X, sample_weight, reset=True)
        k, batch_size = self._clusters(rows.n), min(int(self.batch_size), rows.n)
        random_state = check_random_state(self.random_state)
        limit = valid.non_negative(self.tol, "tol")
        limit *= rows.mean_variance() if limit else 0.0
        self._random_state = random_state  # for partial_fit
        self._begin(rows, weight, k, random_state)
        total = float(rows.n if weight is None else weight.sum())
        draw = _drawing(rows.n, weight, random_state)
        most = int(self.max_iter) * rows.n // batch_size
        patience = _Patience(self.max_no_improvement, 2 * batch_size / (rows.n + 1))
        for step in range(most):
            before = self._exact_centers.copy()
            # Drawn by their weights, the rows of a batch count alike.
            inertia = self._step(rows.subset(draw(batch_size)), None, random_state)
            shift = np.square(self._exact_centers - before).sum()
            # The first batch tells of the start alone.
            reason, smoothed = "", ""
            if step:
                impatient = patience.ends(inertia)
                smoothed = f", ewa inertia: {patience.smoothed:.6g}"
                if 0 < limit >= shift:
                    reason = "small centers change"
                elif impatient:
                    reason = "lack of improvement in inertia"
            if self.verbose:
                print(
                    f"Minibatch step {step + 1}/{most}: mean batch inertia: {inertia:.6g}{smoothed}"
                )
            if reason and self.verbose:
                print(f"Converged ({reason}) at step {step + 1}/{most}")
            if reason:
                break
        self._keep(self._exact_centers, dtype_like(rows.X))
        self.n_iter_ = math.ceil(self.n_steps_ * batch_size / rows.n)
        if self.compute_labels:
            self._label(rows, weight)
        else:
            self.inertia_ = float(patience.smoothed * total)
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """One step with the rows of X as the batch; the first one also chooses the start."""
        first = not hasattr(self, "cluster_centers_")
        if first:
            self._check_parameters()
        rows, weight = self._finite(X, sample_weight, reset=first)
        if first:
            self._random_state = check_random_state(self.random_state)
            self._begin(rows, weight, self._clusters(rows.n), self._random_state)
        else:
            self._exact_centers = self._centroids().copy()  # which may have been replaced
        self._step(rows, weight, self._random_state)
        dtype = dtype_like(rows.X)
        self._keep(
            self._exact_centers,
            dtype if first else np.promote_types(dtype, self.cluster_centers_.dtype),
        )
        if self.compute_labels:
            self._label(rows, weight)
        return self

    def _finite(
        self, X: Any, sample_weight: Any, reset: bool
    ) -> tuple[Any, np.ndarray | None]:
        rows = self._finite_rows(self._checked(X, reset=reset))
        weight = as_weights(sample_weight, rows.n)
        valid.check_weighted(rows, weight)
        return rows, weight

    def _begin(
        self, rows: Any, weight: np.ndarray | None, k: int, random_state: Any
    ) -> None:
        """The best of n_init starts, by its inertia on some rows."""
        size = int(3 * int(self.batch_size) if self.init_size is None else self.init_size)
        if size < k:
            if self.init_size is not None:
                warnings.warn(
                    f"init_size={size} should be larger than n_clusters={k}. Setting it to "
                    "min(3*n_clusters, n_samples)",
                    RuntimeWarning,
                    stacklevel=valid.callers_level(),
                )
            size = 3 * k
        chosen = np.arange(rows.n)
        if size < rows.n:
            chosen = random_state.randint(rows.n, size=size)
        some, some_weight = rows.subset(chosen), None if weight is None else weight[chosen]
        if some_weight is not None and not some_weight.any():
            some_weight = None
        best, least = None, math.inf
        n_starts = self._n_starts(3)
        for number in range(n_starts):
            if self.verbose:
                method = self.init if isinstance(self.init, str) else "given centroids"
                print(f"Init {number + 1}/{n_starts} with method {method}")
            centers = self._start(some, some_weight, k, random_state)
            inertia = self._assigned(some, some_weight, centers)[1]
            if self.verbose:
                print(f"Inertia for init {number + 1}/{n_starts}: {inertia:.6g}")
            if best is None or inertia < least:
                best, least = centers, inertia
        assert best is not None
        self._exact_centers, self._counts, self.n_steps_ = best, np.zeros(k), 0
        self._n_since_reassigned = 0

    def _start(
        self, rows: Any, weight: np.ndarray | None, k: int, random_state: Any
    ) -> np.ndarray:
        if isinstance(self.init, str):
            rng = np.random.default_rng(int(random_state.randint(1 << 31)))
            return starting_rows(rows, k, rng, weight, self.init, 1).centroids
        init = self.init
        if callable(init):
            init = init(rows.X, k, random_state=random_state)
        centers: Any = valid.starting_centroids(given_centers(init, k, rows.d), k, rows.d)
        return centers

    def _step(
        self, batch: Any, weight: np.ndarray | None, random_state: Any
    ) -> float:
        """Assign a batch and move the centroids; returns the mean inertia before the moves."""
        centroids = self._exact_centers
        labels = nearest_labels(batch, centroids, self.n_threads)
        totals = batch.totals(centroids, weight, labels)
        mass = totals[:, -2]
        self._counts += mass
        moved = mass > 0
        centroids[moved] += totals[moved, :-2] / self._counts[moved, None]
        self.n_steps_ += 1
        self._n_since_reassigned += batch.n
        if self._n_since_reassigned >= REASSIGN_EVERY * len(centroids) or not self._counts.all():
            self._n_since_reassigned = 0
            self._reassign(batch, weight, random_state)
        return float(totals[:, -1].sum() / max(mass.sum(), 1e-300))

    def _reassign(self, batch: Any, weight: np.ndarray | None, random_state: Any) -> None:
        """Move centroids that got few rows onto rows of the batch that have a weight, at most half
        of them."""
        ratio = valid.non_negative(self.reassignment_ratio, "reassignment_ratio")
        there = np.arange(batch.n) if weight is None else np.flatnonzero(weight)
        few = np.flatnonzero(self._counts < ratio * self._counts.max())
        few = few[np.argsort(self._counts[few], kind="stable")][: len(there) // 2]
        if not len(few):
            return
        if self.verbose:
            print(f"[MiniBatchKMeans] Reassigning {len(few)} cluster centers.")
        chosen = there[random_state.choice(len(there), replace=False, size=len(few))]
        self._exact_centers[few] = batch[chosen]
        others = np.delete(self._counts, few)
        self._counts[few] = others.min() if len(others) else 0.0

    def _label(self, rows: Any, weight: np.ndarray | None) -> None:
        self.labels_, self.inertia_ = self._assigned(rows, weight, self._centroids())

    def _assigned(
        self, rows: Any, weight: np.ndarray | None, centroids: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Labels of rows, and their inertia."""
        labels = nearest_labels(rows, centroids, self.n_threads)
        squares = own_distances2(rows, centroids, labels, self.n_threads)
        return labels, float(squares.sum() if weight is None else squares @ weight)


def _drawing(
    n: int, weight: np.ndarray | None, random_state: Any
) -> Callable[[int], np.ndarray]:
    """What draws so many of n rows, by their weights. Equal ones draw as none do."""
    if weight is None or (weight == weight[0]).all():
        return lambda size: random_state.randint(n, size=size)
    cumulative = np.cumsum(weight)
    return lambda size: drawn_rows(cumulative, random_state.random_sample(size))


class _Patience:
    """Ends the steps once the smoothed inertia has not fallen for some of them."""

    def __init__(self, most: int | None, share: float) -> None:
        self.most, self.share = most, min(1.0, share)
        self.smoothed, self.least, self.steps = math.nan, math.inf, 0

    def ends(self, inertia: float) -> bool:
        if math.isnan(self.smoothed):
            self.smoothed = inertia
        self.smoothed += self.share * (inertia - self.smoothed)
        if self.smoothed < self.least:
            self.least, self.steps = self.smoothed, 0
        else:
            self.steps += 1
        return self.most is not None and self.steps >= self.most
