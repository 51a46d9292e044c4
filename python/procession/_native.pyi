"""Types of the extension module (crates/python). Docstrings live with the code and with the Python classes above it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from ._owner import Owner
from .errors import LockAbandoned

_Address = tuple[int, int]

class Arena:
    """Memory for shared objects: an anonymous segment that a family of programs shares, or this process's own."""

    @staticmethod
    def create(limit: int = 0) -> Arena:
        """A new arena that other processes can share; `limit` in bytes, 0 for three quarters of memory."""
    @staticmethod
    def for_strangers(span: int, limit: int) -> Arena:
        """A new arena for programs that are not related, in a span of so many bytes of which `limit` may be used."""
    @staticmethod
    def private() -> Arena:
        """A new arena in this process's own memory."""
    @staticmethod
    def attach(fd: int, token: bytes) -> Arena:
        """Share another process's arena through its descriptor, which stays the caller's to close."""
    @staticmethod
    def find(token: bytes) -> Arena | None:
        """The arena with this token, None when this process has not got it."""
    @property
    def fd(self) -> int: ...
    @property
    def token(self) -> bytes: ...
    @property
    def shared(self) -> bool: ...
    def statistics(self) -> dict[str, int]:
        """Bytes and counts: capacity, limit, used, warm, objects, processes (now) and entered (ever)."""
    def objects(self) -> list[tuple[int, str, int, int, int]]:
        """Every object: (offset, kind, serial, size, creator's pid)."""
    def label(self, text: str) -> int:
        """The label of a text, that objects can bear in their contents; 0 when there is no room for more."""
    def introduce(self, name: str) -> None:
        """What to call this process when others are told of it."""
    def enter_chaos(self) -> None:
        """The calling process takes part in the chaos, if it is unleashed."""
    def reap(self) -> None:
        """Take back what ended processes held."""

def waits(
    arena: Arena,
) -> list[tuple[tuple[int, int], int, tuple[int, int], tuple[str, int, int], float, int, bool, bool]]:
    """Who waits for what in an arena, of the living: (slot and sequence, pid, the kernel's id and ident of the
    thread, action with offset of the object and detail, since when on the monotonic clock in seconds, label of
    the line, whether it has a deadline, whether it looks for deadlocks)."""

def obstacle(arena: Arena, offset: int) -> tuple[Any, ...] | None:
    """The object at an offset, for those who wait for it: kind, serial number and what its kind has. None: there is
    none."""

def label_text(arena: Arena, label: int) -> str | None:
    """The text of a label; None for 0."""

def labels_at(arena: Arena, offset: int) -> tuple[int, int]:
    """Labels of the line that made the object at an offset, and of its name; 0: not known."""

def orders(
    arena: Arena,
) -> list[tuple[int, tuple[int, int], tuple[int, int], tuple[int, int], int, int, tuple[int, int]]]:
    """In which order locks are taken: (number, (pid, ident), serial numbers of the lock held and of the one taken,
    labels of their lines, gates, last seen (ns), (when joined (ns, 0: not), by which thread, the kernel's id))."""

def joined(pid: int, ident: int) -> None:
    """The calling thread has waited for the end of a thread, or (`ident` 0) of a process."""

def process_names(arena: Arena) -> dict[int, str | None]:
    """What the living processes that share an arena are called, by pid; None: it never said."""

def detecting(arena: Arena) -> bool:
    """Whether the processes that share an arena look for deadlocks."""

def detect(arena: Arena, on: bool) -> None:
    """Have them do so, or not; this one at once, others when they next wait."""

class Waiting:
    """A wait that Python does: for `with`. It stands in the table from the entering on."""

    def __new__(cls, arena: Arena, action: str, object: int, detail: int = 0, *, timed: bool = False) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    @property
    def looks(self) -> bool:
        """Whether this wait is to look for deadlocks: `look` is to be called every 20 ms."""
    def look(self, slices: int) -> None:
        """Called for the `slices`th time. Raises: DeadlockError."""

class Block:
    """A span of shared memory with the buffer protocol: a large payload, or a raw array. Freed with its last holder."""

    def __new__(cls, arena: Arena, size: int = 0, *, address: _Address | None = None) -> Self: ...
    @property
    def arena(self) -> Arena:
        """The memory that it lies in."""
    @property
    def address(self) -> _Address:
        """Where it lies in the arena: offset and serial number. What is pickled of it."""
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Mapping:
    """A span of a file, mapped for reading and writing, with the buffer protocol. Unmapped when neither it nor a
    view of it is left; until then a file that somebody else cuts off makes every access beyond its end a SIGBUS."""

    def __new__(cls, fd: int, offset: int, length: int) -> Self: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Hold:
    """A hold on a shared object of any kind: it lives as long."""

    def __new__(cls, arena: Arena, address: _Address) -> Self: ...
    @property
    def arena(self) -> Arena:
        """The memory that it lies in."""
    @property
    def address(self) -> _Address:
        """Where it lies in the arena: offset and serial number. What is pickled of it."""

class Claim:
    """Cells of 64 bits in shared memory: cell `i` tells what worker `i` has taken from a ring (its number + 1), 0
    for nothing."""

    def __new__(cls, arena: Arena, count: int = 1, *, address: _Address | None = None) -> Self: ...
    @property
    def arena(self) -> Arena:
        """The memory that it lies in."""
    @property
    def address(self) -> _Address:
        """Where it lies in the arena: offset and serial number. What is pickled of it."""
    def __getitem__(self, index: int) -> int: ...
    def __setitem__(self, index: int, value: int) -> None: ...

class Observer:
    """Someone who looks at one arena of another program, and has no part in it."""

    @staticmethod
    def of_file(path: str) -> Observer:
        """Of the arena behind a descriptor, `/proc/PID/fd/N`. Raises: OSError, ValueError when it is none."""
    @staticmethod
    def of_memory(pid: int, start: int, length: int) -> Observer:
        """Of the arena in a span of a process's own memory. Raises: as `of_file`; PermissionError where the system
        does not let this process look."""
    @property
    def token(self) -> bytes: ...
    def members(self) -> list[tuple[int, int, int, str | None, int, bool]]:
        """Who shares it: (place, pid, start time, name, rank, alive)."""
    def texts(self, labels: list[int]) -> list[str | None]:
        """The texts of labels that stand in objects' contents; None for what is none."""
    def look(self) -> tuple[Any, Any, Any, Any, Any]:
        """Everything: (used, limit) in bytes; the members; the objects; who waits; (what, offset) of damage that
        ended the reading."""

class Ring:
    """Many producers, many consumers, any objects; bounded by items and by bytes, or growing."""

    def __new__(
        cls, arena: Arena, max_items: int = 0, max_bytes: int = 0, *, address: _Address | None = None
    ) -> Self: ...
    @property
    def arena(self) -> Arena:
        """The memory that it lies in."""
    @property
    def address(self) -> _Address:
        """Where it lies in the arena: offset and serial number. What is pickled of it."""
    @property
    def position(self) -> tuple[int, int]:
        """Messages ever taken and ever put, mod 2**32."""
    @property
    def max_items(self) -> int:
        """The bound on items; 0 for none."""
    @property
    def is_shutdown(self) -> bool:
        """Whether `shutdown` was called, by any process."""
    @property
    def closed(self) -> bool:
        """Whether `close()` was called on this handle."""
    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an object. It is encoded at once; when this returns it is in shared memory, whatever becomes of this
        process."""
    def put_weighed(self, obj: Any, block: bool = True, timeout: float | None = None) -> int:
        """As `put`, and tell the bytes that it takes in shared memory: encoded, and beside the ring."""
    def put_many(self, objects: Iterable[Any], block: bool = True, timeout: float | None = None) -> int:
        """Put every object of an iterable, many at a time; returns how many were put before the deadline."""
    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest object, and make it again in this process."""
    def get_many(self, max_items: int = 1024, block: bool = True, timeout: float | None = None) -> list[Any]:
        """Take up to `max_items` objects, oldest first; waits only for the first, as `get`. Raises: as `get`."""
    def poll(self, timeout: float | None = None) -> bool:
        """Wait until there is something to take, or the ring is closed. False: the timeout passed."""
    def watch(self) -> int:
        """A descriptor of this process that is readable while there is something to take, or the ring is shut down.
        Calling it again brings it in line with the ring."""
    def unwatch(self) -> None:
        """This handle watches no longer; the last one closes the descriptor."""
    def watch_room(self) -> int:
        """The same for room: readable while an item can be put, as far as the bound on items tells."""
    def unwatch_room(self) -> None:
        """The same for room: this handle watches no longer."""
    def set_bounds(self, max_items: int, max_bytes: int) -> None:
        """Set the bounds of a ring that nobody else has seen yet."""
    def qsize(self) -> int:
        """Messages in the ring now."""
    def empty(self) -> bool:
        """Whether there was nothing to take a moment ago."""
    def full(self) -> bool:
        """Whether one more item would have been refused a moment ago, as far as the bound on items tells."""
    def nbytes(self) -> int:
        """Bytes of messages in the ring now, without their blocks."""
    def close(self) -> None:
        """This handle is used no more; others are not affected."""
    def shutdown(self, immediate: bool = False) -> None:
        """Let nothing more be put: `put` raises `ShutDown`, and `get` does once nothing is left. Wakes all who wait."""
    def keep_taken(self, max_deliveries: int = 0) -> None:
        """Keep what is taken until `task_done`, and return what the dead had taken. For a ring that nobody else has
        seen yet. `max_deliveries`: `get` does not decode an item that was delivered more often; 0: no bound."""
    @property
    def delivery_count(self) -> int:
        """How often the item that this thread took last was delivered, 1 for the first time."""
    def task_done(self) -> Any:
        """One taken item is done with. False when there was none."""
    def unfinished(self) -> int:
        """Items put and not yet done with."""
    def join(self, timeout: float | None = None) -> Any:
        """Wait until all items are done with. False: the timeout passed."""
    def sleepers(self) -> tuple[bool, bool, bool]:
        """Whether getters, putters, joiners may be asleep."""

class DiskQueue:
    """A queue whose items lie in the files of a directory."""

    def __new__(
        cls,
        arena: Arena,
        directory: str,
        path: str,
        *,
        joinable: bool = False,
        power: bool = False,
        max_items: int = 0,
        max_bytes: int = 0,
        max_deliveries: int = 0,
        salvage: bool = False,
        intact: bool = False,
        address: _Address | None = None,
    ) -> Self: ...
    @property
    def arena(self) -> Arena:
        """The memory that it lies in."""
    @property
    def address(self) -> _Address:
        """Where it lies in the arena: offset and serial number. What is pickled of it."""
    @property
    def path(self) -> str:
        """The directory, as people know it."""
    @property
    def position(self) -> tuple[int, int]:
        """Items ever taken and ever put."""
    @property
    def max_items(self) -> int:
        """The bound on items; 0 for none."""
    @property
    def is_shutdown(self) -> bool:
        """Whether `shutdown` was called, by any process."""
    @property
    def closed(self) -> bool:
        """Whether `close()` was called on this handle."""
    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an object. It is encoded at once; when this returns it is in the file."""
    def put_many(self, objects: Iterable[Any], block: bool = True, timeout: float | None = None) -> int:
        """Put every object of a sequence; returns how many were put before the deadline. Raises Full when none was."""
    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take an object."""
    def get_many(self, max_items: int = 1024, block: bool = True, timeout: float | None = None) -> list[Any]:
        """Take up to `max_items` objects; waits only for the first."""
    def poll(self, timeout: float | None = None) -> bool:
        """Wait until there is something to take, or the queue is shut down. False: the timeout passed."""
    def flush(self) -> None:
        """All that was put and taken so far is on the disk when this returns."""
    def qsize(self) -> int:
        """Items that can be taken now."""
    def empty(self) -> bool:
        """Whether there was nothing to take a moment ago."""
    def full(self) -> bool:
        """Whether one more item would have been refused a moment ago, as far as the bound on items tells."""
    def nbytes(self) -> int:
        """Bytes of items in the files that nobody has taken."""
    def close(self) -> Any:
        """This handle is used no more; others are not affected. False: a call of another thread is still at work on
        it."""
    def shutdown(self, immediate: bool = False) -> None:
        """Let nothing more be put; `immediate` also drops what is there, as done."""
    @property
    def delivery_count(self) -> int:
        """How often the item that this thread took last was delivered, 1 for the first time."""
    def task_done(self) -> Any:
        """One taken item is done with. False when there was none; of a queue that is not joined there never is."""
    def unfinished(self) -> int:
        """Items put and not yet done with."""
    def join(self, timeout: float | None = None) -> Any:
        """Wait until all items are done with. False: the timeout passed."""
    def sleepers(self) -> tuple[bool, bool, bool]:
        """Whether getters, putters, joiners may be asleep."""

class _Lock:
    """What Lock and RLock have in common."""

    def __new__(
        cls,
        arena: Arena,
        *,
        raises: bool = False,
        address: _Address | None = None,
        left_by: tuple[int, int] | None = None,
    ) -> Self: ...
    @property
    def arena(self) -> Arena:
        """The memory that it lies in."""
    @property
    def address(self) -> _Address:
        """Where it lies in the arena: offset and serial number. What is pickled of it."""
    @property
    def owner(self) -> Owner | None:
        """Who holds it, or died holding it; None while it is free."""
    @property
    def abandoned(self) -> int:
        """How often it was taken over from a holder that had died."""
    @property
    def _raises(self) -> bool: ...
    def _begin_repair(self) -> tuple[LockAbandoned | None, int]: ...
    def _end_repair(self, token: int, whole: bool) -> None: ...
    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it; True then. Waits while another holds it, `timeout` seconds at most (None: for ever), then False."""
    def release(self) -> None:
        """Give it back, and wake one who waits. Never blocks."""
    def locked(self) -> bool:
        """Whether anybody holds it now."""
    def _is_mine(self) -> bool: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *exception: object) -> None: ...

class Lock(_Lock):
    """A lock that any thread of any process may release, as in multiprocessing."""

    def statistics(self) -> Any:
        """Holder, waiters and counters, as a dict."""

class RLock(_Lock):
    """A lock that its holder may acquire again, and that only its holder may release."""

    @property
    def count(self) -> int:
        """How often the holder has acquired it and not released it."""
    def statistics(self) -> Any:
        """Holder, waiters and counters, as a dict."""

class Semaphore:
    """A counting semaphore with a maximum."""

    def __new__(
        cls,
        arena: Arena,
        value: int = 1,
        maximum: int = 2147483647,
        *,
        raises: bool = False,
        address: _Address | None = None,
    ) -> Self: ...
    @property
    def arena(self) -> Arena:
        """The memory that it lies in."""
    @property
    def address(self) -> _Address:
        """Where it lies in the arena: offset and serial number. What is pickled of it."""
    @property
    def maximum(self) -> int:
        """As many permits as there can be."""
    def get_value(self) -> int:
        """Permits that are free now."""
    @property
    def _raises(self) -> bool: ...
    def _begin_repair(self) -> tuple[LockAbandoned | None, int]: ...
    def _end_repair(self, token: int, whole: bool) -> None: ...
    def acquire(self, block: bool | None = None, timeout: float | None = None) -> bool:
        """Take a permit; True then. Waits while there is none, `timeout` seconds at most (None: for ever), then
        False."""
    def release(self, n: int = 1) -> None:
        """Give `n` permits back, and wake as many who wait. Never blocks."""
    def statistics(self) -> Any:
        """Value, maximum and waiters, as a dict."""
    def __enter__(self) -> bool: ...
    def __exit__(self, *exception: object) -> None: ...

class Event:
    """A flag to wait for."""

    def __new__(cls, arena: Arena, *, address: _Address | None = None) -> Self: ...
    @property
    def arena(self) -> Arena:
        """The memory that it lies in."""
    @property
    def address(self) -> _Address:
        """Where it lies in the arena: offset and serial number. What is pickled of it."""
    def is_set(self) -> bool:
        """Whether it is set now."""
    def set(self) -> None:
        """Set it, and let all go on who wait. Never blocks."""
    def clear(self) -> None:
        """Make it unset: who comes from now on waits. Never blocks."""
    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is set; True then. False if `timeout` seconds passed first (None: for ever)."""
    def statistics(self) -> Any:
        """Flag, count and waiters, as a dict."""

class Condition:
    """A condition variable over a Lock or `RLock`."""

    def __new__(cls, arena: Arena, lock: _Lock, *, address: _Address | None = None) -> Self: ...
    @property
    def arena(self) -> Arena:
        """The memory that it lies in."""
    @property
    def address(self) -> _Address:
        """Where it lies in the arena: offset and serial number. What is pickled of it."""
    @property
    def lock(self) -> Any:
        """The Lock or `RLock` that it is on."""
    def acquire(self, block: bool | None = None, timeout: float | None = None) -> bool:
        """Take the lock. Blocks as the lock's own `acquire`, for `timeout` seconds at most (None: for ever)."""
    def release(self) -> None:
        """Give the lock back. Raises: as the lock's own `release`."""
    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, sleep until notified, and take the lock again. False if `timeout` seconds passed first."""
    def notify(self, n: int = 1) -> None:
        """End the wait of the `n` threads that have waited longest. Never blocks."""
    def notify_all(self) -> None:
        """End every wait. Never blocks. Raises: as `notify`."""
    def statistics(self) -> Any:
        """Waiters and counter, as a dict."""
    def __enter__(self) -> bool: ...
    def __exit__(self, *exception: object) -> None: ...

class Barrier:
    """A barrier for a fixed number of parties."""

    def __new__(cls, arena: Arena, parties: int = 1, *, address: _Address | None = None) -> Self: ...
    @property
    def arena(self) -> Arena:
        """The memory that it lies in."""
    @property
    def address(self) -> _Address:
        """Where it lies in the arena: offset and serial number. What is pickled of it."""
    @property
    def parties(self) -> int:
        """How many have to arrive."""
    @property
    def n_waiting(self) -> int:
        """How many have arrived and wait, at this moment."""
    @property
    def broken(self) -> bool:
        """Whether it is broken: `wait` raises `BrokenBarrierError` until `reset`."""
    def pass_through(self, action: Callable[[], object] | None = None, timeout: float | None = None) -> int:
        """Arrive, wait for the others (`timeout` seconds at most), and tell as which one; the last one calls
        `action` before the others go on."""
    def abort(self) -> None:
        """Break the barrier: all who wait, and all who come, get `BrokenBarrierError` until `reset`. Never blocks."""
    def reset(self) -> None:
        """Make the barrier whole again. Whoever waits there gets `BrokenBarrierError`. Never blocks."""
    def statistics(self) -> Any:
        """Parties, waiters and state, as a dict."""

class _Cells:
    """What Value and Array have in common: memory of numbers, and the lock that guards it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def arena(self) -> Arena:
        """The memory that it lies in."""
    @property
    def address(self) -> _Address:
        """Where it lies in the arena: offset and serial number. What is pickled of it."""
    @property
    def typecode(self) -> str:
        """The typecode it was made with."""
    @property
    def acquire(self) -> Callable[..., bool]:
        """The lock's `acquire`."""
    @property
    def release(self) -> Callable[[], None]:
        """The lock's `release`."""
    def get_lock(self) -> Any:
        """Its lock."""
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *exception: object) -> None: ...

class Value(_Cells):
    """A number or character in shared memory, with a lock. Every access waits while another thread or process holds
    the lock (the owner's death ends that); a reading or writing that meets it free costs no system call."""

    value: Any
    def __new__(
        cls,
        arena: Arena,
        typecode: str = "i",
        lock: Any = None,
        *,
        address: _Address | None = None,
        memory: Mapping | None = None,
    ) -> Self: ...
    def add(self, n: int) -> int:
        """Add to an integer in one step and return what it held before. Wraps around."""
    def exchange(self, value: int) -> int:
        """Store into an integer in one step and return what it held before."""
    def compare_exchange(self, expected: int, new: int) -> bool:
        """Store `new` if the integer is `expected`, in one step. True if it was."""

class Array(_Cells):
    """Numbers or characters in shared memory, with a lock. Every access waits while another thread or process holds
    the lock (the owner's death ends that). Its buffer is writable: `numpy.asarray(array)` is a view, which knows
    nothing of the lock."""

    value: Any
    raw: bytes
    def __new__(
        cls,
        arena: Arena,
        typecode: str = "i",
        count: int = 0,
        lock: Any = None,
        *,
        address: _Address | None = None,
        memory: Mapping | None = None,
    ) -> Self: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int | slice) -> Any: ...
    def __setitem__(self, index: int | slice, value: Any) -> None: ...
    def __delitem__(self, index: int | slice) -> None: ...
    def __iter__(self) -> Iterator[Any]: ...

class Job:
    """What one call on a pool waits for: its tasks' results, and how many are still out."""

    def __new__(cls, size: int | None = None) -> Self: ...
    @property
    def done(self) -> bool:
        """Whether everything was submitted and answered."""
    @property
    def outstanding(self) -> int:
        """Tasks submitted and not answered."""
    @property
    def values(self) -> list[Any] | None:
        """The list of results."""
    @property
    def value(self) -> Any:
        """The one result."""
    @property
    def measured(self) -> tuple[int, int]:
        """Items answered, and nanoseconds of work they took."""
    @property
    def tally(self) -> tuple[int, int]:
        """Items answered, and how many of them failed: what a progress bar shows."""
    @property
    def bytes(self) -> tuple[int, int, int]:
        """Bytes of messages, with their blocks: of tasks that are out, of all tasks so far, of all answers so far."""
    @property
    def has_arrived(self) -> bool:
        """Whether `take` would give something."""
    def seal(self) -> bool:
        """Nothing more will be submitted. True: and everything is answered."""
    def expect(self, tasks: int, bytes: int = 0) -> None:
        """So many tasks more are out, of so many bytes."""
    def weigh(self, sent: int, come: int) -> None:
        """A task of so many bytes is out no more; its answer has so many."""
    def replaced(self) -> bool:
        """One task is answered by others, put in its place. True: that was the last."""
    def arrive(self, index: int, items: int, status: int, value: Any, nanos: int) -> bool:
        """One task is answered. True: that was the last."""
    def take(self) -> list[tuple[int, int, int, Any]]:
        """What arrived since the last time: (index, items, status, object) each."""

class Dispatcher:
    """Submits tasks, collects answers, knows what is out."""

    def __new__(cls, tasks: Ring, answers: Ring) -> Self: ...
    def submit(
        self,
        job: Job,
        function: _Address,
        kind: int,
        index: int,
        payloads: Iterable[Any],
        most_bytes: int = 18446744073709551615,
    ) -> int:
        """Put one task for each of `payloads`, or for the first of them: none is begun once `most_bytes` are
        reached. Returns how many; after an error none was put. `function` is the address of the block that holds
        it; the results go to `job` from `index` on, one place for each item."""
    def submit_one(self, job: Job, function: _Address, kind: int, payload: Any) -> int:
        """The same for one task whose result goes to place 0. Returns its number: the count of tasks before it, mod
        2^32."""
    def collect(self, most: int, timeout: float | None) -> list[Any] | None:
        """Wait for answers, then note what is there, up to `most`. Returns the jobs that are finished by it and the
        news of workers, (status, worker, object) each; None when the timeout passed."""
    def fail(self, number: int, status: int, value: Any) -> Job | None:
        """A task ended otherwise than by an answer. Returns its job if that was the last one it waited for."""
    def retire(self, number: int) -> Job | None:
        """A task is out no more: what was left of it was submitted anew, or failed item by item. Returns its job if
        it waits for nothing else."""
    def owner(self, number: int) -> tuple[Job, int, int, int] | None:
        """The job of a task that is out, with the index and the number of the items left, and how many of it were
        answered; None for an answered one."""
    def numbers(self, job: Job | None = None) -> list[int]:
        """Numbers of the tasks that are out: of `job`, or all."""
    def forget(self, numbers: list[int]) -> None:
        """Answers to these are not wanted any more."""
    @property
    def outstanding(self) -> int:
        """Tasks that are out."""

def serve(
    tasks: Ring,
    answers: Ring,
    claim: Claim,
    cell: int,
    load: Callable[[int, int], Any],
    explain: Callable[[BaseException, int], Any],
    is_orphan: Callable[[], bool],
    marks: Claim,
    meets: Callable[[int], bool],
    most: int = 0,
) -> int:
    """A worker's life: tell that it serves, take tasks, answer them, until the ring of tasks is closed and empty,
    `most` tasks are done (0: no limit), SIGTERM said so, or `is_orphan()`. Returns how many it did."""

def signal_main_thread(pid: int, signal: int) -> bool:
    """Send a signal to the main thread of a worker, which is where its tasks run. False: it was not sent."""

def put_news(answers: Ring, worker: int, status: int, object: Any) -> None:
    """Put news of worker `worker` into the ring of answers: a status from 16 on and an object."""

def name_thread(name: str) -> None:
    """What others see the calling thread called: the first 15 bytes of its name."""

def site_of(object: object) -> str | None:
    """Where in the user's program a shared object of ours was made, as "FILE:LINE in FUNCTION"; None when nobody
    knows."""

def name_of(object: object) -> str | None:
    """The name that a shared object of ours was given, for people; None when it has none."""

def set_name(object: object, name: str | None) -> None:
    """Give a shared object of ours a name for all who share it; None takes it away."""

def serve_as(object: object, role: int, part_of: int = 0) -> None:
    """Say what a shared object of ours serves as (the numbers of `Role` in the core), and which one it is a part of
    (its offset)."""

def reap(pid: int) -> bool:
    """Take back what process `pid` held, in every arena of this process. True if it was known and has ended."""

def lifeline() -> int:
    """The reading end of this process's lifeline, for one child; the caller closes it when the child has it. Raises:
    OSError when descriptors run out."""

def lifeline_ends() -> list[int]:
    """Both ends of this process's lifeline; -1 where there is none."""

def end_with_parent(lifeline: int) -> bool:
    """Let this process end when the parent whose lifeline this is does: SIGTERM after a fifth of a second, SIGKILL
    after half a second. Keeps the descriptor. False: it will not."""

def end_at_once() -> bool:
    """The same by SIGKILL and at once, from here on."""

def drain_on_sigterm(master: int) -> None:
    """Let SIGTERM from any process but `master` end the loop of `serve` after the task it is at. A second one ends
    this process at once."""

def own_memory(pid: int) -> int | None:
    """Bytes that a process has in memory and shares with nobody by design; None where nobody knows."""

def title(function: Any, payload: Any) -> str:
    """What a task is called on the timeline: its function, or what that is there to call."""

def record_into(directory: str, what: int, limit: int = 0) -> int:
    """Make a recording in a directory that is there, unless it holds one, and take part in it. `what`: 1 for the
    timeline, 2 for the race detector, 3 for both; `limit`: bytes of records of the whole family, 0 for a
    gigabyte."""

def recording() -> int:
    """What is recorded: 1 for the timeline, 2 for the race detector, 3 for both, 0 for nothing."""

def stop_recording() -> None:
    """Record no more in this process, nor in children that it forks."""

def record(
    kind: int,
    object: int = 0,
    a: int = 0,
    b: int = 0,
    *,
    label: str | None = None,
    flags: int = 0,
    ticket: bool = False,
    stack: bool = False,
    arena: int = 0,
    extra: int = 0,
    name: str | None = None,
) -> None:
    """Write a record, if something is recorded. `label`: a text in the place of the caller's line, which may be
    empty; `ticket`: take one; `stack`: with the caller's whole stack; `name`: a text whose label goes into
    `extra`."""

def unleash(seed: int, rate: float, deeds: int = 3, log: bytes | None = None, first: int = 0) -> None:
    """At `rate` (0 to 1) of the steps of every process that takes part: `deeds` (1 kill, 2 delay, 3 either). The
    calling process is spared. Each deed appends a line to the file `log`, if there is one. Ranks are counted from
    `first`."""

def arm(at: int) -> None:
    """Count the calling thread's steps from now on, and die at step `at` (from 1; 0: never)."""

def disarm() -> int:
    """Stop counting; tells how many steps there were."""

class Sink:
    """Receives what a pickler writes."""

    def write(self, data: Any) -> int:
        """Append bytes; called by the pickler."""
    def collect(self, buffer: Any) -> bool:
        """Take a buffer out of band if it is large: false. True leaves it in the pickle; called by the pickler."""

class DispatchTable:
    """The reducers in force: several dicts, looked up in order at the time of asking."""

    def __new__(cls, *tables: dict[Any, Any]) -> Self: ...
    def __getitem__(self, kind: type) -> Any: ...

def carry(handle: Any) -> bool:
    """Keep `handle` alive as long as the message now being made on this thread; see `pickling::carry`."""

def encode(obj: Any, functions: bool = False) -> tuple[bytes, list[Any]]:
    """The message for `obj`: bytes and the list of its out-of-band buffers, each copied into a bytearray or bytes."""

def decode(data: Any, buffers: list[Any] = ...) -> Any:
    """The object of a message. `buffers` are objects that export a buffer; views on them keep them alive."""

class Combiner:
    """A worker's pairs, combined by key; written as runs, sorted, to a spool."""

    def __new__(
        cls, reducer: str, n: int, combine: Callable[[Any, Any], Any] | None, spool: int, limit_bytes: int
    ) -> Self: ...
    def add(self, produced: Any, order: int) -> int:
        """Take what a map function gave for the item with this order; how many pairs that was."""
    def flush(self) -> None:
        """Write what is in the table as a run. Nothing happens if it is empty. Raises: `OSError`, `PicklingError`."""
    @property
    def runs(self) -> list[bytes]:
        """Descriptions of the runs written so far, for `merge`."""
    @property
    def nbytes(self) -> int:
        """Bytes the table takes."""
    @property
    def pairs(self) -> int:
        """Pairs ever taken."""
    @property
    def keys(self) -> int:
        """Different keys in the table."""
    @property
    def spilled_bytes(self) -> int:
        """Bytes written because the table was full."""

def spool_init(spool: int) -> None:
    """Make a new, empty file ready for runs or for an answer. Once, before anyone else opens it."""

def run_slots(run: bytes, which: int = 0) -> list[int]:
    """How many bytes a run has in each of the 256 slots of the space of hashes: of entries (0), or of members of
    sets (1)."""

def pack_runs(spool: int, runs: list[bytes], borders: list[int]) -> list[bytes]:
    """Slots of runs as bytes, to be carried to another machine: one parcel for each range between neighbouring
    borders. Raises: `OSError`."""

def unpack_runs(spool: int, parcel: bytes) -> list[bytes]:
    """Append a parcel's runs to a spool; their descriptions, for `merge`. Raises: `OSError`; `RuntimeError` for what
    is no parcel."""

def forget_slots(spool: int, run: bytes, low: int, high: int, which: int) -> None:
    """Give back the memory of slots `low` to `high` (excluded) of a run: they have been merged, for good. `which` as
    below."""

def merge(
    reducer: str,
    n: int,
    combine: Callable[[Any, Any], Any] | None,
    reduce: Callable[[Any, list[Any]], Any] | None,
    spools: list[int],
    runs: list[tuple[int, bytes]],
    low: int,
    high: int,
    which: int,
    answer: int,
    memory: int,
) -> bytes:
    """Merge slots `low` to `high` (excluded) of the runs, given in the order in which they count; each is the index
    of its spool and its description; about `memory` bytes are taken. `which`: the entries (0) or the members of
    sets (1). Writes segments into `answer` and returns where they are, for `seal_answer`."""

class Words:
    """The words of a text, as keys to count, or each with the same value. A map function returns it in place of a
    list."""

    def __new__(
        cls, data: Any, errors: str = "strict", split: bool = False, value: Any = None, *, unique: bool = False
    ) -> Self: ...
    def __iter__(self) -> Iterator[Any]: ...

class Columns:
    """Columns of CSV text: one or several as keys to count, or with another one as numbers to aggregate. A map
    function returns it in place of a list of pairs."""

    def __new__(
        cls,
        data: Any,
        key: str | int | tuple[str | int, ...],
        value: str | int | None = None,
        delimiter: str = ",",
        header: list[str] | None = None,
        skip_header: bool | None = None,
        *,
        errors: str = "strict",
    ) -> Self: ...
    def __iter__(self) -> Iterator[Any]: ...

def csv_borders(data: Any, delimiter: str = ",") -> tuple[tuple[bool, int | None], tuple[bool, int | None]]:
    """Where records begin in a chunk of a CSV file that was cut behind any newline byte: `(outcome if it begins
    outside of quotes, outcome if inside)`, an outcome being `(ends inside quotes, offset of the first record or
    None)`."""

def csv_header(data: Any, delimiter: str = ",") -> tuple[list[str], int] | None:
    """The fields of the first record of a CSV file's bytes, and the offset of what follows it; None: there is no
    record. A byte order mark before it is skipped."""

class Column:
    """A column of an answer, with the buffer protocol."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Order:
    """An answer's entries in an order of their own."""

    def __len__(self) -> int: ...

class Answer:
    """An answer's file, mapped. Look-ups and iteration make objects on demand; nothing else is copied."""

    def __new__(cls, fd: int) -> Self: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __contains__(self, key: object, /) -> bool: ...
    def get(self, key: Any, default: Any = None, /) -> Any:
        """The value of a key, or `default`."""
    def _keys(self, start: int, stop: int, order: Order | None = None) -> list[Any]: ...
    def _values(self, start: int, stop: int, order: Order | None = None) -> list[Any]: ...
    def _items(self, start: int, stop: int, order: Order | None = None) -> list[tuple[Any, Any]]: ...
    def _order(self) -> Order: ...
    def _top(self, n: int) -> Order: ...
    def to_dict(self) -> dict[Any, Any]:
        """All entries as a dict. The members of sets are shared between the sets."""
    def _keys_array(self) -> tuple[str, Column, Column | None] | None: ...
    def _values_array(self) -> tuple[str, Column] | None: ...
    def _save(self, path: Any) -> None: ...
    def close(self) -> None:
        """Unmap the file and close the descriptor. What was made of it stays. Calls under way finish first."""
    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
    @property
    def nbytes(self) -> int:
        """Bytes of the file, which is memory if it is an anonymous one."""
    @property
    def _fd(self) -> int: ...
    @property
    def _meta(self) -> bytes: ...
    @property
    def _shape(self) -> int: ...

def seal_answer(fd: int, shape: int, meta: bytes, entries: list[bytes], values: list[bytes]) -> None:
    """Make the file an answer: references of segments, packed, as `merge` gave them. All writers have finished."""

def build_answer(fd: int, shape: int, meta: bytes, pairs: Iterable[tuple[Any, Any]]) -> None:
    """Write the pairs of a mapping to an empty file as an answer. The keys are different ones; `shape` says what
    values are."""

# For the race detector

def record_access(kind: int, object: object, start: int, end: int, flags: int = 1) -> None:
    """Record an access to bytes `start` to `end` of `object`'s memory, of which the object's own lock knows nothing."""

def record_items(cls: type[Any], base: type[Any]) -> None:
    """Put recording methods for items on `cls`, a subclass of an array of ctypes; it has `_check_size`, the bytes of
    an item, and the two methods for what is unusual. `base` is `ctypes.Array`."""

def record_synchronised(kind: int, object: object, b: int = 0) -> None:
    """Record that the calling thread synchronises by `object`, one of ours or a number: `kind` as in `check.events`,
    and `b` its own. Before a release, after an acquisition."""

def is_small(value: object, large: int) -> bool:
    """Whether `value` surely contains nothing of `large` bytes or more, as far as `check/sending.py` would look for
    it. False: not known."""

def watch() -> None:
    """Put recording methods on Lock, `RLock` and Value, for the life of this process and of those it forks."""
