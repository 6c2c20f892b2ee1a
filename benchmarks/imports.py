"""What `import ckmeans` and the first kmeans() cost over `import numpy`; fails above the limit."""

from __future__ import annotations

import statistics
import subprocess
import sys

LIMIT_MS = 5.0
CODE = """
import time
begin = time.perf_counter()
{}
print(1e3 * (time.perf_counter() - begin))
"""
CASES = {
    "numpy": "import numpy",
    "numpy, ckmeans": "import numpy, ckmeans",
    "and the name kmeans": "import numpy; from ckmeans import kmeans",
    "and a first kmeans()": "import numpy; from ckmeans import kmeans; "
    "kmeans(numpy.arange(8.0).reshape(4, 2), 2, 0)",
}


def milliseconds(statement: str) -> float:
    command = [sys.executable, "-c", CODE.format(statement)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(rounds: int = 15) -> int:
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, statement in CASES.items():
            times[name].append(milliseconds(statement))
    base = statistics.median(times["numpy"])
    for name, taken in times.items():
        print(f"{name:22s} {statistics.median(taken):6.1f} ms, "
              f"{statistics.median(taken) - base:+6.1f} over numpy")  # fmt: skip
    return statistics.median(times["numpy, ckmeans"]) - base > LIMIT_MS


if __name__ == "__main__":
    sys.exit(main())
