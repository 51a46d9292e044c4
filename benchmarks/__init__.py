"""Benchmarks: workloads defined once, one adapter per rival, rivals interleaved, every message verified.

How the pieces fit, each importing only from those above it:

    model.py       what a workload, a sample and a target are
    rivals/        one adapter per rival behind the `Rival` protocol
    measure.py     pacing a loop until it is long enough to time; parties that start together
    workloads/     what is measured, a file per family
    targets.py     the ratios the project promised, as data
    child.py       one workload with one rival in a fresh interpreter; prints one line of JSON
    runner.py      rounds over the rivals; kills what hangs
    machine.py     on what it ran
    table.py plots.py   results to text, results to pictures
    __main__.py    the command line
"""
