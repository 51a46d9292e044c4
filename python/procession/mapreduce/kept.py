"""The checkpoints of the commands.

*Lines*: what came of each, by its number and a hash of its bytes. Results are kept as the lines of JSON that they are,
so all of the output can be written again, byte for byte. Of a line that failed it is kept why; what becomes of it in
the output is for each run to say.

*Pieces* of files: what a share of a run returned, written down with the first of the pieces that went into it; the
others are marked as joined with that one, in the same commit. A piece is compared by what it is of: names, sizes and
times of files, and which bytes. How input is divided depends on the number of workers, so the first run's is kept.

What a share of a job without keys returns is its partial answer, pickled. Of a job by key it is the description of the
sorted runs it wrote; the runs themselves, which else lie in files without a name, are in `PATH.runs-N` beside the
journal, a file for each time the command was started. Nothing of them changes once a share returned, so the states are
exact and the answer is that of an uninterrupted run. (Considered: answers of batches, to be merged at the end. A mean
cannot be made of means.)
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

from procession.checkpoint import Checkpoint
from procession.checkpoint.identity import DIGEST_BYTES, digest_of, function_identity
from procession.checkpoint.journal import DONE, FAILED, JOINED, Journal
from procession.errors import CheckpointError
from procession.gather.spool import Spool
from procession.mapreduce.blocks import BlockDone, Failure, LineMap
from procession.mapreduce.inputs import Files
from procession.mapreduce.jobs import JobSource
from procession.mapreduce.plan import Plan

__all__ = ["KeptLines", "KeptPieces"]

FORM = ("takes", "encoding", "errors", "unpack")  # how input is read


class KeptLines:
    """A context manager: leaving it closes the journal. Lines are counted from 0, as elsewhere before they are shown.

    Raises what `Journal` raises.
    """

    def __init__(self, checkpoint: Any, function: Callable[..., Any], task: LineMap) -> None:
        options = {"call": "procession map", "raw": str(task.raw), "errors": task.errors}
        identity = {**function_identity(function), **options}
        self._journal = Journal(Checkpoint.of(checkpoint), identity, what="line", first=1)

    def __enter__(self) -> KeptLines:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._journal.__exit__(*exc)

    @property
    def resumed(self) -> int:
        """Lines that were known, those that had failed included."""
        return self._journal.resumed + self._journal.failed_before

    @staticmethod
    def digest_of(line: bytes) -> bytes:
        """What a line is compared by. The last of a file may lack its end."""
        return blake2b(line.removesuffix(b"\n"), digest_size=DIGEST_BYTES).digest()

    def known(self, number: int, digest: bytes) -> BlockDone | None:
        """What came of a line; None if that is not known. To be asked in ascending order. Raises CheckpointMismatch."""
        journal = self._journal
        status = journal.known(number + 1, digest)
        if status is None:
            return None
        payload = journal.payload(number + 1)
        if status == DONE:
            journal.resumed += 1
            return BlockDone(payload, 1, 0, None, 0)
        journal.failed_before += 1
        stage, reason, details = json.loads(payload)
        reason = f"{reason} (in an earlier run; --retry-failed tries it again)"
        return BlockDone(b"", 1, 1, Failure(0, stage, reason, details), 0)

    def add(self, number: int, digest: bytes, done: BlockDone, *, doubtful: bool) -> None:
        """Writes down what came of a line. `doubtful`: its worker was killed, by whomever; see `journal`.

        Raises CheckpointError.
        """
        if done.first is None:
            self._journal.add(number + 1, digest, DONE, done.output)
        else:
            payload = json.dumps(done.first[1:]).encode()
            self._journal.add(number + 1, digest, FAILED, payload, hold=doubtful)

    def check_end(self, lines: int) -> None:
        """That was all of the input. Raises CheckpointMismatch when there was more of it before."""
        self._journal.check_end(lines)


class KeptPieces:
    """A context manager: leaving it closes the journal. Pieces go by their number in the plan.

    Raises what `Journal` raises; ValueError for standard input, which is another file each time.
    """

    def __init__(self, checkpoint: Any, source: JobSource, files: Files, inputs: Sequence[str], workers: int) -> None:
        if "-" in inputs:
            raise ValueError("a checkpoint needs files to come back to: save standard input in one")
        identity = function_identity(source.load())  # type: ignore[arg-type]  # an object of any class
        identity["job"] = identity.pop("function")
        identity |= {"call": "procession mapreduce", "arguments": repr(sorted(source.arguments.items()))}
        identity |= {name: str(value) for name, value in vars(files.form).items() if name in FORM}
        given = Checkpoint.of(checkpoint)
        self.interval: float = given.interval
        self._journal = Journal(given, identity, {"workers": str(workers)}, what="piece", first=1)
        self._numbers: list[int] = []  # in the plan, by order
        self._orders: list[int] = []  # by number in the plan
        self._digests: list[bytes] = []  # by order
        self._groups: list[tuple[bytes, list[int]]] = []
        self._spool: tuple[str, Spool] | None = None

    def __enter__(self) -> KeptPieces:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._journal.__exit__(*exc)

    @property
    def divided_for(self) -> int:
        """For how many workers the input was divided the first time."""
        return int(self._journal.notes["workers"])

    @property
    def resumed(self) -> int:
        """Pieces that were known."""
        return self._journal.resumed

    def compare(self, plan: Plan) -> None:
        """Finds out what is known of these pieces. Raises CheckpointMismatch."""
        journal = self._journal
        self._orders = [piece.order for piece in plan.pieces]
        self._numbers = sorted(range(len(plan.pieces)), key=lambda number: plan.pieces[number].order)
        leaders: dict[int, list[int]] = {}
        for order, number in enumerate(self._numbers):
            digest = piece_digest(plan.pieces[number])
            self._digests.append(digest)
            status = journal.known(order + 1, digest)
            if status is None:
                continue
            journal.resumed += 1
            leader = order if status == DONE else int(journal.payload(order + 1))
            leaders.setdefault(leader, []).append(number)
        journal.check_end(len(self._numbers))
        self._groups = [(journal.payload(leader + 1), numbers) for leader, numbers in leaders.items()]

    def partials(self) -> Iterator[tuple[tuple[Any, ...], list[int]]]:
        """What shares returned before, of a job without keys, and which pieces went into it."""
        self._sweep(set())
        for payload, numbers in self._groups:
            yield pickle.loads(payload), numbers

    def add(self, total: tuple[Any, ...], numbers: Sequence[int]) -> None:
        """Writes down what a share of a job without keys returned. Raises CheckpointError."""
        self._add(pickle.dumps(total, 5), numbers)

    def _add(self, payload: bytes, numbers: Sequence[int]) -> None:
        orders = sorted(self._orders[number] for number in numbers)
        if not orders:
            return
        first, *others = orders
        rows = [(first + 1, self._digests[first], DONE, payload)]
        rows += [(order + 1, self._digests[order], JOINED, b"%d" % first) for order in others]
        self._journal.add_all(rows)

    # By key: for `pool.keyed`

    def runs(self) -> Iterator[tuple[str, Any, list[int]]]:
        """What shares returned before, of a job by key: the file their runs are in, what they told, their pieces."""
        found = [(*pickle.loads(payload), numbers) for payload, numbers in self._groups]
        self._sweep({name for name, _, _ in found})
        yield from found

    def add_runs(self, told: Any) -> None:
        """Writes down what a share of a job by key returned. Raises CheckpointError."""
        assert self._spool is not None
        self._add(pickle.dumps((self._spool[0], told), 5), told.chunks)

    def spool(self) -> Spool:
        """Where the runs of this call go; made when first wanted, closed by whoever asked first. Raises OSError."""
        number = 1
        while True:
            path = f"{self._journal.path}.runs-{number}"
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                break
            number += 1
        spool = Spool(descriptor, os.path.dirname(path) or ".").begun()
        self._spool = os.path.basename(path), spool
        return spool

    def reopened(self, name: str) -> Spool:
        """The runs of an earlier call. Raises CheckpointError when they are gone."""
        folder = os.path.dirname(self._journal.path)
        path = os.path.join(folder, name)
        try:
            return Spool(os.open(path, os.O_RDWR | os.O_CLOEXEC), folder or ".")
        except OSError as error:
            message = f"{path}: this part of the checkpoint cannot be opened ({error.strerror}); begin anew"
            raise CheckpointError(f"{message} (--checkpoint-reset)", path=path) from error

    def _sweep(self, wanted: set[str]) -> None:
        """Removes files of runs of which the journal knows nothing: their calls ended before a share returned."""
        folder, prefix = os.path.split(f"{self._journal.path}.runs-")
        for name in os.listdir(folder or "."):
            if name.startswith(prefix) and name[len(prefix) :].isdigit() and name not in wanted:
                os.unlink(os.path.join(folder, name))


def piece_digest(piece: Any) -> bytes:
    """What a piece is compared by. Not by the inode: a file that was copied back is the same."""
    return digest_of(
        [(span.shown, span.source.size, span.source.stamp[1], span.offset, span.length) for span in piece.spans]
    )
