"""A pool's workers as those of a cluster (`_clusters`): the same pool, on workers that somebody else starts and ends.

Tasks are packed here and handed to the cluster one by one; how far ahead is the business of who submits, as everywhere
(`mapping`, `iterators`). A call that has ended is noted in whatever thread the cluster says so, and unpacked by whoever
waits for results: the cluster's own threads do no more than put it into a queue. The function of a job is packed once
for the job; a large one, with a table in its partial, say, is put to where all workers reach it, once for its content.

There is nothing to supervise. A worker that dies is the cluster's loss, and its tasks are done again there; what it
gives up is recovered as after the death of one of ours (`retries=`), and when it is gone itself the pool breaks.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from concurrent.futures import Future
from functools import partial
from weakref import WeakKeyDictionary

from .._clusters.serving import serve, serve_near
from .._clusters.shipping import Shipping, loads
from .._store import shared_arena
from ..errors import ClusterLost, NotSupported, WorkerDied
from .chunks import FAR
from .direct import MANY, Dispatcher, Functions
from .limits import PARTS, TIMED
from .local import Watched
from .registration import Registration
from .state import APART, BROKEN, DIED, GONE, LOST, RAISED, READY, SEVERAL, UNREADABLE, VALUE, Ended

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .._clusters import Cluster, Submitted

__all__ = ["FarEngine"]

CALLED = 1 << 21  # a status: of a call that has ended, one way or the other
NEWS = (APART, BROKEN, LOST, GONE)  # what the supervisor decides upon; the task is still out
LARGE = 1 << 20  # bytes: what is so large and may be wanted again is put to the workers once
MOST_KEPT = 16  # of these; arbitrary
ANY = 2**64 - 1


class _Functions(Functions):
    """Functions as they are sent: packed for each job, for they may have changed since the last one."""

    def __init__(self, cluster: Cluster, shipping: Shipping) -> None:
        self._cluster, self._shipping = cluster, shipping
        self._of_jobs: WeakKeyDictionary[Any, tuple[Any, Any]] = WeakKeyDictionary()  # the function, and what is sent
        self._checked: tuple[Any, Any] | None = None  # the same of one whose job comes next
        self._kept: dict[bytes, Any] = {}  # by content: what stands for it

    def check(self, function: Any) -> Any:
        """As `address`. Raises also: PicklingError for what cannot be sent."""
        self._checked = self.address(function), self.pack(function)
        return function

    def sent(self, job: Any, function: Any) -> Any:
        """What is sent of a job's function. Raises: PicklingError."""
        known = self._of_jobs.get(job) or self._checked
        if known is None or known[0] is not function:
            known = function, self.pack(function)
        self._of_jobs[job], self._checked = known, None
        return known[1]

    def pack(self, thing: Any) -> Any:
        """Pack what all workers may want, and put it to them if it is large. Raises: PicklingError."""
        if self._cluster.is_near:
            return thing
        packed = self._shipping.dumps(thing)
        if len(packed) < LARGE:
            return packed
        content = hashlib.blake2b(packed, digest_size=16).digest()
        if content not in self._kept:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[content] = self._cluster.keep(packed)
        return self._kept[content]

    def __len__(self) -> int:
        return len(self._of_jobs)


class _Dispatcher(Dispatcher):
    """Hands tasks to a cluster, and takes the calls that have ended."""

    failed: int

    def __init__(self, cluster: Cluster, initializer: Callable[[], object] | None) -> None:
        """Raises: PicklingError for the initializer."""
        super().__init__()
        self._cluster = cluster
        self.shipping: Shipping = Shipping(cluster)
        self.functions: _Functions = _Functions(cluster, self.shipping)
        self._serve: Any = serve_near if cluster.is_near else serve
        self.prepare: tuple[Any, ...] = ()
        if initializer is not None:
            self.prepare = self.functions.pack(initializer), self.shipping.token
        self._calls: dict[int, Submitted] = {}  # by number, of the tasks that are out
        self._sizes: dict[int, int] = {}  # by number: bytes
        self._unread: set[int] = set()  # of those that are out: their calls have ended, and nobody has looked yet
        self._lock = threading.Lock()  # for the numbers

    def submit(
        self, job: Any, function: Any, kind: int, index: int, payloads: Iterable[Any], most_bytes: int = ANY
    ) -> int:
        """As `Dispatcher.submit`, of calls on the cluster."""
        return len(self.submit_numbered(job, function, kind, index, payloads, most_bytes))

    def submit_numbered(
        self, job: Any, function: Any, kind: int, index: int, payloads: Iterable[Any], most_bytes: int = ANY
    ) -> range:
        """As `submit`; returns the numbers of the tasks."""
        sent, kind = self.functions.sent(job, function), kind & ~(TIMED | PARTS)
        tasks: list[tuple[Any, int, int]] = []  # packed, items, bytes
        total = 0
        for payload in payloads:
            packed = payload if self._cluster.is_near else self.shipping.dumps(payload)
            size = 0 if self._cluster.is_near else len(packed)
            tasks.append((packed, len(payload) if kind & MANY else 0, size))
            total += size
            if total >= most_bytes:
                break
        with self._lock:
            first, self._next = self._next, self._next + len(tasks)
        for number, (_, items, size) in enumerate(tasks, first):
            self._out[number], self._sizes[number] = (job, index, items), size
            index += max(items, 1)
        job.expect(len(tasks), total)
        self._count()
        numbers = range(first, first + len(tasks))
        try:
            for number, (packed, _, _) in zip(numbers, tasks, strict=True):
                self._hand_over(number, sent, kind, packed)
        except BaseException:  # Ctrl-C: what has no call would be waited for for ever
            self.forget([number for number in numbers if number not in self._calls])
            raise
        return numbers

    def enter(self) -> int:
        """The number of a task that somebody else hands over, so that it is counted with the others until `leave`."""
        with self._lock:
            number, self._next = self._next, self._next + 1
        self._out[number] = (None, 0, 0)
        self._count()
        return number

    def leave(self, number: int) -> None:
        """It has ended."""
        self._out.pop(number, None)
        self._count()

    def call(self, number: int) -> Submitted | None:
        """The call of a task that is out."""
        return self._calls.get(number)

    def _hand_over(self, number: int, function: Any, kind: int, payload: Any) -> None:
        try:
            call = self._cluster.submit(self._serve, function, kind, payload, *self.prepare)
        except Exception as error:  # whether it takes none or loses one, this is how it is told
            call = Future()
            call.set_exception(error)
        self._calls[number] = call
        call.add_done_callback(partial(self._ended, number))

    def _ended(self, number: int, call: Submitted) -> None:
        """In any thread."""
        if number in self._out:
            self._unread.add(number)
        self.answer((number, CALLED, call, 0))
        self._count()  # now: who never looks may be watched from outside

    def _count(self) -> None:
        if self.registration is not None:
            out = len(self._out) - len(self._unread)
            self.registration.count(self._next, self._next - out, self.failed)

    def collect(self, most: int, timeout: float | None) -> list[Any] | None:
        """As `Dispatcher.collect`; what has ended is unpacked here."""
        finished: list[Any] = []
        try:
            answer = self.answers.get(True, timeout)
            while True:
                self._take(answer, finished)
                answer = self.answers.get_nowait()
        except queue.Empty:
            if finished:
                self._count()
            return finished or None

    def _take(self, answer: tuple[int, int, Any, int], finished: list[Any]) -> None:
        number, status, call, _ = answer
        if status != CALLED:
            finished.append((status, number, call))
            return
        self._unread.discard(number)
        entry = self._out.get(number)
        if entry is None:  # nobody wants it any more
            self._calls.pop(number, None)
            return
        job, index, items = entry
        try:
            status, value, nanos, errors = self._outcome(number, call)
        except BaseException:  # Ctrl-C while it was unpacked: it is still to be noted
            self.answers.put(answer)
            raise
        if status in NEWS:
            finished.append((status, number, value))
            return
        if status == DIED and type(value) is tuple:
            value = _exited(job, index, items, value)
        self.forget([number])
        self.failed += len(errors) + (status != VALUE)
        if errors:
            done = _arrive_in_parts(job, index, items, value, errors, nanos)
        else:
            done = job.arrive(index, items, status, value, nanos)
        if done:
            finished.append(job)

    def _outcome(self, number: int, call: Submitted) -> Any:
        """Status, value, nanoseconds, and errors of items; see `_clusters.serving`."""
        try:
            packed = call.result()
        except Exception as error:
            fate = self._cluster.fate(error)
            status = LOST if isinstance(fate, WorkerDied) else GONE if isinstance(fate, ClusterLost) else RAISED
            return status, fate or error, 0, {}
        if self._cluster.is_near:
            return packed
        self._weigh(number, len(packed))
        try:
            return loads(packed)
        except Exception as error:
            from .._codec import decoding_failed

            return UNREADABLE, decoding_failed("", error), 0, {}

    def _weigh(self, number: int, come: int) -> None:
        entry, size = self._out.get(number), self._sizes.pop(number, None)
        if entry is not None and size is not None:
            entry[0].weigh(size, come)

    def fail(self, number: int, status: int, value: Any, nanos: int = 0) -> Any:
        """As `Dispatcher.fail`; its call is of no interest any more."""
        self._let_go(number)
        return super().fail(number, status, value, nanos)

    def retire(self, number: int) -> Any:
        """A task was replaced by others. Its job, if that is done."""
        self._let_go(number)
        job, _, _ = self._out.pop(number, (None, 0, 0))
        return job if job is not None and job.replaced() else None

    def forget(self, numbers: list[int]) -> None:
        """As `Dispatcher.forget`."""
        for number in numbers:
            self._let_go(number)
        super().forget(numbers)

    def _let_go(self, number: int) -> None:
        self._unread.discard(number)
        self._calls.pop(number, None)
        self._weigh(number, 0)

    def cancel(self, numbers: Iterable[int]) -> list[int]:
        """Have these not be done; those of which the cluster says that they are not."""
        calls = ((number, self._calls.get(number)) for number in numbers)
        return [number for number, call in calls if call is not None and call.cancel()]


def _arrive_in_parts(job: Any, index: int, items: int, values: list[Any], errors: dict[int, Any], nanos: int) -> bool:
    """A chunk's values in the pieces that its failed items leave, and these. True: the job is done."""
    places = sorted(errors)
    starts = [0, *(place + 1 for place in places)]
    gaps = [(start, end) for start, end in zip(starts, [*places, items], strict=True) if start < end]
    job.expect(len(places) + len(gaps) - 1)
    each, done = nanos // items, False
    for start, end in gaps:
        done = job.arrive(index + start, end - start, VALUE, values[start:end], each * (end - start))
    for place in places:
        status, told = errors[place]
        if status == DIED:
            told = _exited(job, index, items, told, place)
        done = job.arrive(index + place, 1, status, told, each)
    return done


def _exited(job: Any, index: int, items: int, told: tuple[str, int, int], offset: int = 0) -> WorkerDied:
    """The error for a call that would have ended its process, by `sys.exit` say."""
    name, pid, exitcode = told
    return WorkerDied.of(name, pid, exitcode, item=job.describe(index, items, offset))


class _Place:
    """Stands for a worker that is not ours."""

    exitcode = pid = None

    def __init__(self, name: str) -> None:
        self.name = name

    def is_alive(self) -> bool:
        """Nobody's to end here."""
        return False


class _Waiting:
    """Of tasks or answers: how many there are."""

    def __init__(self, count: Callable[[], int]) -> None:
        self.qsize = count

    def empty(self) -> bool:
        """Whether none waits."""
        return self.qsize() == 0


class FarEngine(Watched):
    """Workers of a cluster; see `engine.Engine`."""

    dispatcher: _Dispatcher
    pace = FAR
    wrap: Any = None  # `shipping` sees to what was typed in

    def __init__(
        self,
        context: Any,
        size: int,
        initializer: Callable[..., Any] | None,
        initargs: tuple[Any, ...],
        most_tasks: int,
    ) -> None:
        """`context`: a cluster's. Raises: NotSupported, PicklingError for the initializer, ClusterError."""
        cluster: Cluster = context.cluster
        if most_tasks:
            raise NotSupported(
                f"a worker of {cluster.name} is not this program's to end after some tasks: "
                "use get_context('fork'), or let the cluster restart its workers"
            )
        self.cluster: Cluster = cluster
        self.method: str = cluster.name
        prepare = None if initializer is None else partial(initializer, *initargs)
        self.dispatcher = _Dispatcher(cluster, prepare)
        self.functions: Any = self.dispatcher.functions
        self.encode: Callable[[Any], bytes] = self.dispatcher.shipping.dumps
        self.tasks: Any = _Waiting(lambda: self.waiting)
        self.answers: Any = self.dispatcher.answers
        self.registration: Registration = Registration.of_threads(shared_arena(), size, self.method)
        self.dispatcher.registration = self.functions.registration = self.registration
        self.workers: dict[int, Any] = {}
        self._size = size
        context.engines.add(self)

    @property
    def waiting(self) -> int:
        """Tasks beyond those that all workers can be at."""
        return max(0, self.dispatcher.outstanding - self._size)

    def start(self, number: int) -> None:
        """See `Engine`. It is there already."""
        self.workers[number] = _Place(f"{self.method}-{number + 1}")
        self.dispatcher.answer((number, READY, None, 0))

    def ended(self) -> list[int]:
        """See `Engine`. None of ours can."""
        return []

    def evidence(self, number: int) -> Ended:
        """See `Engine`. Of nobody is anything known."""
        return Ended(number, None)

    def item_of(self, number: int) -> int:
        """See `Engine`. Nobody knows: any of its task."""
        return SEVERAL

    def withdraw(self, numbers: list[int]) -> list[int]:
        """See `Engine`."""
        return self.dispatcher.cancel(numbers)

    def close(self) -> None:
        """See `Engine`."""
        self.workers.clear()

    def kill(self) -> None:
        """See `Engine`. What is running there goes on, if the cluster cannot end it, and nobody hears of it."""
        self.dispatcher.cancel(self.dispatcher.numbers())
        self.close()

    undo = kill

    def join(self, timeout: float | None) -> bool:
        """See `Engine`. Nobody to wait for."""
        return True
