"""Map-reduce over files: divide the input, fold it in the workers, join what they found.

`plan` divides, `reading` reads a piece, `jobs` says what a job is, `running` runs one, `rows` and `progress` show what
came of it. The command `procession mapreduce` is a call of `run` and one of `write_rows`.
"""

from procession.mapreduce.jobs import Job, Text, load_job
from procession.mapreduce.progress import Bar, duration, size
from procession.mapreduce.rows import FORMATS, rows_of, write_rows
from procession.mapreduce.running import Answer, run, run_here

__all__ = [
    "Answer",
    "Bar",
    "FORMATS",
    "Job",
    "Text",
    "duration",
    "load_job",
    "rows_of",
    "run",
    "run_here",
    "size",
    "write_rows",
]
