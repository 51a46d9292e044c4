"""Keyed map-reduce against plain Python, hand-written pools, DuckDB and Polars, on text that does not repeat.

How the pieces fit, each importing only from those above it:

    corpus.py table_file.py packages.txt   build the input, once, outside the repository
    model.py       what an answer, a workload and a run are
    pieces.py      dividing files by hand, for rivals that must
    rivals/        one module per rival: workload -> function
    family.py      processor time and memory of a process and all its descendants
    digest.py      a number for a whole answer, to compare rivals to the last key
    child.py       one workload with one rival in a fresh interpreter
    runner.py      rounds over the rivals; a run of its own for memory; kills what hangs
    targets.py     the ratios the project promised, as data
    table.py       results to text
    __main__.py    the command line
"""
