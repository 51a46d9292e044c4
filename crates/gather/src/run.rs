//! A run: everything a table held, sorted by (hash, kind, key bytes), in chunks of a spool.
//!
//! A record is the hash (eight bytes), the key's kind (one), the lengths of key and state (LEB128 each), the key and the
//! state. Records lie one after another, across the chunks; the run's description, which travels to the parent and from
//! there to those who merge, says where the chunks are, and where the records of each slot begin. A slot is one of 256
//! equal parts of the space of hashes.

use std::io;

use crate::error::GatherError;
use crate::item::{Item, Kind, read_length, write_length};
use crate::spool::{self, Spool};

/// Parts of the space of hashes.
pub const SLOTS: usize = 256;

/// Bytes written at once; arbitrary above the cost of a system call.
const CHUNK: usize = 1 << 20;

/// The description of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Offset in the spool and length of each chunk.
    chunks: Vec<(u64, u64)>,
    /// Where each slot begins, in bytes from the run's start; the last is the run's length.
    starts: Vec<u64>,
}

impl Run {
    /// Bytes of the records in slots `low` to `high`, the latter excluded.
    pub fn size(&self, low: usize, high: usize) -> u64 {
        self.starts[high] - self.starts[low]
    }

    /// Bytes of all records.
    pub fn length(&self) -> u64 {
        self.starts[SLOTS]
    }

    /// Where in the spool the records of slots `low` to `high` (excluded) are: offset and length of each stretch.
    pub fn stretches(&self, low: usize, high: usize) -> Vec<(u64, u64)> {
        let (start, end) = (self.starts[low], self.starts[high]);
        let (mut found, mut position) = (Vec::new(), 0);
        for (offset, length) in &self.chunks {
            let (from, to) = (start.max(position), end.min(position + length));
            if from < to {
                found.push((offset + (from - position), to - from));
            }
            position += length;
        }
        found
    }

    /// A run without a record.
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self { chunks: Vec::new(), starts: vec![0; SLOTS + 1] }
    }

    /// The description of slots `low` to `high` (excluded) alone, when its stretches lie at these offsets instead.
    pub(crate) fn part(&self, low: usize, high: usize, offsets: impl Iterator<Item = u64>) -> Self {
        let (start, end) = (self.starts[low], self.starts[high]);
        let lengths = self.stretches(low, high).into_iter().map(|(_, length)| length);
        Self {
            chunks: offsets.zip(lengths).collect(),
            starts: self.starts.iter().map(|at| at.clamp(&start, &end) - start).collect(),
        }
    }

    /// The description when each chunk lies where `place` says, which is given its offset and length.
    pub(crate) fn moved<E>(&self, mut place: impl FnMut(u64, u64) -> Result<u64, E>) -> Result<Self, E> {
        let moved = self.chunks.iter().map(|(offset, length)| Ok((place(*offset, *length)?, *length)));
        Ok(Self { chunks: moved.collect::<Result<_, E>>()?, starts: self.starts.clone() })
    }

    /// Append the description's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_length(self.chunks.len(), out);
        for (offset, length) in &self.chunks {
            write_length(*offset as usize, out);
            write_length(*length as usize, out);
        }
        let mut before = 0;
        for start in &self.starts[1..] {
            write_length((start - before) as usize, out);
            before = *start;
        }
    }

    /// Take a description from the front of `input`. None: these bytes are none.
    pub fn read(input: &mut &[u8]) -> Option<Self> {
        let count = read_length(input)?;
        let mut chunks = Vec::new();
        for _ in 0..count {
            chunks.push((read_length(input)? as u64, read_length(input)? as u64));
        }
        let mut starts = vec![0u64];
        for slot in 0..SLOTS {
            starts.push(starts[slot].checked_add(read_length(input)? as u64)?);
        }
        let length = chunks.iter().try_fold(0u64, |sum, chunk| sum.checked_add(chunk.1))?;
        (length == starts[SLOTS]).then_some(Self { chunks, starts })
    }
}

/// Writes a run.
pub(crate) struct RunWriter<'a> {
    spool: &'a Spool,
    buffer: Vec<u8>,
    run: Run,
    flushed: u64,
}

impl<'a> RunWriter<'a> {
    /// A run in this spool, empty so far.
    pub fn new(spool: &'a Spool) -> Self {
        Self { spool, buffer: Vec::with_capacity(CHUNK + CHUNK / 8), run: Run::default(), flushed: 0 }
    }

    /// The next record; they come in ascending order.
    pub fn push(&mut self, hash: u64, key: &Item, state: &[u8]) -> io::Result<()> {
        let slot = (hash >> 56) as usize;
        let position = self.flushed + self.buffer.len() as u64;
        while self.run.starts.len() <= slot {
            self.run.starts.push(position);
        }
        self.buffer.extend_from_slice(&hash.to_le_bytes());
        self.buffer.push(key.kind as u8);
        write_length(key.bytes.len(), &mut self.buffer);
        write_length(state.len(), &mut self.buffer);
        self.buffer.extend_from_slice(key.bytes);
        self.buffer.extend_from_slice(state);
        if self.buffer.len() >= CHUNK { self.flush_by(spool::LARGEST) } else { Ok(()) }
    }

    /// In pieces that a system call takes whole: a single record may be larger.
    fn flush_by(&mut self, piece: usize) -> io::Result<()> {
        let length = self.buffer.len() as u64;
        if length > 0 {
            for piece in self.buffer.chunks(piece) {
                let offset = self.spool.append(piece)?;
                self.run.chunks.push((offset, piece.len() as u64));
            }
            self.flushed += length;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Write what is left; the description.
    pub fn finish(mut self) -> io::Result<Run> {
        self.flush_by(spool::LARGEST)?;
        self.run.starts.resize(SLOTS + 1, self.flushed);
        Ok(self.run)
    }
}

/// Reads the records of some slots of a run, one after another, through a buffer.
pub(crate) struct RunReader<'a> {
    spool: &'a Spool,
    run: &'a Run,
    chunk: usize, // the one that `next` lies in, or one before
    chunk_start: u64,
    next: u64, // to be read into the buffer
    end: u64,
    buffer: Vec<u8>,
    at: usize, // the record at the head, in the buffer
    head: Head,
    ended: bool,
}

#[derive(Clone, Copy)]
struct Head {
    hash: u64,
    kind: Kind,
    key: usize,
    state: usize,
    end: usize,
}

impl<'a> RunReader<'a> {
    /// A reader of slots `low` to `high` (excluded) with a buffer of so many bytes, at the first record.
    pub fn new(spool: &'a Spool, run: &'a Run, low: usize, high: usize, buffer: usize) -> Result<Self, GatherError> {
        let head = Head { hash: 0, kind: Kind::None, key: 0, state: 0, end: 0 };
        let mut reader = Self {
            spool,
            run,
            chunk: 0,
            chunk_start: 0,
            next: run.starts[low],
            end: run.starts[high],
            buffer: Vec::with_capacity(buffer),
            at: 0,
            head,
            ended: false,
        };
        reader.advance()?;
        Ok(reader)
    }

    /// Are there no more records?
    #[inline]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The hash of the record at the head.
    #[inline]
    pub fn hash(&self) -> u64 {
        self.head.hash
    }

    /// The key of the record at the head.
    #[inline]
    pub fn key(&self) -> Item<'_> {
        Item { kind: self.head.kind, bytes: &self.buffer[self.head.key..self.head.state] }
    }

    /// The state of the record at the head.
    #[inline]
    pub fn state(&self) -> &[u8] {
        &self.buffer[self.head.state..self.head.end]
    }

    /// Go on to the next record.
    #[inline]
    pub fn advance(&mut self) -> Result<(), GatherError> {
        self.at = self.head.end;
        loop {
            if let Some(head) = parse(&self.buffer, self.at)? {
                self.head = head;
                return Ok(());
            }
            if self.next == self.end {
                self.ended = true;
                return if self.at == self.buffer.len() { Ok(()) } else { Err(GatherError::Corrupt("cut short")) };
            }
            self.refill()?;
        }
    }

    #[cold]
    fn refill(&mut self) -> Result<(), GatherError> {
        self.buffer.drain(..self.at);
        (self.at, self.head.end) = (0, 0);
        if self.buffer.len() == self.buffer.capacity() {
            self.buffer.reserve(self.buffer.len().max(4096)); // a record that is longer than the buffer
        }
        while self.next >= self.chunk_start + self.run.chunks[self.chunk].1 {
            self.chunk_start += self.run.chunks[self.chunk].1;
            self.chunk += 1;
        }
        let (offset, length) = self.run.chunks[self.chunk];
        let within = self.next - self.chunk_start;
        let room = (self.buffer.capacity() - self.buffer.len()) as u64;
        let count = room.min(length - within).min(self.end - self.next);
        let filled = self.buffer.len();
        self.buffer.resize(filled + count as usize, 0);
        self.spool.read(&mut self.buffer[filled..], offset + within)?;
        self.next += count;
        Ok(())
    }
}

/// The record at `at`, if all of it is there.
#[inline]
fn parse(buffer: &[u8], at: usize) -> Result<Option<Head>, GatherError> {
    let mut input = &buffer[at..];
    let Some((hash, rest)) = input.split_first_chunk::<8>() else { return Ok(None) };
    let Some((&kind, rest)) = rest.split_first() else { return Ok(None) };
    input = rest;
    let (Some(key_length), Some(state_length)) = (read_length(&mut input), read_length(&mut input)) else {
        return Ok(None);
    };
    let kind = Kind::from_byte(kind).ok_or(GatherError::Corrupt("a kind that is none"))?;
    let key = buffer.len() - input.len();
    let whole = key_length.checked_add(state_length).ok_or(GatherError::Corrupt("a length beyond memory"))?;
    if input.len() < whole {
        return Ok(None);
    }
    let state = key + key_length;
    Ok(Some(Head { hash: u64::from_le_bytes(*hash), kind, key, state, end: key + whole }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn spool() -> Spool {
        let path = std::env::temp_dir().join(format!("run-{}-{:?}", std::process::id(), std::thread::current().id()));
        let file = std::fs::File::options().create_new(true).read(true).append(true).open(&path).unwrap();
        let spool = Spool::open(file.as_raw_fd()).unwrap();
        std::fs::remove_file(path).unwrap();
        spool.init().unwrap();
        spool
    }

    /// Records of every length up to 40, key and state, spread over the slots; and one of some thousand bytes.
    fn records() -> Vec<(u64, Vec<u8>, Vec<u8>)> {
        let of = |number: u64| {
            let length = if number == 30 { 5000 } else { number as usize % 41 };
            (number << 57 | number, vec![number as u8; length], vec![!number as u8; (number as usize * 7) % 41])
        };
        (0..120).map(of).collect()
    }

    fn written(spool: &Spool, piece: usize) -> Run {
        let mut writer = RunWriter::new(spool);
        for (number, (hash, key, state)) in records().iter().enumerate() {
            writer.push(*hash, &Item { kind: Kind::Bytes, bytes: key }, state).unwrap();
            if number % 50 == 0 {
                writer.flush_by(piece).unwrap();
            }
        }
        writer.flush_by(piece).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn every_buffer_and_every_piece_give_the_same_records() {
        for piece in [1, 7, 64, 1000, spool::LARGEST] {
            let spool = spool();
            let run = written(&spool, piece);
            for buffer in 1..64 {
                for (low, high) in [(0, SLOTS), (3, 70), (61, 62)] {
                    let mut reader = RunReader::new(&spool, &run, low, high, buffer).unwrap();
                    for (hash, key, state) in &records() {
                        if (low..high).contains(&((hash >> 56) as usize)) {
                            assert!(!reader.ended());
                            assert_eq!(
                                (reader.hash(), reader.key().bytes, reader.state()),
                                (*hash, &key[..], &state[..])
                            );
                            reader.advance().unwrap();
                        }
                    }
                    assert!(reader.ended(), "{piece} {buffer}");
                }
            }
        }
    }

    #[test]
    fn a_description_comes_back_and_any_other_bytes_are_none_or_an_error() {
        let spool = spool();
        let run = written(&spool, 1000);
        let mut bytes = Vec::new();
        run.write(&mut bytes);
        assert_eq!(Run::read(&mut &bytes[..]), Some(run.clone()));
        for cut in 0..bytes.len() {
            assert_eq!(Run::read(&mut &bytes[..cut]), None);
        }
        let (mut seed, mut read) = (1u64, 0);
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for _ in 0..20_000 {
            // A chunk moved, lengthened or torn, and the slots cut elsewhere: what is read there is rubbish
            let mut other = run.clone();
            let chunk = random() as usize % other.chunks.len();
            let by = if random() % 8 == 0 { random() >> 1 } else { random() % 5000 };
            other.chunks[chunk].0 = by;
            other.starts[1..SLOTS].iter_mut().for_each(|start| *start = (*start).saturating_sub(random() % 3));
            other.starts[1..].sort_unstable();
            let mut bytes = Vec::new();
            other.write(&mut bytes);
            let place = random() as usize % bytes.len();
            bytes[place] ^= if random() % 2 == 0 { 0 } else { 1 << (random() % 8) };
            let Some(run) = Run::read(&mut &bytes[..]) else { continue };
            read += 1;
            run.stretches(0, SLOTS);
            let low = random() as usize % SLOTS;
            let Ok(mut reader) = RunReader::new(&spool, &run, low, SLOTS, 1 + random() as usize % 100) else {
                continue;
            };
            for _ in 0..200 {
                if reader.ended() || reader.advance().is_err() {
                    break;
                }
            }
        }
        assert!(read > 1000, "{read}");
    }
}
