"""Small pictures of large ones, on all cores; one that is broken fails alone.

    python examples/thumbnails.py                       # makes pictures to try it on, in a temporary folder
    python examples/thumbnails.py ~/Pictures small

It shows: `map` with `return_exceptions=True`, which gives the errors beside the results; a bar (`progress=`); files
that get their name when they are whole, so that nobody who is killed leaves half a picture, and a second run makes only
what is missing or older than its picture. Pillow lets other threads run while it works: `--engine thread` is as quick.

Needs Pillow: pip install pillow
"""

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

import procession

try:
    from PIL import Image, ImageOps
except ImportError:
    raise SystemExit("this example needs Pillow: pip install pillow") from None

KINDS = {".jpg", ".jpeg", ".png", ".webp"}


def shrink(source: Path, target: Path, size: int, name: Path) -> str:
    """Make one thumbnail, and say what was done."""
    picture, small = source / name, target / name.with_suffix(name.suffix + ".jpg")
    if small.exists() and small.stat().st_mtime >= picture.stat().st_mtime:
        return "was there"
    with Image.open(picture) as image:
        image.draft("RGB", (size, size))  # JPEG can be read at a fraction of its size, which is quick
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((size, size))
        small.parent.mkdir(parents=True, exist_ok=True)
        draft = small.with_suffix(f".{os.getpid()}-draft")
        upright.convert("RGB").save(draft, "JPEG", quality=85)
    draft.replace(small)
    return "made"


def make_sample(folder: Path) -> None:
    """Photographs of nothing in particular, and a file that is none."""
    for number in range(12):
        gradient = Image.linear_gradient("L").rotate(30 * number).resize((1600, 1200))
        Image.merge("RGB", (gradient, gradient.rotate(90), gradient.rotate(180))).save(folder / f"{number:02}.jpg")
    (folder / "broken.jpg").write_bytes((folder / "00.jpg").read_bytes()[:3000])
    (folder / "text.png").write_text("no picture")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="of pictures, and for thumbnails")
    parser.add_argument("--size", type=int, default=160, help="pixels (default: 160)")
    parser.add_argument("--workers", type=int, help="default: as many as there are CPUs")
    parser.add_argument("--engine", help="fork, spawn, forkserver, thread (default: Python's own)")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        source, target = args.folders or (Path(folder), Path(folder, "small"))
        if not args.folders:
            make_sample(source)
        pictures = (path for path in source.rglob("*") if path.suffix.lower() in KINDS and target not in path.parents)
        names = sorted(path.relative_to(source) for path in pictures)
        with procession.get_context(args.engine).Pool(args.workers) as pool:
            job = partial(shrink, source, target, args.size)
            results = pool.map(job, names, return_exceptions=True, progress="thumbnails")
        for name, result in zip(names, results, strict=True):
            if isinstance(result, Exception):
                print(f"{name}: {type(result).__name__}: {result}")
        print(f"{results.count('made')} made, {results.count('was there')} there already")


if __name__ == "__main__":
    main()
