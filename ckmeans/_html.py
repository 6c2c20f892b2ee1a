"""Results as small tables, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from math import isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckmeans import Clusterability, ElbowResult, KMeansBatchResult, KMeansResult

SHOWN_ROWS = 20
SHOWN_COLUMNS = 6


def clusters_table(result: KMeansResult) -> str:
    """A line a cluster: its size, its part of the inertia, and its centroid's first columns."""
    k, d = result.centroids.shape
    columns = min(d, SHOWN_COLUMNS)
    ended = "converged" if result.converged else "stopped"
    caption = (
        f"k-means: k = {k}, {len(result.labels):,} rows, {d} columns; inertia "
        f"{result.inertia:.6g}; {ended} after {result.n_iter} iterations"
    )
    head = ["cluster", "rows", "inertia", *(f"centroid[{j}]" for j in range(columns))]
    lines = [
        [f"{j}", f"{result.sizes[j]:,}", f"{result.cluster_inertias[j]:.6g}"]
        + [f"{value:.6g}" for value in result.centroids[j, :columns]]
        for j in range(min(k, SHOWN_ROWS))
    ]
    left = [f"{k - len(lines)} more clusters"] if k > len(lines) else []
    left += [f"{d - columns} more columns"] if d > columns else []
    return table(caption, head, lines, " and ".join(left))


def batch_table(result: KMeansBatchResult) -> str:
    """A line a problem."""
    b, k, d = result.centroids.shape
    caption = f"k-means: {b:,} problems of k = {k}, {result.labels.shape[1]:,} rows, {d} columns"
    lines = [
        [f"{i}", f"{result.inertia[i]:.6g}", f"{result.n_iter[i]}", f"{result.converged[i]}"]
        for i in range(min(b, SHOWN_ROWS))
    ]
    left = f"{b - len(lines):,} more problems" if b > len(lines) else ""
    return table(caption, ["problem", "inertia", "iterations", "converged"], lines, left)


def elbow_table(result: ElbowResult) -> str:
    """A line for each k, the knee in bold."""
    if result.knee is None:
        caption = f"elbow: no knee: {result.knee_reason}"
    else:
        caption = f"elbow: knee at k = {result.knee}"
    every = zip(result.ks, result.inertias, result.calinski_harabasz, strict=True)
    lines = []
    for k, inertia, separation in list(every)[:SHOWN_ROWS]:
        cells = [f"{k}", f"{inertia:.6g}", "" if isnan(separation) else f"{separation:.6g}"]
        lines.append([bold(cell) for cell in cells] if k == result.knee else cells)
    left = f"{len(result.ks) - len(lines)} more k" if len(result.ks) > len(lines) else ""
    return table(caption, ["k", "inertia", "Calinski-Harabasz"], lines, left)


def clusterability_table(result: Clusterability) -> str:
    """One line."""
    line = [f"{result.statistic:.4g}", f"{result.p_value:.4g}", f"{result.n_sampled:,}"]
    return table(result.reason, ["Hopkins statistic", "p-value", "rows sampled"], [line], "")


def bold(cell: str) -> str:
    return f"<b>{cell}</b>"


def table(caption: str, head: Iterable[str], lines: Iterable[Iterable[str]], left: str) -> str:
    """Without colours or styles of its own, so that a notebook's light or dark theme applies."""
    titles = "".join(f"<th>{title}</th>" for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in line)}</tr>" for line in lines)
    rest = f"<p>and {left}</p>" if left else ""
    return (
        f"<div><p>{escape(caption)}</p><table><thead><tr>{titles}</tr></thead>"
        f"<tbody>{body}</tbody></table>{rest}</div>"
    )
