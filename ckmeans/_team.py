"""A team of threads over independent tasks.

Workers are Python threads, since the tasks release the GIL: handing a task to one that waits
takes tens of microseconds, needs no OpenMP runtime, and survives a fork. The caller works too.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any

_invitations: SimpleQueue[_Job] = SimpleQueue()
_n_workers = 0
_growing = threading.Lock()


class _Job:
    """Tasks that any number of threads take from, one after another.

    What ends a job allocates nothing: a guest that gets no memory still leaves.
    """

    def __init__(
        self, function: Callable[..., Iterable[None] | None], tasks: Iterable[tuple[Any, ...]]
    ) -> None:
        self.function: Callable[..., Iterable[None] | None] | None = function
        self.tasks = deque(tasks)
        self.lock, self.guests_left = threading.Lock(), threading.Lock()
        self.guests_left.acquire()
        self.guests, self.most_guests, self.closed, self.dropped = 0, sys.maxsize, False, False
        self.invitations = _invitations
        self.error: BaseException | None = None

    def work(self) -> None:
        function = self.function
        while function is not None:
            try:
                task = self.tasks.popleft()
            except IndexError:
                return
            for _ in function(*task) or ():
                if self.dropped:
                    return

    def join(self) -> None:
        """What a worker does with an invitation; one to a finished job is void, and one to a job
        that has its guests: these look for new tasks once more when they have left."""
        while True:
            self.lock.acquire()
            late = self.closed or self.guests >= self.most_guests
            self.guests += not late
            self.lock.release()
            if late:
                return
            try:
                self.work()
            except BaseException as error:  # raised again by the caller
                self.error = error
                self.drop()
            finally:
                self.lock.acquire()  # a with-statement would make objects
                self.guests -= 1
                if self.closed and not self.guests:
                    self.guests_left.release()
                self.lock.release()
            if not self.tasks:
                return

    def drop(self) -> None:
        """Begin no further task, and end those that can be."""
        self.dropped = True
        self.tasks.clear()

    def close(self) -> None:
        """Wait for the guests: they write into arrays that the caller owns. Invitations that no
        worker has seen yet do not keep those. Guests do not follow into a forked child."""
        if self.invitations is _invitations:
            with self.lock:
                self.closed = True
                idle = not self.guests
            if not idle:
                self.guests_left.acquire()
        self.function = None


def each(
    function: Callable[..., Iterable[None] | None],
    tasks: list[tuple[Any, ...]],
    n_threads: int,
) -> None:
    """Call ``function(*task)`` for each task on up to `n_threads` threads, this one included.

    Returns when all are done. The first error, or an interrupt, drops the tasks not yet begun and
    is raised once the others have ended; a long one is a generator, which ends where it yields.
    """
    guests = min(n_threads, len(tasks)) - 1
    if guests < 1:
        for task in tasks:
            deque(function(*task) or (), maxlen=0)
        return
    job = _Job(function, tasks)
    try:
        _invite(job, guests)
        job.work()
    except BaseException:
        job.drop()
        raise
    finally:
        _closed(job)
        error, job.error = job.error, None
    if error is not None:
        try:
            raise error
        finally:
            del error  # whose traceback holds this frame


class Company:
    """Threads that stay with the caller while it is entered, and do one pass over the rows after
    another: to wake them for each takes 60 us, and they would come late to one of half a
    millisecond. Between two passes they spin, but not for long.
    """

    def __init__(self, sweep: Any) -> None:
        self.sweep, self.depth = sweep, 0
        self.job: _Job | None = None

    def __enter__(self) -> Company:
        self.depth += 1
        return self

    def invite(self, guests: int) -> None:
        """Have so many threads be there, or on their way."""
        if guests < 1:
            return
        if self.job is None or self.job.invitations is not _invitations:
            self.job = _Job(self.sweep.attend, ())
        # Who gave up waiting is a guest until the interpreter lets it leave, and finds the new task
        # then. (While these counted, nine of 21 passes were done alone: 200k x 16, k = 64.)
        self.job.most_guests = guests
        here = min(self.job.guests, self.sweep.present())  # nobody came along into a forked child
        missing = guests - here - len(self.job.tasks)
        if missing > 0 and not self.job.dropped:
            self.job.tasks.extend([()] * missing)
            _invite(self.job, missing)
        elif self.job.tasks and self.job.guests < guests:
            # Who was invited for the pass before stays with other callers.
            _start_workers(min(_n_workers + 1, (os.cpu_count() or 1) - 1))

    def __exit__(self, error: object, *_: object) -> None:
        self.depth = 0 if error else self.depth - 1  # an inner one may have been interrupted
        if self.job is not None and self.depth <= 0:
            job, self.job = self.job, None
            self.sweep.dismiss(True)
            try:
                job.drop()
            finally:
                try:
                    _closed(job)
                finally:
                    self.sweep.dismiss(False)
                    job.error = None  # whose traceback holds what is worked on


def _closed(job: _Job) -> None:
    """Close the job, whatever interrupts the waiting; that drops what is left to be done."""
    try:
        job.close()
    except BaseException:
        job.drop()
        _closed(job)
        raise


def _invite(job: _Job, guests: int) -> None:
    _start_workers(guests)
    for _ in range(min(guests, _n_workers)):
        _invitations.put(job)


def _start_workers(n: int) -> None:
    """Have so many, or as many as there can be."""
    global _n_workers
    # threading.Thread would wait for ever for one that gets no memory to begin with.
    with _growing, contextlib.suppress(RuntimeError):
        while _n_workers < n:
            _thread.start_new_thread(_serve, (_invitations,))
            _n_workers += 1


def _serve(invitations: SimpleQueue[_Job]) -> None:
    while True:
        with contextlib.suppress(MemoryError):
            invitations.get().join()


def _start_again() -> None:
    """A forked child has the queue, but none of its threads."""
    global _invitations, _n_workers, _growing
    _invitations, _n_workers, _growing = SimpleQueue(), 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_again)
