//! What becomes of the values of one key: the reducers, and a worker's table of pairs being combined.
//!
//! | reducer | words of state | as written in a run |
//! | --- | --- | --- |
//! | Count | the number | LEB128 |
//! | Sum, Mean, Min, Max | a number ([`crate::num`]), or where the value is kept | three words, or one and a packed item |
//! | First | where it is kept | the order (u64), a packed item |
//! | List | where it is kept | stretches: order (u64), length (u64), packed items |
//! | Set | up to two fingerprints, or where they are kept | fingerprints (u64), sorted |
//! | Top | where it is kept | packed items, the largest first |
//! | Foreign | the caller's | the caller's |
//!
//! A set keeps fingerprints, the hashes of its members; the members themselves are keys of a second table, whose runs
//! are merged like the first one's. So a file name that occurs with a million words is stored once, and members are
//! compared by one instruction. Two members with the same fingerprint are noticed where the second table is merged.
//!
//! The order of a value is that of the item it came from: with it, `first` and `list` do not depend on who was faster.

mod kept;

use std::cmp::Ordering;

use crate::answer::Shape;
use crate::error::GatherError;
use crate::item::{Item, write_length};
use crate::num::{self, Num};
use crate::run::{Run, RunWriter};
use crate::spool::Spool;
use crate::table::Table;

pub use kept::packed;
pub(crate) use kept::{ASIDE, better, rank};
use kept::{Kept, insert_member, packed_number, replace, state_index, unorderable, write_state};

/// A count that is reached only by overflow: more is not written, and it is an error where it is merged.
pub(crate) const MOST_COUNT: u64 = i64::MAX as u64;

/// What is made of a key's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reducer {
    /// How many.
    Count,
    /// Their sum.
    Sum,
    /// Their arithmetic mean.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The first in the order of the items.
    First,
    /// All of them, in the order of the items.
    List,
    /// The different ones.
    Set,
    /// The n largest, the largest first.
    Top(usize),
    /// One word of state, of which only the caller knows the meaning.
    Foreign,
}

impl Reducer {
    fn words(self) -> usize {
        if self.sums() || self == Self::Set { num::WORDS } else { 1 }
    }

    pub(crate) fn sums(self) -> bool {
        matches!(self, Self::Sum | Self::Mean | Self::Min | Self::Max)
    }

    /// What a final value is.
    pub fn shape(self) -> Shape {
        match self {
            Self::List | Self::Top(_) => Shape::List,
            Self::Set => Shape::Set,
            _ => Shape::Scalar,
        }
    }

    /// Which of two values is kept.
    pub(crate) fn wanted(self) -> Ordering {
        if self == Self::Min { Ordering::Less } else { Ordering::Greater }
    }
}

/// A worker's pairs, combined by key.
pub struct Combiner {
    how: Reducer,
    table: Table,
    kept: Vec<Kept>,
    kept_bytes: usize,
    members: Table,
}

impl Combiner {
    /// An empty one.
    pub fn new(how: Reducer) -> Self {
        Self { how, table: Table::new(how.words()), kept: Vec::new(), kept_bytes: 0, members: Table::new(0) }
    }

    /// What it makes of values.
    pub fn how(&self) -> Reducer {
        self.how
    }

    /// Different keys in it.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes it takes.
    pub fn size(&self) -> usize {
        self.table.size() + self.members.size() + self.kept.capacity() * size_of::<Kept>() + self.kept_bytes
    }

    /// The table, to look ahead in it.
    #[inline]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// `Count`: a key was met so many times.
    #[inline]
    pub fn count(&mut self, hash: u64, key: &Item, times: u64) {
        let state = &mut self.table.state(hash, key).0[0];
        *state = state.saturating_add(times);
    }

    /// `Sum`, `Mean`, `Min`, `Max`: a number for a key.
    #[inline]
    pub fn number(&mut self, hash: u64, key: &Item, value: Num) -> Result<(), GatherError> {
        let state = self.table.state(hash, key).0;
        if state[0] == ASIDE {
            let index = state_index(state);
            return Err(self.no_order(index, value));
        }
        let (so_far, count) = Num::load(state);
        let new = match self.how {
            Reducer::Sum | Reducer::Mean => so_far.plus(value)?,
            _ => so_far.pick(value, self.how.wanted()),
        };
        new.store(count + 1, state);
        Ok(())
    }

    /// `Foreign`: the state of a key, and whether it is new.
    #[inline]
    pub fn foreign(&mut self, hash: u64, key: &Item) -> (&mut u64, bool) {
        let (state, new) = self.table.state(hash, key);
        (&mut state[0], new)
    }

    /// A value for a key, from an item with this order. Not for `Count` and `Foreign`.
    #[inline]
    pub fn add(&mut self, hash: u64, key: &Item, value: &Item, order: u64) -> Result<(), GatherError> {
        match self.how {
            Reducer::Count | Reducer::Foreign => unreachable!("counted, or kept by the caller"),
            Reducer::Sum | Reducer::Mean => self.number(hash, key, Num::of(value)?),
            Reducer::Min | Reducer::Max => match Num::of(value) {
                Ok(number) => self.number(hash, key, number),
                Err(GatherError::NotANumber(_)) => self.pick(hash, key, value),
                Err(error) => Err(error),
            },
            Reducer::First => {
                self.first(hash, key, value, order);
                Ok(())
            }
            Reducer::List => {
                self.append(hash, key, value, order);
                Ok(())
            }
            Reducer::Set => {
                let fingerprint = self.enter_member(value);
                self.member(hash, key, fingerprint);
                Ok(())
            }
            Reducer::Top(most) => self.rank(hash, key, value, most),
        }
    }

    fn keep(kept: &mut Vec<Kept>, state: &mut u64, new: impl FnOnce() -> Kept) {
        kept.push(new());
        *state = kept.len() as u64 - 1;
    }

    fn pick(&mut self, hash: u64, key: &Item, value: &Item) -> Result<(), GatherError> {
        let state = self.table.state(hash, key).0;
        if state[0] != ASIDE {
            if Num::load(state).0 != Num::Empty {
                let number = Num::load(state).0;
                return Err(unorderable(&packed_number(number), &packed(value)));
            }
            state[0] = ASIDE;
            let bytes = packed(value);
            self.kept_bytes += bytes.len();
            Self::keep(&mut self.kept, &mut state[1], || Kept::One { order: 0, packed: bytes });
            return Ok(());
        }
        let Kept::One { packed: so_far, .. } = &mut self.kept[state_index(state)] else { return Ok(()) };
        if better(so_far, value, self.how.wanted())? {
            replace(so_far, value, &mut self.kept_bytes);
        }
        Ok(())
    }

    fn no_order(&self, index: usize, value: Num) -> GatherError {
        match &self.kept[index] {
            Kept::One { packed, .. } => unorderable(packed, &packed_number(value)),
            _ => GatherError::Corrupt("a state of another kind"),
        }
    }

    fn first(&mut self, hash: u64, key: &Item, value: &Item, order: u64) {
        let (state, new) = self.table.state(hash, key);
        if new {
            let bytes = packed(value);
            self.kept_bytes += bytes.len();
            Self::keep(&mut self.kept, &mut state[0], || Kept::One { order, packed: bytes });
        } else if let Kept::One { order: so_far, packed: bytes } = &mut self.kept[state[0] as usize]
            && order < *so_far
        {
            *so_far = order;
            replace(bytes, value, &mut self.kept_bytes);
        }
    }

    fn append(&mut self, hash: u64, key: &Item, value: &Item, order: u64) {
        let (state, new) = self.table.state(hash, key);
        if new {
            Self::keep(&mut self.kept, &mut state[0], || Kept::List { bytes: Vec::new(), last: 0, order: u64::MAX });
        }
        let Kept::List { bytes, last, order: so_far } = &mut self.kept[state[0] as usize] else { return };
        let before = bytes.capacity();
        if *so_far != order {
            (*last, *so_far) = (bytes.len(), order);
            bytes.extend_from_slice(&order.to_le_bytes());
            bytes.extend_from_slice(&[0; 8]);
        }
        value.pack(bytes);
        let length = (bytes.len() - *last - 16) as u64;
        bytes[*last + 8..*last + 16].copy_from_slice(&length.to_le_bytes());
        self.kept_bytes += bytes.capacity() - before;
    }

    /// `Set`: a value that was hashed and entered before, by [`Combiner::enter_member`].
    #[inline]
    pub fn member(&mut self, hash: u64, key: &Item, fingerprint: u64) {
        let state = self.table.state(hash, key).0;
        self.kept_bytes += insert_member(state, &mut self.kept, fingerprint);
    }

    /// `Set`: enter a value among the members; its fingerprint.
    pub fn enter_member(&mut self, value: &Item) -> u64 {
        let fingerprint = value.hash();
        self.members.state(fingerprint, value);
        fingerprint
    }

    fn rank(&mut self, hash: u64, key: &Item, value: &Item, most: usize) -> Result<(), GatherError> {
        let (state, new) = self.table.state(hash, key);
        if new {
            Self::keep(&mut self.kept, &mut state[0], || Kept::Top(Vec::new()));
        }
        let Kept::Top(best) = &mut self.kept[state[0] as usize] else { return Ok(()) };
        let change = rank(best, value, most)?;
        self.kept_bytes = self.kept_bytes.saturating_add_signed(change);
        Ok(())
    }

    /// Write everything to the spool, as a run sorted by hash, and forget it, also when that fails. `foreign` writes a
    /// state of `Foreign`.
    ///
    /// The second run holds the members of sets.
    pub fn flush<E: From<GatherError>>(
        &mut self,
        spool: &Spool,
        mut foreign: impl FnMut(u64, &Item, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(Run, Run), E> {
        let mut state_bytes = Vec::new();
        let mut writer = RunWriter::new(spool);
        let (how, mut kept) = (self.how, std::mem::take(&mut self.kept));
        let mut members = std::mem::replace(&mut self.members, Table::new(0));
        self.kept_bytes = 0;
        self.table.drain(|hash, key, state| {
            state_bytes.clear();
            match how {
                Reducer::Count => write_length(state[0].min(MOST_COUNT) as usize, &mut state_bytes),
                Reducer::Foreign => foreign(state[0], key, &mut state_bytes)?,
                _ => write_state(how, state, &mut kept, &mut state_bytes),
            }
            writer.push(hash, key, &state_bytes).map_err(GatherError::Io)?;
            Ok::<(), E>(())
        })?;
        let entries = writer.finish().map_err(GatherError::Io)?;
        let mut writer = RunWriter::new(spool);
        members.drain(|hash, key, _| writer.push(hash, key, &[])).map_err(GatherError::Io)?;
        Ok((entries, writer.finish().map_err(GatherError::Io)?))
    }
}
