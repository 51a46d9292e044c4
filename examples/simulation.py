"""A plate that is heated at one edge: several processes at one numpy array, and a picture of it while it warms.

    python examples/simulation.py --steps 100000
    python examples/simulation.py --plot window         # or --plot plate.png

It shows: memory shared by all (`RawArray`), which each process sees as a numpy array without a copy. Each works out its
own rows of the next moment from what all rows are now, and a Barrier keeps them in step. Who draws just looks. If a
process fails or is killed, the program ends with its error instead of waiting at the barrier for ever.
Needs numpy, and matplotlib for --plot: pip install numpy matplotlib
"""

import argparse
import itertools
import sys

import procession
from procession.connection import wait

try:
    import numpy as np
except ImportError:
    raise SystemExit("this example needs numpy: pip install numpy") from None

ROWS, COLUMNS = 82, 242
SHADES = np.array(list(" .:-=+*#%@"))


def grids_in(memory):
    """Two grids, which take turns: one is read by all while the other is written."""
    return np.frombuffer(memory).reshape(2, ROWS, COLUMNS)


def warm(memory, first, last, steps, in_step, clock):
    for step in range(steps):
        old, new = grids_in(memory)[:: -1 if step % 2 else 1]
        beside = old[first:last, :-2] + old[first:last, 2:]
        above_and_below = old[first - 1 : last - 1, 1:-1] + old[first + 1 : last + 1, 1:-1]
        new[first:last, 1:-1] = (old[first:last, 1:-1] + beside + above_and_below) / 5
        in_step.wait()
        if first == 1:
            clock.value = step + 1


def draw(plate, plot):
    if plot:
        from matplotlib import pyplot

        pyplot.cla()
        pyplot.imshow(plate, cmap="inferno")
        pyplot.pause(0.01) if plot == "window" else pyplot.savefig(plot)
    else:
        lines = SHADES[(plate[::8, ::4] * 9.99).astype(int)]
        print("\033[H\033[J" * sys.stdout.isatty() + "\n".join("".join(line).rstrip() for line in lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--plot", help="'window', or the name of a picture (default: in the terminal)")
    parser.add_argument("--workers", type=int, default=procession.cpu_count())
    parser.add_argument("--engine", help="fork, spawn, forkserver, thread (default: Python's own)")
    args = parser.parse_args()
    context = procession.get_context(args.engine)
    memory, clock = context.RawArray("d", 2 * ROWS * COLUMNS), context.Value("i")
    grids, in_step = grids_in(memory), context.Barrier(args.workers)
    grids[:, 0, 61:181] = 1
    bands = itertools.pairwise(np.linspace(1, ROWS - 1, args.workers + 1, dtype=int).tolist())
    tasks = [(memory, *band, args.steps, in_step, clock) for band in bands]
    workers = [context.Process(target=warm, args=task, daemon=True) for task in tasks]
    for worker in workers:
        worker.start()
    running = {worker.sentinel: worker for worker in workers}
    while running:
        if args.plot or sys.stdout.isatty():
            draw(grids[clock.value % 2], args.plot)
        for sentinel in wait(list(running), timeout=0.1):
            running.pop(sentinel).result()  # raises what it raised, or WorkerDied
    draw(grids[args.steps % 2], args.plot)
    print(f"step {args.steps}: {grids[args.steps % 2].mean():.6f} on average")
