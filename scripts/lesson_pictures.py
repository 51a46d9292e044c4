"""Draws the pictures of the tutorial: python scripts/lesson_pictures.py [FOLDER]

Each shows what lives where in a lesson's program: processes with their threads and variables, shared memory, files, and
what goes from one to the other. They are drawn from a few shapes, as SVG on a white ground of their own, so that they
read the same on a light and on a dark page. tests/test_tutorial.py holds docs/pictures to what this draws. Look at them
before they are committed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from html import escape
from pathlib import Path

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
WIDTH = 720  # as wide as a column of text on the site

# Of each kind of box: what it is filled with, and its line
COLOURS = {
    "process": ("#e8f1fb", "#2866a8"),
    "thread": ("#ffffff", "#2866a8"),
    "memory": ("#ffffff", "#8a8f98"),
    "shared": ("#fdf3d0", "#a67c00"),
    "file": ("#f0f0f0", "#555b66"),
    "machine": ("#fafafa", "#8a8f98"),
    "dead": ("#fbe9e7", "#c0392b"),
}
INK, QUIET, BAD, GOOD = "#1b1f24", "#555b66", "#c0392b", "#1e7b3a"


class Picture:
    """Shapes on a sheet; coordinates are pixels from its upper left corner."""

    def __init__(self, title: str, height: int) -> None:
        self.title, self.height, self.parts = title, height, list[str]()

    def box(self, kind: str, x: float, y: float, width: float, height: float, title: str = "", *lines: str) -> None:
        """A box with a title in its upper left corner and lines of code below."""
        fill, line = COLOURS[kind]
        dashes = ' stroke-dasharray="6 4"' if kind == "dead" else ""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="{line}" '
            f'stroke-width="1.5"{dashes}/>'
        )
        if title:
            self.text(x + 10, y + 20, title, bold=True, colour=line)
        for number, code in enumerate(lines):
            self.text(x + 10, y + (42 if title else 21) + 20 * number, code, code=True)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        bold: bool = False,
        code: bool = False,
        colour: str = INK,
        at: str = "start",
    ) -> None:
        """A line of text; `at` says which end of it, or its middle, is at x."""
        family = "code" if code else "words"
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x}" y="{y}" class="{family}" xml:space="preserve" fill="{colour}" text-anchor="{at}"'
            f"{weight}>{escape(text)}</text>"
        )

    def arrow(
        self, x1: float, y1: float, x2: float, y2: float, label: str = "", colour: str = QUIET, *,
        over: tuple[float, float] = (0, -8), both: bool = False, dashed: bool = False,
    ) -> None:  # fmt: skip
        """An arrow with a label at its middle, moved by `over`."""
        head = {QUIET: "quiet", BAD: "bad", GOOD: "good"}[colour]
        start = f' marker-start="url(#{head})"' if both else ""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="1.8"{dashes}{start} '
            f'marker-end="url(#{head})"/>'
        )
        if label:
            self.text((x1 + x2) / 2 + over[0], (y1 + y2) / 2 + over[1], label, colour=colour, at="middle")

    def cross(self, x: float, y: float) -> None:
        """Where something ends that should not."""
        self.parts.append(f'<path d="M{x - 8} {y - 8} l16 16 m0 -16 l-16 16" stroke="{BAD}" stroke-width="3.5"/>')

    def svg(self) -> str:
        """The whole, as a file."""
        heads = "".join(
            f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0 L10 5 L0 10 z" fill="{colour}"/></marker>'
            for name, colour in [("quiet", QUIET), ("bad", BAD), ("good", GOOD)]
        )
        body = "\n".join(self.parts)
        return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" height="{self.height}" \
role="img" aria-label="{escape(self.title)}">
<title>{escape(self.title)}</title>
<style>
.words {{ font: 14px "DejaVu Sans", Verdana, Helvetica, Arial, sans-serif }}
.code {{ font: 14px "DejaVu Sans Mono", Menlo, Consolas, monospace }}
</style>
<defs>{heads}</defs>
<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{self.height - 1}" rx="10" fill="#ffffff" stroke="#d0d4da"/>
{body}
</svg>
"""


def processes() -> Picture:
    """Lesson 1: two threads and a list; a child and its copy."""
    picture = Picture("A process with two threads that share a list, and a child with a copy of the list", 262)
    picture.box("process", 20, 20, 350, 222, "main: process 4121")
    picture.box("thread", 40, 56, 145, 56, "main thread", "4121")
    picture.box("thread", 205, 56, 145, 56, "thread", "4122")
    picture.box("memory", 40, 172, 310, 52, "visitors, at 0x7f31c73f1a80", "['main', 'thread']")
    picture.arrow(112, 112, 112, 172, "append", over=(34, 6))
    picture.arrow(277, 112, 277, 172, "append", over=(34, 6))
    picture.box("process", 440, 20, 260, 222, "child: process 4123")
    picture.box("thread", 460, 56, 145, 56, "main thread", "4123")
    picture.box("memory", 460, 152, 220, 72, "its copy, at 0x7f31c73f1a80", "['main', 'thread',", " 'child']")
    picture.arrow(532, 112, 532, 152, "append", over=(34, 6))
    picture.arrow(370, 84, 440, 84, "a copy")
    return picture


def crashes() -> Picture:
    """Lesson 2: what goes down with what."""
    picture = Picture("A crash in a thread ends the process with all its threads; one in a child, that child", 282)
    picture.text(20, 32, "one process, three threads", bold=True)
    picture.box("dead", 20, 46, 250, 216, "process 4121")
    for number, told in enumerate(["done", "os.abort()", "never ran"]):
        picture.box("dead", 40, 84 + 58 * number, 210, 44)
        picture.text(52, 111 + 58 * number, f"thread {number + 1}", colour=BAD, bold=True)
        picture.text(238, 111 + 58 * number, told, code=number == 1, at="end")
    picture.cross(262, 54)

    picture.text(320, 32, "a parent, four children", bold=True)
    picture.box("process", 320, 46, 112, 216, "process 4121", "goes on")
    ends = [("return", "result()", GOOD), ("os.abort()", "WorkerDied", BAD)]
    ends += [("raise", "ValueError", BAD), ("return", "result()", GOOD)]
    for number, (end, told, colour) in enumerate(ends):
        y = 46 + 56 * number
        picture.box("dead" if number == 1 else "process", 584, y, 116, 48, f"{4122 + number}")
        picture.text(594, y + 39, end, code=True, colour=INK)
        picture.arrow(584, y + 30, 432, y + 30, told, colour)
    return picture


def results() -> Picture:
    """Lesson 3: three copies that are lost, and the value that comes back."""
    picture = Picture("The child has copies of global, argument and object; only what it returns comes back", 272)
    picture.box("process", 20, 20, 220, 232, "parent: process 4121")
    picture.box("process", 480, 20, 220, 232, "child: process 4122")
    kept = [("result", "[]", "[49]"), ("squares", "[]", "[49]"), ("self.answer", "None", "49")]
    for number, (name, old, new) in enumerate(kept):
        y = 50 + 46 * number
        picture.box("memory", 40, y, 180, 36, "", f"{name} = {old}")
        picture.box("memory", 500, y, 180, 36, "", f"{name} = {new}")
        picture.arrow(220, y + 18, 500, y + 18, "copied at the start" if number == 0 else "", dashed=True)
    picture.text(360, 184, "changes do not come back", colour=BAD, at="middle")
    picture.box("thread", 500, 202, 180, 36, "", "return 49")
    picture.box("thread", 40, 202, 180, 36, "", "child.result()")
    picture.arrow(500, 220, 220, 220, "49, as bytes", GOOD)
    return picture


def sharing() -> Picture:
    """Lesson 4: what both processes reach, and what only one does."""
    picture = Picture("Files and shared memory are reached by both processes; each has a queue.Queue of its own", 330)
    picture.box("process", 20, 20, 190, 290, "parent: process 4121")
    picture.box("process", 510, 20, 190, 290, "child: process 4122")
    picture.box("shared", 260, 20, 200, 168, "shared memory")
    shared = ["Value  42", "Array  [1, 4, 9]", "Queue  {'any': …}", "Pipe   'a message'"]
    for number, line in enumerate(shared):
        y = 50 + 34 * number
        picture.box("memory", 272, y, 176, 29)
        picture.text(282, y + 20, line, code=True)
        picture.arrow(510, y + 15, 448, y + 15, "", GOOD)
        picture.arrow(272, y + 15, 210, y + 15, "", GOOD)
    picture.box("file", 260, 206, 200, 46, "", "answer.txt")
    picture.text(450, 246, "on the disk", colour=QUIET, at="end")
    picture.arrow(510, 229, 460, 229, "", GOOD)
    picture.arrow(260, 229, 210, 229, "", GOOD)
    for x, content in [(36, "empty"), (526, "'something'")]:
        picture.box("memory", x, 250, 158, 50, "queue.Queue", content)
    picture.text(360, 282, "two queues, no way", colour=BAD, at="middle")
    picture.text(360, 300, "from one to the other", colour=BAD, at="middle")
    return picture


def locks() -> Picture:
    """Lesson 5: time runs downwards, without the lock and with it."""
    picture = Picture(
        "Both read 100 and write 70; with a lock the second one reads after the first one has written", 322
    )
    for left, title, moves, ends in [
        (20, "without a lock", ["reads 100", None, "writes 70", None, None], "70: a withdrawal is lost"),
        (370, "with a lock", ["locks, reads 100", "writes 70, unlocks", None, None, None], "40, as it should be"),
    ]:
        bad = left == 20
        other = (
            [None, "reads 100", None, "writes 70", None]
            if bad
            else ["waits", None, "locks, reads 70", "writes 40", None]
        )
        picture.text(left, 32, title, bold=True)
        picture.text(left + 330, 32, "time runs downwards", colour=QUIET, at="end")
        picture.box("process", left, 46, 160, 222, "ann: 4122")
        picture.box("process", left + 170, 46, 160, 222, "bob: 4123")
        for x, steps in [(left + 10, moves), (left + 180, other)]:
            for number, step in enumerate(steps):
                if step and step != "waits":
                    picture.box("memory", x, 80 + 44 * number, 140, 34)
                    picture.text(x + 70, 102 + 44 * number, step, at="middle")
                elif step:
                    picture.text(x + 70, 102 + 44 * number, step, colour=QUIET, at="middle")
        picture.box("shared", left, 278, 330, 32)
        picture.text(left + 10, 299, "balance", code=True)
        picture.text(left + 320, 299, ends, colour=BAD if bad else GOOD, at="end", bold=True)
    return picture


def map_reduce() -> Picture:
    """Lesson 6: lines, workers, tables, the answer."""
    picture = Picture("Two workers count into a table each; the tables are merged in shared memory", 292)
    picture.box("file", 20, 20, 150, 252, "harbour.txt")
    for number in range(8):
        picture.box("memory", 34, 50 + 27 * number, 122, 21)
        picture.text(44, 66 + 27 * number, f"line {number}", colour=QUIET)
    for number, (y, table) in enumerate([(20, "the 11, boat 3 …"), (154, "the 9, boat 2 …")]):
        picture.box("process", 240, y, 200, 118, f"worker {number + 1}: {4122 + number}")
        picture.text(250, y + 48, "map: words(line)", code=True)
        picture.box("memory", 252, y + 64, 176, 40)
        picture.text(262, y + 89, table, code=True)
        picture.arrow(170, y + 58, 240, y + 58, "lines")
        picture.arrow(440, y + 78, 500, 128 if number == 0 else 162, "", over=(0, 0))
    picture.text(468, 92, "reduce", colour=QUIET, at="middle")
    picture.box("shared", 500, 84, 200, 118, "shared memory", "the    20", "and     6", "boat    5 …")
    picture.box("process", 500, 228, 200, 44)
    picture.text(510, 255, 'counts["boat"]', code=True)
    picture.text(690, 255, "4121", bold=True, colour=COLOURS["process"][1], at="end")
    picture.arrow(600, 202, 600, 228)
    return picture


def anywhere() -> Picture:
    """Lesson 7: the same program in three places."""
    picture = Picture("The same program with threads, with processes, or with workers on other machines", 262)
    columns = [(20, '"thread"'), (250, '"fork", "spawn"'), (480, '"dask", "ray"')]
    for x, title in columns:
        picture.text(x, 32, title, code=True, bold=True)
        if title != '"dask", "ray"':
            picture.box("machine", x, 44, 210, 198, "your machine")
    picture.box("process", 34, 78, 182, 150, "your program")
    picture.box("thread", 48, 112, 72, 44, "thread")
    picture.box("thread", 130, 112, 72, 44, "thread")
    picture.text(125, 192, "one memory", colour=QUIET, at="middle")
    picture.box("process", 264, 78, 182, 44, "your program")
    for x in (264, 360):
        picture.box("process", x, 148, 86, 36, "process")
        picture.arrow(x + 43, 122, x + 43, 148)
    picture.box("shared", 264, 196, 182, 32, "shared memory")
    picture.box("machine", 480, 44, 220, 88, "your machine")
    picture.box("process", 494, 78, 192, 40, "your program")
    for number, x in enumerate([480, 595]):
        picture.box("machine", x, 168, 105, 74, f"machine {number + 2}")
        picture.box("process", x + 10, 198, 86, 34, "worker")
        picture.arrow(x + 52, 118, x + 52, 168)
    return picture


LESSONS: dict[str, Callable[[], Picture]] = {
    "lesson-1-processes": processes,
    "lesson-2-crashes": crashes,
    "lesson-3-results": results,
    "lesson-4-sharing": sharing,
    "lesson-5-locks": locks,
    "lesson-6-map-reduce": map_reduce,
    "lesson-7-anywhere": anywhere,
}

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else PICTURES
    for name, draw in LESSONS.items():
        (folder / f"{name}.svg").write_text(draw().svg())
        print(f"{name}: drawn")
