//! The scanners against the plainest way to do the same.

use procession_gather::text::borders::{Borders, borders};
use procession_gather::text::csv::{Reader, header, without_mark};
use procession_gather::text::unique::Unique;
use procession_gather::text::words::{Cut, SLACK, Scanner};
use procession_gather::text::{BadText, Invalid};

/// Xorshift, so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

type Words = Result<Vec<String>, BadText>;

fn scan(data: &[u8], cut: Cut, invalid: Invalid) -> Words {
    let mut words = Vec::new();
    Scanner::new(cut, invalid).scan(data, |text, spans| {
        for span in spans {
            assert!(text.len() >= span.end as usize + SLACK && !span.is_empty() && span.len() == span.of(text).len());
            words.push(String::from_utf8(span.of(text).to_vec()).expect("words are UTF-8"));
        }
        Ok::<(), BadText>(())
    })?;
    Ok(words)
}

fn decode(data: &[u8], invalid: Invalid) -> Result<String, BadText> {
    Ok(match invalid {
        Invalid::Strict => {
            std::str::from_utf8(data).map_err(|error| BadText::NotUtf8 { offset: error.valid_up_to() })?.to_owned()
        }
        Invalid::Ignore => data.utf8_chunks().map(|chunk| chunk.valid()).collect(),
        Invalid::Replace | Invalid::Keep => String::from_utf8_lossy(data).into_owned(),
    })
}

fn plainly(data: &[u8], cut: Cut, invalid: Invalid) -> Words {
    let text = decode(data, invalid)?;
    let cuts = |c: char| match cut {
        Cut::Letters => !c.is_alphabetic(),
        Cut::Blanks => c.is_whitespace() || ('\x1c'..='\x1f').contains(&c),
    };
    let words = text.split(cuts).filter(|word| !word.is_empty());
    Ok(match cut {
        Cut::Letters => words.map(str::to_lowercase).collect(),
        Cut::Blanks => words.map(str::to_owned).collect(),
    })
}

/// Between bars: first what is ASCII, then what is not.
const PLAIN: &str = "a|Z|the|Word| | |\n|-|9|_|\t|\x1c|\x1f|\x0b|\0|[|@|`|{|\x7f";
const FOREIGN: &str = "é|É|İ|Σ|ΑΣ|Щ|Ⱥ|語|\u{301}|हिन्दी|²|\u{a0}|\u{85}|\u{2003}|\u{3000}|\u{1680}|😀|𐐀|ẞ";
const BAD: [&[u8]; 5] = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xe2\x82", b"\xf0\x9f\x98"];

#[test]
fn words_are_those_of_the_plain_way() {
    let mut random = Random(1);
    for round in 0..1200 {
        let mut pieces: Vec<&[u8]> = PLAIN.split('|').map(str::as_bytes).collect();
        match random.below(4) {
            0 => {}
            1 => pieces = FOREIGN.split('|').map(str::as_bytes).collect(),
            sort => {
                pieces.extend(FOREIGN.split('|').map(str::as_bytes));
                pieces.extend(BAD.iter().filter(|_| sort == 3));
            }
        }
        let most = random.pick(&[3, 40, 300, 3000]);
        let count = random.below(most);
        let data: Vec<u8> = (0..count).flat_map(|_| random.pick(&pieces)).copied().collect();
        for cut in [Cut::Letters, Cut::Blanks] {
            for invalid in [Invalid::Strict, Invalid::Replace, Invalid::Ignore] {
                let (ours, theirs) = (scan(&data, cut, invalid), plainly(&data, cut, invalid));
                assert_eq!(ours, theirs, "round {round}, {cut:?}, {invalid:?}: {}", data.escape_ascii());
            }
        }
        assert_eq!(scan(&data, Cut::Letters, Invalid::Keep), scan(&data, Cut::Letters, Invalid::Replace));
    }
}

#[test]
fn words_at_and_across_every_window_border() {
    for length in (0..70).chain(4030..4170).chain([8191, 8192, 8193, 20_000]) {
        for letter in ["x", "é"] {
            let word = letter.repeat(length);
            for data in [word.clone(), format!("{word} {word}"), format!(" {word}-y")] {
                let expected = plainly(data.as_bytes(), Cut::Letters, Invalid::Strict);
                assert_eq!(scan(data.as_bytes(), Cut::Letters, Invalid::Strict), expected, "{length} {letter}");
            }
        }
    }
}

#[test]
fn lone_surrogates_stay_in_words_between_blanks() {
    let mut words = Vec::new();
    let take = |text: &[u8], spans: &[procession_gather::text::Span]| {
        words.extend(spans.iter().map(|span| span.of(text).to_vec()));
        Ok::<(), BadText>(())
    };
    Scanner::new(Cut::Blanks, Invalid::Keep).scan(b"a\xed\xa0\x80b \xed\xbf\xbf\xc2\xa0c", take).expect("kept");
    assert_eq!(words, [&b"a\xed\xa0\x80b"[..], b"\xed\xbf\xbf", b"c"]);
}

#[test]
fn a_receiver_ends_the_scan() {
    let text = "some words ".repeat(10_000);
    let mut batches = 0;
    let stopped = Scanner::new(Cut::Letters, Invalid::Strict).scan(text.as_bytes(), |_, _| {
        batches += 1;
        Err(BadText::TooLong { offset: 7 })
    });
    assert_eq!((stopped, batches), (Err(BadText::TooLong { offset: 7 }), 1));
}

#[test]
fn unique_words_come_once() {
    let mut random = Random(3);
    let text: String = (0..20_000).map(|_| ["w", &random.below(5000).to_string(), " "].concat()).collect();
    let mut unique = Unique::default();
    let mut ours = Vec::new();
    Scanner::new(Cut::Blanks, Invalid::Strict)
        .scan(text.as_bytes(), |text, spans| {
            let mut spans = spans.to_vec();
            assert!(unique.filter(text, &mut spans));
            ours.extend(spans.iter().map(|span| String::from_utf8_lossy(span.of(text)).into_owned()));
            Ok::<(), BadText>(())
        })
        .expect("ASCII");
    let mut seen = std::collections::HashSet::new();
    let expected: Vec<_> = text.split_whitespace().filter(|word| seen.insert(*word)).collect();
    assert_eq!(ours, expected);
    assert_eq!((unique.len(), unique.is_empty()), (expected.len(), false));
}

type Table = Vec<Vec<Vec<u8>>>;

/// Python's `csv.reader`, state by state (Modules/_csv.c), fed with lines that end at LF, CR or CRLF. Gives the offsets
/// of the records too, and whether the data ended inside quotes.
fn machine(data: &[u8], delimiter: u8) -> (Table, Vec<usize>, bool) {
    #[derive(PartialEq)]
    enum State {
        Record,
        FieldStart,
        Field,
        Quoted,
        QuoteInQuoted,
    }
    let (mut table, mut starts, mut record, mut field) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut state = State::Record;
    for (at, &byte) in data.iter().enumerate() {
        let newline = byte == b'\n' || byte == b'\r';
        if state == State::Record {
            if newline {
                continue;
            }
            starts.push(at);
            state = State::FieldStart;
        }
        match state {
            State::Quoted if byte == b'"' => state = State::QuoteInQuoted,
            State::Quoted => field.push(byte),
            State::QuoteInQuoted if byte == b'"' => {
                field.push(byte);
                state = State::Quoted;
            }
            State::FieldStart if byte == b'"' => state = State::Quoted,
            _ if newline => {
                record.push(std::mem::take(&mut field));
                table.push(std::mem::take(&mut record));
                state = State::Record;
            }
            _ if byte == delimiter => {
                record.push(std::mem::take(&mut field));
                state = State::FieldStart;
            }
            _ => {
                field.push(byte);
                state = State::Field;
            }
        }
    }
    if state != State::Record {
        record.push(field);
        table.push(record);
    }
    (table, starts, state == State::Quoted)
}

fn random_csv(random: &mut Random) -> Vec<u8> {
    let alphabet: &[u8] = random.pick(&[b"ab,\"\n", b"a,\"\n\r", b",,\"\"\n\r", b"abcdefghij,\"\n", b"a;,\"\n\0"]);
    let most = random.pick(&[4, 12, 70, 400, 4000]);
    let count = random.below(most);
    if random.below(2) == 0 {
        return (0..count).map(|_| random.pick(alphabet)).collect();
    }
    // A well-formed one, as a writer would write it.
    let mut data = Vec::new();
    for _ in 0..count / 8 {
        for column in 0..=random.below(7) {
            if column > 0 {
                data.push(b',');
            }
            let longest = random.pick(&[1, 4, 40]);
            let field: Vec<u8> = (0..random.below(longest)).map(|_| random.pick(alphabet)).collect();
            if random.below(3) == 0 || field.iter().any(|byte| b",\"\n\r".contains(byte)) {
                data.push(b'"');
                data.extend(field.iter().flat_map(|&byte| std::iter::repeat_n(byte, 1 + usize::from(byte == b'"'))));
                data.push(b'"');
            } else {
                data.extend(field);
            }
        }
        data.extend(random.pick(&[&b"\n"[..], b"\r\n", b"\n\n", b"\r"]));
    }
    data
}

fn read(data: &[u8], reader: &mut Reader) -> (Table, Vec<usize>) {
    let (mut table, mut starts) = (Table::new(), Vec::new());
    let mut end = 0;
    let done: Result<(), ()> = reader.for_each(data, |record| {
        assert!(end <= record.offset && record.offset < record.end && record.end <= data.len());
        end = record.end;
        table.push(record.iter().map(<[u8]>::to_vec).collect());
        starts.push(record.offset);
        Ok(())
    });
    done.expect("nothing stops it");
    (table, starts)
}

#[test]
fn records_are_those_of_the_state_machine() {
    let mut random = Random(11);
    for round in 0..6_000 {
        let data = random_csv(&mut random);
        let delimiter = random.pick(b",,,;\0");
        let (table, starts, _) = machine(&data, delimiter);
        let (ours, offsets) = read(&data, &mut Reader::of_every_field(delimiter));
        assert_eq!(ours, table, "round {round}: {}", data.escape_ascii());
        assert_eq!(offsets, starts, "round {round}: {}", data.escape_ascii());
    }
}

#[test]
fn wanted_fields_are_the_same_as_all() {
    let mut random = Random(12);
    for round in 0..6_000 {
        let data = random_csv(&mut random);
        let wanted: Vec<usize> = (0..random.below(4)).map(|_| random.below(6)).collect();
        let (table, starts, _) = machine(&data, b',');
        let mut reader = Reader::new(b',', &wanted);
        let mut number = 0;
        let done: Result<(), ()> = reader.for_each(&data, |record| {
            for (i, &column) in wanted.iter().enumerate() {
                let expected = table[number].get(column).map(Vec::as_slice);
                assert_eq!(record.get(i), expected, "round {round}, record {number}: {}", data.escape_ascii());
            }
            assert_eq!((record.get(wanted.len()), record.offset), (None, starts[number]));
            number += 1;
            Ok(())
        });
        assert_eq!((done, number), (Ok(()), table.len()));
    }
}

/// Cut behind newline bytes, scan each chunk by itself, chain, read each part by itself.
#[test]
fn parts_between_borders_hold_the_records_of_the_whole() {
    let mut random = Random(13);
    for round in 0..6_000 {
        let data = random_csv(&mut random);
        let (table, starts, quoted_at_end) = machine(&data, b',');
        let mut cuts = vec![0];
        for at in 1..data.len() {
            if matches!(data[at - 1], b'\n' | b'\r') && random.below(3) == 0 {
                cuts.push(at);
            }
        }
        cuts.push(data.len());
        let (mut quoted, mut parts) = (false, Vec::new());
        for chunk in cuts.windows(2) {
            let found: Borders = borders(&data[chunk[0]..chunk[1]], b',');
            let outcome = found.after(quoted);
            quoted = outcome.ends_quoted;
            parts.extend(outcome.first_record.map(|first| chunk[0] + first));
        }
        assert_eq!(quoted, quoted_at_end, "round {round}: {}", data.escape_ascii());
        if data.is_empty() {
            assert_eq!(parts, []);
            continue;
        }
        assert_eq!(parts.first(), Some(&0));
        parts.push(data.len());
        let mut reader = Reader::of_every_field(b',');
        let (mut joined, mut offsets) = (Table::new(), Vec::new());
        for part in parts.windows(2) {
            let (records, found) = read(&data[part[0]..part[1]], &mut reader);
            joined.extend(records);
            offsets.extend(found.iter().map(|offset| part[0] + offset));
        }
        assert_eq!(joined, table, "round {round}, parts {parts:?}: {}", data.escape_ascii());
        assert_eq!(offsets, starts);
    }
}

#[test]
fn the_first_record_under_either_hypothesis() {
    let found = borders(b"a,b\nc,\"d\ne\"\nf\n", b',');
    assert_eq!((found.plain.first_record, found.plain.ends_quoted), (Some(0), false));
    assert_eq!((found.quoted.first_record, found.quoted.ends_quoted), (Some(9), false));
    let found = borders(b"no quote at all\n", b',');
    assert_eq!((found.quoted.first_record, found.quoted.ends_quoted), (None, true));
    let found = borders(b"end\"\r\nnext\r\n", b',');
    assert_eq!((found.quoted.first_record, found.quoted.ends_quoted), (Some(6), false));
    assert_eq!(borders(b"end\"\n", b',').quoted.first_record, None);
}

#[test]
fn the_header_and_what_follows() {
    let names = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
    let data = without_mark(b"\xef\xbb\xbf\r\na,\"b \"\"c\"\"\",\r\n1,2,3\r\n");
    assert_eq!(header(data, b','), Some((names(&["a", "b \"c\"", ""]), 16)));
    assert_eq!(&data[16..], b"1,2,3\r\n");
    assert_eq!(header(b"a;b", b';'), Some((names(&["a", "b"]), 3)));
    assert_eq!(header(b"\n\n", b','), None);
    assert_eq!(without_mark(b"a"), b"a");
}

#[test]
fn reading_ends_where_the_receiver_says() {
    let mut seen = 0;
    let stopped = Reader::new(b',', &[0]).for_each(b"a\nb\nc\n", |record| {
        seen += 1;
        if record.get(0) == Some(b"b") { Err(record.offset) } else { Ok(()) }
    });
    assert_eq!((stopped, seen), (Err(2), 2));
}
