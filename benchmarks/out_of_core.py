"""A Parquet file of 4 GB through `ckmeans fit --out-of-core`: peak memory, time, and the same bits.

`python -m benchmarks.out_of_core [--gigabytes 4] [--folder FOLDER] [--cgroup FOLDER]`. The command
runs in a process of its own, whose peak resident memory is printed; `--cgroup` names a group of the
memory controller (v1 or v2) that exists and may be written to, and limits the process to 512 MB,
page cache included. The run in memory takes the file's size in memory.
"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

D, K, ITERATIONS, GROUP = 16, 64, 3, 500_000
LIMIT = 512 << 20
CENTRES = np.random.default_rng(1).normal(scale=1.5, size=(K, D))


def write(path, n):
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(f"c{j}", pa.float32()) for j in range(D)])
    plain = {"compression": "none", "use_dictionary": False}
    with parquet.ParquetWriter(path, schema, **plain) as writer:
        for first in range(0, n, GROUP):
            rng = np.random.default_rng(first)
            m = min(GROUP, n - first)
            X = rng.standard_normal((m, D), dtype="f4") + CENTRES[rng.integers(K, size=m)]
            writer.write_table(pa.table(list(X.astype("f4").T), schema))


def read(path):
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    X = np.empty((file.metadata.num_rows, D), dtype="f4")
    first = 0
    for batch in file.iter_batches(1 << 18):
        for j, column in enumerate(batch.columns):
            X[first : first + batch.num_rows, j] = column.to_numpy()
        first += batch.num_rows
    return X


def limited(cgroup):
    """What limits a process, from within, to a group of 512 MB."""
    if cgroup is None:
        return None
    group = pathlib.Path(cgroup)
    name = "memory.max" if (group / "memory.max").exists() else "memory.limit_in_bytes"
    (group / name).write_text(str(LIMIT))
    return lambda: (group / "cgroup.procs").write_text(str(os.getpid()))


def run(title, cgroup, *arguments):
    """Seconds of a command; its peak is the largest of those so far."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "ckmeans", "fit", *map(str, arguments), "-k", str(K)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, preexec_fn=limited(cgroup))  # noqa: PLW1509
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{title}: {seconds:.1f} s, peak resident so far {peak:.0f} MB", flush=True)
    return seconds


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.out_of_core", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--cgroup", default=None)
    parser.add_argument("--seeded", action="store_true", help="also from k-means|| to the solution")
    options = parser.parse_args()
    n = int(options.gigabytes * 1e9 / 4 / D)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        file, start, model, labels = (
            os.path.join(folder, name) for name in ("X.parquet", "start.npy", "m.npz", "l.npy")
        )
        write(file, n)
        print(f"{n} x {D} float32, k={K}: {os.path.getsize(file) / 1e9:.2f} GB", flush=True)
        np.save(start, CENTRES)
        given = ("--out-of-core", "--init", start)
        one = run("1 iteration", options.cgroup, file, *given, "--max-iter", 1)
        many = run(
            f"{1 + ITERATIONS} iterations, model and labels", options.cgroup, file, *given,
            "--max-iter", 1 + ITERATIONS, "--model", model, "--labels", labels,
        )  # fmt: skip
        print(f"an iteration and the labels' share: {(many - one) / ITERATIONS:.1f} s")
        if options.seeded:
            run("seed to 5 iterations", options.cgroup, file, "--out-of-core", "--max-iter", 5)

        from ckmeans import kmeans

        begin = time.perf_counter()
        expected = kmeans(read(file), K, init=CENTRES, max_iter=1 + ITERATIONS)
        print(f"in memory, with reading: {time.perf_counter() - begin:.1f} s")
        with np.load(model) as saved:
            same = expected.centroids.tobytes() == saved["centroids"].tobytes()
            same &= expected.inertia == float(saved["inertia"])
        same &= np.array_equal(np.load(labels, mmap_mode="r"), expected.labels)
        print(f"same bits of centroids, labels and inertia: {same}")


if __name__ == "__main__":
    main()
