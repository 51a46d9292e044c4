"""Files that are there twice or more: found by size, then by content, and kept once if you like.

    python examples/dedupe.py                       # makes files to try it on, in a temporary folder
    python examples/dedupe.py ~/Pictures ~/Old      # only tells
    python examples/dedupe.py ~/Pictures --link     # puts a hard link in the place of each copy

It shows: `map_reduce_by_key` with "list", which gathers the paths of each content as they are found; the cheap question
first: only files of a size that occurs twice are read. What cannot be read is told. A copy is replaced in one step:
killed at any moment, each name still has its contents (and a link with `.draft` in its name may be left).
"""

import argparse
import filecmp
import hashlib
import os
import tempfile
from collections import defaultdict
from pathlib import Path

import procession


def digest(path):
    """The hash of a file's contents, and its path."""
    try:
        with open(path, "rb") as file:
            return [(hashlib.file_digest(file, "sha256").hexdigest(), path)]
    except OSError as error:
        return [("unreadable", f"{path}: {error.strerror}")]


def of_the_same_size(folders):
    """Paths of which there are several of a size. Of those that are links to one file, one."""
    by_size, known = defaultdict(list), set()
    for path in (path for folder in folders for path in sorted(Path(folder).rglob("*"))):
        if path.is_file() and not path.is_symlink():
            found = path.stat()
            if found.st_size and (found.st_dev, found.st_ino) not in known:
                known.add((found.st_dev, found.st_ino))
                by_size[found.st_size].append(str(path))
    return [path for paths in by_size.values() if len(paths) > 1 for path in paths]


def link(original, copy):
    if filecmp.cmp(original, copy, shallow=False):  # it may have changed since
        os.link(original, f"{copy}.draft")
        os.replace(f"{copy}.draft", copy)


def make_sample(folder):
    for number, text in enumerate(["one", "two", "six", "one", "one", "three", "two", "seven"]):
        Path(folder, f"{number}.txt").write_text(text * 100_000)
    return [folder]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--link", action="store_true", help="put hard links in the place of copies")
    parser.add_argument("--workers", type=int, help="default: as many as there are CPUs")
    parser.add_argument("--engine", help="fork, spawn, forkserver, thread (default: Python's own)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as sample, procession.get_context(args.engine).Pool(args.workers) as pool:
        paths, spare = of_the_same_size(args.folders or make_sample(sample)), 0
        contents = pool.map_reduce_by_key(digest, paths, "list").to_dict()
        for problem in contents.pop("unreadable", ()):
            print(problem)
        for original, *copies in sorted(contents.values()):
            for copy in copies:
                print(f"{copy} is {original}")
                spare += os.path.getsize(copy)
                if args.link:
                    link(original, copy)
        print(f"{len(paths)} files read, {spare:,} bytes {'given back' if args.link else 'to spare'}")
