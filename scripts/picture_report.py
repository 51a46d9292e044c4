"""Makes docs/pictures/report.png, the report page of a real run: python scripts/picture_report.py [PICTURE]

The program is the one below; it takes five seconds, most of which it sleeps, so that a busy machine shows the same.
Needs Chromium (apt-get install chromium). Look at the picture before it is committed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "report.png"
SIZE = "1120,1365"

PROGRAM = '''\
"""Photographs are read, developed and filed; whoever files one holds the catalogue's lock."""
import math, random, time
import procession


def prepare(shared_lock):
    global catalogue
    catalogue = shared_lock


def develop(number):
    random.seed(number)
    if number in (57, 181):
        raise ValueError(f"photograph {number} is not sharp")
    pixels = bytearray(random.randrange(8, 40) << 20)
    time.sleep(0.02 + 0.04 * abs(math.sin(number / 23)) + (0.4 if number % 83 == 40 else 0))
    with catalogue:
        time.sleep(0.008)
    return len(pixels)


def thumbnail(number):
    time.sleep(0.004)


if __name__ == "__main__":
    context = procession.get_context("fork")
    lock = context.Lock()
    lock.name = "catalogue"
    with context.Pool(4, initializer=prepare, initargs=(lock,)) as pool:
        developed = [pool.apply_async(develop, (number,)) for number in range(240)]
        for answer in developed:
            try:
                answer.get()
            except ValueError:
                pass
        time.sleep(0.4)
        pool.map(thumbnail, range(900), chunksize=75)
    pool.join()
'''


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("this needs Chromium: apt-get install chromium")
    picture = Path(sys.argv[1] if len(sys.argv) > 1 else PICTURE).absolute()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "photographs.py").write_text(PROGRAM)
        command = [sys.executable, "-m", "procession", "run", "--report", "report.html", "photographs.py"]
        subprocess.run(command, cwd=folder, check=True)
        command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}/profile", f"--window-size={SIZE}", f"--screenshot={picture}"]
        subprocess.run([*command, f"file://{folder}/report.html"], check=True, stderr=subprocess.DEVNULL)
    print(picture, os.path.getsize(picture), "bytes")


if __name__ == "__main__":
    main()
