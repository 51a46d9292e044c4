"""How the bytes of an input are to be taken: as text or as they are, in lines or in records of CSV."""

from __future__ import annotations

import codecs
import functools
from dataclasses import dataclass

__all__ = ["Form", "cuts_at_newlines"]

TAKES = ("text", "bytes", "csv", "csv-bytes")

# Encodings whose meaning depends on what came before: a cut could fall inside a shifted stretch.
STATEFUL_ENCODINGS = ("utf-7", "hz", "iso2022")
# A byte below 128 always is that character in these. In others (cp932, gb18030) a letter or `|` may be the second byte
# of another character, though never a newline, a quote, or anything else below the digits.
PLAIN_ENCODINGS = ("utf-8", "ascii", "iso8859", "cp125", "koi8", "mac-")
UTF8 = ("utf-8", "utf-8-sig")


@functools.cache
def cuts_at_newlines(encoding: str) -> bool:
    """Whether the byte 10 always ends a line in this encoding, and never stands inside another character."""
    name = codecs.lookup(encoding).name.replace("_", "-")
    return "\n".encode(encoding) in (b"\n", codecs.BOM_UTF8 + b"\n") and not name.startswith(STATEFUL_ENCODINGS)


@dataclass(frozen=True)
class Form:
    """What stretches are made, and how. See `Files` for each.

    Raises ValueError for what cannot be, LookupError if there is no such encoding or way to handle errors.
    """

    takes: str = "text"
    encoding: str = "utf-8"
    errors: str = "strict"
    delimiter: str = ","
    header: bool = True
    binary: bool = False
    unpack: bool = True

    def __post_init__(self) -> None:
        if self.takes not in TAKES:
            raise ValueError(f"input is taken as {', '.join(TAKES)}; not as {self.takes!r}")
        codecs.lookup(self.encoding)
        codecs.lookup_error(self.errors)
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n':
            raise ValueError(f"a delimiter is one ASCII character, no quote or newline; not {self.delimiter!r}")
        if self.takes == "csv-bytes" and not self.is_cut:
            raise ValueError(f"CSV in {self.encoding} must be taken as text: its bytes do not show where fields end")

    @property
    def is_csv(self) -> bool:
        """Whether a stretch is whole records."""
        return self.takes.startswith("csv")

    @property
    def is_decoded(self) -> bool:
        """Whether a stretch is a str."""
        return self.takes in ("text", "csv")

    @functools.cached_property
    def is_cut(self) -> bool:
        """Whether a file can be divided by looking at its bytes."""
        if self.takes == "bytes":
            return True
        return cuts_at_newlines(self.encoding) and (
            not self.is_csv or self.delimiter < "0" or self.codec.startswith(PLAIN_ENCODINGS)
        )

    @property
    def skips_binary(self) -> bool:
        """Whether files with NUL bytes are left out of directories."""
        return not self.binary and self.is_cut

    @functools.cached_property
    def codec(self) -> str:
        """The encoding, as the interpreter calls it."""
        return codecs.lookup(self.encoding).name.replace("_", "-")

    @property
    def delimiter_byte(self) -> bytes:
        """The delimiter in a file whose bytes can be looked at."""
        return self.delimiter.encode("ascii")

    def mark_bytes(self, data: bytes) -> int:
        """How long the byte order mark is that data of CSV begins with: it belongs to no field."""
        return len(codecs.BOM_UTF8) if self.codec in UTF8 and data.startswith(codecs.BOM_UTF8) else 0

    def decode(self, data: bytes, offset: int) -> str:
        """Text from the bytes that begin at this offset. Raises UnicodeDecodeError."""
        encoding = self.encoding
        if offset and self.codec == "utf-8-sig":
            encoding = "utf-8"  # the mark is only one at the very start of the file
        return data.decode(encoding, self.errors)
