"""The same unmodified program under `python` and under `procession run`.

Each file of `programs/` is a program as people write it, which knows multiprocessing only. It measures its own work,
without the interpreter's start, and prints one line of JSON: seconds, and an answer that must be the same under both.
"""
