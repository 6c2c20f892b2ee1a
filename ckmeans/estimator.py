"""The estimator, by scikit-learn's conventions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, overload

import numpy as np

from ckmeans import _validation as valid
from ckmeans._iterate import Progress
from ckmeans._kmeans import kmeans
from ckmeans._results import KMeansResult, nearest_labels, own_distances2, transformed
from ckmeans._sklearn import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    ConvergenceWarning,
    Interval,
    StrOptions,
    TransformerMixin,
    check_is_fitted,
    check_random_state,
    validate_data,
    validate_parameter_constraints,
)

if TYPE_CHECKING:
    from dask.array import Array as DaskArray
    from numpy.typing import NDArray

# Names of scikit-learn for what is another way to the same labels here.
ALGORITHMS = {"auto": "auto", "lloyd": "lloyd", "elkan": "auto", "hamerly": "hamerly"}
ORDERED = 1 << 18  # elements, zeros too, of rows that are sorted before starts are drawn

# What parameters may be, in scikit-learn's terms.
COUNT = Interval(Integral, 1, None, closed="left")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")


class CentroidEstimator(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """What is asked of centroids once they are found."""

    n_clusters: int
    init: Any
    n_init: int | str
    n_threads: int | None
    metric: str = "euclidean"
    cluster_centers_: NDArray[Any]
    labels_: NDArray[np.int32]
    # scikit-learn makes these, to route sample_weight.
    set_fit_request: Callable[..., Self]
    set_score_request: Callable[..., Self]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [COUNT],
        "init": [StrOptions({"k-means++", "random"}), callable, "array-like"],
        "n_init": [StrOptions({"auto"}), COUNT],
        "max_iter": [COUNT],
        "tol": [NOT_NEGATIVE],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "n_threads": [COUNT, None],
    }

    def _check_parameters(self) -> None:
        # 24 us; self._validate_params() of scikit-learn takes as long again to find their names.
        validate_parameter_constraints(
            self._parameter_constraints, vars(self), type(self).__name__
        )

    def _clusters(self, n: int) -> int:
        k = valid.integer(self.n_clusters, "n_clusters", 1)
        if n < k:
            raise ValueError(f"n_samples={n} should be >= n_clusters={k}.")
        return k

    def _n_starts(self, by_chance: int) -> int:
        """How many starts; "auto" stands for `by_chance` of random rows or a callable."""
        given = not isinstance(self.init, str) and not callable(self.init)
        if isinstance(self.n_init, str):
            one = given or (isinstance(self.init, str) and self.init == "k-means++")
            return 1 if one else by_chance
        if given and self.n_init > 1:
            warnings.warn(
                "Explicit initial center position passed: performing only one init in "
                f"{type(self).__name__} instead of n_init={self.n_init}.",
                RuntimeWarning,
                stacklevel=valid.callers_level(),
            )
        return 1 if given else self.n_init

    def _keep(self, centroids: np.ndarray, dtype: Any) -> None:
        self._exact_centers = centroids
        self.cluster_centers_ = centroids.astype(dtype)
        self._n_features_out = len(centroids)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find centroids of the rows of X."""
        raise NotImplementedError

    @overload
    def fit_predict(
        self, X: valid.Dask, y: Any = None, sample_weight: Any = None
    ) -> DaskArray: ...
    @overload
    def fit_predict(
        self, X: Any, y: Any = None, sample_weight: Any = None
    ) -> NDArray[np.int32]: ...
    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Cluster the rows of X; returns their labels, shape (n_samples,), int32."""
        return self.fit(X, sample_weight=sample_weight).labels_

    @overload
    def fit_transform(
        self, X: valid.Dask, y: Any = None, sample_weight: Any = None
    ) -> DaskArray: ...
    @overload
    def fit_transform(
        self, X: Any, y: Any = None, sample_weight: Any = None
    ) -> NDArray[Any]: ...
    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Cluster the rows of X; returns their distances to the centroids, as transform()."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    @overload
    def predict(self, X: valid.Dask) -> DaskArray: ...
    @overload
    def predict(self, X: Any) -> NDArray[np.int32]: ...
    def predict(self, X: Any) -> Any:
        """Label of each row, shape (n_samples,), int32: the index of the nearest centroid, but of
        `BisectingKMeans` the cluster by the splits of the fit."""
        if valid.is_dask(X):
            from ckmeans import dask

            model = dask.Model.of(self._lazy_centroids(X))
            return model.over(dask.Blocks(X), self._labelling(1), np.int32)
        rows = self._rows(X)
        return self._labelling(self.n_threads)(rows, self._centroids())

    def _labelling(self, n_threads: int | None) -> Callable[[Any, np.ndarray], np.ndarray]:
        """What finds the labels of rows by centroids."""
        return partial(nearest_labels, n_threads=n_threads)

    @overload
    def transform(self, X: valid.Dask) -> DaskArray: ...
    @overload
    def transform(self, X: Any) -> NDArray[Any]: ...
    def transform(self, X: Any) -> Any:
        """Euclidean distance of each row to every centroid, shape (n_samples, n_clusters)."""
        if valid.is_dask(X):
            from ckmeans import dask

            return dask.transform(X, self._lazy_centroids(X))
        rows = self._rows(X)
        distances = transformed(rows, self._centroids(), n_threads=self.n_threads)
        return distances.astype(dtype_like(rows.X), copy=False)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the weighted sum of the rows' squared distances to their nearest centroids."""
        if valid.is_dask(X):
            from ckmeans import dask

            if isinstance(sample_weight, Real):
                sample_weight = dask.constant(X, sample_weight)
            return -dask.inertia(X, self._lazy_centroids(X), sample_weight)
        rows, centroids = self._rows(X), self._centroids()
        weight = as_weights(sample_weight, rows.n)
        valid.check_weighted(rows, weight)
        labels = nearest_labels(rows, centroids, self.n_threads)
        squares = own_distances2(rows, centroids, labels, n_threads=self.n_threads)
        return -float(squares.sum() if weight is None else squares @ weight)

    def _lazy_centroids(self, X: valid.Dask) -> np.ndarray:
        """Centroids for rows from Dask, which are not divided by their norms."""
        check_is_fitted(self)
        if self.metric != "euclidean":
            raise ValueError(f"metric must not be {self.metric!r} where X is from Dask")
        self._check_lazy_columns(X, reset=False)
        return self._centroids()

    def _check_lazy_columns(self, X: valid.Dask, reset: bool) -> None:
        """Note or compare the number and names of the columns of X."""
        from ckmeans import dask

        validate_data(self, dask.without_rows(X), reset=reset, skip_check_array=True)

    def _rows(self, X: Any) -> Any:
        check_is_fitted(self)
        return self._finite_rows(self._checked(X, reset=False))

    def _finite_rows(self, X: Any) -> Any:
        n_threads = valid.threads(self.n_threads)
        return valid.finite_rows(X, n_threads=n_threads, metric=self.metric)

    def _checked(self, X: Any, reset: bool) -> Any:
        """X as an array or CSR matrix, its feature names and columns noted or compared.

        That its values are finite is checked once, where they are computed with.
        """
        if valid.is_dask(X):
            X = X.compute()  # a frame has names then
        valid.refuse_masked(X, "X")  # scikit-learn would take what lies under the mask
        return validate_data(
            self, X, reset=reset, accept_sparse="csr", dtype="numeric", ensure_all_finite=False
        )

    def _centroids(self) -> np.ndarray:
        """In float64: as they were before they were rounded, unless they have been replaced."""
        exact, centers = getattr(self, "_exact_centers", None), self.cluster_centers_
        if exact is None or not np.array_equal(exact.astype(centers.dtype), centers):
            exact = centers
        return np.ascontiguousarray(exact, dtype=np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class KMeans(CentroidEstimator):
    """k-means as a scikit-learn estimator: the parameters and attributes of its KMeans.

    Parameters
    ----------
    n_clusters : int
        Number of clusters.
    init : {"k-means++", "random"}, array_like of shape (n_clusters, n_features) or callable
        Greedy k-means++, distinct rows, the starting centroids, or a function of
        ``(X, n_clusters, random_state)`` that returns them.
    n_init : "auto" or int
        Starts, of which the best is kept; "auto" is 1 for k-means++ and an array, else 10.
    max_iter : int
        Most iterations of a run.
    tol : float
        A run also stops when the centroids' summed squared shift is at most ``tol`` times the mean
        of the columns' variances.
    verbose : int
        Whether to print the inertia of each iteration.
    random_state : int, RandomState or None
        An int gives the same result at every fit.
    copy_x : bool
        Has no effect: X is never written to, and at most 2^18 elements of it are copied, or short
        rows rounded to 16 bits.
    algorithm : {"auto", "lloyd", "elkan", "hamerly"}
        Exact methods, with the same labels. "elkan" is taken for "auto".
    n_threads : int, optional
        Threads to use at most; the CPUs of this process for None.
    refine : {None, "swap"}
        "swap" moves centroids out of local minima, as for `ckmeans.kmeans`.
    metric : {"euclidean", "cosine"}
        "cosine" clusters the directions of the rows, as for `ckmeans.kmeans`.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Means of the clusters; float32 for such X, else float64.
    labels_ : ndarray of shape (n_samples,), int32
        Index of each row's nearest centroid.
    inertia_ : float
        Weighted sum of squared distances to the nearest centroid.
    n_iter_ : int
        Iterations of the best run.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X has some.

    See Also
    --------
    ckmeans.kmeans : The function, with references.

    Notes
    -----
    Integer weights are equivalent to repeated rows, in the objective, the means and the law of the
    starts. Up to 2^18 elements of X, k-means++ draws from the rows sorted by their first column,
    ties by the next ones: then a random state also draws the same, for them and in whatever order
    the rows come, unless `refine` goes on drawing.

    Examples
    --------
    >>> from ckmeans import KMeans
    >>> from ckmeans.datasets import xclara
    >>> model = KMeans(3, random_state=0).fit(xclara())
    >>> round(model.inertia_, 2)
    611605.88
    """

    labels_: NDArray[np.int32]
    inertia_: float
    n_iter_: int
    n_features_in_: int

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CentroidEstimator._parameter_constraints,
        "copy_x": ["boolean"],
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "refine": [StrOptions({"swap"}), None],
        "metric": [StrOptions({"euclidean", "cosine"})],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: int | Literal["auto"] = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Any = None,
        copy_x: bool = True,
        algorithm: Literal["auto", "lloyd", "elkan", "hamerly"] = "auto",
        n_threads: int | None = None,
        refine: Literal["swap"] | None = None,
        metric: Literal["euclidean", "cosine"] = "euclidean",
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.n_threads = n_threads
        self.refine = refine
        self.metric = metric

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Cluster the rows of X.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Rows, as `ckmeans.kmeans` takes them; or a Dask array or data frame, as
            `ckmeans.dask.kmeans` does, which then makes `labels_` a Dask array.
        y : None
            Not used.
        sample_weight : array_like of shape (n_samples,) or number, optional
            A row of weight 2 counts as the row twice.

        Returns
        -------
        KMeans
            Itself.

        Raises
        ------
        TypeError, ValueError
            A parameter or X of the wrong kind or value; for a parameter scikit-learn's
            InvalidParameterError, which is both.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            X has fewer distinct rows than n_clusters.
        """
        self._check_parameters()
        if valid.is_dask(X):
            return self._fit_dask(X, sample_weight)
        rows = self._checked(X, reset=True)
        k = self._clusters(rows.shape[0])
        weight = as_weights(sample_weight, rows.shape[0])
        order = self._order(rows, weight)
        if order is not None:
            rows, weight = rows[order], None if weight is None else weight[order]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", valid.ConvergenceWarning)
            best = self._best(rows, k, weight)
        for warning in caught:
            if not issubclass(warning.category, valid.ConvergenceWarning):
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
        if order is not None:
            labels = np.empty_like(best.labels)
            labels[order] = best.labels
            best = replace(best, labels=labels)
        return self._keep_result(best, dtype_like(rows))

    def _order(self, rows: Any, weight: np.ndarray | None) -> np.ndarray | None:
        """The order in which k-means++ draws from few rows; None for that in which they come."""
        size = rows.shape[0] * rows.shape[1]
        if not (isinstance(self.init, str) and self.init == "k-means++") or size > ORDERED:
            return None
        checked = valid.finite_rows(rows, metric=self.metric)  # these tell where a value is bad
        valid.check_weighted(checked, weight, 1)
        return order_of(rows)

    def _keep_result(self, best: KMeansResult, dtype: Any) -> Self:
        if not best.sizes.all():
            warnings.warn(
                f"Number of distinct clusters ({np.count_nonzero(best.sizes)}) found smaller than "
                f"n_clusters ({len(best.sizes)}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=valid.callers_level(),
            )
        self._keep(best.centroids, dtype)
        self.labels_ = best.labels
        self.inertia_ = best.inertia
        self.n_iter_ = best.n_iter
        return self

    def _fit_dask(self, X: Any, sample_weight: Any) -> Self:
        """The same over a Dask array or data frame; k-means|| stands in for k-means++."""
        from ckmeans import dask

        self._algorithm(self.n_clusters)
        refused = {
            "init": callable(self.init),
            "refine": self.refine is not None,
            "metric": self.metric != "euclidean",
        }
        for name, is_given in refused.items():
            if is_given:
                raise ValueError(f"{name} must not be {getattr(self, name)!r} where X is from Dask")
        if isinstance(sample_weight, Real):
            sample_weight = None if sample_weight == 1 else dask.constant(X, sample_weight)
        plus_plus = isinstance(self.init, str) and self.init == "k-means++"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", valid.ConvergenceWarning)
            best = dask.kmeans(
                X,
                valid.integer(self.n_clusters, "n_clusters", 1),
                int(check_random_state(self.random_state).randint(1 << 31)),
                init="k-means||" if plus_plus else self.init,
                n_init=self._n_starts(10),
                max_iter=self.max_iter,
                tol=self.tol,
                sample_weight=sample_weight,
                callback=report_briefly if self.verbose else None,
            )
        self._check_lazy_columns(X, reset=True)
        single = getattr(X, "dtype", None) == np.float32
        return self._keep_result(best, np.float32 if single else np.float64)

    def _best(self, rows: Any, k: int, weight: np.ndarray | None) -> KMeansResult:
        random_state = check_random_state(self.random_state)
        named = isinstance(self.init, str) or callable(self.init)
        return best_of(
            rows,
            k,
            random_state,
            init=self.init if named else given_centers(self.init, k, rows.shape[1]),
            n_init=self._n_starts(10),
            max_iter=self.max_iter,
            tol=self.tol,
            sample_weight=weight,
            algorithm=self._algorithm(k),
            n_threads=self.n_threads,
            refine=self.refine,
            metric=self.metric,
            callback=reporter(rows, self.tol, self.metric) if self.verbose else None,
        )

    def _algorithm(self, k: int) -> str:
        if self.algorithm == "elkan" and k == 1:
            warnings.warn(
                "algorithm='elkan' doesn't make sense for a single cluster. Using 'lloyd' instead.",
                RuntimeWarning,
                stacklevel=valid.callers_level(),
            )
        return ALGORITHMS[self.algorithm]


def best_of(
    rows: Any, k: int, random_state: Any, *, init: Any, n_init: int, **options: Any
) -> KMeansResult:
    """The result of least inertia of n_init starts; a callable `init` makes each of them."""
    seed = int(random_state.randint(1 << 31))
    if not callable(init):
        return kmeans(rows, k, seed, init=init, n_init=n_init, **options)
    starts = (init(rows, k, random_state=random_state) for _ in range(n_init))
    results = (
        kmeans(rows, k, seed, init=given_centers(start, k, rows.shape[1]), **options)
        for start in starts
    )
    return min(results, key=lambda result: result.inertia)  # of which two at once take memory


def given_centers(init: Any, k: int, d: int) -> np.ndarray:
    """Starting centroids of the right shape."""
    centers = valid.as_matrix(init, "init")
    if len(centers) != k:
        raise ValueError(
            f"The shape of the initial centers {centers.shape} does not match the number of "
            f"clusters {k}."
        )
    if centers.shape[1] != d:
        raise ValueError(
            f"The shape of the initial centers {centers.shape} does not match the number of "
            f"features of the data {d}."
        )
    return centers


def order_of(rows: Any) -> np.ndarray:
    """Indices of the rows by their first column, ties by the next ones, equal rows in turn.

    Rounding and scaling by a positive number keep the order, but for ties that they make.
    """
    from ckmeans._distinct import sort_ties

    dense = rows.toarray() if valid.is_sparse(rows) else rows
    X = np.ascontiguousarray(dense, dtype=np.float64)
    order = np.argsort(X[:, 0]).astype(np.int64, copy=False)
    sort_ties(X, order)
    return order


def report_briefly(progress: Progress) -> None:
    print(f"Iteration {progress.iteration - 1}, inertia {progress.inertia:.6g}.")


def reporter(rows: Any, tol: float, metric: str) -> Callable[[Progress], None]:
    """What prints a line for each iteration."""
    least = tol * valid.finite_rows(rows, metric=metric).mean_variance()

    def report(progress: Progress) -> None:
        n_done, shift = progress.iteration - 1, progress.centroid_shift
        if not n_done:
            print("Initialization complete")
        print(f"Iteration {n_done}, inertia {progress.inertia:.6g}.")
        if not progress.rows_changed:
            print(f"Converged at iteration {n_done}: strict convergence.")
        elif shift <= least:
            print(
                f"Converged at iteration {n_done}: center shift {shift:.3g} within tolerance "
                f"{least:.3g}."
            )

    return report


def dtype_like(rows: Any) -> Any:
    """float32 for such rows, else float64."""
    return np.float32 if rows.dtype == np.float32 else np.float64


def as_weights(sample_weight: Any, n: int) -> np.ndarray | None:
    """Weights of n rows; a number stands for that of each."""
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n, sample_weight, dtype=np.float64)
    return valid.weights(sample_weight, n)
