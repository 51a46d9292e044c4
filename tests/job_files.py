"""Jobs in a file of their own, as a user has them."""

from __future__ import annotations

JOBS = '''
import os


class LongestLine:
    """The longest line, and where it starts to be looked for."""

    columns = ("length", "line")

    def map(self, text):
        return max(((len(line), line) for line in text.splitlines()), default=(0, ""))

    def reduce(self, left, right):
        return max(left, right)


class Lines:
    """Every line, with the file it came from, to see that none is lost or doubled."""

    def map(self, text):
        return [(os.path.basename(text.path), line) for line in text.split("\\n") if line]

    def reduce(self, left, right):
        return left + right

    def finish(self, total):
        return iter(sorted(total))


class Failing(LongestLine):
    def map(self, text):
        raise ValueError("cannot stand this text")
'''
