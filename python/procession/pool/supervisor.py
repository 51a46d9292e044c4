"""Carries out the pool's rules: reads answers, watches workers, fails what they took with them, replaces them.

Whoever waits for a result reads answers for everybody: of several waiting threads one, the leader, waits at the ring;
the others sleep until it has read something or gives up the lead. The leader also looks after the workers, every 20 ms.
While nobody waits, a thread that all pools share learns when a worker ends (`guard`). Only where callbacks are to be
called, or calls have limits or retries, or workers retire, a thread of the pool's own takes part (`driver`).
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from contextlib import suppress
from time import monotonic

from ..errors import PoolBroken, PoolTerminated, ShutDown
from .driver import Driver
from .lead import CHECK_S, Lead
from .records import PoolStatistics
from .recovery import has_more, loss_of, recover, recover_lost, take_apart
from .results import failure
from .state import APART, BROKEN, DIED, GONE, LOST, RAISED, READY, Break, Fail, Instruction, PoolState, Start, Try
from .vacancies import Vacancies

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .engine import Engine
    from .watch import Watch

__all__ = ["Supervisor"]

BATCH = 4096  # answers read at a time
ANY = 2**64 - 1  # bytes of tasks


class Supervisor(Driver):
    """One pool's affairs in the parent. Dies with it; workers notice (see `worker`)."""

    catch_up: Callable[[], None] | None = None  # where output is forwarded: has what was printed so far passed on

    def __init__(
        self, engine: Engine, size: int, attended: bool, state: PoolState | None = None, watch: Watch | None = None
    ) -> None:
        """`attended`: somebody must always look after the workers. `watch` does, where they are processes."""
        self.engine: Engine = engine
        self.watch: Watch | None = watch
        self.state: PoolState = state or PoolState(size)
        self.dispatcher: Any = engine.dispatcher
        self._address, self._wrap = engine.functions.address, engine.wrap
        self.feeding: weakref.WeakSet[Any] = weakref.WeakSet()  # imaps whose input is not exhausted
        self.error: BaseException | None = None  # why the pool is of no use
        self._lead, self._checked = Lead(), monotonic()
        self._news: list[list[Any] | None] = []  # read, and not yet heeded
        self._due: deque[tuple[Instruction, Any]] = deque()  # not yet carried out: that may fail, or be interrupted
        self.vacancies: Vacancies = Vacancies(engine)
        self._followers: dict[Any, bool] = {}  # what each sleeps on: a lock that is released to wake it
        self.size: int = size
        self._begin_driving(attended, watch is not None)
        self.awaited: dict[Any, list[Callable[[], None]]] = {}  # by job, what event loops want called when it is ready
        self.watchers: list[Callable[[], None]] = []  # of event loops: called after each reading; quick, never raise

    def start(self) -> None:
        """Start the workers. When that fails none is left."""
        try:
            for instruction in self.state.begin():
                self.engine.start(instruction.worker)  # type: ignore[union-attr]  # it begins with nothing else
        except BaseException as error:
            self.error = PoolTerminated(f"the pool could not start its workers: {error}")
            self.state.terminate()
            self.engine.undo()
            raise

    # Submitting

    def submit(
        self, job: Any, function: Any, kind: int, index: int, payloads: Iterable[Any], most_bytes: int = ANY
    ) -> int:
        """Put tasks for the workers, one for each payload, until `most_bytes` are reached; returns how many.

        Raises: PicklingError, ValueError for a pool that ended; then none was put.
        """
        if self._wrap is not None:
            payloads = map(self._wrap, payloads)
        try:
            put: int = self.dispatcher.submit(job, self._address(function), kind, index, payloads, most_bytes)
        except ShutDown:
            if self.error is not None:
                raise self.error.with_traceback(None) from self.error.__cause__
            raise ValueError("Pool not running") from None
        if self.error is not None:
            self._fail_all(self.error)
        if self._attended:
            self._start_driver()
        return put

    def submit_one(self, job: Any, function: Any, kind: int, payload: Any) -> None:
        """The same for a single task, with less on the way."""
        if self._attended or self.error is not None or self._wrap is not None:
            self.submit(job, function, kind, 0, (payload,))
            return
        try:
            self.dispatcher.submit_one(job, self._address(function), kind, payload)
        except ShutDown:
            raise ValueError("Pool not running") from None
        if self.error is not None:
            self._fail_all(self.error)

    def statistics(self) -> PoolStatistics:
        """A snapshot, without waiting."""
        engine, state = self.engine, self.state
        return PoolStatistics(
            workers=len(engine.workers),
            serving=len(state.serving),
            started=state.started,
            deaths=state.deaths,
            waiting=engine.waiting,
            outstanding=self.dispatcher.outstanding,
            functions=len(engine.functions),
        )

    # Waiting

    def wait(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """Read answers until `ready()`, or for `timeout` seconds: then False.

        Raises: the error the pool broke with, when `ready()` is false.
        """
        end = None if timeout is None else monotonic() + timeout
        if timeout is not None and timeout <= 0:
            self.look()
        is_inside = self._lead.is_mine()  # a signal's handler, in the middle of what is below
        try:
            while not ready():
                if (error := self.useless()) is not None:
                    raise error.with_traceback(None)
                left = CHECK_S if end is None else min(CHECK_S, end - monotonic())
                if left < 0:
                    return False
                if self._lead.acquire(False) or self._follow(ready, left):
                    self._take_turn(0.0 if ready() else left)
            if self.catch_up is not None:
                self.catch_up()
            return True
        finally:
            if not is_inside:
                self._lead.give_back()

    def look(self) -> bool:
        """Take in what answers there are, without waiting. False: another thread is at it. For event loops, `ready`."""
        is_inside = self._lead.is_mine()
        try:
            if not self._lead.acquire(False):
                return False
            self._take_turn(0.0)
            return True
        finally:
            if not is_inside:
                self._lead.give_back()

    def useless(self) -> BaseException | None:
        """The error the pool broke with, once nothing is to come any more."""
        if self.error is None or self.dispatcher.outstanding or self._with_callbacks:
            return None
        return self.error

    def replenish(self) -> None:
        """Replace workers that have ended; who is reading does it next, for who is not may miss an answer just read."""
        self._checked = 0.0
        self.look()

    def _follow(self, ready: Callable[[], bool], timeout: float) -> bool:
        """Sleep until the leader has read something or is gone. True: there is none any more, this thread leads.

        Nothing is missed: the bell is hung up before the look at the lead, and the leader lets go before it looks for
        bells. (No condition variable, whose lock a signal's handler could leave held.)
        """
        bell = threading.Lock()
        bell.acquire()
        self._followers[bell] = True
        try:
            if self._lead.acquire(False):
                return True
            if not ready():
                bell.acquire(timeout=timeout)
            return False
        finally:
            # Without an exception when it has been rung: Ctrl-C in the middle of one would show both.
            self._followers.pop(bell, None)

    def _take_turn(self, timeout: float) -> None:
        """As the leader: read, and let go."""
        try:
            self._read(timeout)
        finally:
            self._lead.release()
            self._wake_followers()

    def _wake_followers(self) -> None:
        for bell in tuple(self._followers):
            if self._followers.pop(bell, False):
                bell.release()
        for watcher in tuple(self.watchers):
            watcher()

    def _read(self, timeout: float) -> None:
        """As the leader: note what answers there are, and look after the workers now and then."""
        self._take_in(timeout)
        now = monotonic()
        if now - self._checked >= CHECK_S:
            self._checked = now
            self._check_workers()

    def _take_in(self, timeout: float) -> bool:
        """Wait for answers and heed them. False: there were none."""
        # In one call, for what was read and not kept would be lost by a KeyboardInterrupt in between
        self._news.extend(map(self.dispatcher.collect, (BATCH,), (timeout,)))
        found = False
        for news in self._news:
            if news is not None:
                found = True
                self.heed(news)
        self._news.clear()
        return found

    def heed(self, news: list[Any]) -> None:
        """Take in finished jobs and what workers tell. Doing it twice, after an interrupt, is harmless."""
        for entry in news:
            if type(entry) is not tuple:
                if entry._callbacks is not None:
                    self._called.append(entry)
                elif self.awaited:
                    self._tell(entry)
                continue
            status, worker, told = entry
            if status == READY:
                self._carry_out(self.state.ready(worker))
            elif status == BROKEN:
                self._break_by_initializer(told)
            elif status == APART:  # which bears the number of a task
                take_apart(self, worker, told)
            elif status == LOST:  # likewise
                recover_lost(self, worker, told)
            elif status == GONE:
                self.state.terminate()
                self._break(told)

    def _tell(self, job: Any) -> None:
        """A job is ready: let the event loops know in which it is awaited."""
        for tell in tuple(self.awaited.pop(job, ())):  # a copy: who is told strikes itself off
            tell()

    # Workers

    def _check_workers(self) -> None:
        if self.state.broken is not None:
            return
        if self.watch is not None:
            self.watch.look()
        for number in self.engine.ended():
            self._bury(number)
        self._carry_on()

    def _bury(self, number: int) -> None:
        """A worker has ended."""
        worker = self.engine.workers[number]
        evidence = self.engine.evidence(number)
        while self._take_in(0):
            pass
        outstanding = frozenset(self.dispatcher.numbers())
        instructions = self.state.ended(evidence, outstanding, lambda task: has_more(self, task, number))
        if self.watch is not None and not any(isinstance(one, Fail | Try) for one in instructions):
            self.watch.forget(number)  # now: the next one has the same number
        self._carry_out(instructions, worker)

    def _carry_out(self, instructions: list[Instruction], worker: Any = None) -> None:
        if instructions:
            self._due.extend((instruction, worker) for instruction in instructions)
            self._carry_on()

    def _carry_on(self) -> None:
        """Do what is due. What fails or is interrupted is done again the next time."""
        if self._due or self.vacancies:
            try:
                self._do_due()
            finally:
                self._tell_guard()

    def _do_due(self) -> None:
        while self._due:
            instruction, worker = self._due[0]
            if isinstance(instruction, Start):
                self.vacancies.add(instruction.worker)
            elif isinstance(instruction, Fail | Try):
                if self.dispatcher.owner(instruction.task) is not None:
                    recover(self, instruction.task, instruction.worker, worker)
            elif isinstance(instruction, Break):
                self._break(PoolBroken(f"the pool cannot go on: {instruction.reason}"))
            with suppress(IndexError):  # a signal's handler did the same in the middle of it
                self._due.popleft()
        if self.vacancies and self.error is None and (error := self.vacancies.fill()) is not None:
            broken = PoolBroken(f"no worker is left, and none can be started: {error}")
            broken.__cause__ = error
            self._break(broken)
            self.state.terminate()

    def loss(self, number: int, worker: Any, what: str) -> BaseException:
        """The error for what a dead worker took along."""
        if self.watch is not None:
            return self.watch.loss(number, worker, what)
        return loss_of(worker, what)

    def settle(self, task: int, error: BaseException) -> None:
        """A task ends with this error."""
        job = self.dispatcher.fail(task, DIED, error)
        if job is not None:
            self.heed([job])

    def _break_by_initializer(self, told: Any) -> None:
        cause = failure(RAISED, told, "the initializer")
        if not self.state.initializer_failed("its initializer raised"):
            return
        error = PoolBroken(f"the pool's initializer raised {type(cause).__name__}: {cause}")
        error.__cause__ = cause
        self._break(error)

    def _break(self, error: BaseException) -> None:
        self.error = error
        self.engine.kill()
        self._fail_all(error)

    def _fail_all(self, error: BaseException) -> None:
        for task in self.dispatcher.numbers():
            self.settle(task, error)
        self._wake_followers()

    # Taking back

    def cancel(self, job: Any) -> bool:
        """End a job: what no worker has taken is not done, workers that are at it are ended. False: it was done.

        Of threads those that are at it go on, and nobody hears of it.
        """
        from concurrent.futures import CancelledError

        self.look()
        numbers = self.dispatcher.numbers(job)
        running = set(numbers) - set(self.engine.withdraw(numbers))
        for task in numbers:  # first: who sees that its worker ended must not put it down to that
            self.settle(task, CancelledError(f"{job!r} was cancelled"))
        if running and self.watch is not None:
            self.watch.end_tasks(running)
        self._wake_followers()
        return bool(numbers)

    def take_back(self, job: Any) -> bool:
        """Take back a job of one task, if no worker has taken it: nobody hears of it again. False: one has."""
        numbers = self.dispatcher.numbers(job)
        if not numbers or not self.engine.withdraw(numbers):
            return False
        self.dispatcher.forget(numbers)
        return True

    def drop(self, job: Any) -> None:
        """Its caller left: nobody wants the answers, and what no worker has taken is not done."""
        numbers = self.dispatcher.numbers(job)
        if numbers:
            self.engine.withdraw(numbers)
            self.dispatcher.forget(numbers)

    # The end

    def close(self) -> None:
        """Take no more calls; what was submitted is finished."""
        self.state.close()
        if not self.feeding and not self.dispatcher.outstanding:
            self.engine.close()

    def join(self) -> None:
        """After `close` or `terminate`: block until everything is done and all workers have ended."""
        if self.error is None:
            for imap in list(self.feeding):
                imap.feed_all()
            with suppress(PoolBroken):  # who asks for a result is told
                self.wait(lambda: self.dispatcher.outstanding == 0 and not self._with_callbacks)
            self.engine.close()
        self._await_helpers()
        self.engine.join(None)

    def terminate(self) -> None:
        """End the workers now; what is outstanding fails."""
        if self.error is None:
            self.error = PoolTerminated("the pool was terminated before this was done (the end of its `with` does so)")
            self.state.terminate()
        self._leave_guard()  # it may be starting a worker
        self.engine.kill()
        self._fail_all(self.error)
