"""`Files`: the input of a map-reduce that reads files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from procession.mapreduce.afar import Reader, afar
from procession.mapreduce.form import Form
from procession.mapreduce.plan import Plan, divide
from procession.mapreduce.reading import read_piece
from procession.mapreduce.spans import Piece
from procession.mapreduce.stretches import Stretch

__all__ = ["Files"]


class Files:
    """Files as the items of a map-reduce: each worker is handed stretches of them in whole lines, about a MiB each.

    `paths` are files, directories, glob patterns, or `-` for standard input; see `divide`. What gzip, bzip2, xz or zstd
    made is unpacked, unless `unpack` is false. `takes` says what the map function is given:

    - "text": a `Text`, which is a str. `errors` is as for `bytes.decode`.
    - "bytes": a `Raw`, which is bytes, as they are in the file.
    - "csv": a `CsvText`, a str of whole records, a quoted newline being none; the first record of each file names its
      fields (unless `header` is false): it is not part of any stretch, but each has it as `header`.
    - "csv-bytes": a `CsvRaw`, the same as bytes.

    Each stretch also has `path`, `offset` and `place`. Binary files (a NUL among the first 8 KiB) are left out of
    directories, unless `binary` is true.

    `divide` is called where the work is handed out, `read` where it is done: a pickled `Files` has no paths.
    """

    def __init__(
        self,
        *paths: str | os.PathLike[str],
        takes: str = "text",
        encoding: str = "utf-8",
        errors: str = "strict",
        delimiter: str = ",",
        header: bool = True,
        binary: bool = False,
        unpack: bool = True,
    ) -> None:
        """Raises ValueError for what cannot be, LookupError for an encoding or `errors` that there is not."""
        self._paths = [os.fspath(path) for path in paths]
        self.form: Form = Form(takes, encoding, errors, delimiter, header, binary, unpack)

    def divide(self, workers: int = 1) -> Plan:
        """Finds the files and divides them for so many workers. Raises what `plan.divide` raises."""
        return divide(self._paths, workers=workers, form=self.form)

    def read(self, piece: Piece) -> Iterator[Stretch]:
        """The stretches of a piece, each read when it is asked for, in a worker. Raises what `read_piece` raises."""
        return read_piece(piece, self.form)

    def afar(self, plan: Plan) -> tuple[list[Any], Reader]:
        """The pieces of a plan, and what reads them, for workers on other machines. See `afar`."""
        return afar(plan), Reader(self.form)

    def __getstate__(self) -> dict[str, Any]:
        return {"form": self.form, "_paths": []}  # there may be many thousands
