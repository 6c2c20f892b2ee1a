"""The ``ckmeans`` command: cluster the rows of a file from the shell.

From top to bottom: the four commands, reading a table, writing a file whole or not at all, what is
printed, the declaration of the arguments, and ``main``, which turns every error into one line.

click, rich, pyarrow and matplotlib belong to the ``cli`` extra. Each is imported where it is
needed, so that ``--help`` is quick and a missing one is an error that names the extra.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

INSTALL = 'pip install "ckmeans-lloyd[cli]"'
INTERRUPTED = 130  # 128 + SIGINT, as shells count
BROKEN_PIPE = 141  # 128 + SIGPIPE

TABLES = (".csv", ".tsv", ".npy", ".npz", ".parquet")
LABELS = (".csv", ".npy", ".parquet", ".txt")
FIGURES = (".png", ".svg", ".pdf")
MODELS = (".npz",)
MODEL_FORMAT = "ckmeans model 1"

SPREAD_RATIO = 100  # standard deviations further apart than this call for --scale
SHOWN_CLUSTERS = 50
WRITTEN = 1 << 20  # labels written at once
SHOWN_COLUMNS = 6
LONG_WORK = 1.0  # seconds before a progress bar appears


@dataclass(frozen=True)
class Table:
    """The rows to cluster; ``names`` is None where the file does not name its columns."""

    rows: np.ndarray
    names: list[str] | None

    @property
    def titles(self) -> list[str]:
        return self.names or [f"column {j}" for j in range(self.rows.shape[1])]


# The commands


def demo(out: str) -> None:
    """Cluster the bundled xclara data, find the knee, draw both."""
    from ckmeans import elbow, kmeans
    from ckmeans.datasets import xclara

    if not os.path.isdir(out):
        raise ValueError(f"--out: there is no folder {out}")
    clusters_out = writable(os.path.join(out, "xclara-clusters.png"), FIGURES, "--out")
    elbow_out = writable(os.path.join(out, "xclara-elbow.png"), FIGURES, "--out")
    table = Table(xclara(), ["V1", "V2"])

    started = time.perf_counter()
    result = kmeans(table.rows, 3, 0, n_init=5)
    seconds = time.perf_counter() - started
    result = result.sorted(by="position")
    print_clusters(result, table, seconds, "xclara: 3000 points, k = 3, best of 5 runs")

    started = time.perf_counter()
    curve = elbow(table.rows, range(1, 11), 0, n_init=5)
    print_elbow(curve, time.perf_counter() - started, "xclara: k = 1 to 10, best of 5 runs each")

    draw_clusters(clusters_out, result, table)
    draw_elbow(elbow_out, curve)
    say(f"Figures: {clusters_out} and {elbow_out}")


def fit(
    file: str, k: int, columns: str | None, array: str | None, header: bool | None, seed: int,
    n_init: int, refine: bool, scale: bool, max_iter: int, tol: float, threads: int | None,
    labels: str | None, model: str | None, plot: str | None, init: str | None, out_of_core: bool,
) -> None:
    """Cluster the rows of FILE into K clusters."""
    from ckmeans import kmeans

    outputs = writable_outputs(
        file, {"--labels": (labels, LABELS), "--model": (model, MODELS), "--plot": (plot, FIGURES)}
    )
    options: dict[str, Any] = {
        "n_init": n_init, "max_iter": max_iter, "tol": tol, "scale": "std" if scale else None,
        "n_threads": threads,
    }
    if init is not None:
        options["init"] = starting_centroids(init)
    if out_of_core:
        if refine or plot or array or header is not None:
            raise ValueError("--refine, --plot, --array and --header do not go with --out-of-core")
        table = streamed_table(file, column_list(columns))
    else:
        table = read_table(file, column_list(columns), array, header)
        hint_at_scale(table, scale)

    started = time.perf_counter()
    with progress_bar("k-means") as callback:
        if out_of_core:
            from ckmeans.out_of_core import kmeans as streamed

            names = column_list(columns)
            result = streamed(file, k, seed, columns=names, callback=callback, **options)
        else:
            options["refine"] = "swap" if refine else None
            result = kmeans(table.rows, k, seed, callback=callback, **options)
    print_clusters(result, table, time.perf_counter() - started, summary(file, table, f"k = {k}"))

    if "--labels" in outputs:
        write_labels(outputs["--labels"], result.labels)
    if "--model" in outputs:
        write_model(outputs["--model"], result, table.names)
    if "--plot" in outputs:
        draw_clusters(outputs["--plot"], result, table)
    say_written(outputs)


def streamed_table(file: str, columns: list[str] | None) -> Table:
    """The shape and the names of what is read a piece at a time."""
    from ckmeans._readers import reader_of

    if not os.path.isdir(file):
        suffix_of(file, (".npy", ".parquet"), "FILE with --out-of-core")
    reader = reader_of(file, columns)
    # One element stands for all.
    return Table(np.broadcast_to(reader.dtype.type(0), (reader.n, reader.d)), reader.names)


def starting_centroids(path: str) -> np.ndarray:
    """Those of a model, or the matrix of a .npy file."""
    if suffix_of(path, (".npy", *MODELS), "--init") == ".npy":
        with open(path, "rb") as file:
            return read_array(file, path, None)
    return read_model(path)[0].centroids


def elbow_of(
    file: str, ks: str, columns: str | None, array: str | None, header: bool | None, seed: int,
    n_init: int, refine: bool, scale: bool, max_iter: int, tol: float, threads: int | None,
    plot: str | None,
) -> None:
    """Inertia for each k, and the knee of the curve."""
    from ckmeans import elbow

    spans = k_spans(ks)
    outputs = writable_outputs(file, {"--plot": (plot, FIGURES)})
    table = read_table(file, column_list(columns), array, header)
    hint_at_scale(table, scale)
    n = len(table.rows)
    if max(last for _, last in spans) > n:
        raise ValueError(f"--ks must be between 1 and the number of rows ({n}), got {ks}")

    started = time.perf_counter()
    with progress_bar("elbow") as callback:
        curve = elbow(
            table.rows, sorted({k for first, last in spans for k in range(first, last + 1)}), seed,
            n_init=n_init, refine="swap" if refine else None, max_iter=max_iter, tol=tol,
            scale="std" if scale else None, n_threads=threads, callback=callback,
        )
    print_elbow(curve, time.perf_counter() - started, summary(file, table, f"k = {ks}"))
    if "--plot" in outputs:
        draw_elbow(outputs["--plot"], curve)
    say_written(outputs)


def predict(
    model: str, file: str, columns: str | None, array: str | None, header: bool | None,
    labels: str | None,
) -> None:
    """Label the rows of FILE with the clusters of MODEL."""
    outputs = writable_outputs(file, {"--labels": (labels, LABELS)}, also_read=model)
    result, names = read_model(model)
    table = read_table(file, column_list(columns) or names, array, header, named_by_model=names)
    d = result.centroids.shape[1]
    if table.rows.shape[1] != d:
        raise ValueError(
            f"{file} has {table.rows.shape[1]} columns, the model {model} was fitted on {d}"
        )
    if names and table.names and table.names != names:
        raise ValueError(
            f"--columns {', '.join(table.names)} are not the columns of the model {model}"
            f" ({', '.join(names)})"
        )
    found = result.predict(table.rows)
    if "--labels" in outputs:
        write_labels(outputs["--labels"], found)
        say_written(outputs)
    else:
        print(lines(found), end="")


# Reading


def read_table(
    path: str, columns: list[str] | None, array: str | None, header: bool | None,
    named_by_model: list[str] | None = None,
) -> Table:
    """The numeric columns of a file, or those asked for, checked for gaps.

    ``named_by_model``: the columns come from a model, so that a file without names is taken as it
    is and a missing column is blamed on the file.
    """
    suffix = suffix_of(path, TABLES, "FILE")
    if array is not None and suffix != ".npz":
        raise ValueError(f"--array is for .npz files, got {path}")
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise ValueError(f"{path} is empty")
        if suffix in (".npy", ".npz"):
            table = Table(read_array(file, path, array), None)
            if columns and columns != named_by_model:
                table = by_position(table, columns, path)
        else:
            read = read_parquet if suffix == ".parquet" else read_csv
            table = read(file, path, columns, header, named_by_model)
    if not table.rows.size:
        raise ValueError(f"{path} has no {'columns' if len(table.rows) else 'rows'}")
    return table


def read_array(file: IO[bytes], path: str, array: str | None) -> np.ndarray:
    """The matrix of a .npy or .npz file; pickled objects are refused, never loaded."""
    try:
        if path.lower().endswith(".npy"):
            X = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            with np.load(file, allow_pickle=False) as arrays:
                X = arrays[array_name(list(arrays.files), array, path)]
    except ArrayChoiceError:
        raise
    except Exception as error:  # zipfile, zlib, struct and NumPy each have their own
        raise ValueError(f"{path} is not a readable {path[-4:]} file: {why(error)}") from error
    if not isinstance(X, np.ndarray) or X.dtype.kind not in "buif":
        found = f"dtype {X.dtype}" if isinstance(X, np.ndarray) else "an archive of arrays"
        raise ValueError(f"{path} must hold numbers, got {found}")
    if X.ndim == 1:
        X = X[:, None]
    if X.ndim != 2:
        raise ValueError(f"{path} must hold a matrix (rows, columns), got shape {X.shape}")
    return X


class ArrayChoiceError(ValueError):
    """The .npz file is sound, but which of its arrays is meant is not."""


def array_name(names: list[str], asked: str | None, path: str) -> str:
    if asked is not None and asked not in names:
        raise ArrayChoiceError(f"{path} has no array '{asked}'; it holds {', '.join(names)}")
    if asked is None and len(names) != 1 and "X" not in names:
        raise ArrayChoiceError(
            f"{path} holds {len(names)} arrays ({', '.join(names)}): choose one with --array"
        )
    return asked or ("X" if "X" in names else names[0])


def by_position(table: Table, columns: list[str], path: str) -> Table:
    """Columns of an array are asked for by their position, counted from 0."""
    d = table.rows.shape[1]
    for name in columns:
        if not re.fullmatch(r"[0-9]{1,9}", name) or int(name) >= d:
            raise ValueError(
                f"--columns of {path}, which has no names, must be positions from 0 to {d - 1},"
                f" got '{name}'"
            )
    return Table(table.rows[:, [int(name) for name in columns]], None)


def read_csv(
    file: IO[bytes], path: str, columns: list[str] | None, header: bool | None,
    named_by_model: list[str] | None,
) -> Table:
    """A .csv or .tsv file through pyarrow; a first row of numbers is a row, not a header."""
    import pyarrow as pa
    from pyarrow import csv

    delimiter = "\t" if path.lower().endswith(".tsv") else ","
    first, first_lines = first_record(path, delimiter)
    if header is None:
        header = not all_numbers(first)
    names = first if header else [str(j) for j in range(len(first))]
    wanted = chosen_columns(names, None if not header and columns == named_by_model else columns,
                            path, named_by_model)
    try:
        table = csv.read_csv(
            file,
            csv.ReadOptions(
                # Positions as names: real names may repeat, or be empty.
                column_names=[str(j) for j in range(len(first))],
                skip_rows=first_lines if header else 0,
            ),
            # A blank line is nothing between wide rows, but an empty cell in a single column.
            csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=len(first) > 1
            ),
            csv.ConvertOptions(include_columns=[str(j) for j in wanted]),
        )
    except pa.ArrowException as error:
        raise ValueError(f"{path} is not a readable table: {why(error)}") from error
    if len(first) == 1:
        table = without_trailing_gaps(table)
    after = ", after the header" if header else ""
    rows = matrix(table, [names[j] for j in wanted], path, columns is not None, after)
    return Table(rows, [names[j] for j in wanted] if header else None)


def first_record(path: str, delimiter: str) -> tuple[list[str], int]:
    """The cells of the first line that is not blank, and how many lines end with it."""
    import csv

    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            records = csv.reader(file, delimiter=delimiter)
            cells = next((record for record in records if record), [])
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {why(error)}") from error
    except csv.Error as error:
        raise ValueError(f"{path} is not a readable table: {why(error)}") from error
    if not cells:
        raise ValueError(f"{path} has no rows")
    if any("\0" in cell for cell in cells):
        raise ValueError(f"{path} is not a text table: its first line holds NUL characters")
    return [cell.strip() for cell in cells], records.line_num


def all_numbers(cells: list[str]) -> bool:
    """Whether a first row is data: numbers, and perhaps empty cells between them."""
    filled = [cell for cell in cells if cell]
    try:
        for cell in filled:
            float(cell)
    except ValueError:
        return False
    return bool(filled)


def without_trailing_gaps(table: Any) -> Any:
    """Blank lines at the end of a one-column file are no cells."""
    present = np.flatnonzero(table.column(0).is_valid().to_numpy())
    return table.slice(0, int(present[-1]) + 1 if len(present) else 0)


def read_parquet(
    file: IO[bytes], path: str, columns: list[str] | None, header: bool | None,
    named_by_model: list[str] | None,
) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        source = parquet.ParquetFile(file)
        names = list(source.schema_arrow.names)
        # pandas keeps a row index under such names: not a measurement.
        data = [name for name in names if not re.fullmatch(r"__index_level_\d+__", name)]
        asked = columns if columns is not None else data
        wanted = chosen_columns(names, asked, path, named_by_model)
        table = source.read(columns=[names[j] for j in wanted]).select([names[j] for j in wanted])
    except pa.ArrowException as error:
        raise ValueError(f"{path} is not a readable .parquet file: {why(error)}") from error
    titles = [names[j] for j in wanted]
    return Table(matrix(table, titles, path, columns is not None, ""), titles)


def chosen_columns(
    names: list[str], asked: list[str] | None, path: str, named_by_model: list[str] | None
) -> list[int]:
    """Positions of the columns asked for, or of all."""
    if asked is None:
        return list(range(len(names)))
    for name in asked:
        if name not in names:
            of = " of the model" if asked == named_by_model else ""
            raise ValueError(
                f"{path} has no column '{name}'{of}; its columns are {', '.join(names)}"
            )
        if names.count(name) > 1:
            raise ValueError(f"{path} has {names.count(name)} columns named '{name}'")
    return [names.index(name) for name in asked]


def matrix(table: Any, names: list[str], path: str, asked: bool, after: str) -> np.ndarray:
    """The columns of an arrow table side by side: numbers, without gaps."""
    if not table.num_rows:
        raise ValueError(f"{path} has no rows")
    if not names:
        raise ValueError(f"{path} has no columns")
    advice = "" if asked else "; choose the numeric ones with --columns"
    return np.column_stack([
        without_gaps(numeric(column, f"{path}: column '{name}'", advice),
                     f"{path}: column '{name}'", after)
        for name, column in zip(names, table.columns, strict=True)
    ])


def numeric(column: Any, what: str, advice: str) -> Any:
    """An arrow column as it is if it holds numbers, and decimals as float64."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return column
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if pa.types.is_null(kind):
        raise ValueError(f"{what} is empty")
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary,
            pa.types.is_dictionary)
    found = "text" if any(is_kind(kind) for is_kind in text) else why(kind)
    raise ValueError(f"{what} holds {found}, not numbers{advice}")


def without_gaps(column: Any, what: str, after: str) -> np.ndarray:
    """The values of an arrow column, of which none may be missing."""
    if column.null_count:
        gaps, found = ~column.is_valid().to_numpy(), "empty or NaN"
    else:
        values = column.to_numpy()
        if values.dtype.kind != "f" or np.isfinite(values).all():
            return values
        gaps = ~np.isfinite(values)
        found = "NaN" if np.isnan(values[gaps][0]) else "infinite"
    raise ValueError(
        f"{what} is {found} at row {np.flatnonzero(gaps)[0] + 1} (counted from 1{after});"
        " drop or fill such rows"
    )


def read_model(path: str) -> tuple[Any, list[str] | None]:
    """A result as ``fit --model`` saved it, without its labels, and its columns' names."""
    from ckmeans import KMeansResult

    suffix_of(path, MODELS, "MODEL")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            fields = {name: saved[name] for name in saved.files}
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # zipfile, zlib, struct and NumPy each have their own
        raise ValueError(f"{path} is not a readable .npz file: {why(error)}") from error
    if str(fields.pop("format", None)) != MODEL_FORMAT:
        raise ValueError(f"{path} is not a model that ckmeans fit --model has written")
    try:
        names = [str(name) for name in fields.pop("columns")] or None
        model = KMeansResult(
            labels=np.empty(0, dtype=np.int32),
            inertia=float(fields.pop("inertia")),
            n_iter=int(fields.pop("n_iter")),
            converged=bool(fields.pop("converged")),
            **fields,
        )
        k, d = model.centroids.shape
        sound = k > 0 and model.centroids.dtype.kind == "f" and np.isfinite(model.centroids).all()
        sound = sound and (names is None or len(names) == d)
        if model.scale is not None and model.offset is not None:
            sound = sound and model.scale.shape == model.offset.shape == (d,)
            sound = sound and np.isfinite(model.offset).all() and (model.scale > 0).all()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is a damaged model: {why(error)}") from error
    if not sound or (model.scale is None) != (model.offset is None):
        raise ValueError(f"{path} is a damaged model: its arrays do not fit together")
    return model, names


# Writing


def suffix_of(path: str, allowed: tuple[str, ...], what: str) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in allowed:
        raise ValueError(f"{what} must end in {', '.join(allowed)}, got {path}")
    return suffix


def writable(path: str, allowed: tuple[str, ...], option: str) -> str:
    """The path, once it is known that it can be written: before the work, not after it."""
    suffix_of(path, allowed, option)
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise ValueError(f"{option}: {path} is a folder")
    if not os.path.isdir(folder):
        raise ValueError(f"{option}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{option}: the folder {folder} is not writable")
    return path


def writable_outputs(
    file: str, asked: dict[str, tuple[str | None, tuple[str, ...]]], also_read: str | None = None
) -> dict[str, str]:
    """The outputs asked for by option, none of which may fall on an input or on another."""
    taken = {os.path.realpath(path): "the input" for path in (file, also_read) if path}
    outputs = {}
    for option, (path, allowed) in asked.items():
        if path is None:
            continue
        outputs[option] = writable(path, allowed, option)
        other = taken.setdefault(os.path.realpath(path), option)
        if other != option:
            raise ValueError(f"{option} would overwrite {other}, {path}")
    if "--plot" in outputs:
        import matplotlib  # noqa: F401  missing, it is better missed before the work
    if any(path.lower().endswith(".parquet") for path in outputs.values()):
        import pyarrow  # noqa: F401
    return outputs


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[IO[bytes]]:
    """A file that appears under its name once it is complete, and otherwise not at all.

    An existing file stays untouched until then, and passes its permissions on; a new one has those
    of the umask. A symbolic link keeps pointing where it did.
    """
    target = os.path.realpath(path)
    # Not named after the target: a long name would grow past what the file system takes.
    part = os.path.join(os.path.dirname(target), f".ckmeans-{secrets.token_hex(8)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            os.chmod(part, os.stat(target).st_mode & 0o7777)
        os.replace(part, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        if isinstance(error, OSError):
            error.filename = path  # the name the user knows
        raise


def lines(labels: np.ndarray) -> str:
    return "".join(f"{label}\n" for label in labels.tolist())


def write_labels(path: str, labels: np.ndarray) -> None:
    suffix = suffix_of(path, LABELS, "--labels")
    with whole_file(path) as file:
        if suffix == ".npy":
            np.save(file, labels, allow_pickle=False)
        elif suffix == ".parquet":
            import pyarrow as pa
            from pyarrow import parquet

            schema = pa.schema([("label", pa.from_numpy_dtype(labels.dtype))])
            with parquet.ParquetWriter(file, schema) as writer:
                for first in range(0, len(labels), WRITTEN):
                    some = pa.array(np.asarray(labels[first : first + WRITTEN]))
                    writer.write_table(pa.table([some], schema))
        else:
            file.write(b"label\n" if suffix == ".csv" else b"")
            for first in range(0, len(labels), WRITTEN):
                file.write(lines(labels[first : first + WRITTEN]).encode())


def write_model(path: str, result: Any, names: list[str] | None) -> None:
    """All of a result but its labels: a model is as small as its centroids."""
    fields = {
        "format": np.array(MODEL_FORMAT),
        "columns": np.array(names or [], dtype=str),
        "centroids": result.centroids,
        "sizes": result.sizes,
        "inertia": np.array(result.inertia),
        "cluster_inertias": result.cluster_inertias,
        "run_inertias": result.run_inertias,
        "n_iter": np.array(result.n_iter),
        "converged": np.array(result.converged),
    }
    if result.scale is not None:
        fields |= {"offset": result.offset, "scale": result.scale}
    with whole_file(path) as file:
        np.savez(file, allow_pickle=False, **fields)


def draw_clusters(path: str, result: Any, table: Table) -> None:
    from matplotlib.figure import Figure

    from ckmeans.plotting import plot_clusters

    d = table.rows.shape[1]
    # A Figure of its own needs no display and leaves pyplot's backend alone.
    figure = Figure(figsize=(7.6, 6.2) if d == 3 else (7.6, 5.2), layout="constrained")
    ax = figure.add_subplot(projection="3d" if d == 3 else None)
    plot_clusters(result, table.rows, ax)
    # A dollar sign would be read as mathematics.
    titles = [title.replace("$", r"\$") for title in table.titles]
    if d <= 3:
        for axis, title in zip("xyz"[:d], titles, strict=True):
            getattr(ax, f"set_{axis}label")(title)
    save_figure(path, figure)


def draw_elbow(path: str, curve: Any) -> None:
    from matplotlib.figure import Figure

    from ckmeans.plotting import plot_elbow

    figure = Figure(figsize=(7.6, 5.2), layout="constrained")
    plot_elbow(curve, figure.add_subplot())
    save_figure(path, figure)


def save_figure(path: str, figure: Any) -> None:
    with whole_file(path) as file:
        figure.savefig(file, format=suffix_of(path, FIGURES, "--plot")[1:], dpi=150)


# What is printed


def say(text: str) -> None:
    print(text)  # not sys.stdout.write: stdout may be closed, and then is None


def warn(kind: str, text: str) -> None:
    """One line on stderr; whatever stderr can't take must not hide the result."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{kind}: {' '.join(text.split())}\n")
        sys.stderr.flush()


def say_written(outputs: dict[str, str]) -> None:
    for option, path in outputs.items():
        say(f"{option[2:].capitalize()}: {path}")


def summary(file: str, table: Table, ks: str) -> str:
    n, d = table.rows.shape
    return f"{file}: {n:,} rows, {d} column{'s' if d > 1 else ''}, {ks}"


def print_clusters(result: Any, table: Table, seconds: float, title: str) -> None:
    titles = table.titles[:SHOWN_COLUMNS]
    k, d = result.centroids.shape
    rows = [
        [str(j), f"{result.sizes[j]:,}", number(result.cluster_inertias[j])]
        + [number(value) for value in result.centroids[j, :SHOWN_COLUMNS]]
        for j in range(min(k, SHOWN_CLUSTERS))
    ]
    print_table(title, ["cluster", "size", "inertia", *titles], rows)
    if k > SHOWN_CLUSTERS:
        say(f"and {k - SHOWN_CLUSTERS} more clusters")
    if d > SHOWN_COLUMNS:
        say(f"and {d - SHOWN_COLUMNS} more columns")
    state = "converged" if result.converged else "not converged"
    turns = f"{result.n_iter} iteration{'' if result.n_iter == 1 else 's'}"
    say(f"Inertia {number(result.inertia)}, {turns} ({state}), {duration(seconds)}")


def print_elbow(curve: Any, seconds: float, title: str) -> None:
    rows = [
        [str(k), number(inertia), "knee" if k == curve.knee else ""]
        for k, inertia in zip(curve.ks, curve.inertias, strict=True)
    ]
    print_table(title, ["k", "inertia", ""], rows)
    knee = f"No knee: {curve.knee_reason}" if curve.knee is None else f"Knee at k = {curve.knee}"
    say(f"{knee} ({duration(seconds)})")


def print_table(title: str, headers: list[str], rows: list[list[str]]) -> None:
    """A table sized to its cells; rich only draws it, so that a closed pipe is met in ``main``."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text  # plain cells: a name like [red] is no markup

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a file or a pipe has no width to keep to
    table = RichTable(box=box.ROUNDED)
    for header in headers:
        table.add_column(Text(header), justify="right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    with console.capture() as captured:
        console.print(table)
    say(title)  # above, not in the table: rich would wrap it to the table's width
    print(captured.get(), end="")


def number(value: float) -> str:
    """Two decimals for everyday numbers, six significant digits for the rest."""
    value = float(value)
    if value == 0 or 0.1 <= abs(value) < 1e9:
        return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.2f}"
    return f"{value:.6g}"


def duration(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[Any], bool] | None]:
    """A callback that draws a bar on stderr once the work is long; None off a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(), console=Console(stderr=True), transient=True,
    )
    # How many iterations a run takes is not known before its end: the bar counts runs, and pulses
    # where there is only one.
    task = bar.add_task(title, total=None, state="")
    started = time.perf_counter()

    def show(progress: Any) -> bool:
        many = progress.n_init > 1
        bar.update(
            task,
            total=progress.n_init if many else None,
            completed=progress.run if many else 0,
            state=f"run {progress.run + 1} of {progress.n_init}, iteration {progress.iteration},"
            f" {progress.rows_changed:,} rows moved",
        )
        if not bar.live.is_started and time.perf_counter() - started > LONG_WORK:
            bar.start()
        return False

    try:
        yield show
    finally:
        bar.stop()


def hint_at_scale(table: Table, scale: bool) -> None:
    """Say so where one column's spread drowns another's."""
    if scale or table.rows.shape[1] < 2:
        return
    some = np.asarray(table.rows[:: max(1, len(table.rows) // 100_000)], dtype=np.float64)
    with np.errstate(all="ignore"):
        spread = some.std(axis=0)
    varying = np.flatnonzero(np.isfinite(spread) & (spread > 0))
    if not len(varying):
        return
    widest, narrowest = (varying[pick(spread[varying])] for pick in (np.argmax, np.argmin))
    ratio = spread[widest] / spread[narrowest]
    if ratio > SPREAD_RATIO:
        names = table.titles
        warn("Hint", f"the standard deviation of '{names[widest]}' is {ratio:,.0f} times that of"
             f" '{names[narrowest]}'; --scale lets both count alike")


# Arguments


def column_list(text: str | None) -> list[str] | None:
    """Names between commas, quoted where they hold one, as in a line of CSV."""
    if text is None:
        return None
    import csv

    names = [name.strip() for name in next(csv.reader([text]), [])]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"--columns must be different names between commas, got '{text}'")
    return names


def k_spans(text: str) -> list[tuple[int, int]]:
    """``1-10`` or ``2,4,8`` or a mix, as (first, last) pairs."""
    spans = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,18})\s*(?:-\s*([0-9]{1,18})\s*)?", part)
        if match is None:
            raise ValueError(f"--ks must be like 1-10 or 2,4,8, got '{text}'")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last:
            raise ValueError(f"--ks must rise from at least 1, got '{part.strip()}'")
        spans.append((first, last))
    return spans


def command_line() -> Any:
    """The click commands; click is not needed to import this module."""
    import click

    from ckmeans import __version__

    def option(*names: str, **settings: Any) -> Any:
        return click.Option(names, **settings)

    def reading() -> list[Any]:
        return [
            click.Argument(["file"]),
            option("--columns", help="Columns to use, between commas; by default all."),
            option("--array", help="Which array of a .npz file; by default its only one, or X."),
            option("--header/--no-header", default=None,
                   help="Whether a CSV's first line names its columns; by default it does unless"
                   " it is all numbers."),
        ]

    def clustering() -> list[Any]:
        return [
            option("--seed", type=int, default=0, show_default=True,
                   help="Same seed, same result."),
            option("--n-init", type=int, default=1, show_default=True,
                   help="Starts, of which the best is kept."),
            option("--refine", is_flag=True, help="Move centroids out of local minima."),
            option("--scale", is_flag=True, help="Standardise the columns first."),
            option("--max-iter", type=int, default=300, show_default=True,
                   help="Iterations at most, a start."),
            option("--tol", type=float, default=0.0, show_default=True,
                   help="Stop once the centroids shift less; 0: once no row changes."),
            option("--threads", type=int, help="By default the CPUs this process may use."),
        ]

    labels = f"Write a label a row ({', '.join(LABELS)})."
    figure = f"({', '.join(FIGURES)})."
    group = click.Group(
        "ckmeans", help="Exact k-means for the rows of a file.",
        context_settings={"help_option_names": ["-h", "--help"]},
        params=[],
        commands=[
            click.Command("demo", callback=demo, help=demo.__doc__, params=[
                option("--out", default=".", show_default=True, help="Folder of the figures."),
            ]),
            click.Command("fit", callback=fit, help=fit.__doc__, params=[
                *reading(),
                option("-k", "--k", "k", type=int, required=True, help="How many clusters."),
                *clustering(),
                option("--labels", help=labels),
                option("--model", help="Write the model, for predict (.npz)."),
                option("--plot", help=f"Draw the clusters {figure}"),
                option("--init", help="Starting centroids: a model, or a K-row matrix (.npy)."),
                option("--out-of-core", is_flag=True,
                       help="Read FILE (.npy, .parquet or a folder of these) a piece at a time."),
            ]),
            click.Command("elbow", callback=elbow_of, help=elbow_of.__doc__, params=[
                *reading(),
                option("--ks", default="1-10", show_default=True, help="Like 1-10 or 2,4,8."),
                *clustering(),
                option("--plot", help=f"Draw inertia against k {figure}"),
            ]),
            click.Command("predict", callback=predict, help=predict.__doc__, params=[
                click.Argument(["model"]),
                *reading(),
                option("--labels", help=f"{labels[:-1]}; by default to stdout."),
            ]),
        ],
    )
    return click.version_option(__version__, prog_name="ckmeans")(group)


# Every error is one line


def why(error: object) -> str:
    """The first line of a message, short enough to read."""
    text = str(error).strip() or type(error).__name__
    text = "".join(c if c.isprintable() else " " for c in text.splitlines()[0])
    return text if len(text) <= 200 else text[:197] + "..."


def explained(error: Exception) -> str:
    """What a user needs to know of an error."""
    if isinstance(error, ImportError) and not (error.name or "").startswith("ckmeans"):
        return f"the command line needs {error.name or why(error)}: {INSTALL}"
    if isinstance(error, MemoryError):
        return f"not enough memory: {why(error)}"
    if isinstance(error, OSError) and (error.strerror or error.filename):
        what = error.strerror or error.args[0]  # which is all that NumPy says of a full disk
        return f"{error.filename}: {what}" if error.filename else what
    if isinstance(error, (ValueError, TypeError, OSError)):
        return str(error)
    return f"unexpected {type(error).__name__}: {error} (CKMEANS_DEBUG=1 shows where)"


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 after an error, 130 after Ctrl-C."""
    import warnings

    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        # A column's name may not exist in the terminal's encoding.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: warn("Warning", str(message))
            code = run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        warn("Error", "interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone: stop quietly, and let the interpreter's last flush go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if os.environ.get("CKMEANS_DEBUG"):
            raise
        warn("Error", explained(error))
        return 2


def run(argv: list[str]) -> int:
    group = command_line()
    import click

    try:
        # Not group.main(): it would answer a closed pipe itself, as an error.
        with group.make_context("ckmeans", list(argv) or ["--help"]) as context:
            group.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        raise ValueError(error.format_message()) from error
    return 0
