"""Map-reduce over files: divide the input, map it in the workers, reduce what they found.

`Files` is the input: `plan` divides, `reading` reads a piece. `jobs` says what a job is, `builtin` has those with a
name, `running` runs one and `alone` does the same in one process; `rows` shows what came of it. The
command `procession mapreduce` is a call of `run` and one of `write_rows`; `procession map` one of `map_lines`.
"""

from procession.mapreduce.alone import equal, run_here
from procession.mapreduce.inputs import Files
from procession.mapreduce.jobs import Job, built_in_jobs, load_job
from procession.mapreduce.lines import ON_ERROR, LineFailed, LineNotReadable, map_lines
from procession.mapreduce.rows import FORMATS, can_show, check_format, rows_of, write_rows
from procession.mapreduce.running import Answer, run
from procession.mapreduce.stretches import CsvRaw, CsvText, Raw, Text

__all__ = [
    "Answer",
    "CsvRaw",
    "CsvText",
    "FORMATS",
    "Files",
    "Job",
    "LineFailed",
    "LineNotReadable",
    "ON_ERROR",
    "Raw",
    "Text",
    "built_in_jobs",
    "can_show",
    "check_format",
    "equal",
    "load_job",
    "map_lines",
    "rows_of",
    "run",
    "run_here",
    "write_rows",
]
