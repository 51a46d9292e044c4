"""The pool's supervisor, for futures: it starts workers as they are needed, and somebody always reads the answers.

Whoever waits in `result` reads answers himself, as in the pool, and the executor's helper thread does while nobody else
does (`helper`). It also ends the workers when the executor was shut down or dropped and everything is done. At the
interpreter's end (before daemon threads stop and other exit handlers run) all executors are shut down and their helpers
joined.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from multiprocessing import util

from ..errors import ClusterLost, PoolBroken, ShutDown
from ..pool.watch import Watch
from . import ending, failures, worker
from .engines import NUDGE, Processes, Threads
from .future import CallFuture
from .helper import Helped
from .rules import CrewState

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..pool.limits import Limits

__all__ = ["Crew"]


class Crew(Helped):
    """One executor's affairs. The executor refers to it, not the other way round."""

    @classmethod
    def of(
        cls,
        context: Any,
        size: int,
        initializer: Any,
        initargs: tuple[Any, ...],
        most_tasks: int,
        limits: Limits,
        memory_limit: int | None,
    ) -> Crew:
        """A crew of at most `size` workers, none of which is started yet."""
        lock = threading.RLock()
        if hasattr(context, "cluster"):
            from .far import Far

            return cls(Far(context, size, initializer, initargs, most_tasks), size, False, lock, limits)
        if initializer is not None:
            initargs, initializer = (initializer, *initargs), worker.initialize
        if context.get_start_method() == "thread":
            return cls(Threads(size, initializer, initargs, most_tasks, lock), size, most_tasks > 0, lock, limits)
        engine = Processes(context, size, initializer, initargs, most_tasks)
        return cls(engine, size, most_tasks > 0, lock, limits, Watch(engine, memory_limit, None))

    def __init__(
        self, engine: Any, size: int, retiring: bool, lock: Any, limits: Limits, watch: Watch | None = None
    ) -> None:
        super().__init__(engine, size, retiring, state := CrewState(size), watch)
        self.state: CrewState = state
        self.limits = limits  # of each call
        # Held while a call is submitted or withdrawn, and while workers are started or seen to have ended
        self.lock: Any = lock
        self._pid = os.getpid()
        self.is_foreign: bool = False
        self._dropped = False  # the executor is gone
        self._shut_down = False  # by its user
        ending.crews.add(self)

    def watch_over(self, executor: Any) -> None:
        """Finish when this is gone."""
        self._owner = weakref.ref(executor, self._was_dropped)
        # A child of multiprocessing ends its daemonic children before it comes to `finish_all`
        self._finalizer = util.Finalize(None, ending.finish, args=(weakref.ref(self),), exitpriority=15)

    def _was_dropped(self, _: object) -> None:
        # In the middle of anything, whatever the garbage collector interrupts: no lock may be taken here
        self._dropped = True
        self.wake()

    def workers(self) -> list[Any]:
        """The workers that have been started."""
        with self.lock:
            return list(self.engine.workers.values())

    # Calls

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Put a call and return its future. Raises: see `Executor.submit`."""
        with self.lock:
            self._prepare()
            future = CallFuture.of(self, (function, args, kwargs))
            try:
                self.engine.put(future, function, args, kwargs)
            except ShutDown:
                raise RuntimeError("cannot schedule new futures after shutdown") from None
            except Exception as error:
                return failures.unsent(error, args, kwargs, self.engine.encode)
            self._submitted()
        return future

    def call_chunk(self, function: Any, chunk: list[tuple[Any, ...]]) -> Any:
        """The same for a chunk of a map."""
        with self.lock:
            self._prepare()
            future = CallFuture.of(self, (function, (chunk,), {}), is_chunk=True)
            try:
                self.engine.put_chunk(future, function, chunk)
            except ShutDown:
                raise RuntimeError("cannot schedule new futures after shutdown") from None
            except Exception as error:
                return failures.unsent(error, tuple(chunk), {}, self.engine.encode)
            self._submitted()
        return future

    def _prepare(self) -> None:
        """Before a call is put: may it be, and are the workers and the helper there?"""
        if self.is_foreign or self.error is not None or not self.state.accepts or ending.exiting:
            self._refuse()
        if self._attended and self.engine.workers:
            self.replenish()
        if len(self.engine.workers) < self.size:
            self._add_workers()
        if self.helper is None:
            self._start_helper()

    def _refuse(self) -> None:
        if self.is_foreign:
            raise RuntimeError(f"this executor belongs to process {self._pid}, from which this one was forked")
        if self.error is not None:
            raise self.error.with_traceback(None)
        after = "shutdown" if self._shut_down or not ending.exiting else "interpreter shutdown"
        raise RuntimeError(f"cannot schedule new futures after {after}")

    def _submitted(self) -> None:
        if self.error is not None:
            self._fail_all(self.error)
        if self._asleep:
            self._wake_for_call()

    def _add_workers(self) -> None:
        """Start a worker if all are busy: of those that are forked all, before there is a thread here."""
        workers = self.engine.workers
        if self.engine.method == "fork":
            for number in range(self.size):
                if number not in workers:
                    self._add_worker(number)
            return
        if self.dispatcher.outstanding >= len(workers):
            self.look()
            if self.dispatcher.outstanding >= len(workers):
                self._add_worker(next(number for number in range(self.size) if number not in workers))

    def _add_worker(self, number: int) -> None:
        """Raises: OSError when it cannot be started, and there is no other."""
        if number in self.vacancies:
            return
        instructions = self.state.more(number)
        if self.engine.workers:
            self._carry_out(instructions)
        else:
            self.engine.start(number)

    def has_taken(self, number: int) -> bool:
        """Whether a worker has taken this task; of threads nobody knows here."""
        return bool(self.engine.has_taken(number))

    def withdraw(self, futures: list[CallFuture]) -> list[CallFuture]:
        """Cancel those of these calls that no worker has taken, tell those who wait, and return them."""
        if self.is_foreign:
            return []
        with self.lock:
            free: list[CallFuture] = self.engine.take_back([future for future in futures if future.is_untaken])
            for future in free:
                future.withdrawn()
        for future in free:
            future.tell_withdrawn()
        if free and not self._asleep:
            self.engine.nudge()  # it may be one that somebody waits for
        return free

    def end_call(self, future: CallFuture) -> bool:
        """Cancel a call that a worker is at: the worker is ended. False: it cannot be, or the call is done."""
        if self.is_foreign or self.watch is None:
            return False
        with self.lock:
            self.look()
            numbers = self.dispatcher.numbers(future)
            if not numbers:
                return False
            self.watch.end_tasks(set(numbers))
            self.dispatcher.forget(numbers)
            future.withdrawn()
        future.tell_withdrawn()
        self.engine.nudge()
        return True

    def failed(self, future: CallFuture, status: int, told: Any) -> BaseException:
        """The exception for a call that gave no value."""
        return failures.of_answer(future, status, told)

    # Reading answers

    def wait(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """See `Supervisor.wait`; the helper gives way."""
        if self.is_foreign:
            self._refuse()
        return super().wait(ready, timeout)

    def heed(self, news: list[Any]) -> None:
        """Take in what workers say; a nudge only woke whoever reads."""
        for entry in news:
            if type(entry) is tuple:
                if entry[0] != NUDGE:
                    super().heed([entry])
            elif entry._is_watched:
                self._called.append(entry)
        if self._called and threading.current_thread() is not self.helper:
            self.wake()

    def _check_workers(self) -> None:
        with self.lock:
            super()._check_workers()
            if self.state.ending and not self.engine.workers and self.dispatcher.outstanding:
                self._fail_all(self._broken("the workers were ended by hand"))

    def loss(self, number: int, worker: Any, what: str) -> BaseException:
        """The error for a call whose worker ended: one that programs for `concurrent.futures` catch."""
        error = super().loss(number, worker, what)
        try:
            from .broken import lost
        except OSError:  # no descriptor is left to read the module with
            return error
        return lost(error)

    def _break_by_initializer(self, told: Any) -> None:
        super()._break_by_initializer(told.error if isinstance(told, worker.Raised) else told)

    def _break(self, error: BaseException) -> None:
        again = self._broken(str(error))
        again.__cause__ = error if isinstance(error, ClusterLost) else error.__cause__
        super()._break(again)
        self.wake()

    def _broken(self, message: str) -> BaseException:
        try:
            from .broken import ExecutorBroken, ThreadsBroken
        except OSError:  # as above
            return PoolBroken(message)
        return (ThreadsBroken if self.engine.method == "thread" else ExecutorBroken)(message)

    # The end

    def _is_over(self) -> bool:
        """Whether nothing is left to do, and nothing more will come."""
        if self.state.accepts and self.error is None and not self._dropped and not ending.exiting:
            return False
        return not (self.dispatcher.outstanding or self._news or self._called)

    def _end(self) -> None:
        """Let the workers go, and wait until they have ended."""
        with self.lock:
            self.state.close()
            self.engine.close()
        self.engine.join(None)
        self._finalizer.cancel()

    def disown(self) -> None:
        """In a forked child: it is the parent's."""
        self.is_foreign = True
        self.lock = threading.RLock()  # another thread may have held it

    def shut_down(self, wait: bool, cancel_futures: bool = False) -> None:
        """See `Executor.shutdown`."""
        if self.is_foreign:
            return
        with self.lock:
            self._shut_down = True
            self.state.close()
            if self.helper is None:
                self._end()
        if cancel_futures:
            self._cancel(but_begun=True)
        self.wake()
        if wait:
            self.join()

    def _cancel(self, but_begun: bool) -> None:
        """Cancel what no worker has taken. `but_begun`: a worker that is still starting was started for some call."""
        dispatcher = self.dispatcher
        with self.lock:
            owners = [dispatcher.owner(number) for number in sorted(dispatcher.numbers())]
            futures = [owner[0] for owner in owners if owner is not None]
            untaken = [future for future in futures if future.is_untaken and not self.has_taken(future._number)]
            starting = len(self.engine.workers) - (len(futures) - len(untaken))
            self.withdraw(untaken[max(starting, 0) :] if but_begun else untaken)

    def end_workers(self, manner: str) -> None:
        """End the workers with the process's method of that name; see `Executor.terminate_workers`."""
        if self.is_foreign:
            return
        self.state.ending = True
        workers = self.workers()
        self.shut_down(False)
        self._cancel(but_begun=False)
        if self.engine.method == "thread":
            return
        for process in workers:
            with suppress(ValueError, ProcessLookupError):  # ended already
                if process.is_alive():
                    getattr(process, manner)()
