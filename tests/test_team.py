"""A team of threads: every task once, errors and interrupts in the caller, forks, exits."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from queue import SimpleQueue

import numpy as np
import oracle
import pytest

from ckmeans import _team, kmeans
from ckmeans._bounds import BOUND, FILTER, PLAIN, Sweep
from ckmeans._source import Source

SOON = 30  # seconds, for what takes milliseconds unless it hangs


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("n_tasks", [0, 1, 2, 7, 500])
def test_every_task_runs_once(n_threads, n_tasks):
    done = []
    _team.each(lambda i, j: done.append((i, j)), [(i, -i) for i in range(n_tasks)], n_threads)
    assert sorted(done) == [(i, -i) for i in range(n_tasks)]


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_that_many_threads_work_at_once(n_threads):
    meeting, ids = threading.Barrier(n_threads), []

    def meet(_):
        meeting.wait(SOON)
        ids.append(threading.get_ident())

    _team.each(meet, [(i,) for i in range(n_threads)], n_threads)
    assert len(set(ids)) == n_threads and threading.get_ident() in ids


def test_one_thread_is_the_caller_and_keeps_the_order():
    done = []
    _team.each(lambda i: done.append((i, threading.get_ident())), [(i,) for i in range(9)], 1)
    assert done == [(i, threading.get_ident()) for i in range(9)]


@pytest.mark.parametrize("n_threads", [1, 2, 8])
def test_an_error_is_raised_and_the_rest_dropped(n_threads):
    begun = []

    def task(i):
        begun.append(i)
        if i == 3:
            raise RuntimeError("three")
        time.sleep(0.001)

    with pytest.raises(RuntimeError, match="three"):
        _team.each(task, [(i,) for i in range(1000)], n_threads)
    assert len(begun) < 500
    count = len(begun)
    time.sleep(0.02)
    assert len(begun) == count, "a task began after each() had returned"


def test_an_error_of_a_guest_is_raised_in_the_caller():
    caller, failed = threading.get_ident(), threading.Event()
    begun = []

    def task(i):
        begun.append(i)
        if threading.get_ident() != caller:
            failed.set()
            raise RuntimeError("a guest's")
        failed.wait(SOON)
        time.sleep(0.001)

    with pytest.raises(RuntimeError, match="a guest's"):
        _team.each(task, [(i,) for i in range(1000)], 2)
    assert len(begun) < 500
    done = []
    _team.each(done.append, [(i,) for i in range(9)], 2)
    assert len(done) == 9, "the team goes on"


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_generator_runs_to_its_end(n_threads):
    done = []

    def task(i):
        for j in range(5):
            done.append((i, j))
            yield

    _team.each(task, [(i,) for i in range(20)], n_threads)
    assert sorted(done) == [(i, j) for i in range(20) for j in range(5)]


def test_a_caller_without_work_lets_generators_end():
    caller, meeting, steps = threading.get_ident(), threading.Barrier(2), []

    def task(_):
        meeting.wait(SOON)
        for _ in range(0 if threading.get_ident() == caller else 100):
            steps.append(True)
            time.sleep(0.001)
            yield

    _team.each(task, [(0,), (1,)], 2)
    assert len(steps) == 100


@pytest.mark.parametrize("guest_fails", [False, True])
def test_an_error_ends_generators_where_they_yield(guest_fails):
    caller, meeting, steps = threading.get_ident(), threading.Barrier(2), []

    def task(_):
        meeting.wait(SOON)
        if (threading.get_ident() == caller) != guest_fails:
            raise RuntimeError("ours")
        for _ in range(1000):
            steps.append(True)
            time.sleep(0.001)
            yield

    with pytest.raises(RuntimeError, match="ours"):
        _team.each(task, [(0,), (1,)], 2)
    assert len(steps) < 500


def test_each_waits_for_its_guests():
    """They write into arrays that the caller owns; so too after an error of the caller's."""
    caller, inside, done = threading.get_ident(), threading.Event(), []

    def task(_):
        if threading.get_ident() == caller:
            inside.wait(SOON)
            raise RuntimeError("the caller's")
        inside.set()
        time.sleep(0.1)
        done.append(True)

    with pytest.raises(RuntimeError, match="the caller's"):
        _team.each(task, [(0,), (1,)], 2)
    assert done


def test_an_interrupt_waits_for_the_guests_too():
    caller, inside, done = threading.get_ident(), threading.Event(), []

    def task(_):
        if threading.get_ident() == caller:
            inside.wait(SOON)
            return
        inside.set()
        time.sleep(0.05)  # the caller waits for this task by now
        signal.pthread_kill(caller, signal.SIGINT)
        time.sleep(0.1)
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        _team.each(task, [(0,), (1,)], 2)
    assert done


def test_an_interrupt_between_invitations_leaves_no_guest_behind(monkeypatch):
    class Interrupted:
        def put(self, job):
            real.put(job)
            raise KeyboardInterrupt

    def task(i):
        begun.append(i)
        time.sleep(0.01)

    begun, real = [], _team._invitations
    _team.each(lambda _: time.sleep(0.001), [(i,) for i in range(9)], 3)  # the threads are there
    monkeypatch.setattr(_team, "_invitations", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        _team.each(task, [(i,) for i in range(200)], 3)
    count = len(begun)
    time.sleep(0.1)
    assert len(begun) == count < 200


@pytest.mark.parametrize("error", [None, MemoryError])
def test_invitations_not_seen_keep_nothing(monkeypatch, error):
    """Workers may be busy, or not to be had: what they are invited to is forgotten with the job."""

    class Nobody:
        def put(self, job):
            jobs.append(job)
            if error is not None:
                job.join()  # as a guest

    class Array:
        pass

    def call():
        array = Array()
        kept.append(weakref.ref(array))

        def task(_, array=array):
            if error is not None:
                raise error

        _team.each(task, [(0,), (1,)], 2)

    jobs, kept = [], []
    _team.each(lambda _: (), [(0,), (1,)], 2)  # there is a worker
    monkeypatch.setattr(_team, "_invitations", Nobody())
    with pytest.raises(error) if error else contextlib.nullcontext():
        call()
    gc.collect()
    assert len(jobs) == 1 and kept[0]() is None


def test_without_workers_nobody_is_invited(monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_team, "_n_workers", 0)
    monkeypatch.setattr(_team, "_invitations", SimpleQueue())
    monkeypatch.setattr(_team._thread, "start_new_thread", refuse)
    done = []
    _team.each(done.append, [(i,) for i in range(9)], 3)
    assert done == list(range(9)) and _team._invitations.empty()


def test_each_inside_of_each():
    done = []

    def outer(i):
        _team.each(lambda j: done.append((i, j)), [(j,) for j in range(5)], 3)

    _team.each(outer, [(i,) for i in range(20)], 3)
    assert sorted(done) == [(i, j) for i in range(20) for j in range(5)]


@pytest.fixture
def problem():
    """Three segments."""
    return np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)


def test_segments_of_a_long_iteration_are_shared_one_by_one(threads_for_all, monkeypatch, problem):
    monkeypatch.setattr("ckmeans._iterate.UNINTERRUPTED", 1)
    each, ids = _team.each, set()

    def noted(function, tasks, n_threads):
        meeting = threading.Barrier(2)

        def task(*arguments):
            if len(tasks) == 3 and arguments[0] < 2:  # the first two, at the same time
                meeting.wait(SOON)
                ids.add(threading.get_ident())
            yield from function(*arguments) or ()

        each(task, tasks, n_threads)

    expected = kmeans(problem, 8, init=problem[:8], n_threads=1)
    monkeypatch.setattr("ckmeans._team.each", noted)
    oracle.assert_same_bits(kmeans(problem, 8, init=problem[:8], n_threads=2), expected)
    assert threading.get_ident() in ids and len(ids) > 1


def test_an_interrupted_invitation_leaves_nothing_behind(threads_for_all, monkeypatch, problem):
    """Of the pass that was opened for it; the next run is as if it had not been."""
    expected = kmeans(problem, 8, init=problem[:8], n_threads=1)
    invite, calls = _team.Company.invite, []

    def interrupted(self, guests):
        invite(self, guests)
        calls.append(guests)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as while_patched:
        while_patched.setattr(_team.Company, "invite", interrupted)
        while_patched.setattr("ckmeans._iterate.Problem.goes_on", False)
        with pytest.raises(KeyboardInterrupt):
            kmeans(problem, 8, init=problem[:8], n_threads=2)
    oracle.assert_same_bits(kmeans(problem, 8, init=problem[:8], n_threads=2), expected)


def test_guests_leave_a_pass_that_its_caller_has_left():
    """After the segment that they have: 6288 of 100,000 rows take some 10 ms."""
    X = np.broadcast_to(np.arange(256, dtype=np.uint8), (100_000, 256))
    sweep = Sweep(Source(X), None, np.zeros(256), True)
    sweep.begin(200)
    sweep.aim(np.random.default_rng(0).uniform(0, 255, (200, 256)), PLAIN, False, False)
    sweep.open(False)
    guest = threading.Thread(target=sweep.attend)
    guest.start()
    while guest.is_alive() and not (sweep.labels >= 0).any():
        time.sleep(1e-4)
    sweep.dismiss(True)
    guest.join(SOON)
    assert not guest.is_alive() and sweep.present() == 0
    assert 0 < (sweep.labels >= 0).sum() <= 3 * sweep.segment_rows


class Passes:
    """What a company works on: guests stay until they are dismissed, or told to leave."""

    def __init__(self):
        self.attending, self.leave = threading.Semaphore(0), threading.Event()
        self.visits = self.gone = 0

    def attend(self):
        self.visits += 1
        self.attending.release()
        assert self.leave.wait(SOON)
        self.gone += 1

    def present(self):
        return self.visits - self.gone

    def dismiss(self, ended):
        if ended:
            time.sleep(0.01)  # time to notice one that is not waited for
            self.leave.set()


@pytest.mark.parametrize("guests", [1, 3])
@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_a_company_stays_and_is_waited_for(guests, error):
    passes = Passes()
    company = _team.Company(passes)
    with pytest.raises(error) if error else contextlib.nullcontext(), company:
        for _ in range(5):
            with company:  # an inner one changes nothing
                company.invite(guests)
        for _ in range(guests):
            assert passes.attending.acquire(timeout=SOON)
        company.invite(guests)
        job = company.job
        if error:
            raise error
    assert passes.visits == guests and job.guests == 0 and job.function is None


def test_a_guest_that_left_is_invited_again():
    passes = Passes()
    with _team.Company(passes) as company:
        for visits in (1, 2, 3):
            company.invite(1)
            assert passes.attending.acquire(timeout=SOON) and passes.visits == visits
            passes.leave.set()
            deadline = time.monotonic() + SOON
            while company.job.guests and time.monotonic() < deadline:
                time.sleep(0.001)
            passes.leave.clear()


def test_a_guest_that_gave_up_waiting_is_invited_before_it_left():
    """Which it can't until the caller leaves the interpreter to it."""
    passes = Passes()
    with _team.Company(passes) as company:
        company.invite(1)
        assert passes.attending.acquire(timeout=SOON)
        passes.gone = 1  # it waits no more, but is a guest still
        for _ in range(3):
            company.invite(1)
        assert company.job.guests == 1
        passes.leave.set()
        assert passes.attending.acquire(timeout=SOON)
        assert company.job.guests <= 1, "one beside the caller, whoever is idle"
    assert passes.visits == 2


@pytest.mark.parametrize("dismissed", [False, True])
def test_who_waits_is_present_until_it_gives_up(problem, dismissed):
    sweep = Sweep(Source(problem), None, np.zeros(64), False)
    sweep.begin(8)
    sweep.dismiss(dismissed)
    assert sweep.present() == 0
    sweep.attend()
    assert sweep.present() == 0
    waiting = threading.Thread(target=lambda: [sweep.attend() for _ in range(10)])
    waiting.start()
    deadline = time.monotonic() + SOON
    seen = set()
    while waiting.is_alive() and time.monotonic() < deadline:
        seen.add(sweep.present())
    waiting.join(SOON)
    assert seen <= {0, 1} and sweep.present() == 0


def test_an_error_of_a_guest_leaves_the_work_to_the_others():
    """For want of memory, before it has begun any."""

    class Failing(Passes):
        def attend(self):
            super().attend()
            raise MemoryError

    passes = Failing()
    passes.leave.set()
    with _team.Company(passes) as company:
        for _ in range(5):
            company.invite(1)
            time.sleep(0.01)
        job = company.job
        assert isinstance(job.error, MemoryError)
    assert passes.visits == 1
    assert job.error is None, "its traceback holds what was worked on"


def test_an_interrupted_company_ends_whatever_its_depth():
    passes = Passes()
    with pytest.raises(KeyboardInterrupt), _team.Company(passes) as company:
        company.__enter__()  # whose end an interrupt came before
        company.invite(1)
        assert passes.attending.acquire(timeout=SOON)
        job = company.job
        raise KeyboardInterrupt
    assert company.job is None and company.depth == 0 and job.guests == 0


def test_workers_that_stay_elsewhere_are_joined_by_others(monkeypatch):
    """As many as there are CPUs beside a caller."""
    monkeypatch.setattr(_team, "_n_workers", 0)
    monkeypatch.setattr(_team, "_invitations", SimpleQueue())
    monkeypatch.setattr(_team.os, "cpu_count", lambda: 3)
    calls = [Passes() for _ in range(3)]
    with (
        _team.Company(calls[0]) as first,
        _team.Company(calls[1]) as second,
        _team.Company(calls[2]) as third,
    ):
        for company in (first, second, third):
            company.invite(1)
        assert calls[0].attending.acquire(timeout=SOON)
        assert not calls[1].attending.acquire(timeout=0.05)
        for company in (second, third, second, third):
            company.invite(1)
        assert calls[1].attending.acquire(timeout=SOON)
        assert not calls[2].attending.acquire(timeout=0.05) and _team._n_workers == 2
    assert [passes.visits for passes in calls] == [1, 1, 0]


def test_guests_do_passes_on_their_own(problem):
    """All segments of the passes that a caller opens, who does none."""
    centroids, k = problem[:8].astype(np.float64), 8
    sweeps = [Sweep(Source(problem), None, np.zeros(64), True) for _ in range(2)]
    for sweep in sweeps:
        sweep.begin(k)
    assert sweeps[0].n_segments == 3
    for mode in (PLAIN, BOUND, FILTER):
        for sweep in sweeps:
            sweep.aim(centroids, mode, False, False)
        for segment in range(3):
            first = segment * sweeps[0].segment_rows
            sweeps[0].assign(segment, first, min(3000, first + sweeps[0].segment_rows))
        sweeps[1].open(False)
        sweeps[1].attend()  # leaves as no other pass comes
        assert sweeps[0].collect() == sweeps[1].collect()
        assert np.array_equal(sweeps[0].labels, sweeps[1].labels)
        centroids = sweeps[0].means(centroids)[0]
    for sweep in sweeps:
        sweep.aim_residuals(centroids)
    for segment in range(3):
        first = segment * sweeps[0].segment_rows
        sweeps[0].add(segment, first, min(3000, first + sweeps[0].segment_rows))
    sweeps[1].open(True)
    sweeps[1].attend()
    assert sweeps[0].residuals().tobytes() == sweeps[1].residuals().tobytes()


def test_kmeans_in_a_callback(threads_for_all, problem):
    expected, inner = kmeans(problem, 8, 0, n_threads=1), []

    def callback(progress):
        if progress.iteration < 4:
            inner.append(kmeans(problem, 8, 0, n_threads=3))

    oracle.assert_same_bits(kmeans(problem, 8, 0, n_threads=3, callback=callback), expected)
    assert len(inner) == 3
    for result in inner:
        oracle.assert_same_bits(result, expected)


def test_several_callers_at_once(threads_for_all, problem):
    expected, results = [kmeans(problem, 8, seed, n_threads=1) for seed in range(4)], {}

    def work(seed):
        results[seed] = [kmeans(problem, 8, seed, n_threads=3) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    for seed in range(4):
        for result in results[seed]:
            oracle.assert_same_bits(result, expected[seed])


# --- What needs a process of its own ---

COMMON = """
import os, signal, sys, threading, time
import numpy as np
from ckmeans import _iterate, _rows, _team, kmeans
_iterate.PARALLEL = _rows.PARALLEL = 1
X = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
def labels(n_threads=2):
    return kmeans(X, 8, 0, n_threads=n_threads).labels
"""


def in_a_process(code, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", COMMON + code, *arguments],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


IN_CHILDREN = """
def in_a_child():
    child = os.fork()
    if not child:
        signal.alarm(60)
        meeting = threading.Barrier(2)  # of the caller and a thread of the child's own
        _team.each(lambda _: (meeting.wait(30), ())[1], [(0,), (1,)], 2)
        os._exit(not (labels() == expected).all())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""

IN_COMPANY = """
expected = labels()
attending, leave = threading.Event(), threading.Event()
class Passes:
    def attend(self):
        attending.set()
        leave.wait(60)
    def present(self):
        return 1  # one that did not come along into the child
    def dismiss(self, ended):
        leave.set()
with _team.Company(Passes()) as company:
    company.invite(1)
    attending.wait(60)
    code = in_a_child()
    child = os.fork()
    if not child:  # where nobody is there, but may be invited
        signal.alarm(60)
        attending.clear()
        company.invite(1)
        attending.wait(60)
        job = company.job
if not child: os._exit(job.guests or not (labels() == expected).all())
print(code, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

AFTER_USE = """
expected = labels()
print([in_a_child() for _ in range(3)], (labels() == expected).all())
"""

WHILE_IN_USE = """
expected = labels()
stop = False
def work():
    while not stop: labels(3)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
print([in_a_child() for _ in range(8)])
stop = True
for thread in threads: thread.join()
"""

IN_A_GRANDCHILD = """
expected = labels()
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit((labels() == expected).all() and in_a_child())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize(
    ("code", "output"),
    [
        (AFTER_USE, "[0, 0, 0] True"), (WHILE_IN_USE, f"{[0] * 8}"), (IN_A_GRANDCHILD, "0"),
        (IN_COMPANY, "0 0"),
    ],
    ids=["after use", "while in use", "twice", "in company"],
)
def test_a_forked_child_makes_its_own_team(code, output):
    run = in_a_process(IN_CHILDREN + code)
    assert run.returncode == 0 and run.stdout.strip() == output, run


EXIT_AT_REST = "labels(8)"
EXIT_AT_WORK = """
def work():
    while True: labels(8)
for _ in range(3): threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
"""
EXIT_IN_A_HANDLER = "import atexit; atexit.register(labels, 8)"


@pytest.mark.parametrize("code", [EXIT_AT_REST, EXIT_AT_WORK, EXIT_IN_A_HANDLER])
def test_the_interpreter_exits(code):
    run = in_a_process(code)
    assert run.returncode == 0 and run.stderr == "", run


# One iteration of n x 256 by k centroids, in 16 segments.
INTERRUPTED = """
Problem, begin, problems = _iterate.Problem, _iterate.Problem.begin, []
Problem.begin = lambda self, *given: (begin(self, *given), problems.append(self))
def n_assigned():
    return sum((p.labels >= 0).sum() for p in problems)
def interrupt():
    global before
    while not n_assigned(): time.sleep(0.001)
    before = n_assigned()
    os.kill(os.getpid(), signal.SIGINT)
n_threads, algorithm, n, k = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
X = np.broadcast_to(np.arange(256, dtype=np.uint8), (n, 256))
start = np.random.default_rng(0).uniform(0, 255, (k, 256))
threading.Thread(target=interrupt, daemon=True).start()
try:
    kmeans(X, k, init=start, n_threads=n_threads, algorithm=algorithm)
except KeyboardInterrupt:
    print(n_assigned() - before)
    raise
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize("algorithm", ["lloyd", "hamerly"])
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    "n, k, rows", [(800_000, 1000, 4032), (100_000, 200, 6288)], ids=["pieces", "segments"]
)
def test_an_interrupt_stops_every_thread_within_a_long_iteration(n_threads, algorithm, n, k, rows):
    """After a piece of a segment, where that takes long, else after a segment."""
    run = in_a_process(INTERRUPTED, str(n_threads), algorithm, str(n), str(k))
    assert run.returncode == -signal.SIGINT and "KeyboardInterrupt" in run.stderr, run
    assert int(run.stdout) <= 3 * rows * n_threads
