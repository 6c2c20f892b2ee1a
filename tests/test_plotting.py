"""What the figures say; how they look was checked by eye."""

import sys

import numpy as np
import pytest

from ckmeans import elbow, kmeans
from ckmeans.datasets import xclara

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import matplotlib.style  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from ckmeans import plotting  # noqa: E402


@pytest.fixture
def ax():
    return Figure().add_subplot()


def stars(ax):
    """Centres of the star markers, in drawing order: scatters of one point each."""
    return np.vstack([c.get_offsets() for c in ax.collections if len(c.get_offsets()) == 1])


def test_two_columns_are_drawn_as_they_are(ax):
    X = xclara()
    result = kmeans(X, 3, 0)
    assert result.plot(X, ax) is ax
    np.testing.assert_allclose(stars(ax), result.centroids)
    points = max(ax.collections, key=lambda c: len(c.get_offsets()))
    np.testing.assert_array_equal(points.get_offsets(), X)
    colours = points.get_facecolors()[:, :3]
    for j in range(3):
        assert len(np.unique(colours[result.labels == j], axis=0)) == 1
    assert len(np.unique(colours, axis=0)) == 3


def test_one_column_shows_every_row_and_the_cut_points(ax):
    X = np.array([0.0, 1, 2, 10, 11, 12, 30, 31])[:, None]
    plotting.plot_clusters(kmeans(X, 3, 0), X, ax)
    cuts = sorted(line.get_xdata()[0] for line in ax.lines)
    assert cuts == [6.0, 20.75]  # halfway between the means 1, 11 and 30.5
    assert ax.dataLim.y1 >= 1
    assert ax.get_xlabel() == "column 0"


def test_three_columns_get_three_axes():
    X = np.random.default_rng(0).normal(size=(60, 3))
    ax = Figure().add_subplot(projection="3d")
    plotting.plot_clusters(kmeans(X, 2, 0), X, ax)
    assert ax.get_zlabel() == "column 2"


def test_many_columns_are_projected_and_say_so(ax):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6)) * [1, 1, 9, 1, 4, 1]
    plotting.plot_clusters(kmeans(X, 2, 0), X, ax)
    share = 81 / (81 + 16 + 4)  # of the first axis, had the sample its exact variances
    label = ax.get_xlabel()
    assert label.startswith("first principal component (")
    assert abs(int(label.split("(")[1].split("%")[0]) / 100 - share) < 0.05


def test_scaled_result_is_projected_in_scaled_columns(ax):
    X = np.random.default_rng(0).normal(size=(300, 5)) * [1, 1000, 1, 1, 1]
    plotting.plot_clusters(kmeans(X, 2, 0, scale="std"), X, ax)
    assert "scaled columns" in ax.get_xlabel()
    assert np.ptp(ax.get_xlim()) < 20  # the raw second column would span thousands


@pytest.mark.parametrize("d", (2, 4))
def test_cosine_draws_directions_and_says_so(ax, d):
    X = np.random.default_rng(0).normal(size=(300, d)) * 50
    result = kmeans(X, 3, 0, metric="cosine").plot(X, ax)
    assert "directions" in result.get_title(loc="left")
    points = max(ax.collections, key=lambda c: len(c.get_offsets())).get_offsets()
    lengths = np.linalg.norm(points, axis=1)
    assert np.allclose(lengths, 1) if d == 2 else lengths.max() < 2


def test_column_names_come_from_a_data_frame(ax):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"width": [0.0, 1, 9, 10], "height": [0.0, 1, 5, 6]})
    plotting.plot_clusters(kmeans(frame, 2, 0), frame, ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("width", "height")


def test_a_large_table_is_thinned_the_same_way_each_time():
    X = np.arange(100_000.0).reshape(50_000, 2)
    first, second = plotting._drawn_rows(X, 2), plotting._drawn_rows(X, 2)
    assert len(first) == plotting.DRAWN_ROWS
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first[:, 0])) == len(first)


@pytest.mark.parametrize("most", (200, 1000))
def test_sparse_rows_are_drawn_as_dense_ones(ax, most, monkeypatch):
    sparse = pytest.importorskip("scipy.sparse")
    monkeypatch.setattr(plotting, "DRAWN_ELEMENTS", 2 * most)
    X = np.where(xclara() > 20, xclara(), 0)[::6]
    kmeans(X, 3, 0).plot(sparse.csc_array(X), ax)
    points = max(ax.collections, key=lambda c: len(c.get_offsets())).get_offsets()
    assert len(points) == min(most, 500)
    assert {tuple(point) for point in points} <= {tuple(row) for row in X}


@pytest.mark.parametrize("k", [1, 7, 30])
def test_every_cluster_has_a_colour_of_its_own(k):
    assert len(np.unique(plotting._colours(k), axis=0)) == k


def test_wrong_columns_are_refused(ax):
    result = kmeans(xclara(), 3, 0)
    with pytest.raises(ValueError, match=r"X must have the 2 columns.*\(5, 3\)"):
        plotting.plot_clusters(result, np.zeros((5, 3)), ax)


def test_polar_axes_have_other_sides():
    ax = Figure().add_subplot(projection="polar")
    X = np.random.default_rng(0).random((30, 2))
    assert kmeans(X, 3, 0).plot(X, ax) is ax and elbow(X, 3, 0).plot(ax) is ax


def test_elbow_marks_the_knee(ax):
    curve = elbow(xclara(), [6, 1, 3, 2, 5, 4], 0, n_init=3)
    assert curve.plot(ax) is ax
    line = max(ax.lines, key=lambda line: len(line.get_xdata()))
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5, 6])
    assert (np.diff(line.get_ydata()) <= 0).all()
    assert [text.get_text() for text in ax.texts] == ["knee at k = 3"]


def test_elbow_without_a_knee_says_why(ax):
    curve = elbow(xclara(), [3], 0)
    assert curve.knee is None
    curve.plot(ax)
    (note,) = ax.texts
    assert note.get_text().replace("\n", " ") == f"no knee: {curve.knee_reason}"


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"ckmeans-lloyd\[plot\]"):
        plotting.plot_elbow(None)


def test_voronoi_cells_are_optional(ax):
    X = xclara()
    result = kmeans(X, 3, 0)
    result.plot(X, ax, cells=False)
    assert not ax.images
    result.plot(X, ax)
    (image,) = ax.images
    tints = np.unique(image.get_array().reshape(-1, 4), axis=0)
    assert len(tints) == 3 and (tints[:, 3] < 0.2).all()


def test_without_an_ax_a_figure_is_made_and_not_shown(monkeypatch):
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda *_, **__: pytest.fail("show() was called"))
    X = np.random.default_rng(0).normal(size=(60, 3))
    axes = [kmeans(X[:, :d], 2, 0).plot(X[:, :d]) for d in (1, 2, 3)] + [elbow(X, 3, 0).plot()]
    assert [a.name for a in axes] == ["rectilinear", "rectilinear", "3d", "rectilinear"]
    pyplot.close("all")


@pytest.mark.parametrize(("style", "shade"), [("default", "black"), ("dark_background", "white")])
def test_text_and_cuts_are_seen_on_the_styles_ground(style, shade):
    with matplotlib.style.context(style):
        drawn = [Figure().add_subplot() for _ in range(3)]
        curve, line = elbow(xclara(), [3], 0), xclara()[:, :1]
        curve.plot(drawn[0])
        curve.results[0].plot(xclara(), drawn[1])
        kmeans(line, 2, 0).plot(line, drawn[2])
    for ax in drawn:
        texts = [ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *ax.texts, ax._left_title]
        texts += ax.get_legend().get_texts() if ax.get_legend() else []
        assert {text.get_color() for text in texts} == {shade}
    (cut,) = drawn[2].lines
    assert cut.get_color() == shade
