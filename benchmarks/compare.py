"""Contests in one process: the same job for ours and for each peer in turn, medians of times."""

import statistics
import time

from benchmarks.cases import start_of
from benchmarks.peers import PEERS, Job, Skip, nearest, ours

PATIENCE = 1.0  # seconds in all, after which a function gets no further round


RESTED = 10**6  # elements from which a call is worth a rest
BRIEF = 10  # times the rounds, of shorter ones: by 3 of them a ratio wanders by a tenth
SPINNING = 0.25  # seconds: OpenMP's workers spin for up to 0.2 s after a call


def interleaved(functions, rounds, rest=0.0):
    """Seconds of each call and each function's first value, by name; ours is the first name.

    Ours runs before every other one, so that both meet the machine in the same state. First calls
    warm up: they count only where they have left no time for a second one. A `rest` lets the
    threads of the call before go to sleep, which else take a core from the next one; a call that
    does not count then wakes its own up: the first after a sleep of 0.25 s by two threads took as
    long as by one. Small fits go without.
    """
    champion, *others = functions
    times, values = {name: [] for name in functions}, {}
    for _ in range(rounds + 1):
        for name in others or [champion]:
            if sum(times[name]) > PATIENCE:
                continue
            for runner in dict.fromkeys((champion, name)):
                if rest:
                    time.sleep(rest)
                    functions[runner]()
                begin = time.perf_counter()
                value = functions[runner]()
                times[runner].append(time.perf_counter() - begin)
                values.setdefault(runner, value)
    return {name: taken[1:] or taken for name, taken in times.items()}, values


def contest(case, X, mode, threads, peers, rounds):
    """Our time on a case, every peer's ratio to it, and whether they did the same work."""
    from threadpoolctl import threadpool_limits

    max_iter = {"pass": case.iterations, "fixed": 300, "seeded": 10}[mode]
    start = None if mode == "seeded" else start_of(X, case.k)
    job = Job(X, case.k, start, max_iter, mode == "fixed", threads)
    functions, skipped = {"ours": ours(job)}, {}
    for peer in peers:
        try:
            functions[peer] = PEERS[peer](job)
        except Skip as reason:
            skipped[peer] = str(reason)
        except ImportError as error:
            skipped[peer] = f"not installed ({error.name})"
    rest = SPINNING if threads > 1 and X.size >= RESTED else 0.0
    rounds *= BRIEF if X.size < RESTED else 1
    with threadpool_limits(threads):  # what the adapters cannot reach: OpenMP and BLAS
        times, answers = interleaved(functions, rounds, rest)
    figures = {}
    for name, (centroids, n_iter) in answers.items():
        figures[name] = {
            "seconds": statistics.median(times[name]),
            "calls": len(times[name]),
            "n_iter": n_iter,
            "inertia": nearest(X, centroids)[1],
        }
    if threads > 1:  # our own speed-up, among ourselves
        pair = {"ours": functions["ours"], "1 thread": ours(job, threads=1)}
        own = {name: statistics.median(taken) for name, taken in interleaved(pair, 5)[0].items()}
        seconds = own["1 thread"] / own["ours"] * figures["ours"]["seconds"]
        figures["1 thread"] = figures["ours"] | {"seconds": seconds}
    for figure in figures.values():
        figure["ratio"] = figure["seconds"] / figures["ours"]["seconds"]
        figure["same_work"] = mode == "seeded" or same_work(figure, figures["ours"])
    return {"mode": mode, "threads": threads, "figures": figures, "skipped": skipped}


def same_work(figure, own):
    """Equal inertia to 1e-3 and, where told, iterations to a tenth: rounding decides some ties."""
    n_iter = figure["n_iter"] or own["n_iter"]
    same_inertia = abs(figure["inertia"] / own["inertia"] - 1) <= 1e-3
    return bool(same_inertia and abs(n_iter / own["n_iter"] - 1) <= 0.1)


def iteration_seconds(X, k, iterations, rounds):
    """One more iteration of algorithm="lloyd" on one thread.

    The difference of two whole calls: neither validation nor the final inertia is in it.
    """
    start = start_of(X, k)
    few, many = (Job(X, k, start, m, False, 1) for m in (1, 1 + iterations))
    calls = {"few": ours(few, "lloyd"), "many": ours(many, "lloyd")}
    times, answers = interleaved(calls, rounds)
    more = answers["many"][1] - answers["few"][1]
    return (statistics.median(times["many"]) - statistics.median(times["few"])) / more
