"""CPython's own tests of multiprocessing and concurrent.futures, run against procession.

    python -m conformance --suite mp,main,futures,executor --context fork,spawn,forkserver

Nothing of CPython is kept here: the tests come from the `test` package of the interpreter that runs this. Each class of
tests runs in a process of its own (`child`), in its own session and under a watchdog (`runner`), so that a hang costs
one test. What is allowed to differ is listed in `differences.txt`, one line each, with its reason.
"""
