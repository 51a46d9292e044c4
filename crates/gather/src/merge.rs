//! Merging runs: the same stretch of the space of hashes from each, key by key, into segments of an answer.
//!
//! All runs are sorted alike, so a heap of their heads gives one key after another with all its states, and the final
//! values come out in the order that an answer wants. Nothing is held but a buffer for each run and the segment being
//! made: how much there is to merge does not matter.

use std::cmp::Ordering;
use std::io;

use crate::error::GatherError;
use crate::item::{Item, Kind, read_length};
use crate::num::{self, Num, Total};
use crate::reduce::{ASIDE, MOST_COUNT, Reducer, better, rank};
use crate::run::{Run, RunReader};
use crate::segment::{SegmentRef, SegmentWriter, Value};
use crate::spool::Spool;

/// A segment of about so many bytes is written, and the next one begun; arbitrary.
const MOST_SEGMENT: usize = 16 << 20;
const LEAST_SEGMENT: usize = 256 << 10;

/// All readers together may buffer this much, and each at least and at most so much.
const BUFFERS: u64 = 16 << 20;
const LEAST_BUFFER: u64 = 4 << 10;
const MOST_BUFFER: u64 = 256 << 10;

/// What is made of the states of one key.
pub trait Fold {
    /// What may go wrong in it.
    type Error: From<GatherError>;

    /// The next state of the key.
    fn absorb(&mut self, key: &Item, state: &[u8]) -> Result<(), Self::Error>;

    /// There are no more states of this key: its value. What comes next is another key.
    fn finish(&mut self, key: &Item) -> Result<Value<'_>, Self::Error>;
}

/// Merge slots `low` to `high` (excluded) of the runs, write segments to `answer`. Runs are given in the order in which
/// states of one key are to be absorbed, each with the spool it is in. Buffers and the segment being made take about
/// `memory` bytes, though never more than some 64 MiB, and at least one MiB and 4 KiB a run.
pub fn merge<F: Fold>(
    runs: &[(&Spool, &Run)],
    low: usize,
    high: usize,
    fold: &mut F,
    answer: &Spool,
    memory: usize,
) -> Result<Vec<SegmentRef>, F::Error> {
    let buffer = BUFFERS.min(memory as u64 / 2) / runs.len().max(1) as u64;
    let buffer = buffer.clamp(LEAST_BUFFER, MOST_BUFFER);
    // While it is finished, a segment takes about three times its size
    let segment = (memory / 6).clamp(LEAST_SEGMENT, MOST_SEGMENT);
    let mut readers = Vec::new();
    for (spool, run) in runs {
        let size = run.size(low, high);
        if size > 0 {
            readers.push(RunReader::new(spool, run, low, high, size.min(buffer) as usize)?);
        }
    }
    let mut heap = Heap::of(readers);
    let (mut segments, mut writer) = (Vec::new(), SegmentWriter::new());
    let mut key_bytes = Vec::new();
    while let Some(top) = heap.top() {
        let (hash, kind) = (top.hash(), top.key().kind);
        key_bytes.clear();
        key_bytes.extend_from_slice(top.key().bytes);
        let key = Item { kind, bytes: &key_bytes };
        while let Some(top) = heap.top().filter(|top| top.hash() == hash && top.key() == key) {
            fold.absorb(&key, top.state())?;
            heap.advance()?;
        }
        writer.push(hash, key, fold.finish(&key)?);
        if writer.size() >= segment {
            segments.extend(write(&mut writer, answer).map_err(GatherError::Io)?);
        }
    }
    segments.extend(write(&mut writer, answer).map_err(GatherError::Io)?);
    Ok(segments)
}

fn write(writer: &mut SegmentWriter, answer: &Spool) -> io::Result<Option<SegmentRef>> {
    let Some((bytes, segment)) = writer.take() else { return Ok(None) };
    Ok(Some(SegmentRef { offset: answer.append(&bytes)?, ..segment }))
}

/// Readers, the one with the smallest (hash, kind, key) on top; of equal ones the one that came first.
struct Heap<'a> {
    readers: Vec<RunReader<'a>>,
    order: Vec<u32>,
}

impl<'a> Heap<'a> {
    fn of(readers: Vec<RunReader<'a>>) -> Self {
        let mut heap = Self { order: (0..readers.len() as u32).collect(), readers };
        for place in (0..heap.order.len() / 2).rev() {
            heap.sift(place);
        }
        heap
    }

    #[inline]
    fn top(&self) -> Option<&RunReader<'a>> {
        self.order.first().map(|index| &self.readers[*index as usize])
    }

    #[inline]
    fn advance(&mut self) -> Result<(), GatherError> {
        let top = &mut self.readers[self.order[0] as usize];
        top.advance()?;
        if top.ended() {
            self.order.swap_remove(0);
        }
        self.sift(0);
        Ok(())
    }

    #[inline]
    fn before(&self, a: u32, b: u32) -> bool {
        let (left, right) = (&self.readers[a as usize], &self.readers[b as usize]);
        match left.hash().cmp(&right.hash()) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => {
                let (x, y) = (left.key(), right.key());
                (x.kind, x.bytes, a) < (y.kind, y.bytes, b)
            }
        }
    }

    #[inline]
    fn sift(&mut self, mut place: usize) {
        loop {
            let mut child = 2 * place + 1;
            if child >= self.order.len() {
                return;
            }
            if child + 1 < self.order.len() && self.before(self.order[child + 1], self.order[child]) {
                child += 1;
            }
            if !self.before(self.order[child], self.order[place]) {
                return;
            }
            self.order.swap(place, child);
            place = child;
        }
    }
}

/// The reducers that need nobody else.
pub struct Native {
    how: Reducer,
    number: Num,
    count: u64,
    bytes: Vec<u8>, // what was absorbed
    value: Vec<u8>, // what came of it
    stretches: Vec<(u64, usize, usize)>,
    order: u64,
    members: Vec<u64>,
    best: Vec<Vec<u8>>,
}

impl Native {
    /// A fold for a reducer other than `Foreign`.
    pub fn new(how: Reducer) -> Self {
        let (bytes, value, stretches, members, best) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { how, number: Num::Empty, count: 0, bytes, value, stretches, order: 0, members, best }
    }

    fn absorb_number(&mut self, state: &[u8]) -> Result<(), GatherError> {
        let mut words = [0; num::WORDS];
        if state.get(..8) == Some(&ASIDE.to_le_bytes()) {
            return self.absorb_aside(state);
        }
        if state.len() != size_of_val(&words) {
            return Err(GatherError::Corrupt("a number"));
        }
        for (word, bytes) in words.iter_mut().zip(state.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let (number, count) = Num::load(&words);
        if !self.bytes.is_empty() {
            return Err(GatherError::Unorderable(self.bytes.clone(), Vec::new()));
        }
        self.count += count;
        self.number = match self.how {
            Reducer::Sum | Reducer::Mean => self.number.plus(number)?,
            how => self.number.pick(number, how.wanted()),
        };
        Ok(())
    }

    /// A value that is no number: the smallest or largest so far, packed, behind one word.
    fn absorb_aside(&mut self, state: &[u8]) -> Result<(), GatherError> {
        let mut input = state.get(8..).ok_or(GatherError::Corrupt("a state cut short"))?;
        let packed = input;
        let value = Item::unpack(&mut input).ok_or(GatherError::Corrupt("a packed value"))?;
        if self.number != Num::Empty {
            return Err(GatherError::Unorderable(packed.to_vec(), Vec::new()));
        }
        if self.bytes.is_empty() || better(&self.bytes, &value, self.how.wanted())? {
            self.bytes.clear();
            self.bytes.extend_from_slice(packed);
        }
        Ok(())
    }

    fn absorb_first(&mut self, state: &[u8]) -> Result<(), GatherError> {
        let (order, packed) = state.split_first_chunk::<8>().ok_or(GatherError::Corrupt("a state cut short"))?;
        let order = u64::from_le_bytes(*order);
        if self.bytes.is_empty() || order < self.order {
            self.order = order;
            self.bytes.clear();
            self.bytes.extend_from_slice(packed);
        }
        Ok(())
    }

    fn absorb_list(&mut self, state: &[u8]) -> Result<(), GatherError> {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(state);
        let mut at = 0;
        while at < state.len() {
            let head = state.get(at..at + 16).ok_or(GatherError::Corrupt("a state cut short"))?;
            let word =
                |from: usize| head[from..from + 8].iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            let (order, length) = (word(0), word(8) as usize);
            let start = at + 16;
            if length > state.len() - start {
                return Err(GatherError::Corrupt("a state cut short"));
            }
            self.stretches.push((order, base + start, length));
            at = start + length;
        }
        Ok(())
    }

    fn join_list(&mut self) {
        self.stretches.sort_by_key(|stretch| stretch.0);
        for (_, from, length) in self.stretches.drain(..) {
            self.value.extend_from_slice(&self.bytes[from..from + length]);
        }
        self.bytes.clear();
    }
}

impl Fold for Native {
    type Error = GatherError;

    #[inline]
    fn absorb(&mut self, _key: &Item, state: &[u8]) -> Result<(), GatherError> {
        match self.how {
            Reducer::Count => {
                let times = read_length(&mut &*state).ok_or(GatherError::Corrupt("a count"))?;
                self.count = self.count.saturating_add(times as u64);
                Ok(())
            }
            Reducer::Sum | Reducer::Mean | Reducer::Min | Reducer::Max => self.absorb_number(state),
            Reducer::First => self.absorb_first(state),
            Reducer::List => self.absorb_list(state),
            Reducer::Set => {
                self.members.extend(state.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)));
                Ok(())
            }
            Reducer::Top(most) => {
                let mut input = state;
                while !input.is_empty() {
                    let value = Item::unpack(&mut input).ok_or(GatherError::Corrupt("a packed value"))?;
                    rank(&mut self.best, &value, most)?;
                }
                Ok(())
            }
            Reducer::Foreign => Err(GatherError::Corrupt("a state of the caller's")),
        }
    }

    #[inline]
    fn finish(&mut self, _key: &Item) -> Result<Value<'_>, GatherError> {
        let (number, count) = (std::mem::replace(&mut self.number, Num::Empty), std::mem::take(&mut self.count));
        self.value.clear();
        match self.how {
            Reducer::Count if count >= MOST_COUNT => return Err(GatherError::Overflow),
            Reducer::Count => return Ok(Value::Int(count as i64)),
            Reducer::Mean => return Ok(Value::Float(number.mean(count))),
            Reducer::Sum | Reducer::Min | Reducer::Max if number != Num::Empty => match number.total(&mut self.value) {
                Total::Int(value) => return Ok(Value::Int(value)),
                Total::Float(value) => return Ok(Value::Float(value)),
                Total::Packed(_) => {}
            },
            Reducer::List => self.join_list(),
            Reducer::Set => {
                self.members.sort_unstable();
                self.members.dedup();
                self.members.drain(..).for_each(|member| self.value.extend_from_slice(&member.to_le_bytes()));
            }
            Reducer::Top(_) => self.best.drain(..).for_each(|packed| self.value.extend_from_slice(&packed)),
            _ => {
                std::mem::swap(&mut self.value, &mut self.bytes);
                return Ok(scalar(&self.value));
            }
        }
        Ok(Value::Bytes(&self.value))
    }
}

/// A packed value as an answer keeps it.
pub fn scalar(packed: &[u8]) -> Value<'_> {
    match Item::unpack(&mut &*packed) {
        Some(Item { kind: Kind::Int, bytes }) => bytes.try_into().map(i64::from_le_bytes).map(Value::Int),
        Some(Item { kind: Kind::Float, bytes }) => bytes.try_into().map(f64::from_le_bytes).map(Value::Float),
        _ => Ok(Value::Bytes(packed)),
    }
    .unwrap_or(Value::Bytes(packed))
}

/// The members of sets: nothing but keys. Two of one hash would be one fingerprint for two members.
#[derive(Default)]
pub struct Members {
    last: Option<u64>,
}

impl Fold for Members {
    type Error = GatherError;

    fn absorb(&mut self, _key: &Item, _state: &[u8]) -> Result<(), GatherError> {
        Ok(())
    }

    fn finish(&mut self, key: &Item) -> Result<Value<'_>, GatherError> {
        let hash = key.hash();
        if self.last.replace(hash) == Some(hash) { Err(GatherError::Collision) } else { Ok(Value::Bytes(&[])) }
    }
}
