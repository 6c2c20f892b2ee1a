"""Figures of results: clusters with their centroids, and inertia against k."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ckmeans import _validation as valid
from ckmeans._rows import directions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ckmeans import ElbowResult, KMeansResult

# Okabe and Ito's colours, which stay apart in all common kinds of colour blindness; their yellow
# and black are left out: one is faint on white, the other is kept for the centroids' outlines.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
INK = "#2B2B2B"  # of outlines; text has the colour of the style in use, which may be a dark one
FAINT = "#9A9A9A"

DRAWN_ELEMENTS = 1 << 22  # of sparse rows, which are made dense
DRAWN_ROWS = 20_000  # more points than this only darken the figure and slow the drawing
PCA_ROWS = 2_000  # enough for two axes to look at; keeps the SVD short when d is large
LEGEND_CLUSTERS = 10  # beyond this a legend covers more than it tells
LEGEND: dict[str, Any] = {"framealpha": 0.75, "edgecolor": "none"}  # readable over points


def plot_clusters(
    result: KMeansResult, X: Any, ax: Axes | None = None, *, cells: bool = True
) -> Axes:
    """Draw the rows of X in their clusters' colours, and the centroids as stars.

    One column gives a histogram with the cut points between clusters, two columns the plane, three
    a 3-D view, and more the first two principal components. At most 20 000 rows are drawn, chosen
    the same way each time; where the metric is cosine, their directions.

    Parameters
    ----------
    result : KMeansResult
    X : array_like or sparse matrix of shape (n, d)
        The rows to draw: those that were clustered, or others with the same columns.
    ax : matplotlib Axes, optional
        Where to draw; a new figure is made without it. Three columns in an ``ax`` that is not 3-D
        are drawn by their principal components.
    cells : bool
        Whether to tint the plane by nearest centroid (Voronoi cells), for two columns.

    Returns
    -------
    ax : matplotlib Axes
        The figure is not shown: call ``matplotlib.pyplot.show()``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If X has not the columns of the centroids.
    """
    _require_matplotlib()
    d = result.centroids.shape[1]
    names = [str(name) for name in getattr(X, "columns", [])] or [f"column {j}" for j in range(d)]
    rows = _drawn_rows(X, d)
    labels = np.asarray(result.predict(rows))
    if result.metric == "cosine":
        rows = directions(rows, rows)
    colours = _colours(len(result.centroids))
    if ax is None:
        ax = _new_axes("3d" if d == 3 else None)

    if d == 1:
        _draw_histogram(ax, result, rows[:, 0], labels, colours)
        ax.set_xlabel(names[0])
        ax.set_ylabel("rows")
    elif d == 2:
        if cells:
            _draw_cells(ax, result, rows, colours)
        _draw_points(ax, result, rows, labels, result.centroids, colours)
        ax.set_xlabel(names[0])
        ax.set_ylabel(names[1])
    elif d == 3 and ax.name == "3d":
        _draw_points(ax, result, rows, labels, result.centroids, colours)
        ax.set_xlabel(names[0])
        ax.set_ylabel(names[1])
        space: Any = ax  # an Axes3D, which matplotlib leaves untyped
        space.set_zlabel(names[2])
    else:
        points, stars, shares = _principal_components(result, rows)
        _draw_points(ax, result, points, labels, stars, colours)
        of = ", scaled columns" if result.scale is not None else ""
        ax.set_xlabel(f"first principal component ({shares[0]:.0%} of variance{of})")
        ax.set_ylabel(f"second principal component ({shares[1]:.0%} of variance{of})")

    _dress(ax)
    of = " of directions (rows of length 1)" if result.metric == "cosine" else ""
    ax.set_title(f"k-means{of}, k = {len(result.centroids)}", loc="left", weight="bold")
    return ax


def plot_elbow(result: ElbowResult, ax: Axes | None = None) -> Axes:
    """Draw inertia against k, and mark the knee; where there is none, say why.

    Parameters
    ----------
    result : ElbowResult
    ax : matplotlib Axes, optional
        Where to draw; a new figure is made without it.

    Returns
    -------
    ax : matplotlib Axes
        The figure is not shown: call ``matplotlib.pyplot.show()``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    _require_matplotlib()
    from matplotlib.ticker import MaxNLocator

    if ax is None:
        ax = _new_axes()
    order = np.argsort(result.ks)
    ks = np.asarray(result.ks)[order]
    inertias = np.asarray(result.inertias, dtype=float)[order]

    line, mark = PALETTE[0], PALETTE[5]
    ax.fill_between(ks, inertias, color=line, alpha=0.07, linewidth=0)
    ax.plot(ks, inertias, "-o", color=line, linewidth=2.2, markersize=7, markeredgecolor="white")
    if result.knee is not None:
        at = inertias[np.flatnonzero(ks == result.knee)[0]]
        ax.plot([result.knee] * 2, [0, at], "--", color=mark, linewidth=1.4, zorder=1)
        ax.plot([result.knee], [at], "o", color=mark, markersize=13, markeredgecolor="white",
                markeredgewidth=2)
        ax.annotate(f"knee at k = {result.knee}", (result.knee, at), (16, 18),
                    textcoords="offset points", color=mark, weight="bold", size=12)
    else:
        from textwrap import fill

        ax.text(0.97, 0.95, fill(f"no knee: {result.knee_reason}", 44), ha="right", va="top",
                transform=ax.transAxes, style="italic")
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("number of clusters, k")
    ax.set_ylabel("inertia (sum of squared distances)")
    _dress(ax)
    ax.set_title("Elbow", loc="left", weight="bold")
    return ax


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'plots need matplotlib: pip install "ckmeans-lloyd[plot]"', name="matplotlib"
        ) from error


def _new_axes(projection: str | None = None) -> Any:
    from matplotlib import pyplot

    size = (7.6, 6.2) if projection == "3d" else (7.6, 5.2)
    figure = pyplot.figure(figsize=size, layout="constrained")
    return figure.add_subplot(projection=projection)


def _drawn_rows(X: Any, d: int) -> np.ndarray:
    """At most DRAWN_ROWS rows of X, dense or sparse, spread over all of it, in float64."""
    is_sparse, most = valid.is_sparse(X), DRAWN_ROWS
    if is_sparse:
        X, most = X.tocsr(), min(most, max(1, DRAWN_ELEMENTS // d))
    else:
        X = np.asarray(X)
    if X.ndim == 1 and d == 1:
        X = X[:, None]
    if X.ndim != 2 or X.shape[1] != d:
        raise ValueError(f"X must have the {d} columns of the centroids, got shape {X.shape}")
    n = X.shape[0]
    if n > most:
        # Not every m-th row: a periodic order in the data would show as a pattern.
        chosen = np.random.default_rng(0).choice(n, most, replace=False)
        X = X[np.sort(chosen)]
    return (X.toarray() if is_sparse else X).astype(np.float64)


def _colours(k: int) -> np.ndarray:
    """One RGBA colour a cluster, shape (k, 4)."""
    import matplotlib
    from matplotlib.colors import to_rgba_array

    if k <= len(PALETTE):
        return to_rgba_array(PALETTE[:k])
    return np.asarray(matplotlib.colormaps["turbo"](np.linspace(0.04, 0.96, k)))


def _principal_components(
    result: KMeansResult, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and centroids on the first two principal axes, and these axes' shares of the variance.

    A result in scaled columns is projected as it was clustered: in scaled columns.
    """
    centroids = np.asarray(result.centroids, dtype=np.float64)
    if result.scale is not None:
        rows, centroids = rows / result.scale, centroids / result.scale
    middle = rows.mean(axis=0)
    few = rows[:: max(1, -(-len(rows) // PCA_ROWS))] - middle
    _, singular, axes = np.linalg.svd(few, full_matrices=False)
    plane = np.zeros((2, rows.shape[1]))  # a single row has one axis only
    plane[: len(axes)] = axes[:2]
    # The sign of a singular vector is arbitrary: fix it, so that the figure repeats.
    largest = np.take_along_axis(plane, np.abs(plane).argmax(axis=1)[:, None], axis=1)
    plane *= np.where(largest < 0, -1.0, 1.0)
    variances = np.zeros(2)
    variances[: len(singular)] = singular[:2] ** 2
    shares = variances / max(float((singular**2).sum()), np.finfo(float).tiny)
    return (rows - middle) @ plane.T, (centroids - middle) @ plane.T, shares


def _draw_histogram(
    ax: Any, result: KMeansResult, values: np.ndarray, labels: np.ndarray, colours: np.ndarray
) -> None:
    centroids = np.asarray(result.centroids, dtype=np.float64)[:, 0]
    order = np.argsort(centroids)
    bins = np.histogram_bin_edges(values, bins=min(80, max(10, round(len(values) ** 0.5))))
    ax.hist(
        [values[labels == j] for j in order], bins, stacked=True, color=colours[order],
        label=[_name(result, j) for j in order], edgecolor="white", linewidth=0.4,
    )
    cuts = (centroids[order][1:] + centroids[order][:-1]) / 2
    for cut in cuts:
        ax.axvline(cut, color=ax.xaxis.label.get_color(), linestyle="--", linewidth=1)
    ax.scatter(
        centroids, np.zeros(len(centroids)), s=260, marker="*", c=colours, edgecolors=INK,
        linewidths=1.2, zorder=5, clip_on=False,
    )
    if len(centroids) <= LEGEND_CLUSTERS:
        ax.legend(**LEGEND)


def _draw_cells(
    ax: Any, result: KMeansResult, rows: np.ndarray, colours: np.ndarray
) -> None:
    """Tint the plane by nearest centroid: the borders at which a label changes."""
    everything = np.vstack([rows, result.centroids])
    low, high = everything.min(axis=0), everything.max(axis=0)
    margin = np.where(high > low, 0.05 * (high - low), 0.5)
    low, high = low - margin, high + margin
    side = 400
    x, y = (np.linspace(low[j], high[j], side) for j in (0, 1))
    grid = np.column_stack([np.tile(x, side), np.repeat(y, side)])
    grid[~grid.any(axis=1)] = 1e-300  # the origin has no direction
    tints = colours[np.asarray(result.predict(grid))].reshape(side, side, 4)
    tints[:, :, 3] = 0.10
    ax.imshow(
        tints, origin="lower", extent=(low[0], high[0], low[1], high[1]), aspect="auto",
        interpolation="bilinear", zorder=0,
    )


def _draw_points(
    ax: Any, result: KMeansResult, points: np.ndarray, labels: np.ndarray, stars: np.ndarray,
    colours: np.ndarray,
) -> None:
    """Points and stars in the plane or in space, after the number of their columns."""
    from matplotlib.patheffects import Normal, withStroke

    # Fewer points are drawn larger; the bounds keep a single point and 20 000 readable.
    size = float(np.clip(30_000 / max(len(points), 1), 3, 24))
    # One call in row order, not one a cluster: no cluster is painted over another.
    ax.scatter(*points.T, s=size, c=colours[labels], alpha=0.65, linewidths=0, rasterized=True)
    if ax.name == "3d":
        ax.computed_zorder = False  # else stars vanish behind the points around them
    flat = {"depthshade": False} if ax.name == "3d" else {}
    # A white halo parts the star from its own cluster's points.
    halo = [withStroke(linewidth=4.5, foreground="white"), Normal()]
    for j, star in enumerate(stars):
        ax.scatter(
            *([value] for value in star), s=300, marker="*", color=[colours[j]], edgecolors=INK,
            linewidths=1.3, label=_name(result, j), zorder=5, path_effects=halo, **flat,
        )
    if len(stars) <= LEGEND_CLUSTERS:
        ax.legend(**LEGEND, markerscale=0.6)


def _name(result: KMeansResult, j: int) -> str:
    return f"cluster {j}: {result.sizes[j]:,} rows"


def _dress(ax: Any) -> None:
    ax.tick_params(labelsize=9)
    if ax.name == "3d":
        return
    for side, spine in ax.spines.items():  # polar axes have others
        if side in ("top", "right"):
            spine.set_visible(False)
        elif side in ("left", "bottom"):
            spine.set_color(FAINT)
    ax.grid(color=FAINT, alpha=0.2, linewidth=0.7)
    ax.set_axisbelow(True)
