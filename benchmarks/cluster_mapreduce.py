"""Word count and inverted index on a cluster: procession against the same work by hand on Dask and on Ray.

    python -m benchmarks.cluster_mapreduce [--corpus DIR] [--mib N] [--rounds N] [--only dask,ray] [--save NAME]

One run, one corpus (see `benchmarks.mapreduce.corpus`), two real worker processes with a thread each, rivals in turn,
medians. Every rival cuts words with the same function of Python, from the same files in the same portions, and ends
with an answer in the caller's hands of which the 20 largest are taken and all keys counted; the answers must be the
same. The clock starts when the cluster is up and connected, for everybody. Processor time is that of the caller and of
all processes of the cluster, scheduler included: the steadier figure where the machine does other things besides.

By hand, on Dask:

    shuffled   what its users would write for more than fits into one process: a task for a portion makes a dict for
               each range of the words, tasks for the ranges merge them, the caller joins those
    gathered   no shuffle: a dict from each task, merged in the caller
    dicts      the same as one writes it first. In the two above the dicts are pickled by the tasks themselves: Dask
               looks at every entry of a dict that it sends, which takes several times as long as all the rest
    bag        dask.bag: from_sequence, map, flatten, frequencies / foldby

and on Ray, which has no such trouble, the first two.

procession is `Pool.map_reduce_by_key` with the same function (`procession`), and the built-in job that the command runs
(`--on`), whose words are found natively: what a user gets who writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import describe
from benchmarks.mapreduce.corpus import build, default_place
from benchmarks.mapreduce.digest import digest
from benchmarks.mapreduce.maps import letter_words

WORKERS, PORTIONS, RANGES = 2, 8, 4  # by hand: four portions and two ranges a worker, as procession has it
TOP = 20
WORKLOADS = ("words", "index")
SLOW = ("by hand, dicts", "by hand, bag")  # many times as long: run once, in the round to warm up
RESULTS = Path(__file__).parent / "results"

Portion = list[str]


# What every rival does with text


def count(paths: Portion) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for path in paths:
        counts.update(letter_words(Path(path).read_text()))
    return dict(counts)


def index(paths: Portion) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        for word in set(letter_words(Path(path).read_text())):
            found[word].append(path)
    return dict(found)


def add(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts are added, lists joined."""
    whole = dict(parts[0])
    for part in parts[1:]:
        for word, value in part.items():
            whole[word] = whole[word] + value if word in whole else value
    return whole


def cut(function: Callable[[Portion], dict[str, Any]], paths: Portion) -> list[dict[str, Any]]:
    """A dict for each range: by a checksum, since `hash` of a str differs between processes."""
    ranges: list[dict[str, Any]] = [{} for _ in range(RANGES)]
    for word, value in function(paths).items():
        ranges[zlib.crc32(word.encode()) % RANGES][word] = value
    return ranges


def cut_packed(function: Callable[[Portion], dict[str, Any]], paths: Portion) -> list[bytes]:
    return [pickle.dumps(part) for part in cut(function, paths)]


def packed(function: Callable[[Portion], dict[str, Any]], paths: Portion) -> bytes:
    return pickle.dumps(function(paths))


def merge(*parts: dict[str, Any]) -> dict[str, Any]:
    return add(list(parts))


def merge_packed(*parts: bytes) -> bytes:
    return pickle.dumps(add(list(map(pickle.loads, parts))))


def portions(folder: Path) -> list[Portion]:
    """Files in portions of about the same number of bytes."""
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    goal = sum(map(os.path.getsize, files)) / PORTIONS
    cut_here: list[Portion] = [[]]
    size = 0
    for path in files:
        if size >= goal * len(cut_here):
            cut_here.append([])
        cut_here[-1].append(path)
        size += os.path.getsize(path)
    return cut_here


FUNCTIONS = {"words": count, "index": index}


# By hand


def dask_shuffled(client: Any, workload: str, folder: Path) -> dict[str, Any]:
    import operator

    cut_there = partial(cut_packed, FUNCTIONS[workload])
    ranges = [client.submit(cut_there, paths, pure=False) for paths in portions(folder)]
    parts = [[client.submit(operator.getitem, one, number, pure=False) for one in ranges] for number in range(RANGES)]
    merged = client.gather([client.submit(merge_packed, *of_range, pure=False) for of_range in parts])
    return {word: value for part in merged for word, value in pickle.loads(part).items()}


def dask_gathered(client: Any, workload: str, folder: Path) -> dict[str, Any]:
    there = partial(packed, FUNCTIONS[workload])
    return add(list(map(pickle.loads, client.gather(client.map(there, portions(folder), pure=False)))))


def dask_dicts(client: Any, workload: str, folder: Path) -> dict[str, Any]:
    return add(client.gather(client.map(FUNCTIONS[workload], portions(folder), pure=False)))


def dask_bag(client: Any, workload: str, folder: Path) -> dict[str, Any]:
    import dask.bag

    files = [path for portion in portions(folder) for path in portion]
    bag = dask.bag.from_sequence(files, npartitions=PORTIONS)
    if workload == "words":
        pairs = bag.map(_read).map(letter_words).flatten().frequencies()
    else:
        pairs = bag.map(_words_of_file).flatten().foldby(_first, _append, [], _join, [])
    with dask.config.set(scheduler=client):
        return dict(pairs.compute())


def _read(path: str) -> str:
    return Path(path).read_text()


def _words_of_file(path: str) -> list[tuple[str, str]]:
    return [(word, path) for word in set(letter_words(_read(path)))]


def _first(pair: tuple[str, str]) -> str:
    return pair[0]


def _append(paths: list[str], pair: tuple[str, str]) -> list[str]:
    return [*paths, pair[1]]


def _join(left: list[str], right: list[str]) -> list[str]:
    return left + right


def ray_shuffled(client: Any, workload: str, folder: Path) -> dict[str, Any]:
    import ray

    cut_there = ray.remote(num_returns=RANGES)(partial_of(cut, FUNCTIONS[workload]))
    ranges = [cut_there.remote(paths) for paths in portions(folder)]
    merged = ray.get([ray.remote(merge).remote(*parts) for parts in zip(*ranges, strict=True)])
    return {word: value for part in merged for word, value in part.items()}


def ray_gathered(client: Any, workload: str, folder: Path) -> dict[str, Any]:
    import ray

    there = ray.remote(FUNCTIONS[workload])
    return add(ray.get([there.remote(paths) for paths in portions(folder)]))


def partial_of(function: Any, first: Any) -> Any:
    """A plain function, as Ray wants it."""

    def call(paths: Portion) -> Any:
        return function(first, paths)

    return call


# procession


def words_of(text: Any) -> list[str]:
    return letter_words(text)


def files_of(text: Any) -> tuple[list[str], Any]:
    from itertools import repeat

    return list(set(letter_words(text))), repeat(text.path)


@contextmanager
def ours(context: Any) -> Iterator[dict[str, Callable[[str, Path], Any]]]:
    from procession import mapreduce
    from procession.mapreduce import Files

    with context.Pool(WORKERS) as pool:

        def by_key(workload: str, folder: Path) -> Any:
            if workload == "words":
                return pool.map_reduce_by_key(words_of, Files(folder), "count")
            return pool.map_reduce_by_key(files_of, Files(folder), "set")

        def job(workload: str, folder: Path) -> Any:
            name = {"words": "wordcount", "index": "index"}[workload]
            return mapreduce.run(name, [str(folder)], context=context, workers=WORKERS).total

        yield {"procession": by_key, "procession --on": job}


# Clusters


@contextmanager
def dask_cluster() -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """A scheduler and two workers, each a process of its own, as its users start them."""
    from distributed import Client

    import procession

    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "scheduler.json"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        run = partial(subprocess.Popen, cwd=place, env=environment, stderr=subprocess.DEVNULL)
        start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard"]
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard"]
        processes = [run([*start, "--scheduler-file", str(file)])]
        try:
            processes += [run([*worker, "--scheduler-file", str(file)]) for _ in range(WORKERS)]
            while not file.exists():
                time.sleep(0.05)
            with Client(scheduler_file=str(file)) as client:
                client.wait_for_workers(WORKERS, timeout=60)
                yield (
                    client,
                    procession.get_context(client),
                    {
                        "by hand, shuffled": dask_shuffled,
                        "by hand, gathered": dask_gathered,
                        "by hand, dicts": dask_dicts,
                        "by hand, bag": dask_bag,
                    },
                )
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(20)


@contextmanager
def ray_cluster() -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    import ray

    import procession

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    try:
        yield ray, procession.get_context("ray"), {"by hand, shuffled": ray_shuffled, "by hand, gathered": ray_gathered}
    finally:
        ray.shutdown()


CLUSTERS = {"dask": dask_cluster, "ray": ray_cluster}


# Measuring


Taken = list[tuple[float, float]]  # seconds, and processor seconds


def measure(name: str, folder: Path, rounds: int) -> dict[str, dict[str, Taken]]:
    """What each rival took, by workload."""
    seconds: dict[str, dict[str, Taken]] = {workload: {} for workload in WORKLOADS}
    with CLUSTERS[name]() as (client, context, by_hand), ours(context) as procession:
        rivals = procession | {rival: partial(function, client) for rival, function in by_hand.items()}
        for workload in WORKLOADS:
            answers = {}
            for number in range(rounds + 1):  # the first to warm up: imports, connections, the files in memory
                for rival, run in rivals.items():
                    if rival in SLOW and number:
                        continue
                    began, before = time.perf_counter(), processor_seconds()
                    answer = run(workload, folder)
                    size, _ = len(answer), largest(answer, workload)
                    took, cpu = time.perf_counter() - began, processor_seconds() - before
                    if number or rival in SLOW:
                        seconds[workload].setdefault(rival, []).append((took, cpu))
                    if not number:
                        answers[rival] = size if rival == "procession --on" else digest(lines(answer))
                    print(f"{name} {workload} {rival}: {took:.2f} s, CPU {cpu:.2f} s, {size:,} keys", file=sys.stderr)
            built_in = answers.pop("procession --on")
            if len(set(answers.values())) != 1:
                raise SystemExit(f"{name} {workload}: the answers differ: {answers}")
            print(f"{name} {workload}: the same answer; the built-in job has {built_in:,} keys", file=sys.stderr)
    return seconds


def largest(answer: Any, workload: str) -> list[tuple[str, Any]]:
    if hasattr(answer, "top"):
        return answer.top(TOP)
    key = (lambda pair: pair[1]) if workload == "words" else lambda pair: len(pair[1])
    return sorted(answer.items(), key=key, reverse=True)[:TOP]


def lines(answer: Any) -> Iterator[tuple[str, Any]]:
    for word, value in answer.items():
        yield word, value if isinstance(value, int) else sorted(value)


def processor_seconds() -> float:
    """Of this process and all that it started, or that those did."""
    from procession.mapreduce.usage import cpu_seconds
    from procession.testing import descendants

    total = 0.0
    for pid in [os.getpid(), *descendants(os.getpid())]:
        with suppress(OSError):  # it has just ended
            total += cpu_seconds(pid)
    return total


def table(results: dict[str, dict[str, dict[str, Taken]]]) -> list[str]:
    rows = [
        "| engine | workload | rival | median s | least–most | CPU s, median | s of the best by hand | CPU of it |",
        "| --- " * 8 + "|",
    ]
    for name, workloads in results.items():
        for workload, rivals in workloads.items():
            medians = {
                rival: (median(took for took, _ in taken), median(cpu for _, cpu in taken))
                for rival, taken in rivals.items()
            }
            best = [min(both[which] for rival, both in medians.items() if "by hand" in rival) for which in (0, 1)]
            for rival, taken in rivals.items():
                seconds, cpu = medians[rival]
                spread = f"{min(taken)[0]:.2f}–{max(taken)[0]:.2f}"
                shares = f"{seconds / best[0]:.2f}", f"{cpu / best[1]:.2f}"
                row = name, workload, rival, f"{seconds:.2f}", spread, f"{cpu:.2f}", *shares
                rows.append(f"| {' | '.join(row)} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster_mapreduce", description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, default=default_place(), help="its directory; built if not there")
    parser.add_argument("--mib", type=int, default=40, help="how large to build it; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="measured, after one to warm up; default: %(default)s")
    parser.add_argument("--only", default=",".join(CLUSTERS), help="engines; default: %(default)s")
    parser.add_argument("--save", metavar="NAME", help="store under results/NAME.md and .json")
    options = parser.parse_args()
    if not (options.corpus / "about.json").exists():
        build(options.corpus, options.mib)
    about = json.loads((options.corpus / "about.json").read_text())["text"]["1x"]
    results = {name: measure(name, options.corpus / "files-1x", options.rounds) for name in options.only.split(",")}
    rows = table(results)
    print("\n".join(rows))
    if options.save:
        machine = describe()
        text = {"machine": machine, "corpus": about, "seconds": results}
        (RESULTS / f"{options.save}.json").write_text(json.dumps(text, indent=1) + "\n")
        head = f"{machine['cpu']}, {machine['cores']} cores, {machine['python']}, load before {machine['load']}"
        said = [f"# {options.save}", "", head, f"Corpus: {json.dumps(about)}", "", *rows]
        (RESULTS / f"{options.save}.md").write_text("\n".join(said) + "\n")


if __name__ == "__main__":
    main()
