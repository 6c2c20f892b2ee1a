"""Compare with other k-means libraries: `python -m benchmarks`.

Ratios of medians in one process, with the same data, start and iterations for all: absolute times
depend on the machine and its other load. Needs the `bench` extra; what is missing is left out.
"""

import argparse
import json

from benchmarks import footprint, growth, probe, report, whole
from benchmarks.cases import CASES
from benchmarks.compare import contest, iteration_seconds
from benchmarks.peers import PEERS

SECTIONS = {
    "scaling": lambda options: growth.scaling(options.rounds, options.divisor),
    "layouts": lambda options: growth.layouts(options.rounds, options.divisor),
    "memory": lambda options: footprint.memory(options.threads, options.divisor),
    "import-time": lambda options: footprint.import_time(15 // (1 + options.quick)),
}
ON_REQUEST = whole.PARTS  # minutes each


def arguments():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--cases", type=listed(CASES), default=list(CASES), help="m2,m3,...")
    parser.add_argument("--peers", type=listed(PEERS), default=list(PEERS), help="sklearn,...")
    parser.add_argument("--threads", type=lambda text: [*map(int, text.split(","))], default=[1, 2])
    parser.add_argument("--mode", choices=["pass", "fixed", "seeded", "all"], default="all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, 1 thread, pass")
    parser.add_argument("--json", metavar="FILE", help="write every figure")
    parser.add_argument("--plot", metavar="FILE", help="draw the ratios")
    for section in ("compare", *SECTIONS, *ON_REQUEST):
        only = {"action": "append_const", "dest": "sections", "const": section}
        parser.add_argument(f"--{section}", help="only this part, or these", **only)
    options = parser.parse_args()
    if options.quick:
        options.threads, options.mode, options.rounds = [1], "pass", 3
    options.divisor = 10 if options.quick else 1
    return options


def listed(known):
    def names(text):
        if unknown := set(text.split(",")) - set(known):
            raise argparse.ArgumentTypeError(f"{unknown}; choose from {','.join(known)}")
        return text.split(",")

    return names


def compare(options, rates):
    """Every case in every mode and number of threads, printed as it comes."""
    names = [*options.peers, *["1 thread"] * (max(options.threads) > 1)]
    report.print_header(names, options.divisor)
    cases = {}
    for name in options.cases:
        case = CASES[name]
        try:
            X = case.rows(options.divisor)
        except ImportError as error:
            print(f"{case.title:31}skipped: {error.name} is not installed")
            continue
        cases[name] = {"title": case.title, "contests": [], **plain(case, X, rates, options)}
        shares = [cases[name][share] for share in ("of_fma_peak", "of_read_peak")]
        for mode in [m for m in case.modes if options.mode in (m, "all")]:
            for threads in options.threads:
                found = contest(case, X, mode, threads, options.peers, options.rounds)
                cases[name]["contests"].append(found)
                report.print_row(case.title, found, names, shares)
                shares = []
    report.print_notes(cases)
    return cases


def plain(case, X, rates, options):
    """An iteration without pruning: 2 n d k flops and one read of X, as shares of the peaks.

    Direct differences take three operations where the expansion takes two: few columns stay low.
    """
    seconds = iteration_seconds(X, case.k, case.iterations, options.rounds)
    return {
        "iteration_seconds": seconds,
        "of_fma_peak": 2 * X.size * case.k / seconds / rates[str(X.dtype)],
        "of_read_peak": X.nbytes / seconds / rates["read"],
    }


def main():
    options = arguments()
    rates = probe.peaks()
    results = {"machine": probe.machine(), "peaks": rates}
    report.print_machine(results["machine"], rates)
    chosen = options.sections or ["compare", *SECTIONS]
    if "compare" in chosen:
        results["cases"] = compare(options, rates)
    for section, measure in (SECTIONS | ON_REQUEST).items():
        if section in chosen:
            results[section] = measure(options)
            report.print_section(section, results[section])
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)
    if options.plot and "cases" in results:
        report.plot(results["cases"], options.peers, options.plot)


if __name__ == "__main__":
    main()
