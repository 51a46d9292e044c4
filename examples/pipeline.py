"""A pipeline: read, parse, write, each in processes of its own, and the slowest sets the pace.

    python examples/pipeline.py --workers 4

It shows: back-pressure by bounded queues (who is too quick waits, so memory holds some batches of a file of any size);
an end by `queue.shutdown()` (who takes gets what is still there, then ShutDown); and that nothing is missing without a
word: a stage that fails or is killed ends the program with its error, and the output takes its name when it is whole.
"""

import argparse
import contextlib
import json
import tempfile
import time
from itertools import islice
from pathlib import Path

import procession
from procession.errors import ShutDown

BATCH, DEPTH = 500, 8  # lines that travel together; batches that may wait before a stage


def read(path, batches):
    with path.open() as file:
        while lines := list(islice(file, BATCH)):
            batches.put(lines)  # waits while there are DEPTH in it
    batches.shutdown()


def parse(batches, rows):
    for lines in until_shutdown(batches):
        orders = map(json.loads, lines)
        rows.put([f"{order['id']}\t{order['cents'] * order['pieces']}\n" for order in orders])


def write(rows, path):
    draft = path.with_suffix(".draft")
    with draft.open("w") as file:
        for lines in until_shutdown(rows):
            file.writelines(lines)
    draft.replace(path)


def until_shutdown(queue):
    with contextlib.suppress(ShutDown):
        while True:
            yield queue.get()


def run(context, workers, source, target):
    batches, rows, deepest, begun = context.Queue(DEPTH), context.Queue(DEPTH), (0, 0), time.monotonic()
    tasks = [(read, source, batches), (write, rows, target), *[(parse, batches, rows)] * workers]
    reader, writer, *parsers = [context.Process(target=task, args=args, daemon=True) for task, *args in tasks]
    for process in (running := {reader, writer, *parsers}):
        process.start()
    while running:
        for ended in [process for process in running if process.exitcode is not None]:
            ended.result()  # raises what it raised, or WorkerDied
            running.remove(ended)
        if running == {writer}:
            rows.shutdown()
        deepest = max(deepest[0], batches.qsize()), max(deepest[1], rows.qsize())
        writer.join(0.01)
    return deepest, time.monotonic() - begun


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="parsers (default: 2)")
    parser.add_argument("--engine", help="fork, spawn, forkserver, thread (default: Python's own)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "orders.jsonl"), Path(folder, "sums.tsv")
        source.write_text("".join(f'{{"id": {n}, "cents": {n % 1000}, "pieces": {n % 7}}}\n' for n in range(100_000)))
        waited, seconds = run(procession.get_context(args.engine), args.workers, source, target)
        sums = [int(line.split()[1]) for line in target.read_text().splitlines()]
        print(f"{len(sums):,} orders of {sum(sums):,} cents, {len(sums) / seconds:,.0f} a second")
        print(f"of {DEPTH} batches at most {waited[0]} waited to be parsed, {waited[1]} to be written")
