"""The command line: most cases in this process through main(), a handful as real processes."""

import os
import re
import signal
import stat
import subprocess
import sys
import warnings

import numpy as np
import pytest

from ckmeans import cli, kmeans
from ckmeans.datasets import xclara

for library in ("click", "rich", "matplotlib"):
    pytest.importorskip(library)
pa = pytest.importorskip("pyarrow")

ROWS = "a,b\n0,0\n0,1\n9,9\n9,8\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(name, content):
    mode = "wb" if isinstance(content, bytes) else "w"
    with open(name, mode, **({} if mode == "wb" else {"encoding": "utf-8", "newline": ""})) as file:
        file.write(content)
    return name


def succeeds(capsys, *argv):
    code = cli.main([str(a) for a in argv])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def fails(capsys, *argv):
    """The one line that a failing command prints."""
    code = cli.main([str(a) for a in argv])
    out, err = capsys.readouterr()
    assert code == 2, (out, err)
    *hints, line = err.splitlines()
    assert all(hint.startswith(("Hint: ", "Warning: ")) for hint in hints), err
    assert line.startswith("Error: ")
    assert not [name for name in os.listdir() if name.endswith(".part")]
    return line


def content_of(name, mode="r"):
    with open(name, mode, encoding=None if "b" in mode else "utf-8") as file:
        return file.read()


def process(*argv, **options):
    return subprocess.run(
        [sys.executable, "-m", "ckmeans", *argv], capture_output=True, text=True, timeout=60,
        encoding="utf-8", check=False, **options,
    )


# Real processes


def test_demo_prints_the_reference_solution_and_draws_it(folder):
    done = process("demo", "--out", str(folder))
    assert done.returncode == 0, done.stderr
    for figure in ("9.4780", "10.6861", "40.6836", "59.7159", "69.9242", "-10.1196", "611,605.88",
                   "899", "952", "1,149"):
        assert figure in done.stdout
    assert "Knee at k = 3" in done.stdout
    assert done.stderr == ""  # no progress bar off a terminal
    for name in ("xclara-clusters.png", "xclara-elbow.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_an_error_of_the_process_is_one_line():
    done = process("fit", "no such file.csv", "-k", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: no such file.csv: No such file or directory\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_closed_pipe_ends_quietly():
    np.save("X.npy", np.arange(400_000.0)[:, None] % 7)
    done = process("fit", "X.npy", "-k", "2", "--model", "m.npz")
    assert done.returncode == 0, done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "ckmeans", "predict", "m.npz", "X.npy"], stdout=closed,
            stderr=subprocess.PIPE, timeout=60, check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


# No file may be longer, as on a disk that is full.
NO_SPACE = """
import os, resource, sys
from ckmeans import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
os._exit(cli.main(sys.argv[1:]))  # without what a watched build writes at its end
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
@pytest.mark.parametrize(("options", "message"), [
    (["--labels", "o.csv"], "o.csv: File too large"),
    (["--labels", "o.npy"], "o.npy: .* requested and .* written"),
    (["--labels", "o.parquet"], "o.parquet: File too large"),
    (["--labels", "o.txt"], "o.txt: File too large"),
    (["--model", "o.npz"], "o.npz: File too large"),
    (["--plot", "o.png"], "o.png: File too large"),
    (["--labels", "o.npy", "--out-of-core"], "File too large"),
])  # fmt: skip
def test_a_full_disk_keeps_the_old_file(options, message):
    np.save("X.npy", np.random.default_rng(0).normal(size=(20_000, 2)))
    written(options[1], "old")
    before = sorted(os.listdir())
    done = subprocess.run(
        [sys.executable, "-c", NO_SPACE, "fit", "X.npy", "-k", "900", "--max-iter", "1", *options],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert re.fullmatch(f"Error: {message}\n", done.stderr)
    assert content_of(options[1]) == "old" and sorted(os.listdir()) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_stdout_is_an_error():
    written("t.csv", ROWS)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ckmeans", "fit", "t.csv", "-k", "2"], stdout=full,
            stderr=subprocess.PIPE, timeout=60, check=False, text=True,
        )
    assert done.returncode == 2
    assert done.stderr == "Error: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="closing a standard stream")
def test_a_closed_stdout_is_no_error():
    written("t.csv", ROWS)
    command = f'"{sys.executable}" -m ckmeans fit t.csv -k 2 --labels l.txt >&-'
    done = subprocess.run(
        command, shell=True, stderr=subprocess.PIPE, timeout=60, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(written_labels("l.txt")) == 4


def test_importing_ckmeans_leaves_the_command_lines_libraries_alone():
    check = (
        "import sys, ckmeans, ckmeans.cli; "
        "print([m for m in ('click', 'rich', 'pyarrow', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


# Results


def test_fit_agrees_with_the_library(capsys):
    X = xclara()
    np.savetxt("x.csv", X, delimiter=",", header="V1,V2", comments="", fmt="%.17g")
    out = succeeds(capsys, "fit", "x.csv", "-k", 3, "--n-init", 5, "--labels", "l.npy",
                   "--model", "m.npz", "--plot", "p.png")
    result = kmeans(X, 3, 0, n_init=5)
    np.testing.assert_array_equal(np.load("l.npy"), result.labels)
    assert "611,605.88" in out and "3,000 rows, 2 columns" in out
    with np.load("m.npz", allow_pickle=False) as model:
        np.testing.assert_array_equal(model["centroids"], result.centroids)
    # predict repeats the labels of the fit
    assert succeeds(capsys, "predict", "m.npz", "x.csv") == cli.lines(result.labels)


def test_fit_refines(capsys):
    X = np.random.default_rng(0).normal(size=(300, 2))
    np.save("x.npy", X)
    succeeds(capsys, "fit", "x.npy", "-k", 12, "--refine", "--labels", "l.npy")
    refined, plain = kmeans(X, 12, 0, refine="swap"), kmeans(X, 12, 0)
    assert refined.inertia < plain.inertia  # or the option could do nothing
    np.testing.assert_array_equal(np.load("l.npy"), refined.labels)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".npy", ".npz", ".parquet"])
def test_every_format_holds_the_same_rows(capsys, suffix):
    from pyarrow import parquet

    X, name = xclara()[:200], "x" + suffix
    if suffix in (".csv", ".tsv"):
        np.savetxt(name, X, delimiter="," if suffix == ".csv" else "\t", fmt="%.17g")
    elif suffix == ".parquet":
        parquet.write_table(pa.table({"a": X[:, 0], "b": X[:, 1]}), name)
    else:
        (np.save if suffix == ".npy" else np.savez)(name, X)
    succeeds(capsys, "fit", name, "-k", 3, "--labels", "l.txt")
    assert written_labels("l.txt") == kmeans(X, 3, 0).labels.tolist()


def written_labels(name):
    with open(name) as file:
        return [int(line) for line in file]


def test_labels_in_every_format(capsys):
    from pyarrow import parquet

    written("t.csv", ROWS)
    for name in ("l.csv", "l.npy", "l.parquet", "l.txt"):
        succeeds(capsys, "fit", "t.csv", "-k", 2, "--labels", name)
    labels = written_labels("l.txt")
    assert labels[0] == labels[1] != labels[2] == labels[3]
    assert content_of("l.csv") == "label\n" + content_of("l.txt")
    assert np.load("l.npy").tolist() == labels
    assert parquet.read_table("l.parquet").to_pydict() == {"label": labels}


def test_elbow_finds_the_knee(capsys):
    np.save("x.npy", xclara())
    out = succeeds(capsys, "elbow", "x.npy", "--ks", "1-6,8", "--n-init", 3, "--plot", "e.svg")
    assert "Knee at k = 3" in out
    assert re.findall(r"[│|] +(\d+) [│|]", out) == ["1", "2", "3", "4", "5", "6", "8"]
    assert "<svg" in content_of("e.svg")


def test_scale_lets_a_narrow_column_count(capsys):
    rng = np.random.default_rng(0)
    narrow = np.repeat([0.0, 1.0], 100) + rng.normal(0, 0.01, 200)
    np.save("x.npy", np.column_stack([narrow, rng.normal(0, 1e4, 200)]))
    assert cli.main(["fit", "x.npy", "-k", "2"]) == 0
    hint = capsys.readouterr().err
    assert re.fullmatch(r"Hint: .*'column 1' is [\d,]+ times .*'column 0'; --scale .*\n", hint)
    assert cli.main(["fit", "x.npy", "-k", "2", "--scale", "--n-init", "8", "--labels", "l.txt",
                     "--model", "m.npz"]) == 0
    assert capsys.readouterr().err == ""
    assert succeeds(capsys, "predict", "m.npz", "x.npy") == content_of("l.txt")


@pytest.mark.parametrize("content", [
    ROWS.encode("utf-8-sig"),
    ROWS.replace("\n", "\r\n").encode(),
    ROWS.rstrip("\n").encode(),
    ("\n" + ROWS + "\n\n").encode(),
    ROWS.replace("a,b", '"a","b"').encode(),
    ROWS.split("\n", 1)[1].encode(),
], ids=["bom", "crlf", "no final newline", "blank lines", "quoted", "no header"])
def test_harmless_variants_of_a_csv_read_alike(capsys, content):
    written("t.csv", content)
    out = succeeds(capsys, "fit", "t.csv", "-k", 2, "--labels", "l.txt")
    assert "4 rows, 2 columns" in out
    assert len(written_labels("l.txt")) == 4


def test_header_can_be_told(capsys):
    written("t.csv", "1,2\n0,0\n9,9\n")
    assert "3 rows" in succeeds(capsys, "fit", "t.csv", "-k", 2)
    assert "2 rows" in succeeds(capsys, "fit", "t.csv", "-k", 2, "--header")


def test_columns_leave_text_aside_and_keep_their_order(capsys):
    written("t.csv", 'name,a,"b,c",d\n"x\ny",0,5,7\nz,1,6,8\n')
    succeeds(capsys, "fit", "t.csv", "-k", 2, "--columns", 'd,"b,c"', "--model", "m.npz")
    with np.load("m.npz") as model:
        assert model["columns"].tolist() == ["d", "b,c"]
        assert sorted(model["centroids"].tolist()) == [[7, 5], [8, 6]]


def test_predict_takes_the_models_columns_by_name(capsys):
    written("t.csv", ROWS)
    written("swapped.csv", "b,note,a\n1,x,0\n8,y,9\n")
    succeeds(capsys, "fit", "t.csv", "-k", 2, "--model", "m.npz", "--labels", "l.txt")
    labels = written_labels("l.txt")
    assert succeeds(capsys, "predict", "m.npz", "swapped.csv") == f"{labels[1]}\n{labels[3]}\n"
    np.save("x.npy", [[0.0, 1.0]])
    assert succeeds(capsys, "predict", "m.npz", "x.npy") == f"{labels[1]}\n"


def test_row_index_of_pandas_is_no_column(capsys):
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"a": [0.0, 1, 9]}, index=[500, 0, 900]).to_parquet("t.parquet")
    assert "3 rows, 1 column," in succeeds(capsys, "fit", "t.parquet", "-k", 2)


def test_names_outside_ascii_and_with_spaces(capsys, folder):
    place = folder / "plus de données"
    place.mkdir()
    written(place / "été 夏.csv", "größe,[red]$x$\n0,0\n9,9\n")
    out = succeeds(capsys, "fit", place / "été 夏.csv", "-k", 2, "--labels", place / "α β.csv",
                   "--plot", place / "γ.png")
    assert "größe" in out and "[red]$x$" in out
    assert (place / "α β.csv").exists() and (place / "γ.png").exists()


def test_a_long_table_is_cut_and_says_so(capsys):
    np.save("x.npy", np.random.default_rng(0).normal(size=(70, 8)))
    out = succeeds(capsys, "fit", "x.npy", "-k", 60)
    assert "and 10 more clusters" in out and "and 2 more columns" in out


# Errors


@pytest.mark.parametrize(("content", "message"), [
    ("a,b\n1,2\n3\n", r"Expected 2 columns, got 1"),
    ("a,b\n1,2\n3,4,5\n", r"Expected 2 columns, got 3"),
    ("a,b\n1,2\n3,\n", r"column 'b' is empty or NaN at row 2 \(counted from 1, after the header\)"),
    ("1,2\n3,\n", r"column '1' is empty or NaN at row 2 \(counted from 1\)"),
    ("a\n1\n\n3\n", r"column 'a' is empty or NaN at row 2"),
    ("a,b\n1,2\nnan,4\n", r"column 'a' is empty or NaN at row 2"),
    ("a,b\n1,2\n3,inf\n", r"column 'b' is infinite at row 2"),
    ("a,b\n1,x\n", r"column 'b' holds text, not numbers; choose .* --columns"),
    ("a;b\n1;2\n", r"column 'a;b' holds text"),
    ("a,b\n1,\n", r"column 'b' is empty"),
    ("a,b\n1,2020-01-01\n", r"column 'b' holds date"),
    ("a,b\n1,2\x00\n", r"column 'b' holds text"),
    ("a\x00,b\n1,2\n", r"NUL"),
    ("a,b\n1,2\n".encode("utf-16"), r"not UTF-8 text"),
    ("é,b\n1,2\n".encode("latin-1"), r"not UTF-8 text"),
    ("a,b\n1,é\n".encode("latin-1"), r"column 'b' holds text|not UTF-8"),
    ("", r"t.csv is empty"),
    ("\n\n", r"t.csv has no rows"),
    ("a,b\n", r"t.csv has no rows"),
    ('a,b\n"1,2\n', r"t.csv"),
    ("a,b\n1," + "7" * 5_000_000 + "\n2,3\n", r"t.csv is not a readable table: straddling"),
    ("a" * 200_000 + ",b\n1,2\n", r"t.csv is not a readable table: field larger than"),
], ids=range(22))
def test_malformed_csv(capsys, content, message):
    written("t.csv", content)
    line = fails(capsys, "fit", "t.csv", "-k", 1, "--labels", "l.csv")
    assert re.search(message, line), line
    assert not os.path.exists("l.csv")


@pytest.mark.parametrize(("argv", "message"), [
    (["-k", "0"], r"k must be between 1 and"),
    (["-k", "5"], r"k must be between 1 and .*\(4\), got 5"),
    (["-k", "two"], r"'two' is not a valid integer"),
    ([], r"Missing option '-k'"),
    (["-k", "2", "--n-init", "0"], r"n_init"),
    (["-k", "2", "--max-iter", "0"], r"max_iter"),
    (["-k", "2", "--tol", "-1"], r"tol"),
    (["-k", "2", "--tol", "nan"], r"tol"),
    (["-k", "2", "--threads", "0"], r"n_threads"),
    (["-k", "2", "--seed", "-1"], r"seed|non-negative"),
    (["-k", "2", "--columns", "a,c"], r"no column 'c'; its columns are a, b"),
    (["-k", "2", "--columns", "a,a"], r"--columns must be different names"),
    (["-k", "2", "--columns", ""], r"--columns must be"),
    (["-k", "2", "--labels", "l.doc"], r"--labels must end in .csv, .npy, .parquet, .txt"),
    (["-k", "2", "--labels", "none/l.csv"], r"there is no folder .*none"),
    (["-k", "2", "--labels", "t.csv"], r"--labels would overwrite the input"),
    (["-k", "2", "--labels", "m.npz"], r"--labels must end in"),
    (["-k", "2", "--model", "m.npy"], r"--model must end in .npz"),
    (["-k", "2", "--plot", "p.gif"], r"--plot must end in"),
    (["-k", "2", "--array", "X"], r"--array is for .npz"),
    (["-k", "2", "--what"], r"No such option"),
])
def test_bad_arguments(capsys, argv, message):
    written("t.csv", ROWS)
    line = fails(capsys, "fit", "t.csv", *argv)
    assert re.search(message, line), line
    assert content_of("t.csv") == ROWS


@pytest.mark.parametrize("ks", ["", "0-3", "5-2", "1-", "a", "1,,2", "-3", "1.5", "1-99999999999"])
def test_bad_ks(capsys, ks):
    written("t.csv", ROWS)
    assert "--ks must" in fails(capsys, "elbow", "t.csv", f"--ks={ks}")


def test_arrays_that_are_no_matrix_of_numbers(capsys):
    class Loud:
        def __reduce__(self):
            return os.mkdir, ("unpickled",)

    objects = np.array([[Loud()]], dtype=object)
    np.save("object.npy", objects, allow_pickle=True)
    np.savez("object.npz", objects)
    np.save("text.npy", np.array([["a"]]))
    np.save("cube.npy", np.zeros((2, 2, 2)))
    np.save("none.npy", np.zeros((0, 2)))
    np.save("nan.npy", [[0.0, 1.0], [0.0, np.nan]])
    np.savez("two.npz", a=np.zeros(2), b=np.zeros(2))
    np.savez("empty.npz")
    np.save("x.npy", np.zeros((3, 1)))
    written("foreign.npy", b"hello")
    written("foreign.npz", b"hello")
    for name, message in [
        ("object.npy", "not a readable .npy"), ("object.npz", "not a readable .npz"),
        ("text.npy", "must hold numbers"), ("cube.npy", r"shape \(2, 2, 2\)"),
        ("none.npy", "no rows"), ("nan.npy", "NaN at row 1, column 1"),
        ("two.npz", r"holds 2 arrays \(a, b\): choose one with --array"), ("empty.npz", "0 arrays"),
        ("foreign.npy", "not a readable .npy"), ("foreign.npz", "not a readable .npz"),
    ]:
        line = fails(capsys, "fit", name, "-k", 1)
        assert re.search(message, line), line
    for argv in (
        ["fit", "x.npy", "-k", 1, "--init", "object.npy"],
        ["fit", "x.npy", "-k", 1, "--init", "object.npz"],
        ["fit", "object.npy", "-k", 1, "--out-of-core"],
        ["predict", "object.npz", "x.npy"],
    ):
        assert "object.np" in fails(capsys, *argv)
    assert not os.path.exists("unpickled")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_truncated_files(capsys, suffix):
    from pyarrow import parquet

    X, name = np.random.default_rng(0).normal(size=(200, 2)), "x" + suffix
    if suffix == ".parquet":
        parquet.write_table(pa.table({"a": X[:, 0]}), name)
    else:
        (np.save if suffix == ".npy" else np.savez)(name, X)
    whole = content_of(name, "rb")
    for size in (0, 3, 9, 60, len(whole) // 2, len(whole) - 1):
        written(name, whole[:size])
        assert name in fails(capsys, "fit", name, "-k", 2)


def test_models_that_are_none(capsys):
    written("t.csv", ROWS)
    succeeds(capsys, "fit", "t.csv", "-k", 2, "--model", "m.npz")
    with np.load("m.npz") as model:
        fields = dict(model)
    np.savez("foreign.npz", centroids=np.zeros((2, 2)))
    np.savez("flat.npz", **(fields | {"centroids": np.zeros(2)}))
    np.savez("nan.npz", **(fields | {"centroids": np.full((2, 2), np.nan)}))
    np.savez("more.npz", **fields, surprise=np.zeros(1))
    np.savez("less.npz", **{name: fields[name] for name in fields if name != "sizes"})
    np.savez("scale.npz", **fields, scale=np.zeros(2), offset=np.zeros(2))
    np.savez("alone.npz", **fields, scale=np.ones(2))
    written("text.npz", "hello")
    for name in ("flat", "nan", "more", "less", "scale", "alone"):
        assert f"{name}.npz is a damaged model" in fails(
            capsys, "predict", f"{name}.npz", "t.csv")
    assert "not a model" in fails(capsys, "predict", "foreign.npz", "t.csv")
    assert "not a readable .npz" in fails(capsys, "predict", "text.npz", "t.csv")
    assert "No such file" in fails(capsys, "predict", "none.npz", "t.csv")


def test_predict_refuses_other_columns(capsys):
    written("t.csv", ROWS)
    written("other.csv", "a,c\n1,2\n")
    written("three.csv", "1,2,3\n4,5,6\n")
    succeeds(capsys, "fit", "t.csv", "-k", 2, "--model", "m.npz")
    assert "no column 'b' of the model" in fails(capsys, "predict", "m.npz", "other.csv")
    assert "three.csv has 3 columns, the model m.npz was fitted on 2" in fails(
        capsys, "predict", "m.npz", "three.csv")
    assert "are not the columns of the model" in fails(
        capsys, "predict", "m.npz", "other.csv", "--columns", "a,c")
    assert "would overwrite the input" in fails(
        capsys, "predict", "m.npz", "t.csv", "--labels", "t.csv")


def test_folders_are_no_files(capsys, folder):
    (folder / "d.csv").mkdir()
    written("t.csv", ROWS)
    assert "Is a directory" in fails(capsys, "fit", "d.csv", "-k", 1)
    assert "is a folder" in fails(capsys, "fit", "t.csv", "-k", 1, "--labels", "d.csv")
    assert "there is no folder" in fails(capsys, "demo", "--out", "nowhere")
    assert "FILE must end in" in fails(capsys, "fit", "t.xlsx", "-k", 1)


def test_a_missing_library_names_the_extra(capsys, monkeypatch):
    written("t.csv", ROWS)
    for library in ("click", "pyarrow", "rich", "matplotlib"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            for name in [name for name in sys.modules if name.startswith(library + ".")]:
                patch.setitem(sys.modules, name, None)
            line = fails(capsys, "fit", "t.csv", "-k", "1", "--plot", "p.png")
        assert library in line and 'pip install "ckmeans-lloyd[cli]"' in line


def test_ctrl_c_ends_with_130(capsys, monkeypatch):
    def interrupted(*_, **__):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("ckmeans.kmeans", interrupted)
    written("t.csv", ROWS)
    assert cli.main(["fit", "t.csv", "-k", "2", "--labels", "l.csv"]) == 130
    assert capsys.readouterr().err.strip() == "Error: interrupted"
    assert not os.path.exists("l.csv")


def test_warnings_are_one_line(capsys):
    written("t.csv", "a\n1\n1\n1\n")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert cli.main(["fit", "t.csv", "-k", "2"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("Warning: ") and err.count("\n") == 1


# Files are written whole or not at all


def test_a_failed_write_keeps_the_old_file(capsys, monkeypatch):
    written("t.csv", ROWS)
    written("l.npy", "old")

    def half(file, *_, **__):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", half)
    line = fails(capsys, "fit", "t.csv", "-k", 2, "--labels", "l.npy")
    assert line == "Error: l.npy: No space left on device"
    assert content_of("l.npy") == "old"
    assert sorted(os.listdir()) == ["l.npy", "t.csv"]


def test_a_folder_that_refuses_is_known_before_the_work(capsys, monkeypatch):
    written("t.csv", ROWS)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    monkeypatch.setattr("ckmeans.kmeans", None)
    assert "is not writable" in fails(capsys, "fit", "t.csv", "-k", 2, "--labels", "l.csv")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions_follow_the_umask_or_the_old_file():
    before = os.umask(0o027)
    try:
        with cli.whole_file("new.txt") as file:
            file.write(b"x")
        assert stat.S_IMODE(os.stat("new.txt").st_mode) == 0o640
        os.chmod("new.txt", 0o604)
        with cli.whole_file("new.txt") as file:
            file.write(b"y")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat("new.txt").st_mode) == 0o604
    assert content_of("new.txt") == "y"


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_symbolic_link_stays_one():
    written("real.txt", "old")
    os.symlink("real.txt", "link.txt")
    with cli.whole_file("link.txt") as file:
        file.write(b"new")
    assert os.path.islink("link.txt") and content_of("real.txt") == "new"


# The progress bar


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_progress_is_drawn_on_a_terminal_once_the_work_is_long(monkeypatch):
    import pty
    from types import SimpleNamespace

    monkeypatch.setenv("TERM", "xterm")
    step = SimpleNamespace(run=1, iteration=7, rows_changed=1234, n_init=4, max_iter=300)
    drawn = {}
    for wait in (60.0, -1.0):
        main_end, terminal = pty.openpty()
        with monkeypatch.context() as patch, os.fdopen(terminal, "w") as stream:
            patch.setattr(sys, "stderr", stream)
            patch.setattr(cli, "LONG_WORK", wait)
            with cli.progress_bar("k-means") as callback:
                assert callback(step) is False
            stream.write("end")
            stream.flush()
            drawn[wait] = ""
            while not drawn[wait].endswith("end"):  # a terminal hands on what it has by then
                drawn[wait] += os.read(main_end, 65536).decode()
        os.close(main_end)
    assert drawn[60.0] == "end"
    assert "run 2 of 4, iteration 7" in drawn[-1.0]


def test_no_progress_off_a_terminal():
    with cli.progress_bar("k-means") as callback:
        assert callback is None


def test_fit_out_of_core(capsys):
    """The model and the labels of the run in memory from the same start."""
    rows = xclara()
    np.save("X.npy", rows)
    np.save("start.npy", rows[[0, 1000, 2500]])
    pa.parquet.write_table(pa.table({"a": rows[:, 0], "b": rows[:, 1]}), "X.parquet")
    os.mkdir("parts")
    for i, part in enumerate(np.array_split(rows, 3)):
        np.save(f"parts/{i}.npy", part)
    start = ("--init", "start.npy", "-k", 3)
    succeeds(capsys, "fit", "X.npy", *start, "--labels", "m.csv", "--model", "m.npz")
    with np.load("m.npz") as saved:
        expected = saved["centroids"]
    for file in ("X.npy", "X.parquet", "parts"):
        for labels in ("l.csv", "l.txt", "l.npy", "l.parquet"):
            out = succeeds(capsys, "fit", file, *start, "--out-of-core", "--labels", labels,
                           "--model", "o.npz")  # fmt: skip
        assert "3,000 rows, 2 columns" in out
        assert content_of("l.csv") == content_of("m.csv")
        assert content_of("l.txt") == content_of("m.csv")[6:]
        assert lines_of(np.load("l.npy")) == content_of("l.txt")
        stored = pa.parquet.read_table("l.parquet")["label"].to_numpy()
        assert lines_of(stored) == content_of("l.txt")
        with np.load("o.npz") as saved:
            np.testing.assert_array_equal(saved["centroids"], expected)
    out = succeeds(capsys, "fit", "X.npy", "-k", 3, "--init", "m.npz")
    assert "converged" in out
    succeeds(capsys, "fit", "X.parquet", "-k", 3, "--out-of-core", "--columns", "b", "--scale")
    assert "--plot" in fails(capsys, "fit", "X.npy", "-k", 3, "--out-of-core", "--plot", "p.png")
    written("t.csv", ROWS)
    assert "must end in .npy, .parquet" in fails(capsys, "fit", "t.csv", "-k", 2, "--out-of-core")
    assert "init must have shape (2, 2)" in fails(capsys, "fit", "X.npy", "-k", 2, *start[:2])


def lines_of(labels):
    return "".join(f"{label}\n" for label in labels)
