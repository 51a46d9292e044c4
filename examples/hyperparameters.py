"""The best settings of a classifier: each tried by cross-validation, and what is done is done, also after a crash.

    python examples/hyperparameters.py search.db
    python examples/hyperparameters.py search.db        # at once; after Ctrl-C or a crash, only what is missing

It shows: `map` with all that a long search needs. `checkpoint=` keeps each result in a file. `timeout=` ends what takes
too long, in C code too: some of these, on data that are not scaled, would take minutes. `return_exceptions=True` lets
the search go on past what fails. The best score so far is a Value that all workers raise, under its lock.

Needs scikit-learn: pip install scikit-learn
"""

import argparse
import itertools
import sys
from typing import Any

import procession
from procession.errors import TaskTimeout

try:
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.svm import SVC
except ImportError:
    raise SystemExit("this example needs scikit-learn: pip install scikit-learn") from None

GRID: dict[str, list[Any]] = {"scaled": [True, False], "kernel": ["rbf", "poly"], "C": [0.1, 1.0, 10.0, 100.0]}
SLOW = {"scaled": False, "kernel": "linear", "C": 1000.0}
best: Any
data: Any


def begin(value):
    """In each worker first. What differs from run to run must not be an argument of `score`, or no result is kept."""
    global best, data
    best, data = value, load_breast_cancer(return_X_y=True)


def score(settings):
    scaler = StandardScaler() if settings["scaled"] else FunctionTransformer()
    model = make_pipeline(scaler, SVC(kernel=settings["kernel"], C=settings["C"]))
    mean = float(cross_val_score(model, *data, cv=5).mean())
    with best.get_lock():
        best.value = max(best.value, mean)
    return mean


def show(now):
    print(f"\r{now.done} of {now.total}, the best so far {best.value:.4f}", end="\n" * now.ended, file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", help="a file for what is done")
    parser.add_argument("--timeout", type=float, default=2, help="seconds that one may take (default: 2)")
    parser.add_argument("--workers", type=int, help="default: as many as there are CPUs")
    parser.add_argument("--engine", help="fork, spawn, forkserver (default: Python's own)")
    args = parser.parse_args()

    context = procession.get_context(args.engine)
    begin(context.Value("d", 0.0))
    grid = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())] + [SLOW]
    with context.Pool(args.workers, initializer=begin, initargs=(best,)) as pool:
        scores = pool.map(
            score,
            grid,
            timeout=args.timeout,
            return_exceptions=True,
            checkpoint=args.checkpoint,
            progress=show if sys.stderr.isatty() else None,
        )
    tried = [(mean, settings) for mean, settings in zip(scores, grid, strict=True) if isinstance(mean, float)]
    for mean, settings in sorted(tried, key=lambda pair: -pair[0])[:3]:
        print(f"{mean:.3f}", settings)
    print(f"tried {len(tried)}, took too long {sum(isinstance(mean, TaskTimeout) for mean in scores)}")
