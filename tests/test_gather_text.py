"""The native scanners behind the built-in jobs, against Python's own `str`, `re` and `csv`."""

import csv
import io
import random
import re
import sys
import unicodedata
from array import array
from typing import Any

import pytest

from procession._native import Columns, Words, csv_borders, csv_header

OLD_WORD = re.compile(r"[^\W\d_]+")


class Piece(bytes):
    """Bytes that know where in their file they begin."""

    offset = 0


def piece(data: bytes, offset: int) -> Piece:
    it = Piece(data)
    it.offset = offset
    return it


# Words


@pytest.mark.parametrize("data", ["It's ÉTÉ in Größe_9, ΣΟΦΟΣ!\n", "It's ÉTÉ in Größe_9, ΣΟΦΟΣ!\n".encode()])
def test_words_are_runs_of_letters_in_lower_case(data: str | bytes) -> None:
    assert list(Words(data)) == ["it", "s", "été", "in", "größe", "σοφος"]


def test_words_of_any_bytes_like_object() -> None:
    for data in (bytearray(b"A b"), memoryview(b"xA bx")[1:4], array("B", b"A b")):
        assert list(Words(data)) == ["a", "b"]
    assert list(Words(b"")) == list(Words("")) == []
    with pytest.raises(TypeError):
        Words(1)


def test_words_are_the_old_ones_where_both_definitions_agree() -> None:
    rng = random.Random(1)
    alphabet = "abcXYZ     '-.,\n\t019__éÉßñЩщяΑβ語ひ漢عربא\u0301\U0001f600\U00010400"
    for _ in range(300):
        text = "".join(rng.choices(alphabet, k=rng.randrange(400)))
        expected = OLD_WORD.findall(text.lower())
        assert list(Words(text)) == expected
        assert list(Words(text.encode())) == expected


def test_which_characters_are_letters_differs_from_python_only_as_documented() -> None:
    letters = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    found = {word[1:] for word in Words(" ".join(f"a{letter}" for letter in letters))}
    differing = {
        unicodedata.category(letter)
        for letter in letters
        if (letter.lower() in found) != letter.isalpha() and unicodedata.category(letter) != "Cn"
    }
    assert differing == {"Mn", "Mc", "Nl", "So"}  # alphabetic marks, Roman numerals, letters in circles
    assert "²" not in found
    assert "½" not in found


@pytest.mark.parametrize("errors", ["replace", "ignore", "backslashreplace", "surrogateescape"])
@pytest.mark.parametrize("split", [True, False])
def test_bytes_that_are_not_utf8_are_treated_as_bytes_decode_does(errors: str, split: bool) -> None:
    rng = random.Random(2)
    pieces = [b"ab", b"C", b" ", b"\xff", b"\xc3", b"\xc3\xa9", b"\xed\xa0\x80", b"\xe2\x82", b"\xf0\x9f\x98", b"\n"]
    for _ in range(500):
        data = b"".join(rng.choices(pieces, k=rng.randrange(60)))
        text = data.decode(errors=errors)
        expected = text.split() if split else OLD_WORD.findall(text.lower())
        assert list(Words(data, errors, split)) == expected


def test_strict_names_the_first_bad_byte_as_bytes_decode_does() -> None:
    good = b"some words " * 5000
    for bad in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xe2\x82 ", b"\xf0\x9f\x98x", b"caf\xc3\xa9\xc3"):
        data = good + bad + good
        with pytest.raises(UnicodeDecodeError) as theirs:
            data.decode()
        with pytest.raises(UnicodeDecodeError) as ours:
            list(Words(data))
        assert str(ours.value) == str(theirs.value)
        assert (ours.value.start, ours.value.object) == (theirs.value.start, data)


def test_an_unknown_error_handler_is_named_at_once() -> None:
    with pytest.raises(LookupError, match="nonsense"):
        Words(b"plain", errors="nonsense")


def test_split_cuts_at_every_character_where_python_does() -> None:
    for first in range(0, sys.maxunicode + 1, 0x1000):
        text = " ".join(f"Ab{chr(code)}cD" for code in range(first, first + 0x1000))  # lone surrogates included
        assert list(Words(text, split=True)) == text.split()


def test_split_of_random_text() -> None:
    rng = random.Random(3)
    alphabet = "abC9.é\x1c\x1f\x85\xa0\u2003\u3000\u200b   \n\r\t\x0b\x0c\ud800"
    for _ in range(300):
        text = "".join(rng.choices(alphabet, k=rng.randrange(500)))
        assert list(Words(text, split=True)) == text.split()


def test_words_with_a_value_are_pairs() -> None:
    assert list(Words("b A b", value="file.txt")) == [("b", "file.txt"), ("a", "file.txt"), ("b", "file.txt")]
    assert list(Words("a", value=(1, [2.5]))) == [("a", (1, [2.5]))]


def test_unique_words_come_once_in_the_order_they_are_met() -> None:
    text = " ".join(f"w{number * number % 1009:04d}" for number in range(5000))
    assert list(Words(text, split=True, unique=True)) == list(dict.fromkeys(text.split()))
    assert list(Words("b a B", value=7, unique=True)) == [("b", 7), ("a", 7)]


def test_words_longer_than_a_window() -> None:
    for length in (4095, 4096, 4097, 100_000):
        assert list(Words("X" * length + " y " + "É" * length)) == ["x" * length, "y", "é" * length]


# Columns


def records(text: str, delimiter: str = ",") -> list[list[str]]:
    return [record for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if record]


def test_columns_by_name_with_the_header_in_the_data() -> None:
    data = b'\xef\xbb\xbfcity,"street, no",price\r\nBonn,"A ""1""",1\r\nK\xc3\xb6ln,B,2.5\r\n\r\nBonn,C,\r\n'
    assert list(Columns(data, "city")) == ["Bonn", "Köln", "Bonn"]
    assert list(Columns(data, "city", "price")) == [("Bonn", 1), ("Köln", 2.5)]  # an empty value gives no pair
    assert list(Columns(data.decode("utf-8-sig"), "street, no")) == ['A "1"', "B", "C"]
    assert list(Columns(data, ("street, no", "city"), "price")) == [(('A "1"', "Bonn"), 1), (("B", "Köln"), 2.5)]
    assert [type(value) for _, value in Columns(data, "city", "price")] == [int, float]


def test_columns_by_number_and_with_a_list_of_names() -> None:
    data = b"a;1\nb;2\n"
    assert list(Columns(data, 0, 1, ";")) == [("a", 1), ("b", 2)]
    assert list(Columns(data, (0,), delimiter=";")) == [("a",), ("b",)]
    assert list(Columns(data, "x", "y", ";", header=["x", "y"])) == [("a", 1), ("b", 2)]
    assert list(Columns(data, "x", "y", ";", header=["x", "y"], skip_header=True)) == [("b", 2)]
    assert list(Columns(data, 0, 1, ";", skip_header=True)) == [("b", 2)]
    assert list(Columns(b"", "x")) == list(Columns(b"", 0)) == []


def test_a_byte_order_mark_is_one_only_at_the_start_of_a_file() -> None:
    data = "\ufeffa,1\n".encode()
    assert list(Columns(data, 0)) == list(Columns(piece(data, 0), 0)) == ["a"]
    assert list(Columns(piece(data, 10), 0)) == ["\ufeffa"]


def test_records_with_too_few_fields_have_empty_ones() -> None:
    assert list(Columns(b"a\nb,2\n,3\n", 0, 1)) == [("b", 2), ("", 3)]
    assert list(Columns(b"a,1\nb\n", 1)) == ["1", ""]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("nothing",), ValueError, 'there is no column "nothing"; the header names "a", "b", "b"'),
        ((3, None, ",", None, True), ValueError, "there is no column 3"),
        (("b",), ValueError, '2 columns are named "b"'),
        ((1.5,), TypeError, "a column is a name or a number from 0 on, not 1.5"),
        ((-1,), TypeError, "a column is a name or a number from 0 on, not -1"),
        ((0, None, "ab"), ValueError, "delimiter"),
        ((0, None, '"'), ValueError, "delimiter"),
        (("a", None, ",", None, False), ValueError, "neither a header in the data nor a list"),
    ],
)
def test_columns_that_are_not_there(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        list(Columns(b"a,b,b\n1,2,3\n", *arguments))


def test_a_value_that_is_no_number_is_named_with_its_place() -> None:
    data = b"city,price\nBonn,1\n\xc3\x84,1.2.3\n"
    with pytest.raises(ValueError, match=r'record at byte 18, column "price" is not a number: "1\.2\.3"') as bad:
        list(Columns(data, "city", "price"))
    assert vars(bad.value) == {"offset": 18, "column": "price", "text": "1.2.3"}
    with pytest.raises(ValueError, match="column 1") as bad:
        list(Columns(b"a,b\n", 0, 1))
    assert vars(bad.value) == {"offset": 0, "column": 1, "text": "b"}


def test_keys_that_are_not_utf8() -> None:
    data = b"k,v\na,1\nb,\xff\nc\xff\xe2\x82d,3\n"
    with pytest.raises(UnicodeDecodeError) as bad:
        list(Columns(data, "k"))
    assert (bad.value.start, bad.value.reason) == (13, "invalid start byte")
    assert list(Columns(data, "k", errors="ignore")) == ["a", "b", "cd"]
    for errors in ("replace", "surrogateescape"):
        assert list(Columns(data, "k", errors=errors)) == ["a", "b", data[12:17].decode(errors=errors)]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("terminator", ["\n", "\r\n", "\r"])
def test_what_the_csv_writer_wrote(quoting: Any, terminator: str) -> None:
    rng = random.Random(4)
    newlines = terminator if quoting == csv.QUOTE_MINIMAL else "\r\n"  # before 3.13 it left the others unquoted
    for _ in range(150):
        out = io.StringIO()
        writer = csv.writer(out, quoting=quoting, lineterminator=terminator)
        fields = ("".join(rng.choices('ab,"é ' + newlines, k=rng.randrange(12))) for _ in range(90))
        rows = list(zip(fields, fields, fields, strict=True))
        writer.writerows(rows)
        assert list(Columns(out.getvalue(), (0, 1, 2))) == rows
        assert list(Columns(out.getvalue().encode(), 1)) == [row[1] for row in rows]


@pytest.mark.parametrize("alphabet", ['ab,"\n', 'a,"\n\r', ',,""\n\r', 'abcdefghij,"\n', 'é,"\n '])
def test_random_text_is_read_as_the_csv_module_reads_it(alphabet: str) -> None:
    rng = random.Random(5)
    for _ in range(800):
        text = "".join(rng.choices(alphabet, k=rng.randrange(rng.choice([5, 80, 900]))))
        expected = [tuple([*record, "", "", ""][:3]) for record in records(text)]
        assert list(Columns(text, (0, 1, 2))) == expected
        assert list(Columns(text, (2, 0))) == [(record[2], record[0]) for record in expected]


def test_many_records_and_long_keys_go_over_in_batches() -> None:
    rows = [(f"{'key' * (number % 700)}{number}", number / 4) for number in range(3000)]
    data = "".join(f"{key},{value}\n" for key, value in rows)
    assert list(Columns(data, 0, 1)) == rows


# Dividing a file


def divide(data: bytes, cuts: list[int]) -> list[bytes]:
    """The parts of a file whose chunks, cut behind newlines, were scanned each by itself."""
    quoted, starts = False, []
    for low, high in zip(cuts, [*cuts[1:], len(data)], strict=True):
        quoted, first = csv_borders(data[low:high])[quoted]
        if first is not None:
            starts.append(low + first)
    return [data[low:high] for low, high in zip(starts, [*starts, len(data)][1:], strict=True)]


def test_parts_between_borders_hold_the_records_of_the_whole() -> None:
    rng = random.Random(6)
    for _ in range(1000):
        text = "".join(rng.choices('ab,,"\n\n', k=rng.randrange(200)))
        data = text.encode()
        cuts = [0, *(at + 1 for at in range(len(data) - 1) if data[at] == 10 and rng.random() < 0.5)]
        parts = divide(data, cuts)
        assert b"".join(parts) == data
        assert [record for part in parts for record in records(part.decode())] == records(text)


def test_borders_under_both_hypotheses() -> None:
    assert csv_borders(b'b"\nc;"\n"\n', delimiter=";") == ((False, 0), (False, 3))
    assert csv_borders(memoryview(b"a\nb\n")) == ((False, 0), (True, None))
    with pytest.raises(ValueError, match="delimiter"):
        csv_borders(b"", delimiter="\n")


def test_the_header_and_where_the_records_begin() -> None:
    assert csv_header('\ufeff"a ""b""";ä\r\n1;2\r\n'.encode(), ";") == (['a "b"', "ä"], 17)
    assert csv_header(b"\n\n") is None
    with pytest.raises(UnicodeDecodeError):
        csv_header(b"a\xff\n")
