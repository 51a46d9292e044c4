"""The joblib backend "procession": joblib, and with it scikit-learn, on this package's pool.

    import procession.joblib

    with joblib.parallel_config(backend="procession", n_jobs=-1):
        search.fit(X, y)

Importing this registers the backend; everything else of `joblib.Parallel` stays as it is. What it rests on:

* Tasks are pickled by joblib's own cloudpickle: lambdas, closures and functions typed at a prompt may be sent.
* Arrays above `max_nbytes` (joblib's option; 1 MB) are copied into shared memory once for each call of Parallel,
  however many tasks take them, and arrive as views: read-only, unless `mmap_mode` says otherwise ("r+" shared and
  writable, "c" copies, None switches sharing off). Nothing is left behind, kill -9 included. See `inputs`.
* Workers are kept for later calls with the same wishes, as loky does; `shutdown` ends them. They are started by the
  method procession uses, or by `JOBLIB_START_METHOD`, or by the backend's option `start_method`.
* A worker that dies fails the batch it was at with `WorkerDied`, instead of the whole call's workers.
* A worker's numeric libraries use its share of the CPUs (see `pool.blas`), or `inner_max_num_threads`. An OpenMP that
  is loaded before workers are forked has one thread in them: choose "forkserver" to give it more.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

try:
    import joblib  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError as _error:
    raise ImportError("procession.joblib needs joblib: pip install procession[joblib]") from _error
from joblib.parallel import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
    ThreadingBackend,
)

from ..context import default
from .inputs import Shelf
from .workers import Crew, Packed, Wishes, hire, pack, run, shutdown, unpack

__all__ = ["ProcessionBackend", "shutdown"]

_MAX_NBYTES = 1 << 20  # joblib's default for what is large
_FROM_JOBLIB = {"context", "idle_worker_timeout", "temp_folder", "verbose"}  # given to every backend; no use here


if TYPE_CHECKING:

    class _Base:
        """What is used here of joblib's classes, which have no types."""

        backend_kwargs: dict[str, Any]
        inner_max_num_threads: int | None
        nesting_level: int
        parallel: Any

        def in_main_thread(self) -> bool:
            """Whether the calling thread is the main one."""

        def reset_batch_stats(self) -> None:
            """Forget how long batches took."""
else:

    class _Base(AutoBatchingMixin, ParallelBackendBase):
        """Both that a backend derives from."""


class ProcessionBackend(_Base):
    """See the module. One of these serves one `Parallel` at a time, which calls all of its methods.

    Options: `start_method` ("fork", "spawn", "forkserver"); `initializer` and `initargs`, called in each worker first
    (such workers are not kept).
    """

    supports_retrieve_callback: bool = True
    supports_inner_max_num_threads: bool = True

    _crew: Crew | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers `n_jobs` stands for: as joblib's other backends. Raises: ValueError for 0."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None or os.environ.get("JOBLIB_MULTIPROCESSING", "1") == "0":
            return 1
        if not (self.in_main_thread() or self.nesting_level == 0):
            if n_jobs != 1:
                warnings.warn("processes cannot be nested below joblib's threads, setting n_jobs=1", stacklevel=3)
            return 1
        if n_jobs < 0:
            return max(int(joblib.cpu_count()) + 1 + n_jobs, 1)
        return n_jobs

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: Any = None,
        require: Any = None,
        *,
        max_nbytes: int | None = _MAX_NBYTES,
        mmap_mode: str | None = "r",
        **options: Any,
    ) -> int:
        """Get workers ready; return how many. Raises: TypeError for an unknown option; FallbackToBackend."""
        n_jobs = self.effective_n_jobs(n_jobs)
        wishes = self._wishes(n_jobs, {**self.backend_kwargs, **options})
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        if wishes.context.get_start_method() == "thread":
            raise FallbackToBackend(ThreadingBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._shelf = Shelf(max_nbytes, mmap_mode)
        self._leave()
        self._crew = hire(wishes)
        return n_jobs

    def _wishes(self, n_jobs: int, options: dict[str, Any]) -> Wishes:
        method = options.pop("start_method", None) or os.environ.get("JOBLIB_START_METHOD", "").strip() or None
        initializer, initargs = options.pop("initializer", None), tuple(options.pop("initargs", ()))
        unknown = sorted(options.keys() - _FROM_JOBLIB)
        if unknown:
            raise TypeError(f"the joblib backend 'procession' has no option {', '.join(unknown)}")
        context = default.get_context(method) if method is None or isinstance(method, str) else method
        return Wishes(context, n_jobs, self.inner_max_num_threads, initializer, initargs)

    def start_call(self) -> None:
        """A call of Parallel begins: arrays may have changed since the last."""
        self._shelf.clear()

    def stop_call(self) -> None:
        """It has ended."""
        self._shelf.clear()

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], object] | None = None) -> Any:
        """Have a batch of tasks called; `callback` gets what `retrieve_result_callback` takes.

        Joblib calls this in its caller's thread and in the pool's, where nobody would see an exception: one is given
        to the callback, which raises it in the caller.
        """
        callback = callback or (lambda answer: None)
        held: list[Any] = []  # what the batch mentions, until it is answered
        try:
            if self._crew is None:
                raise RuntimeError("this call of joblib.Parallel has ended: its workers take no more tasks")
            packed = Packed(func, *pack(func, self._shelf.reducers(held)))
        except Exception as error:
            callback(error)
            return None

        def answered(answer: Any) -> None:
            held.clear()
            callback(answer)

        held.append(func)
        try:
            return self._crew.pool.apply_async(run, (packed,), callback=answered, error_callback=answered)
        except Exception as error:
            callback(error)
            return None

    apply_async = submit  # joblib before 1.5

    def retrieve_result_callback(self, out: Any) -> Any:
        """The values of a batch. Raises: what a task raised; WorkerDied."""
        return unpack(out)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Drop what is running and waiting; the workers too, unless another call uses them."""
        self._leave(abort=True)
        if ensure_ready:
            self.configure(self.parallel.n_jobs, self.parallel, **self.parallel._backend_kwargs)

    def terminate(self) -> None:
        """The call is over. The workers are kept for the next."""
        self._leave()
        self._shelf.clear()
        self.reset_batch_stats()

    def _leave(self, abort: bool = False) -> None:
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.leave(abort)


joblib.register_parallel_backend("procession", ProcessionBackend)
